"""Whether exported graphs score as their pipelines do, and how fast, on solar cells.

    python benchmarks/onnx_export.py
    python benchmarks/onnx_export.py parity
    python benchmarks/onnx_export.py speed --rounds 9
    python benchmarks/onnx_export.py --quick

``parity`` fits each pipeline of a list to every second functional cell of both kinds,
exports it, and scores all 2,223 cells in onnxruntime and by the pipeline: the largest
relative difference of distances, the labels and p-values that differ, and the size of
the file.

``speed`` counts images per second, decoding included, of the default detector, of
level 7 and of the sum of all levels: the pipeline with its defaults against loops that
decode with Pillow and run a batch of one image a thread in onnxruntime, the graph
resizing or Pillow. Sides are measured in turn, with the same number of threads
(``OMP_NUM_THREADS``); figures are medians over rounds, ratios of the same round.
Nothing else should run meanwhile.

Targets were set before the measurement: distances within 1e-4, and the same labels. The
exit status is 1 if one is missed.
"""

import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from _harness import (
    Verdict,
    describe_machine,
    format_table,
    make_parser,
    print_verdicts,
    take_turns,
    time_call,
)
from PIL import Image
from sklearn.pipeline import make_pipeline

from skgaussad import (
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    NegatedPCA,
    make_detector,
)
from skgaussad.datasets import load_solar_cells
from skgaussad.detectors import p_values
from skgaussad.export import to_onnx

TOLERANCE = 1e-4
OURS = "pipeline"
N_TIMED = 256
# To see that everything runs; the figures mean little.
QUICK = {"step": 100, "n_timed": 8}
INTERPOLATION = "bilinear"


def make_one_level(*steps, detector=None, **settings):
    """Make a pipeline of a transformer, steps and one Gaussian."""
    settings = {"levels": 7, "interpolation": INTERPOLATION, **settings}
    return make_pipeline(
        DeepFeatureTransformer(**settings), *steps, detector or MahalanobisDetector()
    )


PIPELINES = {
    "cells of level 6": partial(make_detector, interpolation=INTERPOLATION),
    "cells of levels 5 and 6": partial(
        make_detector, levels=[5, 6], interpolation=INTERPOLATION
    ),
    "level 7": make_one_level,
    "level 7, grid of 4 x 4": partial(make_one_level, pooling=4),
    "levels 6 and 7, average and grid": partial(
        make_one_level, levels=[6, 7], pooling=["average", 2]
    ),
    "level 7, cropped": partial(make_one_level, crop_pct=0.875),
    "level 7, NPCA": partial(make_one_level, NegatedPCA()),
    "level 7, tail": partial(
        make_one_level, detector=MahalanobisDetector(threshold="tail", fpr=0.001)
    ),
    "sum of all levels": partial(
        make_detector, method="paper", levels="all", interpolation=INTERPOLATION
    ),
    "level 6, highest of 7 x 7 cells": partial(
        make_detector,
        detector=LevelEnsemble(columns="cell", aggregation="top"),
        levels=6,
        pooling=7,
        interpolation=INTERPOLATION,
    ),
}
TIMED = ("cells of level 6", "level 7", "sum of all levels")


@dataclass(frozen=True)
class Parity:
    """What the graph of a pipeline gives, against the pipeline.

    Attributes
    ----------
    name : str
    n_images : int
    difference : float
        Largest difference of distances, relative to them.
    n_labels, n_p_values : int
        Labels that differ, and p-values that do by more than 1e-4 of theirs.
    size : int
        Of the file, in bytes.
    """

    name: str
    n_images: int
    difference: float
    n_labels: int
    n_p_values: int
    size: int


