"""``skgaussad update``: add normal images to a model, or take some out."""

import os

from ._arguments import add_command, add_quiet

_EXAMPLES = """
  skgaussad update model.skgaussad photos/today
  # of a model that was fitted with --lots
  skgaussad update model.skgaussad photos/today --lot 2026-11-28
  # and nothing of lots before another
  skgaussad update model.skgaussad photos/today --lot 11-28 --forget-before 11-01
  # an image that turned out to be defective
  skgaussad update model.skgaussad --forget photos/good/0017.png
  skgaussad update model.skgaussad --undo
"""


def add_parser(commands):
    """Add the command to those of the command line."""
    parser = add_command(
        commands,
        "update",
        run,
        summary="add normal images to a model",
        description="Add normal images to those that a model is fitted to, or take "
        "some out, and fit its detector again to all. The file is replaced once the "
        "new model is complete, and keeps what undoes the last update.",
        examples=_EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="file written by fit")
    parser.usage = (
        "%(prog)s MODEL [IMAGES ...] [--lot NAME] [--forget NAME] "
        "[--forget-before LOT] [--undo] [--quiet]"
    )
    images = parser.add_argument(
        "images",
        metavar="IMAGES",
        nargs="+",
        default=[],
        help="normal images, named as for fit; none with --undo, or only to forget",
    )
    # Not "*", which takes none at the first option, and refuses those behind it.
    images.required = False
    parser.add_argument(
        "--lot",
        metavar="NAME",
        help="the lot of the new images; needed if the model was fitted with lots",
    )
    parser.add_argument(
        "--forget",
        metavar="NAME",
        action="append",
        default=[],
        help="take out this lot, or the image of this path as it was given to fit or "
        "update; may be given several times",
    )
    parser.add_argument(
        "--forget-before",
        metavar="LOT",
        help="take out the lots that sort before this one as text, as dates such as "
        "2026-11-01 do",
    )
    parser.add_argument(
        "--undo", action="store_true", help="undo the last update, and nothing else"
    )
    add_quiet(parser)


def run(arguments):
    """Run the command."""
    from filelock import FileLock

    from .._utils.labels import is_blank
    from ._outputs import check_output

    changes = arguments.images or arguments.forget or arguments.forget_before
    if arguments.undo and (changes or arguments.lot is not None):
        arguments.error("--undo stands alone: it undoes the last update")
    for option, names in (
        ("--lot", [arguments.lot]),
        ("--forget", arguments.forget),
        ("--forget-before", [arguments.forget_before]),
    ):
        if any(map(is_blank, names)):
            arguments.error(f"{option} needs a name; it came empty")
    if not arguments.undo and not changes:
        arguments.error("give IMAGES, --forget NAME, --forget-before LOT or --undo")
    if arguments.lot is not None and not arguments.images:
        arguments.error("--lot is of new IMAGES, and there are none")
    check_output(arguments.model, is_model=True)
    folder, name = os.path.split(os.path.realpath(arguments.model))
    # The next one begins with what this one wrote.
    with FileLock(os.path.join(folder, f".{name}.lock")):
        _update(arguments)


def _update(arguments):
    import time
    import warnings
    from functools import partial

    from ..detectors import find_threshold, learned_files
    from ..persistence import load, save
    from ._inputs import list_normal, show_named
    from ._outputs import check_output

    started = time.perf_counter()
    model = load(arguments.model)
    before = _samples_of(model, arguments.model)
    old_threshold = find_threshold(model)
    paths = list_normal(arguments.images) if arguments.images else []
    check_output(arguments.model, inputs=paths, is_model=True)
    known = learned_files(model)
    again = [path for path in paths if os.path.realpath(path) in known]
    if again:
        raise ValueError(
            f"{len(again)} of the {len(paths)} images are in the model already, such "
            f"as {again[0]}. Name new ones."
        )
    if arguments.undo:
        model.undo_update()
    else:
        lot = _check_lot(arguments, before)
        forget = _find_forgotten(arguments, before)
        kept = [name or f"X[{row}]" for row, name in enumerate(before["name"][~forget])]
        warnings.showwarning = partial(
            show_named, warnings.showwarning, paths, [*kept, *paths]
        )
        with _progress(model, not arguments.quiet):
            model.update(paths or None, groups=lot, forget=forget)
    save(model, arguments.model)
    after = _samples_of(model, arguments.model)
    for name, value in (
        ("images", f"{_count(before)} before, {_count(after)} now"),
        ("threshold", f"{old_threshold:.4g} before, {find_threshold(model):.4g} now"),
        ("time", f"{time.perf_counter() - started:.2f} s"),
    ):
        print(f"{name:<14}{value}")


def _samples_of(model, path):
    try:
        return model.training_samples_
    except AttributeError as error:
        raise ValueError(f"{path!r} cannot be updated: {error}") from error


def _check_lot(arguments, samples):
    """Return the lot as the model has it, or raise where it is missing or useless."""
    from .._utils.training_samples import as_label

    has_lots = "group" in samples
    if arguments.images and has_lots != (arguments.lot is not None):
        raise ValueError(
            f"{arguments.model!r} was fitted with lots: give that of the new images as "
            "--lot NAME."
            if has_lots
            else f"{arguments.model!r} was fitted without lots, and takes no --lot: "
            "leave it out, or fit anew with --lots."
        )
    if arguments.lot is None:
        return None
    return as_label(arguments.lot, samples["group"])


def _find_forgotten(arguments, samples):
    """Return which samples to take out, as a mask."""
    import numpy as np

    labels = samples["group"].astype(str) if "group" in samples else None
    forgotten = np.zeros(len(samples["name"]), dtype=bool)
    for name in arguments.forget:
        found = samples["name"] == os.path.abspath(name)
        if not found.any():
            # Or by its file name alone, if one has it.
            files = [os.path.basename(path) for path in samples["name"]]
            found = np.array([file == name for file in files])
            found &= found.sum() == 1
        if labels is not None:
            found |= labels == name
        if not found.any():
            raise ValueError(
                f"--forget {name}: the model has no image of this path and no such "
                "lot. Name one as it was given to fit or update."
            )
        forgotten |= found
    if arguments.forget_before is not None:
        if labels is None:
            raise ValueError(
                "--forget-before takes out lots, and the model was fitted without "
                "them. Name images with --forget, or fit anew with --lots."
            )
        forgotten |= labels < arguments.forget_before
    return forgotten


def _progress(model, verbose):
    """Let the network of a model show its progress for a while."""
    import contextlib

    from ..detectors import find_transformer

    stack = contextlib.ExitStack()
    transformer = find_transformer(model)
    if transformer is not None:
        stack.callback(transformer.set_params, verbose=transformer.verbose)
        transformer.set_params(verbose=verbose)
    return stack


def _count(samples):
    n = len(samples["name"])
    if "group" not in samples:
        return f"{n}"
    return f"{n} of {len(set(samples['group'].tolist()))} lots"
