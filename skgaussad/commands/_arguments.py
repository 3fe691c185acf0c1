"""Arguments that several commands have."""

import argparse


def add_command(commands, name, run, *, summary, description, examples):
    """Add a command.

    Parameters
    ----------
    commands : argparse subparsers
    name : str
    run : callable
        Takes the parsed arguments; returns the exit status, or None for 0.
    summary, description : str
        A line for the list of commands, and a paragraph for its own help.
    examples : str
        Command lines, with comments.

    Returns
    -------
    parser : argparse.ArgumentParser
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"examples:{examples.rstrip()}",
        formatter_class=_HelpFormatter,
    )
    parser.set_defaults(run=run, error=parser.error)
    return parser


def add_model(parser):
    """Add the argument that names a model file."""
    parser.add_argument("model", metavar="MODEL", help="file written by fit")


def add_images(parser):
    """Add the argument that names images."""
    parser.add_argument(
        "images",
        metavar="IMAGES",
        nargs="+",
        help="image files, folders (with all below them), patterns in quotes such as "
        "'photos/**/*.png', or - for a list of files on standard input, one a line",
    )


def add_quiet(parser):
    """Add the option that turns the progress bar off."""
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def add_fpr(parser):
    """Add the option of the false-positive rate."""
    parser.add_argument(
        "--fpr",
        metavar="RATE",
        type=_rate,
        default=0.05,
        help="acceptable false-positive rate: fraction of normal images that may be "
        "flagged, between 0 and 1 (default: %(default)s)",
    )


def add_leave_out(parser):
    """Add the option that leaves good images out."""
    parser.add_argument(
        "--leave-out",
        metavar="NAME",
        action="append",
        default=[],
        help="leave out this image, by its path or file name; may be given several "
        "times",
    )


def above_zero(unit):
    """Return a function that converts a number of some unit above 0."""

    def convert(text):
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(
                f"expected a number of {unit} above 0; got {text!r}"
            )
        return value

    return convert


def whole_number(least, most=None):
    """Return a function that converts a whole number within limits."""

    def convert(text):
        value = int(text) if text.isdecimal() else -1
        if value < least or (most is not None and value > most):
            limits = f"from {least}" + (f" to {most}" if most else " on")
            raise argparse.ArgumentTypeError(
                f"expected a whole number {limits}; got {text!r}"
            )
        return value

    return convert


def _rate(text):
    """Convert a number between 0 and 1, both excluded."""
    try:
        value = float(text)
    except ValueError:
        value = None
    if value is None or not 0 < value < 1:
        raise argparse.ArgumentTypeError(
            f"expected a number between 0 and 1, such as 0.01; got {text!r}"
        )
    return value


class _HelpFormatter(argparse.HelpFormatter):
    """Fill paragraphs, and leave the examples as they are."""

    def _fill_text(self, text, width, indent):
        if text.startswith("examples:\n"):
            return "".join(indent + line for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)
