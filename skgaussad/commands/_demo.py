"""``skgaussad demo``: defective solar cells found from functional ones."""

from ._arguments import add_command, add_fpr, add_quiet

_EXAMPLES = """
  skgaussad demo
  skgaussad demo --cells poly --fpr 0.1 --output poly.png
  skgaussad demo --report cells.html
"""


def add_parser(commands):
    """Add the command to those of the command line."""
    parser = add_command(
        commands,
        "demo",
        run,
        summary="find defective solar cells, from images of functional ones",
        description="Fit on four fifths of the functional solar cells of the ELPV data "
        "set, score the others and the defective ones, print the AUROC of each "
        "level of the network, and draw a picture. Needs the extra packages "
        'of: pip install "skgaussad[demo]"',
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "--cells",
        choices=("mono", "poly"),
        default="mono",
        help="type of solar cell (default: %(default)s)",
    )
    add_fpr(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="PNG",
        default="skgaussad-demo.png",
        help="where to write the picture (default: %(default)s)",
    )
    parser.add_argument(
        "--report",
        metavar="HTML",
        help="write a report on the test images, too, with anomaly maps, which takes a "
        "second pass through the network",
    )
    add_quiet(parser)


def run(arguments):
    """Run the command."""
    from ._demonstration import run_demo
    from ._outputs import check_different

    if arguments.report is not None:
        check_different(arguments.output, arguments.report)
    run_demo(
        cells=arguments.cells,
        fpr=arguments.fpr,
        output=arguments.output,
        report=arguments.report,
        verbose=not arguments.quiet,
    )
