"""Standard streams that are closed, full, or whose reader has ended."""

import contextlib
import io
import os
import sys

from .._utils.printable import printable


def open_standard_streams():
    """Fill the places of standard streams that the caller closed.

    Otherwise the next file that is opened would get the number of one, and what is
    printed go into it. What is printed to a closed standard output is an error.
    """
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            try:
                os.fstat(number)
            except OSError:
                # Gets the lowest number that is free, which is this one.
                os.open(os.devnull, os.O_RDWR if number == 2 else os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    with contextlib.suppress(AttributeError, io.UnsupportedOperation):
        # Names of files may be no text.
        sys.stdout.reconfigure(errors="backslashreplace")


def print_message(text):
    """Print a line on standard error, if that can be written to.

    Names of files may hold what a terminal takes for commands.
    """
    with contextlib.suppress(OSError):
        print(f"skgaussad: {printable(' '.join(text.split()))}", file=sys.stderr)


def flush_or_discard():
    """Flush standard output; return whether that works.

    What cannot be written is discarded, since Python would try again at its exit.
    """
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
