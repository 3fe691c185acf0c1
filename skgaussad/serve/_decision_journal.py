"""Records on disk, which several processes add to and read."""

import contextlib
import json
import os
import threading

from filelock import FileLock

# Seconds from one try to get the file to the next.
_POLL = 0.002


class DecisionJournal:
    """A file of JSON objects, a line each, on the disk before `append` returns.

    Parameters
    ----------
    path : str
        Made if missing.
    """

    def __init__(self, path):
        self._path = path
        self._threads = threading.RLock()
        self._processes = FileLock(f"{path}.lock")
        self._end = 0
        with open(path, "ab"):
            pass

    @contextlib.contextmanager
    def held(self):
        """Keep other threads and processes from the file."""
        with self._threads, self._processes.acquire(poll_interval=_POLL):
            yield

    def read(self, *, again=False):
        """Yield the records that were not read yet, or all; held.

        A last line that is not whole was left by a kill, and is cut off.
        """
        if again or os.path.getsize(self._path) < self._end:
            self._end = 0
        with open(self._path, "r+b") as file:
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(self._end)
                    break
                try:
                    record = json.loads(line)
                except ValueError:
                    raise ValueError(
                        f"{self._path!r} holds something other than decisions at byte "
                        f"{self._end}; move it away, or name another --state."
                    ) from None
                self._end += len(line)
                yield record

    def append(self, records):
        """Add records; held, and all others were read."""
        lines = "".join(f"{json.dumps(record)}\n" for record in records).encode()
        with open(self._path, "r+b") as file:
            file.seek(self._end)
            try:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                # Of a full disk: nothing of it counts.
                with contextlib.suppress(OSError):
                    file.truncate(self._end)
                raise
        self._end += len(lines)
