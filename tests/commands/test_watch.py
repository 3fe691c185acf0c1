import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skgaussad import load, save
from skgaussad._utils.score_table import score_rows
from skgaussad.commands import _watch
from skgaussad.commands._main import main
from skgaussad.commands._watch import ResultFile, Watcher


class Stub:
    """Scores by the size of files; a file that begins with ``bad`` is none."""

    def __init__(self, while_reading=lambda path: None):
        self.while_reading = while_reading
        self.n_scored = 0

    def reload_if_changed(self):
        return None

    def score(self, paths):
        sizes, errors = [], {}
        for index, path in enumerate(paths):
            self.while_reading(path)
            self.n_scored += 1
            content = Path(path).read_bytes() if os.path.exists(path) else b"bad"
            sizes.append(len(content))
            if content.startswith(b"bad"):
                errors[index] = "it is bad"
        return score_rows(paths, sizes, 100, errors=errors)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def start(folder, tmp_path):
    """Make a watcher of the folder, with the results there are."""
    opened = []

    def start_watcher(scorer, name="a.csv", on_error="record"):
        while opened:
            opened.pop().__exit__()
        results = ResultFile(str(tmp_path / name), name.partition(".")[2])
        opened.append(results)
        return Watcher(scorer, None, str(folder), results, None, on_error)

    yield start_watcher
    while opened:
        opened.pop().__exit__()


def look(watcher):
    return sum(watcher.look())


def read(path):
    return (
        pd.read_csv(path) if path.suffix == ".csv" else pd.read_json(path, lines=True)
    )


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_each_file_is_scored_once_across_restarts(folder, start, tmp_path, name):
    names = ["1.png", 'ü "x", y\n.png', 'back\\slash".png', "cr\r.png"]
    for index, image in enumerate(names[:2]):
        (folder / image).write_bytes(b"x" * (index + 1))
    watcher = start(Stub(), name)
    # A file is new at the first look, and settled at the second.
    assert [look(watcher) for _ in range(3)] == [0, 2, 0]
    watcher = start(Stub(), name)
    for index, image in enumerate(names[2:]):
        (folder / image).write_bytes(b"x" * (index + 3))
    assert [look(watcher) for _ in range(3)] == [0, 2, 0]
    watcher = start(Stub(), name)
    assert [look(watcher) for _ in range(3)] == [0, 0, 0]
    with open(tmp_path / name, newline="") as file:
        table = pd.read_csv(file) if name == "a.csv" else pd.read_json(file, lines=True)
    assert sorted(table["path"]) == sorted(str(folder / image) for image in names)
    assert sorted(table["distance"]) == [1, 2, 3, 4]
    assert (table["size"] == table["distance"]).all()


def test_a_file_that_grows_waits_until_it_is_settled(folder, start):
    watcher = start(Stub())
    path = folder / "1.png"
    for size in range(1, 4):
        path.write_bytes(b"x" * size)
        assert look(watcher) == 0
    assert look(watcher) == 1


def test_a_new_image_under_an_old_name_is_scored(folder, start, tmp_path):
    watcher = start(Stub())
    for size in (5, 7):
        (folder / "1.png").write_bytes(b"x" * size)
        assert [look(watcher) for _ in range(3)] == [0, 1, 0]
    assert read(tmp_path / "a.csv")["size"].tolist() == [5, 7]


def test_a_file_of_equal_size_and_time_that_was_replaced_is_scored(
    folder, start, tmp_path
):
    path, other = folder / "1.png", tmp_path / "other"
    path.write_bytes(b"first")
    watcher = start(Stub())
    assert [look(watcher) for _ in range(3)] == [0, 1, 0]
    times = os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns
    # By another file, and in place.
    other.write_bytes(b"other")
    os.utime(other, ns=times)
    os.replace(other, path)
    assert [look(watcher) for _ in range(3)] == [0, 1, 0]
    path.write_bytes(b"third")
    os.utime(path, ns=times)
    assert [look(watcher) for _ in range(3)] == [0, 1, 0]
    assert [look(start(Stub())) for _ in range(3)] == [0, 0, 0]
    table = read(tmp_path / "a.csv")
    assert table["modified_ns"].tolist() == [times[1]] * 3
    assert table["sha256"].nunique() == 3


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_the_same_content_is_not_scored_again(folder, start, tmp_path, name):
    path, other = folder / "1.png", folder.parent / "other"
    path.write_bytes(b"first")
    watcher = start(Stub(), name)
    assert [look(watcher) for _ in range(3)] == [0, 1, 0]
    shutil.copy(path, other)
    os.replace(other, path)
    assert [look(watcher) for _ in range(3)] == [0, 0, 0]
    os.utime(path, (0, 0))
    watcher = start(Stub(), name)
    assert [look(watcher) for _ in range(3)] == [0, 0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="needs leases on files")
