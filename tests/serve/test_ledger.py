"""The ledger: as after a restart at any time, and of bounded size."""

import json

import numpy as np
import pytest

from skgaussad.calibration import AdaptiveThreshold, ConformalMonitor
from skgaussad.detectors import find_decider
from skgaussad.serve import _change_watch, _ledger
from skgaussad.serve._ledger import Ledger
from skgaussad.serve._served_model import ServedModel


@pytest.fixture(scope="module")
def served(fitted):
    return ServedModel(str(fitted))


@pytest.fixture
def small(monkeypatch):
    """Let a ledger forget soon."""
    monkeypatch.setattr(_ledger, "MAX_DECISIONS", 100)
    monkeypatch.setattr(_ledger, "_MAX_RECORDS", 40)
    monkeypatch.setattr(_change_watch, "_MAX_WATCHED", 70)


class Production:
    """Random images, verdicts, changes of mind and of the rate."""

    def __init__(self, ledger, served, seed=0):
        self.ledger, self.served = ledger, served
        self.rng = np.random.default_rng(seed)
        self.distances = served.held_out.distances
        self.ids = []

    def decide(self, n_images=3, shift=0.0):
        ids = [f"{len(self.ids) + n:016x}" for n in range(n_images)]
        self.ids += ids
        rows = [
            {"error": None, "p_value": 0.5, "distance": float(distance) + shift}
            for distance in self.rng.choice(self.distances, n_images)
        ]
        for identity in ids:
            with open(self.ledger.image_of(identity), "wb"):
                pass
        uploads = [(identity, f"{identity}.png") for identity in ids]
        return self.ledger.decide(self.served, uploads, rows, [None] * n_images)

    def say(self, verdict):
        identity = self.rng.choice(self.ids[-60:])
        return self.ledger.give_feedback(str(identity), None, verdict)

    def step(self):
        kind = self.rng.random()
        if kind < 0.5 or not self.ids:
            self.decide()
        elif kind < 0.97:
            self.say(self.rng.choice(["good", "good", "defect", None]))
        elif kind < 0.985:
            self.ledger.add("reset")
        else:
            self.ledger.add("rate", fpr=self.rng.choice([0.1, 0.2, None]))


def facts(ledger):
    """Return all that is to be equal after a restart."""
    with ledger.held():
        return ledger.last(), ledger.summary(), ledger.threshold, ledger.rate


@pytest.mark.parametrize("adapt", [False, True])
def test_a_restart_at_any_time_changes_nothing(tmp_path, served, small, adapt):
    options = {"keep": 20, "adapt": adapt}
    ledger = Ledger(str(tmp_path), served, **options)
    other = Ledger(str(tmp_path), served, **options)
    production = Production(ledger, served)
    for n_steps in range(1, 301):
        production.ledger = ledger if n_steps % 3 else other
        production.step()
        if n_steps % 10 == 0:
            again = facts(Ledger(str(tmp_path), served, **options))
            assert facts(ledger) == again == facts(other)
    # The journal was made short several times meanwhile.
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines()
    assert len(lines) <= 1 + 40 + 3
    assert ledger.summary()["n_decided"] == len(production.ids) > 300
    assert 100 <= len(ledger.last()) <= 140
    assert len(list((tmp_path / "images").iterdir())) <= 40


def test_what_is_forgotten_still_counts(tmp_path, served, small):
    """The threshold and the rate are those of a ledger that forgets nothing."""
    short = Production(Ledger(str(tmp_path / "a"), served, keep=9, adapt=True), served)
    _ledger.MAX_DECISIONS, _ledger._MAX_RECORDS = 10_000, 10_000
    whole = Production(Ledger(str(tmp_path / "b"), served, keep=9, adapt=True), served)
    for _ in range(150):
        for production in (short, whole):
            decisions = production.decide(shift=0.3)
            for decision in decisions:
                if decision["label"] == -1:
                    production.ledger.give_feedback(decision["id"], None, "good")
        _ledger.MAX_DECISIONS, _ledger._MAX_RECORDS = 100, 40
        short.ledger.add("feedback", id="none", verdict="good")
        _ledger.MAX_DECISIONS, _ledger._MAX_RECORDS = 10_000, 10_000
    assert len(short.ledger.last()) < 150 < len(whole.ledger.last())
    assert short.ledger.threshold == pytest.approx(whole.ledger.threshold, rel=1e-12)
    found, expected = (p.ledger.summary()["adaptive"] for p in (short, whole))
    assert found == pytest.approx(expected)


