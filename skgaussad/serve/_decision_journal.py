"""Records on disk, which several processes add to and read."""

import contextlib
import json
import os
import secrets
import threading

from filelock import FileLock

from .._utils.atomic_write import replacing

# Seconds from one try to get the file to the next.
_POLL = 0.002
# The first line tells one file from that which takes its place.
_N_HEAD = len('{"snapshot": "0123456789abcdef"')


class DecisionJournal:
    """A file of JSON objects, a line each, on the disk before `append` returns.

    The first one is a snapshot: all that the records before came to.

    Parameters
    ----------
    path : str
        Made if missing.

    Attributes
    ----------
    n_records : int
        Number of records that were read or added since the snapshot.
    """

    def __init__(self, path):
        self._path = path
        self._threads = threading.RLock()
        self._processes = FileLock(f"{path}.lock")
        self._head = None
        self._end = self.n_records = 0
        with open(path, "ab"):
            pass

    @contextlib.contextmanager
    def held(self):
        """Keep other threads and processes from the file."""
        with self._threads, self._processes.acquire(poll_interval=_POLL):
            yield

    def read(self):
        """Return the records not read yet, another snapshot with all after it; held.

        A last line that is not whole was left by a kill, and is cut off.
        """
        records = []
        with open(self._path, "r+b") as file:
            head = file.read(_N_HEAD)
            if head != self._head or os.path.getsize(self._path) < self._end:
                self._head, self._end, self.n_records = head, 0, 0
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(self._end)
                    break
                records.append(self._parse(line))
                self._end += len(line)
        if not self._end:
            self.replace({})
            return self.read()
        self.n_records += len(records)
        return records

    def read_again(self):
        """Return all records, the snapshot first; held."""
        self._head = None
        return self.read()

    def _parse(self, line):
        """Return the record of a line."""
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            kind = "snapshot" if self._end == 0 else "kind"
            if isinstance(record, dict) and kind in record:
                return record
        raise ValueError(
            f"{self._path!r} holds something other than decisions at byte {self._end}; "
            "move it away, or name another --state."
        )

    def append(self, records):
        """Add records; held, and all others were read."""
        lines = _encode(records)
        with open(self._path, "r+b", buffering=0) as file:
            file.seek(self._end)
            try:
                rest = memoryview(lines)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                # Of a full disk: nothing of it counts.
                with contextlib.suppress(OSError):
                    file.truncate(self._end)
                raise
        self._end += len(lines)
        self.n_records += len(records)

    def replace(self, snapshot):
        """Write a snapshot in the place of all records; held."""
        line = _encode([{"snapshot": secrets.token_hex(8), **snapshot}])
        with (
            replacing(self._path, durable=True) as temporary,
            open(temporary, "wb") as file,
        ):
            file.write(line)


def _encode(records):
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()