def test_a_file_that_is_open_for_writing_waits(folder, start):
    watcher = start(Stub())
    with open(folder / "1.png", "wb") as file:
        file.write(b"half")
        file.flush()
        assert [look(watcher) for _ in range(4)] == [0] * 4
        file.write(b" and half")
    assert [look(watcher) for _ in range(3)] == [0, 1, 0]


def test_a_copy_that_stalls_gets_one_row_and_no_error(folder, start, tmp_path, capsys):
    watcher = start(Stub())
    path = folder / "1.png"
    path.write_bytes(b"bad: half of it")
    assert [look(watcher) for _ in range(6)] == [0] * 6
    path.write_bytes(b"all of it")
    assert [look(watcher) for _ in range(3)] == [0, 1, 0]
    table = read(tmp_path / "a.csv")
    assert table["distance"].tolist() == [9]
    assert table["error"].isna().all()
    assert capsys.readouterr().err == ""


def test_names_that_are_formulas_are_found_again(folder, start, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    names = ["=1+1.png", "@a.png", "'b.png", "+c.png", "-d.png", "\te.png"]
    for name in names:
        (folder / name).write_bytes(b"x")

    def look_into_here():
        watcher = start(Stub())
        watcher._folder = ""
        monkeypatch.setattr(_watch, "walk_images", lambda *_, **__: names)
        return [look(watcher) for _ in range(3)]

    assert look_into_here() == [0, 6, 0]
    assert look_into_here() == [0, 0, 0]
    found = read(tmp_path / "a.csv")["path"]
    assert sorted(found) == sorted(f"'{name}" for name in names)


def test_links_to_themselves_and_unreadable_folders_do_not_end_it(
    folder, start, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(_watch, "_PATIENCE", 0)
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "loops").symlink_to("loops")
    (folder / "closed").mkdir()
    (folder / "1.png").write_bytes(b"x")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)

    class OfFiles(Stub):
        def score(self, paths):
            files = [path for path in paths if os.path.isfile(path)]
            return super().score(files) + score_rows(
                [path for path in paths if path not in files],
                [0.0] * (len(paths) - len(files)),
                100,
                errors={0: "a folder"},
            )

    watcher = start(OfFiles())
    assert [look(watcher) for _ in range(3)] == [0, 2, 0]
    assert sorted(read(tmp_path / "a.csv")["path"]) == [
        str(folder / "1.png"),
        str(folder / "closed"),
    ]
    assert "closed: a folder" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_pipes_and_devices_do_not_stop_it(folder, start, tmp_path, monkeypatch):
    monkeypatch.setattr(_watch, "_PATIENCE", 0)
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "1.png").write_bytes(b"x")

    class OfFiles:
        def reload_if_changed(self):
            return None

        def score(self, paths):
            errors = {i: "none" for i, p in enumerate(paths) if not os.path.isfile(p)}
            return score_rows(paths, [0.0] * len(paths), 100, errors=errors)

    watcher = start(OfFiles())
    assert [look(watcher) for _ in range(3)] == [0, 3, 0]
    assert read(tmp_path / "a.csv")["error"].notna().sum() == 2


def test_messages_hold_no_commands_for_a_terminal(folder, start, monkeypatch, capsys):
    monkeypatch.setattr(_watch, "_PATIENCE", 0)
    (folder / "\x1b[2Ja\x07.png").write_bytes(b"bad")
    watcher = start(Stub())
    assert [look(watcher) for _ in range(3)] == [0, 1, 0]
    message = capsys.readouterr().err
    assert message.removesuffix("\n").isprintable()
    assert r"\x1b[2Ja\x07.png: it is bad" in message