def test_the_monitor_starts_over_or_keeps_its_alarm(tmp_path, served, small):
    ledger = Ledger(str(tmp_path), served, keep=0, adapt=False)
    production = Production(ledger, served)
    for _ in range(60):
        production.decide()
    monitor = ledger.summary()["monitor"]
    assert not monitor["alarm"]
    # It began with the 71st and the 141st.
    assert monitor["n_seen"] == 180 - 140
    expected = ConformalMonitor(random_state=0).fit(served.held_out.distances)
    distances = [d["distance"] for d in reversed(ledger.last())][-40:]
    expected.update_distances(distances)
    assert monitor["log_martingale"] == expected.log_martingale_
    for _ in range(60):
        production.decide(shift=50.0)
    monitor = ledger.summary()["monitor"]
    assert (monitor["alarm"], monitor["n_seen"]) == (True, 70)
    again = Ledger(str(tmp_path), served, keep=0, adapt=False)
    assert again.summary()["monitor"] == monitor
    ledger.add("reset")
    assert again.summary()["monitor"]["alarm"] is False


def test_accepted_feedback_outlives_a_disk_that_is_full(
    tmp_path, served, small, monkeypatch
):
    ledger = Ledger(str(tmp_path), served, keep=0, adapt=True)
    production = Production(ledger, served)

    def fail(self, snapshot):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("skgaussad.serve._decision_journal.DecisionJournal.replace", fail)
        for _ in range(30):
            production.decide()
            production.say("good")
    before = facts(ledger)
    again = Ledger(str(tmp_path), served, keep=0, adapt=True)
    assert facts(again) == before
    production.decide()
    assert len((tmp_path / "journal.jsonl").read_bytes().splitlines()) == 1
    last = facts(ledger)
    assert last == facts(again)
    assert {d["id"]: d["verdict"] for d in before[0][:90]}.items() <= {
        d["id"]: d["verdict"] for d in last[0]
    }.items()


def test_another_model_takes_over_at_once(tmp_path, served, model_file):
    ledger = Ledger(str(tmp_path), served, keep=0, adapt=True)
    decisions = Production(ledger, served).decide(100, shift=-5.0)
    newer = ServedModel(str(model_file))
    newer.version = "another"
    ledger.use(newer)
    assert ledger.decide(served, [], [], []) is None
    before = ledger.threshold
    again = Ledger(str(tmp_path), newer, keep=0, adapt=True)
    assert again.threshold == before
    # Distances of the old model are not in the window of the new one.
    expected = AdaptiveThreshold(find_decider(served.model))
    columns = zip(
        *((d["distance"], d["label"], d["id"]) for d in decisions), strict=True
    )
    expected.restore(*map(list, columns))
    with_old = expected.threshold_
    expected.replace_detector(find_decider(newer.model))
    assert before == expected.threshold_ != with_old
    assert ledger.summary()["monitor"]["n_seen"] == 0


@pytest.mark.parametrize("line", [b"path,verdict", b"[]", b'{"kind": "decision"}'])
def test_another_file_is_refused_by_name(tmp_path, served, line):
    (tmp_path / "journal.jsonl").write_bytes(line + b"\n")
    with pytest.raises(ValueError, match="something other than decisions at byte 0"):
        Ledger(str(tmp_path), served, keep=0, adapt=False)
    assert (tmp_path / "journal.jsonl").read_bytes() == line + b"\n"


def test_the_journal_is_lines_of_json(tmp_path, served):
    ledger = Ledger(str(tmp_path), served, keep=0, adapt=False)
    production = Production(ledger, served)
    production.decide()
    production.say("good")
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    kinds = [json.loads(line).get("kind") for line in lines]
    assert kinds == [None, "decision", "decision", "decision", "feedback"]
