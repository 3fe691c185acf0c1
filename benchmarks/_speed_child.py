"""A process that measures: answers requests on standard input, a JSON line each.

Runs in the interpreter of the peers, too, and so imports nothing but the standard
library.
"""

import json
import os
import resource
import sys
from pathlib import Path


def serve(tasks):
    """Answer requests until standard input ends.

    A request is an object with the name of a task under ``"task"`` and its arguments
    beside. The answer is what the task returns, with the process's peak memory in bytes
    under ``"peak"``. An error ends the process.

    Parameters
    ----------
    tasks : dict of {str: callable}
        Each takes keyword arguments and returns a dict that JSON can express.
    """
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        request = json.loads(line)
        task = tasks[request.pop("task")]
        answer = {**task(**request), "peak": peak_memory()}
        print(json.dumps(answer), file=answers, flush=True)


def peak_memory():
    """Return the most memory that this process has held at a time, in bytes."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else 1024 * used
    # Not getrusage on Linux: that counts what the parent held before the start.
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def list_images(folder, limit=None):
    """List the paths of the files in a folder, by name.

    Parameters
    ----------
    folder : str
    limit : int or None, default=None
        Take only the first ones.

    Returns
    -------
    paths : list of str
    """
    with os.scandir(folder) as entries:
        return sorted(entry.path for entry in entries)[:limit]
