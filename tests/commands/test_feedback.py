import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.svm import OneClassSVM

from skgaussad import load
from skgaussad._utils.score_table import score_rows
from skgaussad.calibration import AdaptiveThreshold
from skgaussad.calibration._held_out import HeldOutDistances
from skgaussad.commands._feedback import Adapter, _count_older
from skgaussad.commands._main import main
from skgaussad.commands._watch import ResultFile, Watcher


class Detector(BaseEstimator):
    """Looks fitted: distances are sizes of files."""

    fpr = 0.05
    offset_ = -150.0
    calibration_distances_ = np.linspace(50, 150, 39)


class Sizes:
    """Scores by the size of files."""

    model = Detector()

    def reload_if_changed(self):
        return None

    def score(self, paths):
        sizes = [len(Path(path).read_bytes()) for path in paths]
        return score_rows(paths, sizes, 150)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "in"


@pytest.fixture
def start(folder):
    """Make a watcher with a file of verdicts, as after a restart."""
    opened = []

    def start_watcher(name="a.csv", images="in"):
        while opened:
            opened.pop().__exit__()
        results = ResultFile(name, name.partition(".")[2], keep_rows=True)
        opened.append(results)
        adapter = Adapter(Sizes.model, "inspected.csv", results.rows)
        watcher = Watcher(Sizes(), None, images, results, None, "record", adapter)
        return watcher, adapter

    yield start_watcher
    while opened:
        opened.pop().__exit__()


def put(folder, name, size):
    (folder / name).write_bytes(b"x" * size)


def look(watcher):
    for _ in range(2):
        for _ in watcher.look():
            pass


def say(text):
    with open("inspected.csv", "a", newline="") as file:
        file.write(text)


def rows(name="a.csv"):
    reader = pd.read_csv if name.endswith("csv") else pd.read_json
    options = {} if name.endswith("csv") else {"lines": True}
    return reader(name, **options).set_index("path")


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_labels_come_from_the_moved_threshold(folder, start, name):
    watcher, adapter = start(name)
    expected = AdaptiveThreshold(Detector())
    say("path,verdict\n")
    for number in range(12):
        # A start again at any point changes nothing.
        if number % 3 == 2:
            watcher, adapter = start(name)
        put(folder, f"{number}.png", 160 + 7 * number)
        look(watcher)
        row = rows(name).loc[f"in/{number}.png"]
        assert row["threshold_ratio"] == pytest.approx(
            row["distance"] / expected.threshold_
        )
        assert row["label"] == expected.decide([160 + 7 * number], [number])[0]
        if row["label"] == -1 and number % 2:
            say(f"in/{number}.png,good\r\n")
            expected.feedback([number], [1])
        look(watcher)
        assert adapter._adaptive.threshold_ == pytest.approx(expected.threshold_)
    # It moved far enough that parts pass which the model flags.
    assert expected.threshold_ > 200


def test_lines_of_no_use_are_named_once_and_not_lost(folder, start, capsys):
    put(folder, "1.png", 200)
    watcher, adapter = start()
    look(watcher)
    say("in/1.png,perhaps\nin/2.png,good\nin/1.png\n\nin/1.png,go")
    look(watcher)
    look(watcher)
    err = capsys.readouterr().err
    for text, n_times in (
        ("'in/1.png,perhaps': a line is a path", 1),
        ("'in/2.png,good': no such path", 1),
        ("'in/1.png': a line is a path", 1),
        # Half of a line waits.
        ("in/1.png,go'", 0),
    ):
        assert err.count(text) == n_times
    assert adapter._adaptive.n_pending_ == 1
    say("od\n")
    put(folder, "2.png", 200)
    look(watcher)
    look(watcher)
    assert adapter._adaptive.n_false_alarms_ == 2
    say("in/1.png,defect\n")
    look(watcher)
    look(watcher)
    err = capsys.readouterr().err
    assert err.count("was reported as good before and now as defective") == 1
    assert adapter._adaptive.n_false_alarms_ == 2
    assert start()[1]._adaptive.n_false_alarms_ == 2


