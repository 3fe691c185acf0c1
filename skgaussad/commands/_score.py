"""``skgaussad score``: distances, p-values and labels of images."""

import argparse
import contextlib
import os
import sys

from ._arguments import above_zero, add_command, add_images, add_model, add_quiet

_EXAMPLES = """
  skgaussad score model.skgaussad photos/new -o results.csv
  skgaussad score model.skgaussad 'photos/**/*.png' --json
  find photos -name '*.png' -mtime -1 | skgaussad score model.skgaussad -
  # exit status 3 if anything is anomalous
  skgaussad score model.skgaussad part.png --anomaly-status 3
  # a picture of where each image is unusual
  skgaussad score model.skgaussad photos/new --maps maps -o results.csv
  # images as they arrive, until Ctrl-C
  skgaussad score model.skgaussad photos/new --watch -o results.csv
  # keep the rate by what inspection finds: lines of path,good or path,defect
  skgaussad score model.skgaussad photos/new --watch -o a.csv --feedback inspected.csv
"""
_INTERVAL = 1.0
# The largest that systems have.
_MAX_STATUS = 255


def add_parser(commands):
    """Add the command to those of the command line."""
    parser = add_command(
        commands,
        "score",
        run,
        summary="score images",
        description="Score images by a model. Each gets a row: path, distance, "
        "threshold_ratio (anomalous above 1), p_value, label (1 normal, -1 anomalous) "
        "and error. Rows come in the order of the images, which are never all in "
        "memory.",
        examples=_EXAMPLES,
    )
    add_model(parser)
    add_images(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the rows to a file, which appears when all are there (default: "
        "standard output, as they come)",
    )
    formats = parser.add_mutually_exclusive_group()
    for name, what in {
        "csv": "comma-separated values",
        "json": "JSON Lines: an object a line",
        "parquet": "Parquet, with -o only",
    }.items():
        formats.add_argument(
            f"--{name}",
            dest="format",
            action="store_const",
            const=name,
            help=f"write {what} (default: by the extension of FILE, CSV without one)",
        )
    parser.add_argument(
        "--maps",
        metavar="DIR",
        help="draw the anomaly map of each image to a PNG file in this folder, which "
        "takes a second pass through the network",
    )
    parser.add_argument(
        "--on-error",
        choices=("raise", "record"),
        help="at an image that cannot be used, raise an error and end with status 1, "
        "or record it in the column error and go on (default: raise; with --watch: "
        "record)",
    )
    parser.add_argument(
        "--anomaly-status",
        metavar="STATUS",
        type=_status,
        default=0,
        help="exit status if at least one image is anomalous (default: 0); take one "
        "other than 1 and 2, which mean errors",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="score the images of a folder, and those that arrive in it, once each, "
        "until SIGINT or SIGTERM; adds rows to FILE and goes on where it was stopped",
    )
    parser.add_argument(
        "--interval",
        metavar="SECONDS",
        type=above_zero("seconds"),
        help="with --watch, the time from one look into the folder to the next; a file "
        "is scored when it has not changed from one to the next (default: 1)",
    )
    parser.add_argument(
        "--feedback",
        metavar="FILE",
        help="with --watch, a CSV file that inspection adds lines to: a path as in the "
        "results, and good or defect; labels then come from a threshold that moves so "
        "that the rate of false alarms stays",
    )
    add_quiet(parser)


def run(arguments):
    """Run the command; return its exit status."""
    return _watch(arguments) if arguments.watch else _score(arguments)


def _score(arguments):
    from .._utils.progress import progress_bar
    from ..detectors import count_learned, learned_files, say_learned
    from ..persistence import Scorer
    from ._inputs import common_folder, count_images, list_images
    from ._maps import MapWriter
    from ._outputs import (
        check_different,
        check_output,
        check_spared,
        format_of,
        open_output,
    )
    from ._streams import print_message

    sources, maps_folder, output = arguments.images, arguments.maps, arguments.output
    if output is None and arguments.format == "parquet":
        arguments.error("--parquet needs -o FILE")
    if arguments.interval is not None:
        arguments.error("--interval has no effect without --watch")
    if arguments.feedback is not None:
        arguments.error("--feedback needs --watch")
    if output is not None:
        check_output(output, inputs=[arguments.model])
    scorer = Scorer(arguments.model)
    maps = None
    if maps_folder is not None:
        check_different(output, maps_folder)
        maps = MapWriter(scorer.model, maps_folder, common_folder(sources))

    def check(path):
        check_spared(path, output)
        if maps is not None:
            check_different(output, maps.check(path))

    total = count_images(sources, exclude=maps_folder, check=check)
    format_ = arguments.format or format_of(output)
    # On a terminal the rows themselves show the progress.
    to_terminal = output is None and sys.stdout.isatty()
    on_error = arguments.on_error or "raise"
    learned = learned_files(scorer.model)
    n_images = n_anomalous = n_unusable = n_without_map = n_learned = 0
    with (
        open_output(output, format_) as write,
        progress_bar(
            "scored", not arguments.quiet and not to_terminal, total=total
        ) as bar,
    ):
        paths = list_images(sources, exclude=maps_folder)
        for some, rows in scorer.stream(paths, on_error=on_error):
            if total is None:
                # Those of a list were not known before.
                for path in some:
                    check_spared(path, output)
            if maps is not None:
                usable = zip(some, rows, strict=True)
                usable = [path for path, row in usable if row["error"] is None]
                n_without_map += maps.write(usable, on_error)
            write(rows)
            bar.update(len(rows))
            n_images += len(rows)
            n_learned += count_learned(some, learned)
            n_anomalous += sum(row["label"] == -1 for row in rows)
            n_unusable += sum(row["error"] is not None for row in rows)
    print_message(f"{n_anomalous} of {n_images - n_unusable} images flagged.")
    if n_unusable:
        print_message(
            f"{n_unusable} of {n_images} images could not be used; the column error "
            "says why."
        )
    if n_learned:
        print_message(f"warning: {say_learned(n_learned, n_images)}")
    if n_without_map:
        print_message(f"maps missing: {n_without_map}.")
    return arguments.anomaly_status if n_anomalous else 0


def _watch(arguments):
    from .._utils.progress import progress_bar
    from ..datasets import existing_folder
    from ..persistence import Scorer
    from ._feedback import Adapter
    from ._maps import MapWriter
    from ._outputs import check_output, format_of
    from ._watch import ResultFile, Watcher, watch

    feedback = arguments.feedback
    for is_wrong, message in (
        (len(arguments.images) > 1, "--watch takes one folder"),
        (arguments.output is None, "--watch needs -o FILE"),
        (arguments.anomaly_status, "--anomaly-status has no effect with --watch"),
        (
            None not in (feedback, arguments.output)
            and os.path.realpath(feedback) == os.path.realpath(arguments.output),
            "--feedback takes another file than -o",
        ),
    ):
        if is_wrong:
            arguments.error(message)
    check_output(arguments.output, inputs=[arguments.model])
    format_ = arguments.format or format_of(arguments.output)
    if format_ == "parquet":
        arguments.error("--watch adds rows to a file, which Parquet does not allow")
    folder = str(existing_folder("What --watch looks into", *arguments.images))
    with contextlib.ExitStack() as stack:
        results = stack.enter_context(
            ResultFile(arguments.output, format_, keep_rows=feedback is not None)
        )
        scorer = Scorer(arguments.model)
        adapter = None
        if feedback is not None:
            adapter = Adapter(scorer.model, feedback, results.rows)
            stack.callback(adapter.report)
        maps = None
        if arguments.maps is not None:
            maps = MapWriter(scorer.model, arguments.maps, os.path.abspath(folder))
        bar = stack.enter_context(progress_bar("scored", not arguments.quiet))
        watcher = Watcher(
            scorer,
            maps,
            folder,
            results,
            exclude=arguments.maps,
            on_error=arguments.on_error or "record",
            adapter=adapter,
        )
        interval = _INTERVAL if arguments.interval is None else arguments.interval
        watch(watcher, interval, bar.update)


def _status(text):
    if not text.isdecimal() or int(text) > _MAX_STATUS:
        raise argparse.ArgumentTypeError(
            f"expected an exit status from 0 to {_MAX_STATUS}; got {text!r}"
        )
    return int(text)