class Runtime:
    """A file in onnxruntime, with a loop around it as a user would write it.

    Parameters
    ----------
    path : path-like
    image_size : tuple of (int, int) or None
        Height and width to which Pillow brings images; None leaves that to the graph.
    n_threads : int
        Of the runtime.
    """

    def __init__(self, path, image_size, n_threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._image_size = image_size
        self._batch_size = n_threads

    def __call__(self, paths):
        """Score images that have one size; return outputs by name."""
        names = [output.name for output in self._session.get_outputs()]
        found = []
        for start in range(0, len(paths), self._batch_size):
            batch = np.stack(
                [self._load(path) for path in paths[start : start + self._batch_size]]
            )
            found.append(self._session.run(names, {"images": batch}))
        columns = map(np.concatenate, zip(*found, strict=True))
        return dict(zip(names, columns, strict=True))

    def _load(self, path):
        with Image.open(path) as image:
            image = image.convert("RGB")
        if self._image_size is not None:
            resample = Image.Resampling[INTERPOLATION.upper()]
            image = image.resize(self._image_size[::-1], resample)
        return np.asarray(image)


def measure_parity(name, train, paths, folder, n_threads):
    """Fit, export and score; return a `Parity`."""
    pipe = PIPELINES[name]()
    # Of several pipelines, the images go through the network once.
    pipe[0].set_params(cache=Path(folder, "features"))
    pipe.fit(train)
    file = Path(folder, "parity.onnx")
    to_onnx(pipe, file, images=paths[:2])
    found = Runtime(file, None, n_threads)(paths)
    features, rest = pipe[0].transform(paths), pipe[1:]
    distances = -rest.score_samples(features)
    expected = p_values(rest, features)
    return Parity(
        name,
        len(paths),
        float(np.max(np.abs(found["distance"] - distances) / distances)),
        int(np.sum(found["label"] != rest.predict(features))),
        int(np.sum(~np.isclose(found["p_value"], expected, 1e-4, 0))),
        file.stat().st_size,
    )


def format_parity(parities):
    """Format a table of parities."""
    return format_table(
        {"": "", "difference": ".1e", "labels": "d", "p-values": "d", "MB": ".1f"},
        [
            (p.name, p.difference, p.n_labels, p.n_p_values, p.size / 1e6)
            for p in parities
        ],
    )


def check_parity(parities):
    """Check distances and labels of all pipelines by the targets."""
    worst = max(parities, key=lambda parity: parity.difference)
    n_labels = sum(parity.n_labels for parity in parities)
    n_images = sum(parity.n_images for parity in parities)
    return [
        Verdict(
            f"distances within {TOLERANCE:g}",
            worst.difference <= TOLERANCE,
            f"at most {worst.difference:.1e} ({worst.name})",
        ),
        Verdict("the same labels", n_labels == 0, f"{n_labels} of {n_images} differ"),
    ]


def measure_speed(name, train, paths, folder, n_threads, n_rounds):
    """Images per second of each side, one a round.

    Returns
    -------
    rates : dict of {str: list of float}
    """
    pipe = PIPELINES[name]().fit(train)
    sides = {OURS: pipe.score_samples}
    image_size = pipe[0].preprocessing_.image_size
    for side, resize in (("graph resizes", True), ("Pillow resizes", False)):
        file = Path(folder, f"{resize}.onnx")
        to_onnx(pipe, file, resize=resize, images=paths[:2])
        sides[side] = Runtime(file, None if resize else image_size, n_threads)
    for score in sides.values():
        score(paths[: 2 * n_threads])
    turns = {side: partial(time_call, score, paths) for side, score in sides.items()}
    return {
        side: [len(paths) / taken for taken in seconds]
        for side, seconds in take_turns(turns, n_rounds).items()
    }


def format_speed(rates):
    """Format a table of rates: medians, range and ratio to the pipeline's."""
    return format_table(
        {"": "", "images/s": ".1f", "from": ".1f", "to": ".1f", "ratio": ".2f"},
        [
            (
                side,
                np.median(of_rounds),
                min(of_rounds),
                max(of_rounds),
                np.median(np.divide(of_rounds, rates[OURS])),
            )
            for side, of_rounds in rates.items()
        ],
    )


def main(argv=None):
    """Run the benchmark; return the exit status."""
    parser = make_parser(__doc__, "--rounds", "--quick", sections=("parity", "speed"))
    arguments = parser.parse_args(argv)
    sections = arguments.sections
    step = QUICK["step"] if arguments.quick else 1
    n_timed = QUICK["n_timed"] if arguments.quick else N_TIMED
    n_threads = torch.get_num_threads()
    cells = load_solar_cells()
    paths = [str(path) for path in cells.paths[::step]]
    train = cells.paths[cells.labels == 1][:: 2 * min(step, 25)]
    timed = paths[:: max(1, len(paths) // n_timed)][:n_timed]
    verdicts = []
    print(describe_machine(("skgaussad", "torch", "onnxruntime")))
    with tempfile.TemporaryDirectory() as folder:
        if "parity" in sections:
            parities = [
                measure_parity(name, train, paths, folder, n_threads)
                for name in PIPELINES
            ]
            print(
                f"\nparity on {len(paths)} cells\n{format_parity(parities)}", flush=True
            )
            verdicts = check_parity(parities)
        for name in TIMED if "speed" in sections else ():
            rates = measure_speed(
                name, train, timed, folder, n_threads, arguments.rounds
            )
            print(f"\n{name}, {len(timed)} files\n{format_speed(rates)}", flush=True)
    return print_verdicts("Targets", verdicts)


if __name__ == "__main__":
    sys.exit(main())
