"""Files that are there as a whole or not at all."""

import contextlib
import os
import uuid


@contextlib.contextmanager
def replacing(path):
    """Give another name to write to, which becomes `path` when all went well.

    Parameters
    ----------
    path : path

    Yields
    ------
    temporary : str
        In the same folder.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
