"""Images scored as they arrive in a folder, once each, across restarts."""

import contextlib
import csv
import json
import os
import signal
import sys
import threading
from itertools import islice

from filelock import FileLock, Timeout

from .._utils.score_table import COLUMNS, printable
from ..exceptions import InvalidImageError
from ._inputs import walk_images
from ._outputs import check_output, encode

# What tells a new image from one that was scored, under the same name.
_STAMP = ("size", "modified_ns")
_NAMES = (*COLUMNS, *_STAMP)
# Few, so that rows and the reaction to a signal come soon.
_N_AT_ONCE = 16
# Attempts at a file that cannot be used before that is recorded: it may be arriving
# slowly.
_ATTEMPTS = 3


def watch(watcher, interval, progress):
    """Look into a folder until SIGINT or SIGTERM comes.

    Parameters
    ----------
    watcher : Watcher
    interval : float
        Seconds from one look to the next.
    progress : callable
        Takes the number of images scored.
    """
    stopped = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stopped.set()) for number in signals]
    try:
        while not stopped.is_set():
            for n_scored in watcher.look():
                progress(n_scored)
                if stopped.is_set():
                    break
            stopped.wait(interval)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


class Watcher:
    """Scores the images that are new in a folder.

    Parameters
    ----------
    scorer : Scorer
    maps : MapWriter or None
    folder : str
    results : ResultFile
    exclude : str or None
        A folder to leave out, that of the maps.
    on_error : {"raise", "record"}
        What to do at an image that still cannot be used at the third look.
    """

    def __init__(self, scorer, maps, folder, results, exclude, on_error):
        self._scorer = scorer
        self._maps = maps
        self._folder = folder
        self._results = results
        self._exclude = exclude
        self._on_error = on_error
        self._seen = {}
        self._failures = {}

    def look(self):
        """Score those images that are new and have not changed since the last look.

        Yields
        ------
        n_scored : int
            Number of images whose results were written.

        Raises
        ------
        OSError
            If the folder cannot be read, or results not be written.
        ValueError
            At an image that cannot be used, if that is to stop.
        """
        found = {}
        for path in walk_images(self._folder, exclude=self._exclude):
            stamp = _stamp_of(path)
            if stamp is not None and not self._results.has(path, stamp):
                found[path] = stamp
        settled = [path for path, s in found.items() if self._seen.get(path) == s]
        self._seen = found
        self._failures = {
            key: n for key, n in self._failures.items() if found.get(key[0]) == key[1]
        }
        settled = iter(settled)
        while chunk := list(islice(settled, _N_AT_ONCE)):
            yield self._score(chunk)

    def _score(self, paths):
        """Score some images; return how many of them got a result."""
        rows, stamps = [], []
        for path, row in zip(paths, self._scorer.score(paths), strict=True):
            stamp = self._seen[path]
            # If it changed meanwhile, the file may have been read half old, half new.
            if _stamp_of(path) == stamp and self._is_final(path, row, stamp):
                rows.append(row)
                stamps.append(stamp)
        self._results.append(rows, stamps)
        return len(rows)

    def _is_final(self, path, row, stamp):
        """Draw the map of an image, and tell whether its result is to be written."""
        if row["error"] is None:
            if self._maps is None:
                return True
            # The file may be gone by now.
            with contextlib.suppress(InvalidImageError):
                self._maps.write([path])
                return True
            return False
        key = path, stamp
        self._failures[key] = self._failures.get(key, 0) + 1
        if self._failures[key] < _ATTEMPTS:
            return False
        message = f"{path}: {row['error']}"
        if self._on_error == "raise":
            raise ValueError(message)
        print(f"skgaussad: {message}", file=sys.stderr)
        return True


class ResultFile:
    """A growing file of results that knows which images it has.

    Each result is on the disk before `append` returns. An incomplete last line, left by
    a kill, is removed when the file is opened, and its image counts as new.

    Parameters
    ----------
    path : str
        An existing file must have been written by this class.
    format : {"csv", "json"}

    Raises
    ------
    OSError
        If the file cannot be opened, or another process has it open in this way.
    ValueError
        If it holds something else.
    """

    def __init__(self, path, format_):
        check_output(path)
        self._format = format_
        folder, name = os.path.split(path)
        self._lock = FileLock(os.path.join(folder, f".{name}.lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise OSError(
                f"Another process writes to {path!r}; stop it or name another file."
            ) from None
        with contextlib.ExitStack() as stack:
            stack.callback(self._lock.release)
            self._file = stack.enter_context(open(path, "a+b"))
            self._scored = {}
            self._read(path)
            self._close = stack.pop_all().close

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._close()

    def has(self, path, stamp):
        """Tell whether there is a result of an image with this stamp."""
        return self._scored.get(printable(path)) == stamp

    def append(self, rows, stamps):
        """Write results.

        Parameters
        ----------
        rows : list of dict
            As of `score_rows`.
        stamps : list of tuple of (int, int)
            Size in bytes and time of the last change in nanoseconds, of each image.
        """
        stamped = [
            {**row, **dict(zip(_STAMP, stamp, strict=True))}
            for row, stamp in zip(rows, stamps, strict=True)
        ]
        self._write(encode(stamped, self._format))
        for row, stamp in zip(rows, stamps, strict=True):
            self._scored[row["path"]] = stamp

    def _write(self, content):
        self._file.write(content)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self, path):
        """Read what is there, and cut off a line that is not whole."""
        is_csv = self._format == "csv"
        header = encode([], "csv", _NAMES) if is_csv else b""
        beginning = header or b'{"path": '
        self._file.seek(0)
        found = self._file.read(len(beginning))
        if not beginning.startswith(found):
            raise _refuse(path)
        self._file.seek(len(header))
        end = len(header)
        for record in _whole_records(self._file, is_csv):
            try:
                self._remember(record.decode())
            except (KeyError, TypeError, ValueError):
                raise _refuse(path) from None
            end += len(record)
        if len(found) < len(header):
            self._file.truncate(0)
            self._write(header)
        else:
            self._file.truncate(end)

    def _remember(self, text):
        if self._format == "json":
            row = json.loads(text)
        else:
            (values,) = csv.reader([text])
            row = dict(zip(_NAMES, values, strict=True))
        self._scored[row["path"]] = tuple(int(row[name]) for name in _STAMP)


def _whole_records(file, is_csv):
    """Yield the records of the rest of a file, up to one that is cut off.

    A record ends with a line, but in CSV not within quotes: names of files may have
    line breaks.
    """
    record = b""
    for line in file:
        record += line
        is_quoted = is_csv and record.count(b'"') % 2
        if record.endswith(b"\n") and not is_quoted:
            yield record
            record = b""


def _refuse(path):
    return ValueError(
        f"{path!r} exists and holds something other than results of --watch in this "
        "format; name another file."
    )


def _stamp_of(path):
    """Return what changes with a file, or None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
