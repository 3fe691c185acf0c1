import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skgaussad._utils import atomic_write
from skgaussad._utils.atomic_write import remove_left, replacing

WRITER = """
import sys, time
from skgaussad._utils.atomic_write import replacing

with replacing(sys.argv[1]) as temporary:
    with open(temporary, "wb") as file:
        file.write(b"half")
    print(temporary, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    """Start a process that is in the middle of writing a file."""
    children = []

    def start_writer(name):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child, Path(child.stdout.readline().strip())

    yield start_writer
    for child in children:
        child.kill()
        child.communicate()


def write(path, content=b"new"):
    with replacing(path) as temporary:
        Path(temporary).write_bytes(content)


@pytest.mark.skipif(os.name != "posix", reason="kills by SIGKILL")
def test_what_a_killed_writer_left_is_removed_by_the_next(start, tmp_path):
    child, left = start("a.bin")
    running, kept = start("b.bin")
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=30)
    assert left.read_bytes() == b"half"
    write(tmp_path / "c.bin")
    assert not left.exists()
    assert kept.read_bytes() == b"half", "its writer is at work"
    running.communicate("", timeout=30)
    assert running.returncode == 0
    assert sorted(os.listdir(tmp_path)) == ["b.bin", "c.bin"]
    assert (tmp_path / "b.bin").read_bytes() == b"half"


def test_files_of_others_and_of_this_process_are_kept(tmp_path):
    others = [".a.tmp", f".a.{'0' * 32}.tmp", "a.tmp", f"x.skgaussad_{'0' * 32}.tmp"]
    for name in others:
        (tmp_path / name).write_bytes(b"theirs")
    with replacing(tmp_path / "a.bin") as temporary:
        write(tmp_path / "b.bin")
        remove_left(tmp_path)
        Path(temporary).write_bytes(b"mine")
    assert (tmp_path / "a.bin").read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "a.bin", "b.bin"])


def test_without_locks_only_old_files_count_as_left(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError("not on this file system")

    if atomic_write.fcntl is None:
        pytest.skip("Windows has no such locks")
    monkeypatch.setattr(atomic_write.fcntl, "flock", no_locks)
    names = [f".a.skgaussad_{digit * 32}.tmp" for digit in "01"]
    for name in names:
        (tmp_path / name).touch()
    os.utime(tmp_path / names[0], (0, 0))
    write(tmp_path / "a.bin")
    assert sorted(os.listdir(tmp_path)) == [names[1], "a.bin"]


def test_an_error_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "a.bin"):
        raise RuntimeError
    assert os.listdir(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 127])
def test_the_longest_names_can_be_written(tmp_path, name):
    write(tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"new"
