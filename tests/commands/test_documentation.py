"""Every command that the chapter on the command line shows, run as it stands."""

import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from skgaussad.commands._main import _COMMANDS, main
from skgaussad.datasets import load_solar_cells

CHAPTER = Path(__file__).parents[2] / "docs" / "user_guide" / "command_line.rst"
PROGRAM = re.compile(r"\s*skgaussad (.*?)(?:> (\S+)\s*)?")
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Put photos where the chapter has them, in the working and home folder."""
    cells = load_solar_cells("mono")
    good, bad = (cells.paths[cells.labels == label] for label in (1, -1))
    # New ones that are functional or defective, and found to be.
    folders = {
        "good": good[:120:2],
        "new": [*good[[121, 125, 127]], *bad[[0, 1, 3]]],
        "test/good": good[200:210],
        "test/defective": bad[10:20],
    }
    for folder, paths in folders.items():
        names = "abcxyz" if folder == "new" else range(len(paths))
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for name, path in zip(names, paths, strict=True):
            shutil.copy(path, tmp_path / "photos" / folder / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def read_commands():
    """Yield the commands of the chapter with the output that is shown."""
    blocks = re.findall(
        r"^\.\. code-block:: console\n\n((?:   .*\n|\n)+)", CHAPTER.read_text(), re.M
    )
    for block in blocks:
        for part in re.split(r"^\$ ", textwrap.dedent(block), flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            yield command, output.strip()


def run_shell(command):
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_program(arguments, monkeypatch):
    """Run a command line in this process, which has torch already."""
    # As bash sees it: quotes, patterns and the home folder.
    arguments = run_shell(f"printf '%s\\0' {arguments}").split("\0")[:-1]
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with stopping(arguments):
        status = main(arguments)
    for stream in (out, err):
        stream.seek(0)
    return status, out.read(), err.read()


@contextlib.contextmanager
def stopping(arguments):
    """Send the signal that ends ``--watch`` once all images have a row."""
    if "--watch" not in arguments:
        yield
        return
    output = Path(arguments[arguments.index("-o") + 1])

    def stop():
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if output.exists() and output.read_bytes().count(b"\n") == 7:
                break
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=stop)
    thread.start()
    yield
    thread.join()


def test_the_commands_of_the_chapter(photos, monkeypatch):
    status = 0
    programs = set()
    for command, expected in read_commands():
        *sources, last = command.split(" | ")
        if command == "echo $?":
            found = str(status)
        elif match := PROGRAM.fullmatch(last):
            arguments, target = match.groups()
            programs.add(shlex.split(arguments)[0])
            listed = run_shell(sources[0]) if sources else ""
            stdin = io.TextIOWrapper(io.BytesIO(listed.encode()))
            monkeypatch.setattr(sys, "stdin", stdin)
            status, found, err = run_program(arguments, monkeypatch)
            assert status == 0 or "--anomaly-status" in command, err
            if target is not None:
                Path(target).expanduser().write_text(found)
                found = ""
            # Without --quiet there is a progress bar.
            found += err if "--quiet" in command else ""
        else:
            found = run_shell(command)
        checker = doctest.OutputChecker()
        assert checker.check_output(f"{expected}\n", f"{found.strip()}\n", _FLAGS), (
            f"{command}\nshown:\n{expected}\ngiven:\n{found}"
        )
    assert programs == {
        command.__name__.rpartition("._")[2] for command in _COMMANDS
    } - {"demo", "serve"}
    assert Path("results.jsonl").read_text().count("\n") == 6
    assert Path("watched.csv").read_text().count("\n") == 7
