"""Standard streams that the caller closed, or that end early."""

import subprocess
import sys

import pytest

COMMANDS = {
    "help": "score --help",
    "info": "info MODEL",
    "score": "score MODEL PHOTO --quiet",
    "list": "score MODEL - --quiet",
}


def run_in_shell(command, redirection, model, parts):
    command = command.replace("MODEL", model)
    command = command.replace("PHOTO", str(parts / "good" / "00.png"))
    line = f"{sys.executable} -m skgaussad {command} {redirection}"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    ("command", "redirection", "statuses"),
    [
        ("help", ">&-", [1]),
        ("help", "<&- >&- 2>&-", [1]),
        ("help", "| true", [0, 141]),
        ("info", ">&-", [1]),
        ("score", ">&-", [1]),
        ("score", "2>&-", [0]),
        ("score", "2>&1 | true", [0, 141]),
        ("list", "<&-", [1]),
    ],
)
def test_closed_streams_end_without_a_traceback(
    command, redirection, statuses, model, parts
):
    done = run_in_shell(COMMANDS[command], redirection, model, parts)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode in statuses
    if (command, redirection) == ("list", "<&-"):
        assert "Standard input is closed" in done.stderr
    if (command, redirection) == ("score", ">&-"):
        assert done.stderr.startswith("skgaussad: standard output is closed")
