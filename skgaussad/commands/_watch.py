"""Images scored as they arrive in a folder, once each, across restarts."""

import contextlib
import csv
import hashlib
import json
import os
import signal
import threading
import time
from itertools import islice

from filelock import FileLock, Timeout

from .._utils.file_stamp import stamp_of
from .._utils.score_table import COLUMNS, path_to_text
from ..exceptions import InvalidImageError
from ..features import is_image_file, is_something_else, walk_images
from ._outputs import encode, unquote
from ._streams import print_message

try:
    import fcntl
except ImportError:
    fcntl = None

# What tells a new image from one that was scored, under the same name: a file that was
# written again has another time of change, whatever the others.
_STAMP = ("size", "modified_ns", "changed_ns", "inode")
# Where these differ and the content does not, nothing is new, such as after a backup.
_CONTENT = "sha256"
_NAMES = (*COLUMNS, *_STAMP, _CONTENT)
# Few, so that rows and the reaction to a signal come soon.
_N_AT_ONCE = 16
# Seconds without a change after which a file that cannot be used is taken to be all
# there: until then it may be a copy that stalls.
_PATIENCE = 10.0


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
        What to do at an image that cannot be used and has not changed for some time.
    adapter : Adapter or None, default=None
        Decides by verdicts on the images so far; None for the scorer's own threshold.
    """

    def __init__(self, scorer, maps, folder, results, exclude, on_error, adapter=None):
        self._scorer = scorer
        self._maps = maps
        self._folder = folder
        self._results = results
        self._exclude = exclude
        self._on_error = on_error
        self._adapter = adapter
        self._seen = {}
        # By path and stamp, since when a file is known not to be usable.
        self._failed = {}
        # The same of files that are no images; None once they were named.
        self._others = {}

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
        if self._adapter is not None:
            self._adapter.read()
        found = {}
        for path in walk_images(
            self._folder,
            exclude=self._exclude,
            is_image=lambda path: not is_something_else(path),
        ):
            stamp = stamp_of(path)
            if stamp is not None and not self._results.has(path, stamp):
                found[path] = stamp
        settled = [path for path, s in found.items() if self._seen.get(path) == s]
        self._seen = found
        for known in (self._failed, self._others):
            for path, stamp in list(known):
                if found.get(path) != stamp:
                    del known[path, stamp]
        settled = iter([path for path in settled if self._is_due(path)])
        while chunk := list(islice(settled, _N_AT_ONCE)):
            yield self._score(chunk)

    def _is_due(self, path):
        """Tell whether to score a file that has not changed since the last look."""
        key = path, self._seen[path]
        if key in self._others:
            if self._others[key] is not None and _is_over(self._others[key]):
                print_message(f"{path}: cannot be read as an image, and is left out")
                self._others[key] = None
            return False
        if key in self._failed and not _is_over(self._failed[key]):
            return False
        if _is_being_written(path):
            return False
        if os.path.isdir(path) or is_image_file(path):
            return True
        self._others[key] = time.monotonic()
        return False

    def _score(self, paths):
        """Score some images; return how many of them got a result."""
        self._renew_model()
        rows, stamps, contents = [], [], []
        for path, row in zip(paths, self._scorer.score(paths), strict=True):
            stamp, content = self._seen[path], _digest_of(path)
            # If it changed meanwhile, the file may have been read half old, half new.
            if stamp_of(path) == stamp and self._is_final(path, row, stamp):
                rows.append(row)
                stamps.append(stamp)
                contents.append(content)
        if self._adapter is not None:
            for row in rows:
                self._adapter.decide(row)
        self._results.append(rows, stamps, contents)
        return len(rows)

    def _renew_model(self):
        """Go on with the model that is in its file now."""
        message = self._scorer.reload_if_changed()
        if message is None:
            return
        print_message(message)
        if self._maps is not None:
            self._maps.use(self._scorer.model)
        if self._adapter is not None:
            self._adapter.renew(self._scorer.model)

    def _is_final(self, path, row, stamp):
        """Draw the map of an image, and tell whether its result is to be written."""
        if row["error"] is None:
            return self._maps is None or self._draw_map(path)
        if not _is_over(self._failed.setdefault((path, stamp), time.monotonic())):
            return False
        message = f"{path}: {row['error']}"
        if self._on_error == "raise":
            raise ValueError(message)
        print_message(message)
        return True

    def _draw_map(self, path):
        """Draw the map of an image, and tell whether the image was still there."""
        try:
            self._maps.write([path])
        except InvalidImageError:
            return False
        except OSError as error:
            if self._on_error == "raise":
                raise
            print_message(f"{path}: no map: {error}")
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
    keep_rows : bool, default=False
        Whether to keep what an `Adapter` needs of the results that are there.

    Attributes
    ----------
    rows : list of dict
        Path, distance, p-value and label of the results that were there, if they
        are kept.

    Raises
    ------
    OSError
        If the file cannot be opened, or another process has it open in this way.
    ValueError
        If it holds something else.
    """

    def __init__(self, path, format_, keep_rows=False):
        self._format = format_
        self._keep_rows = keep_rows
        self.rows = []
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
            self._identity = os.fstat(self._file.fileno())
            self._scored = {}
            self._read(path)
            self._close = stack.pop_all().close

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._close()

    def has(self, path, stamp):
        """Tell whether there is a result of a file with this stamp or its content.

        There need not be one of this file of results itself.
        """
        scored_stamp, content = self._scored.get(path_to_text(path), (None, None))
        if scored_stamp == stamp:
            return True
        if content is not None and scored_stamp[0] == stamp[0]:
            if _digest_of(path) != content:
                return False
            self._scored[path_to_text(path)] = stamp, content
            return True
        with contextlib.suppress(OSError):
            return os.path.samestat(os.stat(path), self._identity)
        return False

    def append(self, rows, stamps, contents):
        """Write results.

        Parameters
        ----------
        rows : list of dict
            As of `score_rows`.
        stamps : list of tuple of int
            As of `_stamp_of`, of each image.
        contents : list of str
            As of `_digest_of`.
        """
        stamped = [
            {**row, **dict(zip(_STAMP, stamp, strict=True)), _CONTENT: content}
            for row, stamp, content in zip(rows, stamps, contents, strict=True)
        ]
        self._write(encode(stamped, self._format))
        for row, stamp, content in zip(rows, stamps, contents, strict=True):
            self._scored[row["path"]] = stamp, content

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
        for record in whole_records(self._file, is_csv):
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
            row = dict(zip(_NAMES, map(unquote, values), strict=True))
        stamp = tuple(int(row[name]) for name in _STAMP)
        self._scored[row["path"]] = stamp, str(row[_CONTENT])
        if self._keep_rows and row["label"] not in ("", None):
            kept = {"distance": float(row["distance"]), "label": int(row["label"])}
            p_value = row["p_value"] or None
            kept["p_value"] = None if p_value is None else float(p_value)
            self.rows.append({"path": row["path"], **kept})


def whole_records(file, is_csv):
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


def _is_over(since):
    """Tell whether the time to wait for a file that is of no use is over."""
    return time.monotonic() - since >= _PATIENCE


def _digest_of(path):
    """Return the SHA-256 of the content of a file, or "" if it cannot be read."""
    digest = hashlib.sha256()
    # Pipes and devices may have no end.
    if not os.path.isfile(path):
        return ""
    try:
        with open(path, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def _is_being_written(path):
    """Tell whether a process has a file open for writing, where that can be known.

    Linux gives no read lease on such a file.
    """
    if not hasattr(fcntl, "F_SETLEASE") or not os.path.isfile(path):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        # If someone opens it meanwhile, a signal comes, and this one is ignored.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        # Of another user, or on a file system without leases.
        return False
    else:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    finally:
        os.close(descriptor)
