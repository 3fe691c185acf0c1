"""``skgaussad review``: the training images, the most unusual first."""

from ._arguments import add_command, add_quiet, whole_number

_EXAMPLES = """
  skgaussad review photos/good
  # of a model, with a page of pictures
  skgaussad review model.skgaussad -o review.html
"""
_N_SHOWN = 10


def add_parser(commands):
    """Add the command to those of the command line."""
    parser = add_command(
        commands,
        "review",
        run,
        summary="show training images, the most unusual first",
        description="List the images that a model is fitted to by their distances to a "
        "model of the others, the largest first: those that are not good may be among "
        "them. Leave these out with skgaussad fit --leave-out or skgaussad update "
        "--forget.",
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "source",
        metavar="GOOD",
        help="folder of good images, which a model is fitted to, or a file written by "
        "fit",
    )
    parser.add_argument(
        "-n",
        "--number",
        metavar="N",
        type=whole_number(1),
        default=_N_SHOWN,
        help="how many to list (default: %(default)s)",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write a page of all of them, with maps of where each is unusual",
    )
    add_quiet(parser)


def run(arguments):
    """Run the command."""
    import os

    import numpy as np

    from ..detectors import find_threshold
    from ..persistence import load
    from ..reporting import write_review
    from ._outputs import check_html, check_output

    if arguments.output is not None:
        # Before a fit, which takes long.
        check_html(arguments.output)
        check_output(arguments.output)
    if os.path.isdir(arguments.source):
        model = _fit(arguments)
    else:
        model = load(arguments.source)
    paths = _paths_of(model, arguments.source)
    if arguments.output is not None:
        check_output(arguments.output, inputs=paths)
        write_review(model, arguments.output)
    distances, threshold = model.calibration_distances_, find_threshold(model)
    print(f"threshold {threshold:.4g}\n\ndistance  image")
    for row in np.argsort(-distances, kind="stable")[: arguments.number]:
        mark = "  <- above the threshold" if distances[row] > threshold else ""
        print(f"{distances[row]:8.4g}  {paths[row]}{mark}")
    if arguments.output is not None:
        print(f"\n{arguments.output}")


def _fit(arguments):
    """Fit the default model to a folder."""
    from .. import make_detector
    from ._inputs import list_normal

    pipeline = make_detector(verbose=not arguments.quiet)
    return pipeline.fit(list_normal([arguments.source]))


def _paths_of(model, source):
    """Return the paths of the training images, or say why there are none."""
    try:
        names = model.training_samples_["name"].tolist()
    except AttributeError as error:
        raise ValueError(f"{source!r} cannot be reviewed: {error}") from error
    if not all(names):
        raise ValueError(
            f"{source!r} was fitted to images without paths, which cannot be shown."
        )
    return names
