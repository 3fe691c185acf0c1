"""What tells whether a file has changed."""

import os


def stamp_of(path):
    """Return what changes with a file, or None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
