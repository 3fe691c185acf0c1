"""The command ``skgaussad``."""

import argparse
import sys
from importlib.metadata import version


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str or None, default=None
        The arguments; None takes those of the process.

    Returns
    -------
    status : int
        0 for success, 1 where a package, a file or a setting is missing or wrong; a
        wrong command line exits with 2.
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (ImportError, OSError, ValueError) as error:
        print(f"skgaussad: {error}", file=sys.stderr)
        return 1
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="skgaussad",
        description="Image anomaly detection by Gaussians in pretrained deep features.",
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {version('skgaussad')}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="find defective solar cells, from images of functional ones",
        description="Fit on four fifths of the functional solar cells of the ELPV data "
        "set, score the others and the defective ones, print how well each level of "
        "the network tells them apart, and draw a picture.",
        epilog='Needs the extra packages of: pip install "skgaussad[demo]"',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument(
        "--cells", choices=("mono", "poly"), default="mono", help="type of solar cell"
    )
    demo.add_argument(
        "--fpr",
        type=float,
        default=0.05,
        help="acceptable share of false alarms, between 0 and 1",
    )
    demo.add_argument(
        "--output",
        metavar="PNG",
        default="skgaussad-demo.png",
        help="where to write the picture",
    )
    demo.add_argument("--quiet", action="store_true", help="show no progress bar")
    demo.set_defaults(run=_run_demo)
    return parser


def _run_demo(arguments):
    from ._demo import run_demo

    run_demo(
        cells=arguments.cells,
        fpr=arguments.fpr,
        output=arguments.output,
        verbose=not arguments.quiet,
    )
