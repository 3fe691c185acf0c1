"""Files that are there as a whole or not at all."""

import contextlib
import os
import re
import time
import uuid

try:
    import fcntl
except ImportError:  # Windows, which removes no file that is open.
    fcntl = None

_TEMPORARY = re.compile(r"\..*\.skgaussad_[0-9a-f]{32}\.tmp", re.DOTALL)
# The longest name of a file on all systems, in bytes.
MAX_NAME_BYTES = 255
# Where files cannot be locked, one of this age in seconds counts as left.
_OLD = 24 * 3600


@contextlib.contextmanager
def replacing(path, *, durable=False, clean=True):
    """Give another name to write to, which becomes `path` when all went well.

    Parameters
    ----------
    path : path
        A link stays a link, to the new file.
    durable : bool, default=False
        Whether to wait until the file is on the disk, so that no loss of power takes
        the old one and the new one.
    clean : bool, default=True
        Whether to call `remove_left` first, which lists the folder.

    Yields
    ------
    temporary : str
        An empty file in the same folder. A writer that is killed leaves it.
    """
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    if clean:
        remove_left(folder)
    temporary, descriptor = _create_locked(folder, name)
    try:
        yield temporary
        if durable:
            os.fsync(descriptor)
        if fcntl is None:
            os.close(descriptor)
            descriptor = None
        os.replace(temporary, path)
    finally:
        if descriptor is not None:
            os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    if durable:
        _sync_folder(folder)


def is_temporary(path):
    """Whether a path is of a file that is to become another, or of its lock."""
    name = os.path.basename(os.fsdecode(path))
    return _TEMPORARY.fullmatch(name) is not None or (
        name.startswith(".") and name.endswith(".lock")
    )


def remove_left(folder):
    """Remove what writers left in a folder that were killed.

    A writer locks its file, and the operating system releases the lock of a process
    that dies, as it does for the feature cache.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_unlocked(entry.path)


def _create_locked(folder, name):
    """Create a file beside the one of this name; return its path and descriptor."""
    # Several may write the same file.
    suffix = f".skgaussad_{uuid.uuid4().hex}.tmp"
    if len(os.fsencode(f".{name}{suffix}")) > MAX_NAME_BYTES:
        name = ""
    temporary = os.path.join(folder, f".{name}{suffix}")
    while True:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666)
        if fcntl is None:
            return temporary, descriptor
        # Not all network file systems have locks.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(temporary)):
                return temporary, descriptor
        # Another process removed it before it was locked.
        os.close(descriptor)


def _remove_unlocked(path):
    """Remove a temporary file unless a process writes it."""
    if fcntl is None:
        os.unlink(path)
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:
            if time.time() - os.fstat(descriptor).st_mtime < _OLD:
                return
        os.unlink(path)
    finally:
        os.close(descriptor)


def _sync_folder(folder):
    """Have the new name on the disk, where folders can be opened for that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
