"""The command ``skgaussad``."""

import argparse
import errno
import os
import sys
import warnings
from importlib.metadata import version

from .._utils.atomic_write import is_temporary
from . import (
    _check,
    _completion,
    _demo,
    _evaluate,
    _export,
    _fit,
    _info,
    _report,
    _review,
    _score,
    _serve,
    _update,
)
from ._streams import flush_or_discard, open_standard_streams, print_message

_COMMANDS = (
    _check,
    _fit,
    _review,
    _update,
    _score,
    _serve,
    _evaluate,
    _report,
    _info,
    _export,
    _completion,
    _demo,
)
# As shells report a process ended by a signal: 128 plus its number.
_INTERRUPTED = 130
_PIPE_CLOSED = 141


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str or None, default=None
        The arguments; None takes those of the process.

    Returns
    -------
    status : int
        0 for success, 1 where a package, a file, an image or a setting is missing or
        wrong, or that of ``--anomaly-status``; a wrong command line exits with 2. 130
        after Ctrl-C, 141 where the reader of the output has ended.
    """
    open_standard_streams()
    try:
        status = _run(argv)
        # Flushed here for errors to be handled here.
        sys.stdout.flush()
    except SystemExit:
        # Of --help, --version and a wrong command line.
        if flush_or_discard():
            raise
        status = 1
    except BrokenPipeError:
        status = _PIPE_CLOSED
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except (ArithmeticError, ImportError, OSError, RuntimeError, ValueError) as error:
        print_message(_explain(error).replace("\n", " "))
        status = 1
    flush_or_discard()
    return status or 0


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command line."""

    def error(self, message):
        """Print a message and exit."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _run(argv):
    """Run a command; return its status, or None for 0."""
    parser = make_parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        # By the parser of the command, whose help has what there is.
        arguments.error(f"unrecognized arguments: {' '.join(unknown)}")
    arguments.parser = parser
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _show_warning
        return arguments.run(arguments)


def make_parser():
    """Make the parser of the command line."""
    parser = _Parser(
        prog="skgaussad",
        description="Image anomaly detection by Gaussians in pretrained deep features.",
        epilog="skgaussad COMMAND --help shows the options of a command, and examples.",
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {version('skgaussad')}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


def _explain(error):
    # Its position in a list means nothing on the command line.
    if hasattr(error, "item") and hasattr(error, "problem"):
        return f"{error.item}: {error.problem}"
    if getattr(error, "errno", None) == errno.EBADF:
        return "standard output is closed; open it, or send it to /dev/null."
    if isinstance(error, IsADirectoryError) and error.filename:
        return f"{os.fsdecode(error.filename)!r} is a folder, and a file is expected."
    if isinstance(error, FileNotFoundError | PermissionError) and error.filename:
        # Of a temporary file the folder is what cannot be written to.
        file = os.fspath(error.filename)
        place = os.path.dirname(file) or "." if is_temporary(file) else file
        what = os.strerror(error.errno)
        return f"{os.fsdecode(place)!r}: {what[0].lower()}{what[1:]}."
    return str(error)


def _show_warning(message, category, filename, lineno, file=None, line=None):
    print_message(f"warning: {message}")