def test_files_that_are_no_images_are_named_once(folder, start, monkeypatch, capsys):
    monkeypatch.setattr(_watch, "_PATIENCE", 0)
    for name in ("a.heic", "notes.txt", "b.png"):
        (folder / name).write_bytes(b"x")
    watcher = start(Stub())
    assert [look(watcher) for _ in range(5)] == [0, 1, 0, 0, 0]
    message = f"skgaussad: {folder / 'a.heic'}: cannot be read as an image"
    assert capsys.readouterr().err.count(message) == 1


def test_files_that_change_or_vanish_while_read_get_no_row(folder, start, tmp_path):
    def disturb(path):
        if path.endswith("1.png"):
            Path(path).write_bytes(b"changed")
        elif path.endswith("2.png"):
            os.unlink(path)

    for index in range(3):
        (folder / f"{index}.png").write_bytes(b"x")
    scorer = Stub(disturb)
    watcher = start(scorer)
    assert [look(watcher) for _ in range(2)] == [0, 1]
    scorer.while_reading = lambda path: None
    assert [look(watcher) for _ in range(3)] == [0, 1, 0]
    names = [os.path.basename(path) for path in read(tmp_path / "a.csv")["path"]]
    assert names == ["0.png", "1.png"]


def test_a_bad_file_is_tried_again_before_it_is_recorded(
    folder, start, tmp_path, capsys, monkeypatch
):
    (folder / "1.png").write_bytes(b"bad")
    scorer = Stub()
    watcher = start(scorer)
    assert [look(watcher) for _ in range(5)] == [0] * 5
    assert scorer.n_scored == 1, "not again until some time has passed"
    monkeypatch.setattr(_watch, "_PATIENCE", 0)
    assert [look(watcher) for _ in range(3)] == [1, 0, 0]
    table = read(tmp_path / "a.csv")
    assert table["error"].tolist() == ["it is bad"]
    assert table["distance"].isna().all()
    assert capsys.readouterr().err == f"skgaussad: {folder / '1.png'}: it is bad\n"


def test_raise_raises_at_a_bad_file(folder, start, monkeypatch):
    monkeypatch.setattr(_watch, "_PATIENCE", 0)
    (folder / "1.png").write_bytes(b"bad")
    watcher = start(Stub(), on_error="raise")
    with pytest.raises(ValueError, match="it is bad"):
        for _ in range(4):
            look(watcher)


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_a_file_cut_off_anywhere_is_repaired(
    folder, start, tmp_path, name, monkeypatch
):
    # Hundreds of times, which takes seconds.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for image in ("1.png", 'q"\n,.png'):
        (folder / image).write_bytes(b"x")
    watcher = start(Stub(), name)
    assert [look(watcher) for _ in range(2)] == [0, 2]
    output = tmp_path / name
    whole = output.read_bytes()
    for length in range(len(whole)):
        output.write_bytes(whole[:length])
        scorer = Stub()
        watcher = start(scorer, name)
        assert [look(watcher) for _ in range(2)] == [0, scorer.n_scored]
        assert 1 <= scorer.n_scored <= 2
        assert sorted(output.read_bytes()) == sorted(whole)


@pytest.mark.parametrize(
    "content", [b"path,distance\n", b"no newline", b"\x89PNG", b'{"a": 1}\n']
)
@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_another_file_is_not_touched(start, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="something other than results"):
        start(Stub(), name)
    assert (tmp_path / name).read_bytes() == content


def test_rows_that_are_none_are_not_touched(start, tmp_path):
    start(Stub())
    path = tmp_path / "a.csv"
    content = path.read_bytes() + b"1,2\n"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="something other than results"):
        start(Stub())
    assert path.read_bytes() == content


def test_two_processes_do_not_write_to_one_file(start, tmp_path):
    start(Stub())
    with pytest.raises(OSError, match="Another process"):
        ResultFile(str(tmp_path / "a.csv"), "csv")


