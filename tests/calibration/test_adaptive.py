import json
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgaussad import MahalanobisDetector
from skgaussad.calibration import AdaptiveThreshold


def stub(distances=None, fpr=0.05, threshold=6.0):
    """Make what looks like a fitted detector."""
    if distances is None:
        distances = np.random.default_rng(0).gamma(16, 0.25, size=200)
    return SimpleNamespace(
        calibration_distances_=np.asarray(distances, float), offset_=-threshold, fpr=fpr
    )


def run(adaptive, distances, is_good, delay=1):
    """Decide parts one by one; report alarms each `delay` parts."""
    waiting = []
    for distance, good in zip(distances, is_good, strict=True):
        (label,) = adaptive.decide([distance])
        if label == -1:
            waiting.append((adaptive.ids_[0], 1 if good else -1))
        if len(adaptive._labels) % delay == 0 and waiting:
            adaptive.feedback(*zip(*waiting, strict=True))
            waiting = []
    if waiting:
        adaptive.feedback(*zip(*waiting, strict=True))
    return adaptive


DRIFTS = {
    "none": lambda t: 0 * t,
    "slow": lambda t: 3 * t,
    "jump": lambda t: 6.0 * (t > 0.4),
    "down": lambda t: -2 * t,
    "wave": lambda t: 2 * np.sin(12 * t),
    "far": lambda t: 10 * t,
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_the_rate_holds_whatever_drifts(drift):
    rng = np.random.default_rng(1)
    distances = rng.gamma(16, 0.25, size=440) + DRIFTS[drift](np.arange(440) / 440)
    is_good = np.arange(440) % 11 != 0
    adaptive = run(AdaptiveThreshold(stub()), distances + 4 * ~is_good, is_good)
    flagged = adaptive.history()["label"] == -1
    assert abs(flagged[is_good].mean() - 0.05) <= 0.015
    # Most defects are found, wherever the threshold is.
    assert flagged[~is_good].mean() > 0.6


@pytest.mark.parametrize("delay", [1, 7, 40])
@pytest.mark.parametrize("seed", range(5))
def test_the_excess_is_what_the_steps_come_to_and_within_its_bound(seed, delay):
    rng = np.random.default_rng(seed)
    adaptive = AdaptiveThreshold(stub(), step=rng.choice([0.1, 1.0]))
    walk = np.cumsum(rng.normal(size=300)) + 30 * (np.arange(300) > rng.integers(300))
    for start in range(0, 300, 50):
        part = slice(start, start + 50)
        run(adaptive, walk[part], rng.random(50) > 0.2, delay)
        assert abs(adaptive.excess_) <= adaptive.excess_bound_
        assert adaptive.excess_ == pytest.approx(adaptive.rate_ - 0.05)
    history = adaptive.history()
    # By definition, from what was decided and reported.
    is_alarm = (history["label"] == -1) & (history["verdict"] == 1)
    n_good = is_alarm.sum() + (history["label"] == 1).sum()
    assert adaptive.rate_ == pytest.approx(is_alarm.sum() / n_good)
    good = history["distance"][is_alarm | (history["label"] == 1)][-80:]
    older = stub().calibration_distances_[-80:]
    window = np.append(older, good)[-80:]

    def quantile(x):
        return np.sort(x)[int(np.ceil(0.95 * (len(x) + 1))) - 1]

    spread = np.subtract(*np.quantile(stub().calibration_distances_, [0.75, 0.25]))
    expected = 6 + quantile(window) - quantile(older)
    expected += adaptive.step * spread * adaptive.excess_ * n_good
    assert adaptive.threshold_ == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:Most features have the same")
def test_it_starts_at_the_threshold_of_the_detector():
    assert AdaptiveThreshold(stub(threshold=5.25)).threshold_ == pytest.approx(5.25)
    detector = MahalanobisDetector(fpr=0.1)
    X = np.random.default_rng(0).normal(size=(200, 4))
    pipe = make_pipeline(StandardScaler(), detector).fit(X)
    adaptive = AdaptiveThreshold(pipe)
    assert adaptive.fpr_ == 0.1
    assert adaptive.threshold_ == pytest.approx(-detector.offset_)
    assert list(adaptive.predict(X[:1])) == list(pipe.predict(X[:1]))
    # Another rate has the threshold that a detector of this rate has.
    other = AdaptiveThreshold(detector, fpr=0.02).threshold_
    expected = -MahalanobisDetector(fpr=0.02).fit(pipe[0].transform(X)).offset_
    assert other == pytest.approx(expected)


def test_infinite_distances_of_the_fit_do_no_harm():
    distances = stub().calibration_distances_.copy()
    distances[::5] = np.inf
    adaptive = run(AdaptiveThreshold(stub(distances)), np.full(40, 9.0), np.ones(40))
    assert np.isfinite(adaptive.threshold_)
    assert adaptive.excess_ <= adaptive.excess_bound_ < np.inf


def test_verdicts_count_the_same_in_any_order():
    distances = np.random.default_rng(2).gamma(16, 0.3, size=200)
    early, late = AdaptiveThreshold(stub()), AdaptiveThreshold(stub())
    early.decide(distances)
    labels = early.history()["label"]
    flagged = np.flatnonzero(labels == -1)
    missed = np.flatnonzero(labels == 1)[:3]
    verdicts = {**dict.fromkeys(flagged[:-1], 1), **dict.fromkeys(missed, -1)}
    for number, verdict in verdicts.items():
        early.feedback([number], [verdict])
    late.restore(distances, labels, range(200))
    order = np.random.default_rng(0).permutation(list(verdicts))
    late.feedback(order, [verdicts[number] for number in order])
    assert late.threshold_ == early.threshold_
    assert late.n_pending_ == 1
    assert late.summary() == early.summary()
    assert early.n_good_ == 200 - 1 - 3


def test_parts_that_are_not_kept_any_more_still_count():
    distances = np.random.default_rng(2).gamma(16, 0.3, size=400)
    whole, short = AdaptiveThreshold(stub()), AdaptiveThreshold(stub())
    whole.decide(distances)
    labels = whole.history()["label"]
    whole.feedback(np.flatnonzero(labels == -1), labels[labels == -1] * -1)
    n_false = int((labels[:200] == -1).sum())
    counts = {"n_good": 200, "n_false_alarms": n_false}
    short.restore(distances[200:], labels[200:], range(200, 400), **counts)
    late = np.flatnonzero(labels == -1)
    late = late[late >= 200]
    short.feedback(late, np.ones(len(late)))
    assert short.threshold_ == whole.threshold_
    assert (short.n_good_, short.rate_) == (whole.n_good_, whole.rate_)
    with pytest.raises(ValueError, match="n_good must be at least 2"):
        short.restore([], [], [], n_good=1, n_false_alarms=2)


def test_a_missed_defect_counts_neither_as_good_nor_in_the_window():
    adaptive = AdaptiveThreshold(stub())
    before = adaptive.threshold_
    assert adaptive.decide([5.9], ids=["a"]).tolist() == [1]
    adaptive.feedback(["a"], [-1])
    assert adaptive.threshold_ == pytest.approx(before)
    assert adaptive.summary()["detection"] == 0
    assert adaptive.n_good_ == 0
    assert np.isnan(adaptive.rate_)


def test_what_the_shift_costs_is_shown():
    adaptive = AdaptiveThreshold(stub(), window=1)
    for _ in range(20):
        adaptive.decide([adaptive.threshold_ + 1])
        adaptive.feedback(adaptive.ids_, [1])
    adaptive.decide([7.0])
    adaptive.feedback(adaptive.ids_, [-1])
    summary = adaptive.summary()
    assert summary["shift"] > 1
    assert summary["detection"] == 0
    # The threshold of the detector would have found it.
    assert summary["detection_without_shift"] == 1


def test_a_new_detector_goes_on_with_the_count():
    adaptive = AdaptiveThreshold(stub())
    run(adaptive, np.full(20, 9.0), np.full(20, True))
    steps = adaptive.excess_ * adaptive.n_good_
    wider = stub(10 * stub().calibration_distances_, threshold=60)
    adaptive.replace_detector(wider)
    spread = np.subtract(*np.quantile(wider.calibration_distances_, [0.75, 0.25]))
    # Distances of the old detector do not count in the window.
    assert adaptive.threshold_ == pytest.approx(60 + 0.25 * spread * steps)
    run(adaptive, np.full(20, 70.0), np.full(20, True))
    assert adaptive.n_good_ == 40
    assert abs(adaptive.excess_) <= adaptive.excess_bound_


class TestJournal:
    def fill(self, path, n_parts=60, detector=None):
        adaptive = AdaptiveThreshold(detector or stub(), journal=path)
        distances = np.random.default_rng(3).gamma(16, 0.35, size=n_parts)
        return run(adaptive, distances, np.arange(n_parts) % 9 != 0, delay=4)

    def test_goes_on_after_a_kill_at_any_point(self, tmp_path):
        path = tmp_path / "a.jsonl"
        self.fill(path)
        lines = path.read_bytes().splitlines(keepends=True)
        for n_lines in range(0, len(lines), 7):
            whole = b"".join(lines[:n_lines])
            for torn in (b"", lines[n_lines][:1], lines[n_lines][:-1]):
                path.write_bytes(whole)
                expected = AdaptiveThreshold(stub(), journal=path)
                path.write_bytes(whole + torn)
                again = AdaptiveThreshold(stub(), journal=path)
                assert again.summary() == pytest.approx(expected.summary(), nan_ok=True)
                again.decide([4.0])
                kept = AdaptiveThreshold(stub(), journal=path)
                assert kept.n_decided_ == again.n_decided_ == expected.n_decided_ + 1

    def test_has_all_when_a_call_returns(self, tmp_path):
        adaptive = self.fill(tmp_path / "a.jsonl")
        again = AdaptiveThreshold(stub(), journal=tmp_path / "a.jsonl")
        assert again.threshold_ == adaptive.threshold_
        for name, values in adaptive.history().items():
            assert np.array_equal(again.history()[name], values)

    def test_goes_over_to_a_new_detector(self, tmp_path):
        adaptive = self.fill(tmp_path / "a.jsonl")
        wider = stub(10 * stub().calibration_distances_, threshold=60)
        adaptive.replace_detector(wider)
        adaptive.decide([45.0, 70.0])
        again = AdaptiveThreshold(wider, journal=tmp_path / "a.jsonl")
        assert again.threshold_ == adaptive.threshold_
        assert again.excess_bound_ == adaptive.excess_bound_
        # One that moves less does not make less of what came before.
        adaptive.replace_detector(stub())
        adaptive.decide([4.0])
        assert adaptive.excess_bound_ >= abs(adaptive.excess_)
        again = AdaptiveThreshold(stub(), journal=tmp_path / "a.jsonl")
        assert again.summary() == adaptive.summary()
        with pytest.raises(ValueError, match="Give the detector and parameters"):
            AdaptiveThreshold(wider, journal=tmp_path / "a.jsonl")

    @pytest.mark.parametrize("content", ["path,label\n", "3\n", '{"a": 1}\n', "x"])
    def test_refuses_another_file(self, tmp_path, content):
        path = tmp_path / "a.jsonl"
        path.write_text(content)
        with pytest.raises(ValueError, match="journal"):
            AdaptiveThreshold(stub(), journal=path)
        assert path.read_text() == content

    def test_takes_ids_of_numpy(self, tmp_path):
        adaptive = AdaptiveThreshold(stub(), journal=tmp_path / "a.jsonl")
        adaptive.decide([9.0, 9.0], ids=np.array([3, 5]))
        adaptive.feedback(np.array([5]), [1])
        events = (tmp_path / "a.jsonl").read_text().splitlines()
        assert json.loads(events[-1]) == {"verdict": [5, 1]}


def test_errors_name_the_item():
    adaptive = AdaptiveThreshold(stub())
    adaptive.decide([3.0, 9.0], ids=["a", "b"])
    before = adaptive.summary()
    for ids, labels, message in (
        (["b", "c"], [1, 1], "'c' has been decided"),
        (["b"], [0], "labels must hold"),
        (["b", "b"], [1, -1], "'b' was reported as good before and now as defective"),
        (["b"], [1, 1], "1 ids for 2 labels"),
    ):
        with pytest.raises(ValueError, match=message):
            adaptive.feedback(ids, labels)
    for distances, ids, message in (
        ([1.0, np.nan], None, "finite"),
        ([1.0], ["a"], "'a' has been decided"),
        ([1.0, 1.0], ["c", "c"], "'c' has been decided"),
        ([1.0], [2.5], "whole numbers; got 2.5"),
        ([1.0], ["c", "d"], "2 ids for 1 parts"),
    ):
        with pytest.raises(ValueError, match=message):
            adaptive.decide(distances, ids)
    assert adaptive.summary() == pytest.approx(before, nan_ok=True)
    adaptive.feedback(["b"], [-1])
    adaptive.feedback(["b"], [-1])
    with pytest.raises(ValueError, match="first verdict stands"):
        adaptive.feedback(["b"], [1])
    assert adaptive.n_found_ == 1


def test_parameters_are_checked():
    for parameters, message in (
        ({"step": 0}, "step must be"),
        ({"window": 0}, "window must be"),
        ({"fpr": 1.5}, "fpr must be"),
    ):
        with pytest.raises(ValueError, match=message):
            AdaptiveThreshold(stub(), **parameters)
    with pytest.raises(ValueError, match="interquartile range"):
        AdaptiveThreshold(stub(np.full(50, 3.0)))
    with pytest.raises(ValueError, match="no fpr; give one"):
        AdaptiveThreshold(stub(fpr=None))
    with pytest.raises(TypeError, match="StandardScaler has no calibration"):
        AdaptiveThreshold(StandardScaler())


@pytest.mark.parametrize("p_inspected", [0.0, 0.5])
def test_alarms_that_nobody_inspects_do_no_harm(p_inspected):
    rng = np.random.default_rng(4)
    distances = rng.gamma(16, 0.25, size=1500)
    is_good = rng.random(1500) > 0.1
    distances += 4 * ~is_good
    threshold = np.quantile(rng.gamma(16, 0.25, size=10**5), 0.95)
    adaptive = AdaptiveThreshold(stub(threshold=threshold))
    for number, (distance, good) in enumerate(zip(distances, is_good, strict=True)):
        (label,) = adaptive.decide([distance])
        if label == -1 and rng.random() < p_inspected:
            adaptive.feedback([number], [1 if good else -1])
    flagged = adaptive.history()["label"] == -1
    assert 0.015 < flagged[is_good].mean() < 0.085
    assert flagged[~is_good].mean() > 0.85


def test_alarms_that_wait_hold_the_threshold():
    adaptive = AdaptiveThreshold(stub())
    before = adaptive.threshold_
    adaptive.decide(np.full(50, 20.0))
    assert adaptive.threshold_ == before
    # They keep it from falling as parts pass that are like those of the fit.
    adaptive.decide(stub().calibration_distances_[:40].clip(max=5))
    assert before <= adaptive.threshold_ < before + 0.5
    adaptive.feedback(range(50), np.full(50, -1))
    assert adaptive.threshold_ < before


def test_a_journal_has_one_writer(tmp_path):
    detector = stub()
    path = tmp_path / "journal"
    first, second = (AdaptiveThreshold(detector, journal=path) for _ in range(2))
    first.decide([1.0, 2.0])
    with pytest.raises(ValueError, match="Something else has written to the journal"):
        second.decide([1.0])
    first.decide([1.5])
    assert AdaptiveThreshold(detector, journal=path).n_decided_ == 3


def test_what_a_full_disk_refuses_is_written_later(tmp_path, monkeypatch):
    detector = stub()
    path = tmp_path / "journal"
    adaptive = AdaptiveThreshold(detector, journal=path)
    adaptive.decide([1.0])

    def refuse(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", refuse)
        with pytest.raises(OSError, match="No space left"):
            adaptive.decide([99.0], ids=["far"])
    adaptive.feedback(["far"], [1])
    again = AdaptiveThreshold(detector, journal=path)
    assert again.n_decided_ == 2
    assert again.threshold_ == adaptive.threshold_


def test_a_truth_value_is_no_id():
    with pytest.raises(ValueError, match="whole numbers; got True"):
        AdaptiveThreshold(stub()).decide([1.0], ids=[True])
