"""Files that are there as a whole or not at all."""

import contextlib
import os
import uuid


@contextlib.contextmanager
def replacing(path, *, durable=False):
    """Give another name to write to, which becomes `path` when all went well.

    Parameters
    ----------
    path : path
        A link stays a link, to the new file.
    durable : bool, default=False
        Whether to wait until the file is on the disk, so that no loss of power takes
        the old one and the new one.

    Yields
    ------
    temporary : str
        In the same folder. A writer that is killed leaves it.
    """
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    # Several may write the same file.
    temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        if durable:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    if durable:
        _sync_folder(folder)


def remove_left(folder):
    """Remove what writers left in a folder that were killed.

    Parameters
    ----------
    folder : Path
    """
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _sync_folder(folder):
    """Have the new name on the disk, where folders can be opened for that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