CHILD = """
import sys, time
from skgaussad._utils.score_table import score_rows
from skgaussad.commands._watch import ResultFile, Watcher, watch

class Slow:
    def reload_if_changed(self):
        return None

    def score(self, paths):
        time.sleep(0.002 * len(paths))
        return score_rows(paths, [1.0] * len(paths), 2.0)

folder, output = sys.argv[1:]
with ResultFile(output, "csv") as results:
    watcher = Watcher(Slow(), None, folder, results, None, "record")
    watch(watcher, 0.01, lambda n_scored: print(n_scored, flush=True))
"""


@pytest.mark.slow
def test_each_image_is_there_once_after_kills(folder, tmp_path):
    output = tmp_path / "a.csv"
    n_images = 0
    for ending in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        for _ in range(100):
            (folder / f"{n_images}.png").write_bytes(b"x")
            n_images += 1
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder), str(output)],
            stdout=subprocess.PIPE,
        ) as child:
            # Some are scored, and a kill comes in the middle.
            child.stdout.readline()
            deadline = time.monotonic() + 30
            while ending == signal.SIGTERM and time.monotonic() < deadline:
                if output.read_bytes().count(b"\n") == n_images + 1:
                    break
                time.sleep(0.01)
            child.send_signal(ending)
            child.wait(timeout=30)
        if ending == signal.SIGKILL:
            assert child.returncode == -signal.SIGKILL
            assert len(read(output)) < n_images
    assert child.returncode == 0
    found = read(output)["path"].tolist()
    assert sorted(found) == sorted(str(folder / f"{i}.png") for i in range(n_images))


def stop_when(condition):
    """End the watching of this process by a signal once something is true."""

    def wait():
        deadline = time.monotonic() + 20
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_the_command_watches_and_draws_maps(
    parts, model, folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(_watch, "_PATIENCE", 0.1)
    output, maps = tmp_path / "a.csv", folder / "maps"
    for name in ("00.png", "01.png"):
        shutil.copy(parts / "good" / name, folder)
    (folder / "02.png").write_bytes(b"no image")
    before = signal.getsignal(signal.SIGTERM)
    thread = stop_when(
        lambda: output.exists() and output.read_bytes().count(b"\n") == 4
    )
    arguments = ["score", model, "--watch", str(folder), "-o", str(output)]
    options = ["--interval", "0.02", "--maps", str(maps)]
    assert main([*arguments, *options]) == 0
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    table = read(output).sort_values("path", ignore_index=True)
    assert [os.path.basename(path) for path in table["path"]] == [
        "00.png",
        "01.png",
        "02.png",
    ]
    assert sorted(path.name for path in maps.iterdir()) == ["00.png.png", "01.png.png"]
    expected = -load(model).score_samples(table["path"].tolist()[:2])
    np.testing.assert_allclose(table["distance"][:2], expected, rtol=1e-6)
    assert "02.png: expected an i" in capsys.readouterr().err


@pytest.mark.slow
def test_a_replaced_model_is_read_again(parts, model, folder, tmp_path):
    own, output = tmp_path / "own.skgaussad", tmp_path / "a.csv"
    shutil.copy(model, own)
    images = sorted((parts / "new" / "good").iterdir())
    command = [sys.executable, "-m", "skgaussad", "score", own, "--watch", folder]
    options = ["-o", output, "--quiet", "--interval", "0.05"]

    def wait_for(n_rows):
        shutil.copy(images[n_rows - 1], folder)
        deadline = time.monotonic() + 60
        while not output.exists() or output.read_bytes().count(b"\n") != n_rows + 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    with subprocess.Popen(
        [*map(str, command + options)], stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            wait_for(1)
            # Half a model, then a little more of it: one message.
            for size in (1000, 2000):
                own.write_bytes(Path(model).read_bytes()[:size])
                wait_for(1 + size // 1000)
            updated = load(model).update([str(path) for path in images])
            save(updated, own)
            wait_for(4)
        finally:
            child.send_signal(signal.SIGTERM)
            messages = child.stderr.read()
    assert child.returncode == 0
    assert messages.count("the model of before is kept") == 1
    assert messages.count("model read again") == 1
    found = read(output)
    for row, scorer in ((2, load(model)), (3, updated)):
        path = found["path"][row]
        distance = -scorer.score_samples([path])[0]
        assert found["distance"][row] == pytest.approx(distance, rel=1e-6)
    assert abs(updated.offset_ - load(model).offset_) > 0
