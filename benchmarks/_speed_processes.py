"""The processes that measure, seen from the script that asks them."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

_HERE = Path(__file__).parent
# The peers compute with the same kernels as this side.
PEERS = (
    "anomalib==2.7.0",
    "pyod==3.6.7",
    *(f"{name}=={version(name).partition('+')[0]}" for name in ("torch", "timm")),
)


class ProcessError(RuntimeError):
    """A process that measures has ended with an error."""


class Process:
    """A script of this folder that answers requests, see `_speed_child.serve`.

    Parameters
    ----------
    script : str
        File name.
    interpreter : str or None, default=None
        None takes the one that runs now.

    Examples
    --------
    >>> with Process("_speed_sides.py") as process:  # doctest: +SKIP
    ...     process.ask("extract", folder="images")["seconds"]
    """

    def __init__(self, script, interpreter=None):
        self._script = script
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - see __exit__
        self._popen = subprocess.Popen(
            [interpreter or sys.executable, str(_HERE / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def ask(self, task, **arguments):
        """Have a task done.

        Parameters
        ----------
        task : str
        **arguments
            Values that JSON can express.

        Returns
        -------
        answer : dict

        Raises
        ------
        ProcessError
            If the process has ended, with the end of what it wrote to standard error.
        """
        request = json.dumps({"task": task, **arguments})
        # A process that has ended is found out by the answer that does not come.
        with contextlib.suppress(BrokenPipeError):
            print(request, file=self._popen.stdin, flush=True)
        answer = self._popen.stdout.readline()
        if not answer:
            status = self._popen.wait()
            self._errors.seek(0)
            raise ProcessError(
                f"{self._script} ended with status {status} at the task {task!r}:\n"
                f"{self._errors.read()[-2000:]}"
            )
        return json.loads(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.close()
        self._popen.wait()
        self._popen.stdout.close()
        self._errors.close()


def ask_once(script, task, **arguments):
    """Have a task done by a process of its own; see `Process.ask`."""
    with Process(script) as process:
        return process.ask(task, **arguments)


def prepare_peers(folder):
    """Find the virtual environment of the peers, or make it.

    Parameters
    ----------
    folder : path-like
        Where it is; made if there is nothing.

    Returns
    -------
    interpreter : str

    Raises
    ------
    subprocess.CalledProcessError
        If the packages cannot be installed.
    """
    name = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    interpreter = str(Path(folder).absolute() / name)
    if not os.path.exists(interpreter):
        print(f"Installing {' '.join(PEERS)} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", *PEERS], check=True)
    return interpreter
