"""``skgaussad fit``: fit a detector to normal images."""

import argparse
import os
import re
import textwrap
from dataclasses import replace

from ._arguments import add_command, add_fpr, add_images, add_leave_out, add_quiet

_EXAMPLES = """
  skgaussad fit photos/good --fpr 0.02 -o model.skgaussad
  # photos/good/2026-11-27, photos/good/2026-11-28 and so on: a rate for a new day
  skgaussad fit photos/good --lots folder -o model.skgaussad
  # the paper's sum of the distances of all levels of the network
  skgaussad fit photos/good --method paper --levels all -o model.skgaussad
  # another network, at its own size
  skgaussad fit photos/good --backbone resnet18 -o model.skgaussad
"""
_WIDTH = 88


def add_parser(commands):
    """Add the command to those of the command line."""
    parser = add_command(
        commands,
        "fit",
        run,
        summary="fit a model to normal images",
        description="Fit a Gaussian to the deep features of normal images, and write "
        "the model to a file.",
        examples=_EXAMPLES,
    )
    add_images(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="the model file to write"
    )
    add_fpr(parser)
    parser.add_argument(
        "--lots",
        metavar="WHERE",
        help="where the lot, shift or day of each image stands: folder, for the one it "
        "lies in, or a regular expression whose first group is the lot, such as "
        "'lot(\\d+)_', searched in its path below the folder that all have in common. "
        "Whole lots are then held out, and the rate is that in a new lot",
    )
    add_leave_out(parser)
    parser.add_argument(
        "--threshold",
        choices=("quantile", "tail", "chi2"),
        default="quantile",
        help="how the rate becomes a threshold (default: %(default)s); tail for rates "
        "that the images are too few for",
    )
    parser.add_argument(
        "--method",
        choices=("cells", "paper"),
        default="cells",
        help="cells for one Gaussian over a 7 x 7 grid of cells, and the cells that "
        "the rest of an image does not explain; paper for the distance of its mean "
        "features (default: %(default)s)",
    )
    parser.add_argument(
        "--levels",
        type=_levels,
        default="auto",
        help="level of the network, such as 7; several, such as 6,7, or all, which "
        "are joined in each cell, or with --method paper their distances added; or "
        "auto, the level that suits the method (default: %(default)s)",
    )
    parser.add_argument(
        "--pooling",
        metavar="HOW",
        type=_pooling,
        help="number of cells along each side of the grid for --method cells (default: "
        "7); average, max, std or such a number for --method paper (default: average)",
    )
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        default="tf_efficientnet_lite0",
        help="a network of timm (default: %(default)s)",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        default="auto",
        help="its weights, .pth or .safetensors; auto for those of ImageNet, none for "
        "random ones (default: %(default)s)",
    )
    parser.add_argument(
        "--image-size",
        metavar="SIZE",
        type=_image_size,
        help="size of the network's input in pixels, such as 320, or 240,320 for "
        "height and width (default: the network's own)",
    )
    parser.add_argument(
        "--standardize-intensity",
        action=argparse.BooleanOptionalAction,
        help="give each image the same brightness and contrast, for lighting that "
        "differs between normal images; defects that change them in the whole image "
        "become invisible (default: with --method cells, which hardly sees these)",
    )
    parser.add_argument(
        "--max-value",
        metavar="WHITE",
        type=int,
        help="the value of white in images of 16 bits, such as 1023 for a camera of 10 "
        "bits or 4095 for one of 12 (default: 65535); larger values are an error",
    )
    parser.add_argument(
        "--reduce-jpeg",
        action="store_true",
        help="decode large JPEG files at a half, a quarter or an eighth of their size, "
        "which is several times as fast; pixels differ a little, of the model from "
        "then on",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "float16"),
        default="float32",
        help="number format of the network, of the model from then on (default: "
        "%(default)s)",
    )
    add_quiet(parser)


def run(arguments):
    """Run the command."""
    import time
    import warnings
    from functools import partial

    from ..persistence import save
    from ._inputs import list_normal, show_named
    from ._lots import describe, find_lots
    from ._outputs import check_output

    started = time.perf_counter()
    check_output(arguments.output, is_model=True)
    paths = _leave_out(list_normal(arguments.images), arguments.leave_out)
    inputs = [*paths, arguments.weights]
    check_output(arguments.output, inputs=inputs, is_model=True)
    lots = find_lots(arguments.lots, paths, arguments.images)
    pipeline = _make_pipeline(arguments)
    warnings.showwarning = partial(show_named, warnings.showwarning, paths, paths)
    pipeline.fit(paths, **({} if lots is None else {"detector__groups": lots}))
    save(pipeline.set_params(features__verbose=False), arguments.output)
    _print_summary(pipeline, arguments.images)
    if lots is not None:
        print(f"\nLots: {describe(lots)}")
    size = os.path.getsize(arguments.output) / 1e6
    print(f"Model: {arguments.output}, {size:.1f} MB")
    print(f"Time: {time.perf_counter() - started:.1f} s")


def _leave_out(paths, names):
    """Leave out images by their paths or file names."""
    for name in names:
        found = [path for path in paths if name in (path, os.path.basename(path))]
        if not found:
            raise ValueError(
                f"--leave-out {name}: there is no such image among the {len(paths)} to "
                "fit to. Name one by its path as found, or by its file name."
            )
        paths = [path for path in paths if path not in found]
    return paths


def _print_summary(pipeline, sources):
    """Print what a fit has learned, with names below the folder of all images."""
    from ..reporting import fit_summary
    from ._inputs import common_folder

    folder = common_folder(sources)
    kept = pipeline.training_samples_["name"].tolist()
    names = [os.path.relpath(os.path.abspath(path), folder) for path in kept]
    # Warnings have been shown.
    summary = replace(fit_summary(pipeline, names=names), warnings=())
    for sentence in summary.sentences():
        print(textwrap.fill(sentence, _WIDTH, break_on_hyphens=False))
    if summary.apart:
        print("skgaussad review shows them; --leave-out NAME leaves one out.")


def _make_pipeline(arguments):
    from .. import make_detector

    return make_detector(
        method=arguments.method,
        levels=arguments.levels,
        pooling=arguments.pooling,
        threshold=arguments.threshold,
        fpr=arguments.fpr,
        backbone=arguments.backbone,
        weights=None if arguments.weights == "none" else arguments.weights,
        image_size=arguments.image_size,
        standardize_intensity=arguments.standardize_intensity,
        max_value=arguments.max_value,
        reduce_jpeg=arguments.reduce_jpeg,
        precision=arguments.precision,
        verbose=not arguments.quiet,
    )


def _levels(text):
    if text in ("all", "auto"):
        return text
    if re.fullmatch(r"-?\d+(,-?\d+)*", text) is None:
        raise argparse.ArgumentTypeError(
            f"expected a number, numbers with commas, all or auto; got {text!r}"
        )
    levels = [int(number) for number in text.split(",")]
    return levels if len(levels) > 1 else levels[0]


def _pooling(text):
    return int(text) if text.isdecimal() else text


def _image_size(text):
    if re.fullmatch(r"\d+(,\d+)?", text) is None:
        raise argparse.ArgumentTypeError(
            f"expected a number of pixels, or HEIGHT,WIDTH; got {text!r}"
        )
    sides = tuple(int(side) for side in text.split(","))
    return sides if len(sides) > 1 else sides[0]