def test_names_are_found_as_they_stand_in_the_results(folder, start):
    # Of which a spreadsheet would make a formula.
    folder = folder.rename(folder.with_name("=in"))
    names = ['ü "x", y\n.png', "1.png", "'.png"]
    for name in names:
        put(folder, name, 200)
    watcher, adapter = start(images="=in")
    look(watcher)
    table = pd.read_csv("a.csv", usecols=["path"]).assign(verdict="Good ")
    say("\ufeff" + table.to_csv(index=False))
    look(watcher)
    assert adapter._adaptive.n_false_alarms_ == len(names)


def test_a_quote_that_was_not_closed_takes_in_no_more(folder, start, capsys):
    for number in range(3):
        put(folder, f"{number}.png", 200)
    watcher, adapter = start()
    look(watcher)
    say(
        'path,verdict\n"in/9.png,oops\nin/0.png,good\nin/1.png,"good"\n"in/2.png,good\n'
    )
    look(watcher)
    assert adapter._adaptive.n_false_alarms_ == 2
    said = capsys.readouterr().err
    assert "in/9.png,oops" in said
    assert "in/2.png,good" in said


def test_a_second_image_of_a_name_does_not_count(folder, start):
    put(folder, "1.png", 200)
    watcher, adapter = start()
    look(watcher)
    put(folder, "1.png", 400)
    look(watcher)
    assert len(rows()) == 2
    say("in/1.png,good\n")
    look(watcher)
    for each in (adapter, start()[1]):
        assert each._adaptive.n_decided_ == 1
        assert each._adaptive.n_pending_ == 0


def test_the_rate_is_reported_now_and_then(folder, start, capsys):
    watcher, adapter = start()
    for number in range(130):
        put(folder, f"{number}.png", 60 + 37 * number % 80)
    put(folder, "bad.png", 400)
    look(watcher)
    say("in/bad.png,defect\n")
    look(watcher)
    err = capsys.readouterr().err
    assert err.count("false alarms among 1") == 1
    assert "; threshold moved by -" in err
    adapter.report()
    assert "100 % of 1 known defects were found" in capsys.readouterr().err


HERE = os.path.dirname(os.path.abspath(__file__))
CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from test_feedback import Sizes
from skgaussad.commands._feedback import Adapter
from skgaussad.commands._watch import ResultFile, Watcher, watch

with ResultFile("a.csv", "csv", keep_rows=True) as results:
    adapter = Adapter(Sizes.model, "inspected.csv", results.rows)
    watcher = Watcher(Sizes(), None, "in", results, None, "record", adapter)
    watch(watcher, 0.01, lambda n_scored: print(n_scored, flush=True))
