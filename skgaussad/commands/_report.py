"""``skgaussad report``: an HTML report on a model."""

from ._arguments import add_command, add_images, add_model, add_quiet

_EXAMPLES = """
  skgaussad report model.skgaussad photos/new -o report.html
  # with labels: photos/good, photos/scratch, photos/dent
  skgaussad report model.skgaussad photos -o report.html --title "Lot 17"
  # by lot, of files such as lot17_0003.png
  skgaussad report model.skgaussad photos -o report.html --lots 'lot(\\d+)_'
"""


def add_parser(commands):
    """Add the command to those of the command line."""
    parser = add_command(
        commands,
        "report",
        run,
        summary="write a report on a model and images",
        description="Write an HTML report on a model and its scores of images that "
        "were not in the fit. A single folder that has a folder good, or is in the "
        "layout of MVTec AD, gives labels: the names of the folders in it are the "
        "types of defects.",
        examples=_EXAMPLES,
    )
    add_model(parser)
    add_images(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="the page to write"
    )
    parser.add_argument(
        "--title", default="Anomaly detection report", help="heading of the page"
    )
    parser.add_argument(
        "--results",
        metavar="FILE",
        help="write the rows of the command score to this file, too, from the same "
        "pass through the network",
    )
    parser.add_argument(
        "--lots",
        metavar="WHERE",
        help="count by lot, shift or day: folder, for the one each image lies in, or a "
        "regular expression whose first group is the lot, such as 'lot(\\d+)_', "
        "searched in its path below the folder that all have in common, and below that "
        "of its type of defect",
    )
    add_quiet(parser)


def run(arguments):
    """Run the command."""
    import os

    from .._utils.score_table import path_to_text
    from ..detectors import find_transformer
    from ..inspection import check_matplotlib, send_through_network
    from ..persistence import Scorer
    from ..reporting import write_report_of
    from ._inputs import common_folder
    from ._lots import find_lots
    from ._outputs import check_different, check_html, check_output

    check_matplotlib("A report")
    paths, labels, n_folders = _list(arguments.images)
    lots = find_lots(arguments.lots, paths, arguments.images, n_folders)
    check_output(arguments.output, inputs=[arguments.model, *paths])
    check_html(arguments.output)
    if arguments.results is not None:
        check_output(arguments.results, inputs=[arguments.model, *paths])
        check_different(arguments.results, arguments.output)
    scorer = Scorer(arguments.model)
    model = scorer.model
    find_transformer(model).set_params(verbose=not arguments.quiet)
    base = common_folder(arguments.images)
    names = [path_to_text(os.path.relpath(os.path.abspath(p), base)) for p in paths]
    sent = send_through_network(model, paths)
    if arguments.results is not None:
        _write_results(arguments.results, scorer, paths, *sent)
    write_report_of(
        model,
        paths,
        arguments.output,
        sent,
        names=names,
        groups=lots,
        title=arguments.title,
        **labels,
    )
    print(arguments.output)


def _write_results(file, scorer, paths, rest, features):
    """Write the rows of images that have gone through the network."""
    from ._outputs import format_of, open_output
    from ._streams import print_message

    rows = scorer.rows(paths, rest.score_samples(features), {})
    with open_output(file, format_of(file)) as write:
        write(rows)
    n_anomalous = sum(row["label"] == -1 for row in rows)
    print_message(f"{n_anomalous} of {len(rows)} images flagged.")


def _list(sources):
    """Return the paths of images, their labels, and how many folders tell these.

    The labels are keywords of `write_report`.
    """
    from pathlib import Path

    from ._inputs import is_labelled, list_images, list_labelled

    folder = Path(sources[0])
    in_test = is_labelled(folder / "test")
    if len(sources) == 1 and (in_test or is_labelled(folder)):
        paths, types = list_labelled(sources[0])
        y = [1 if name == "good" else -1 for name in types]
        return paths, {"y": y, "defect_types": types}, 1 + in_test
    return list(list_images(sources)), {}, 0
