"""``skgaussad check``: fit, score and report in one command."""

import contextlib

from ._arguments import add_command, add_fpr, add_leave_out, add_quiet

_EXAMPLES = """
  skgaussad check photos/good photos/new
  # with labels: photos/test/good, photos/test/scratch, photos/test/dent
  skgaussad check photos/good photos/test --fpr 0.1 -o acceptance
"""


def add_parser(commands):
    """Add the command to those of the command line."""
    parser = add_command(
        commands,
        "check",
        run,
        summary="fit to good images, score new ones and write a report",
        description="Fit a model to a folder of good images, score a folder of new "
        "ones, and write a report with maps. The folder of the output gets "
        "model.skgaussad, results.csv and report.html.",
        examples=_EXAMPLES,
    )
    parser.add_argument("good", metavar="GOOD", help="folder of good images")
    parser.add_argument("new", metavar="NEW", help="folder of images to judge")
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        default="check",
        help="folder to write to, made if it is not there (default: %(default)s)",
    )
    add_fpr(parser)
    add_leave_out(parser)
    add_quiet(parser)


def run(arguments):
    """Run the command."""
    import os

    from ..datasets import existing_folder
    from ..inspection import check_matplotlib

    check_matplotlib("A report")
    good, new = arguments.good, arguments.new
    for name, folder in (("GOOD", good), ("NEW", new)):
        existing_folder(name, folder)
    if os.path.isfile(arguments.output):
        raise ValueError(
            f"-o {arguments.output} is a file, and a folder is to be written; name "
            "another."
        )
    _check_images(new, not arguments.quiet)
    os.makedirs(arguments.output, exist_ok=True)
    model, results, report = (
        os.path.join(arguments.output, name)
        for name in ("model.skgaussad", "results.csv", "report.html")
    )
    left_out = [f"--leave-out={name}" for name in arguments.leave_out]
    quiet = ["--quiet"] if arguments.quiet else []
    fit = ["fit", f"--output={model}", f"--fpr={arguments.fpr}", *left_out, *quiet]
    judge = ["report", f"--output={report}", f"--results={results}", *quiet]
    try:
        for command in ([*fit, "--", good], [*judge, "--", model, new]):
            part = arguments.parser.parse_args(command)
            part.parser = arguments.parser
            part.run(part)
    except BaseException:
        # It may be empty.
        with contextlib.suppress(OSError):
            os.rmdir(arguments.output)
        raise


def _check_images(folder, verbose):
    """Raise InvalidImageError before a fit, which takes long, and not after it."""
    from .._utils.progress import progress_bar
    from ..features import decode_image
    from ._inputs import list_images

    paths = list(list_images([folder]))
    for index in progress_bar("checked", verbose, iterable=range(len(paths))):
        decode_image(paths, index)