"""


def test_kills_lose_nothing(folder):
    rng = np.random.default_rng(0)
    n_images = 0
    for ending in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        for _ in range(60):
            put(folder, f"{n_images}.png", int(rng.integers(60, 300)))
            n_images += 1
        say("".join(f"in/{n}.png,good\n" for n in range(n_images - 90, n_images, 2)))
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, HERE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as child:
            child.stdout.readline()
            deadline = time.monotonic() + 60
            while ending == signal.SIGTERM and time.monotonic() < deadline:
                if Path("a.csv").read_bytes().count(b"\n") == n_images + 1:
                    break
                time.sleep(0.01)
            child.send_signal(ending)
            child.wait(timeout=60)
    with ResultFile("a.csv", "csv", keep_rows=True) as results:
        found = Adapter(Sizes.model, "inspected.csv", results.rows)._adaptive
    assert found.n_decided_ == n_images
    # All from the two files, by definition.
    table = rows()
    said = {
        line.partition(",")[0]
        for line in Path("inspected.csv").read_text().splitlines()
        if not line.startswith("in/-")
    }
    flagged = table.index[table["label"] == -1]
    assert found.n_false_alarms_ == len(said & set(flagged))
    assert found.n_good_ == found.n_false_alarms_ + (table["label"] == 1).sum()


def test_the_command_takes_verdicts(parts, model, folder, run, monkeypatch):
    names = sorted((parts / "new" / "cut").glob("*.png"))[:2]
    for path in names:
        (folder / path.name).write_bytes(path.read_bytes())
    say(f"in/{names[0].name},good\n")

    def look_twice(watcher, *_):
        look(watcher)
        look(watcher)

    monkeypatch.setattr("skgaussad.commands._watch.watch", look_twice)
    options = ("--watch", "in", "-o", "a.csv", "--feedback", "inspected.csv")
    status, _, err = run("score", model, *options, "--quiet")
    assert status == 0
    label = rows().loc[f"in/{names[0].name}", "label"]
    assert ("100.0 % false alarms among" in err) == (label == -1)
    assert "alarms not inspected" in err
    # Started again, it knows its own distances.
    with ResultFile("a.csv", "csv", keep_rows=True) as results:
        assert results.rows[0]["p_value"] is not None
        assert _count_older(load(model), results.rows) == 0


def test_options_that_do_not_go_together(model, folder, capsys):
    for options, message in (
        (("--feedback", "b.csv"), "--feedback needs --watch"),
        (("--watch", "-o", "a.csv", "--feedback", "./a.csv"), "another file than -o"),
    ):
        with pytest.raises(SystemExit):
            main(["score", model, "in", *options])
        assert message in capsys.readouterr().err


def test_a_model_without_held_out_distances_is_named():
    model = OneClassSVM().fit(np.eye(3))
    with pytest.raises(ValueError, match="OneClassSVM has no calibration_distances_"):
        Adapter(model, "b.csv", [])


@pytest.mark.parametrize("n_newer", [0, 3])
def test_distances_of_an_older_model_are_not_compared(n_newer):
    class Other(Detector):
        offset_ = -1500.0
        calibration_distances_ = 10 * np.linspace(50, 150, 29)
        _held_out = HeldOutDistances(calibration_distances_)

    old = HeldOutDistances(Detector.calibration_distances_)

    def rows_of(held_out, distances, first):
        p_values = held_out.p_values(np.array(distances))
        return [
            {"path": f"{n}", "distance": d, "p_value": p, "label": 1}
            for n, (d, p) in enumerate(zip(distances, p_values, strict=True), first)
        ]

    older = rows_of(old, [60.0, 70.0, 80.0, 90.0], 0)
    newer = rows_of(Other._held_out, [600.0, 700.0, 800.0][:n_newer], 4)
    # As though it had gone over to the new model without a restart.
    expected = AdaptiveThreshold(Detector())
    expected.restore([60, 70, 80, 90], [1] * 4, "0123")
    expected.replace_detector(Other())
    expected.restore([600, 700, 800][:n_newer], [1] * n_newer, "456"[:n_newer])
    adapter = Adapter(Other(), "none.csv", older + newer)
    assert adapter._adaptive.threshold_ == pytest.approx(expected.threshold_)
    assert adapter._adaptive.n_good_ == 4 + n_newer


def test_a_model_that_is_replaced_moves_the_threshold_on(start, folder):
    """As ``skgaussad update`` does, while the command runs."""
    watcher, adapter = start()
    put(folder, "1.png", 100)
    look(watcher)
    look(watcher)
    before = adapter._adaptive.threshold_
    assert before == pytest.approx(150, rel=0.05)

    class Wider(Detector):
        offset_ = -300.0
        calibration_distances_ = np.linspace(100, 300, 39)

    scorer = watcher._scorer

    def replace():
        scorer.model = Wider()
        scorer.reload_if_changed = lambda: None
        return "model read again"

    scorer.reload_if_changed = replace
    put(folder, "2.png", 200)
    look(watcher)
    look(watcher)
    assert adapter._adaptive.threshold_ == pytest.approx(300, rel=0.05)
    assert rows()["label"].tolist() == [1, 1]
