"""Images per second of each side on the same files, and memory."""

import contextlib
import itertools
import shutil
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _harness import format_table, take_turns
from _speed_child import list_images
from _speed_processes import Process, ask_once
from _speed_sides import BACKBONE
from PIL import Image

from skgaussad.datasets import load_solar_cells
from skgaussad.features._weights import read_network

JPEG_QUALITY = 95
# As cameras take them, and so many times fewer of them.
LARGE_SIZE = (4000, 3000)
LARGE = f"JPEG of {LARGE_SIZE[0]} x {LARGE_SIZE[1]} pixels"
_LARGE_FEWER = 8
# Level 6: timm's list of features, which anomalib uses, has no level 7. It makes no
# difference to the time, as timm computes all blocks whatever is asked for.
PEER_LAYER = "blocks.4"
LEVEL_7_LAYER = "blocks.5"
# Of which the peers take what is best for them.
BATCH_SIZES = (1, 8, 32)
NUM_WORKERS = (0, 1, 2)

OURS = ("skgaussad float32", "skgaussad bfloat16")
# The same by torch, as where OpenVINO is not installed.
OURS_BY_TORCH = tuple(f"{name} torch" for name in OURS)
# The same with JPEG files that are reduced while they are decoded.
OURS_REDUCED = tuple(f"{name} reduced" for name in OURS)
ANOMALIB = "anomalib"
TIMM = "timm"
TIMM_CUT = "timm cut by hand"


@dataclass
class Side:
    """One way to extract features, and what was measured of it.

    Attributes
    ----------
    name : str
    process : Process
    task : str
    arguments : dict
        Of the task, apart from the folder.
    tunes : bool
        Whether the batch size and the number of workers are to be chosen.
    rates : list of float
        Images per second, one a round.
    answer : dict or None
        The last one.
    """

    name: str
    process: Process
    task: str
    arguments: dict
    tunes: bool
    rates: list = field(default_factory=list)
    answer: dict | None = None

    @property
    def rate(self):
        """Median of the rounds, in images per second."""
        return float(np.median(self.rates))

    def times(self, other):
        """Rate in those of another side: the median over rounds of the ratio.

        The two of a round were measured one after the other, and whatever else the
        machine did then slowed both.
        """
        return float(np.median(np.divide(self.rates, other.rates)))

    @property
    def setting(self):
        """Batch size and workers, where they were chosen."""
        if not self.tunes:
            return "defaults"
        return "batch {batch_size}, {num_workers} workers".format(**self.arguments)

    def run(self, folder, **more):
        """Extract the features of a folder; return images per second."""
        self.answer = self.process.ask(
            self.task, folder=str(folder), **{**self.arguments, **more}
        )
        return self.answer["n_images"] / self.answer["seconds"]

    def tune(self, folder, limit):
        """Choose the fastest batch size and number of workers, on a few images."""

        def rate(choice):
            batch_size, num_workers = choice
            return self.run(
                folder, limit=limit, batch_size=batch_size, num_workers=num_workers
            )

        # The first call loads the network and is not to count.
        choices = list(itertools.product(BATCH_SIZES, NUM_WORKERS))
        rate(choices[0])
        batch_size, num_workers = max(choices, key=rate)
        self.arguments |= {"batch_size": batch_size, "num_workers": num_workers}


def save_weights(path):
    """Write the network's weights, from the package of the registry, for all sides."""
    network, source = read_network(BACKBONE, "auto", 0)
    torch.save(network.state_dict(), path)
    return source


def copy_images(folder, n_images, source=None):
    """Make folders of the same number of images, all of them real files.

    Parameters
    ----------
    folder : Path
    n_images : int
    source : path or None, default=None
        A folder of the user's images. None takes solar cells, as they are (PNG), saved
        as JPEG, and fewer of them enlarged.

    Returns
    -------
    folders : dict of {str: Path}
        By what they hold.

    Raises
    ------
    ValueError
        If there are no images in `source`.
    """
    if source is not None:
        known = Image.registered_extensions()
        paths = sorted(
            path for path in Path(source).rglob("*") if path.suffix.lower() in known
        )
        if not paths:
            raise ValueError(f"--images: no image files in {source}.")
        return {"images": _copy(paths[:n_images], folder / "images")}
    paths = [Path(path) for path in load_solar_cells().paths[:n_images]]
    jpeg = folder / "jpeg"
    jpeg.mkdir()
    for path in paths:
        with Image.open(path) as image:
            image.save(jpeg / f"{path.stem}.jpg", quality=JPEG_QUALITY)
    large = folder / "large"
    large.mkdir()
    for path in paths[: -(-n_images // _LARGE_FEWER)]:
        with Image.open(path) as image:
            photo = image.convert("RGB").resize(LARGE_SIZE, Image.Resampling.BICUBIC)
            photo.save(large / f"{path.stem}.jpg", quality=JPEG_QUALITY)
    return {"PNG": _copy(paths, folder / "png"), "JPEG": jpeg, LARGE: large}


def _copy(paths, folder):
    folder.mkdir()
    for number, path in enumerate(paths):
        shutil.copyfile(path, folder / f"{number:06d}{path.suffix.lower()}")
    return folder


def measure_rates(folder, weights, peers, n_rounds, n_tuned, *, is_large=False):
    """Measure images per second of all sides in turn.

    Parameters
    ----------
    folder : Path
        Of images.
    weights : Path
    peers : str or None
        Interpreter of the peers; None leaves anomalib out.
    n_rounds : int
    n_tuned : int
        Number of images on which the settings of the peers are chosen.
    is_large : bool, default=False
        Whether the images are JPEG files that can be reduced.

    Returns
    -------
    sides : list of Side
    """
    with contextlib.ExitStack() as stack:

        def start(script, interpreter=None):
            return stack.enter_context(Process(script, interpreter))

        loading = {"layer": PEER_LAYER, "weights": str(weights)}
        cut = {"layer": LEVEL_7_LAYER, "weights": str(weights), "is_cut": True}
        kinds = [(OURS, {"engine": "openvino"}), (OURS_BY_TORCH, {"engine": "torch"})]
        if is_large:
            reduced = {"engine": "openvino", "reduce_jpeg": True}
            kinds.append((OURS_REDUCED, reduced))
        sides = [
            Side(
                name,
                start("_speed_sides.py"),
                "extract",
                {"precision": name.split()[1], **settings},
                False,
            )
            for names, settings in kinds
            for name in names
        ]
        sides += [
            Side(name, start("_speed_sides.py"), "extract_timm", arguments, True)
            for name, arguments in ((TIMM, loading), (TIMM_CUT, cut))
        ]
        if peers is not None:
            process = start("_speed_peers.py", peers)
            sides.append(Side(ANOMALIB, process, "extract", loading, True))
        for side in sides:
            if side.tunes:
                side.arguments = dict(side.arguments)
                side.tune(folder, n_tuned)
            else:
                side.run(folder, limit=n_tuned)
        turns = {side.name: partial(side.run, folder) for side in sides}
        rates = take_turns(turns, n_rounds)
    return [replace(side, rates=rates[side.name]) for side in sides]


def format_rates(sides):
    """Format what was measured of the sides as a table, the last one being the unit.

    The memory is that of the process without its workers.
    """
    unit = sides[-1]
    columns = {"images per second": "", "median": ".1f", "lowest": ".1f"}
    columns |= {"highest": ".1f", "times": ".2f", "MB": ".0f", "columns": "d"}
    return format_table(
        columns | {"setting": ""},
        [
            (
                side.name,
                side.rate,
                min(side.rates),
                max(side.rates),
                side.times(unit),
                side.answer["peak"] / 1e6,
                side.answer["n_columns"],
                side.setting,
            )
            for side in sides
        ],
    )


def relative_difference(sides):
    """How far the features of a cut by hand are from those of skgaussad in float32.

    Both compute level 7 of the same images; this shows that they do the same work.

    Parameters
    ----------
    sides : list of Side

    Returns
    -------
    difference : float
        Length of the difference of the mean vectors, in lengths of the mean vector.
    """
    means = {side.name: np.array(side.answer.get("mean", [])) for side in sides}
    expected, found = means[OURS[0]], means[TIMM_CUT]
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def extract_cells(folder, step=1):
    """Level-7 features of the solar cells.

    Parameters
    ----------
    folder : Path
        For the images and the file of the features.
    step : int, default=1
        Take every so-manieth cell only.

    Returns
    -------
    features : ndarray of shape (n_images, 192)
    """
    images = folder / "cells"
    if not images.exists():
        _copy([Path(path) for path in load_solar_cells().paths[::step]], images)
    kept = folder / "cells_features"
    if not kept.exists():
        ask_once(
            "_speed_sides.py",
            "extract",
            folder=str(images),
            memmap_folder=str(kept),
        )
    (matrix,) = kept.iterdir()
    return np.load(matrix)


def measure_limits(folder, n_rounds):
    """Images per second of parts of the way, on all cores.

    Parameters
    ----------
    folder : Path
        Of images.
    n_rounds : int

    Returns
    -------
    rates : dict of {str: float}
        By part: decoding and resizing alone, the network alone by engine and precision,
        and the whole.
    """
    with Process("_speed_sides.py") as process:
        ask = partial(process.ask, "time_parts", folder=str(folder))
        answers = [ask() for _ in range(n_rounds)]
    return {
        name: float(np.median([answer[name] for answer in answers]))
        for name in answers[0]
        if name != "peak"
    }


def measure_memory(folder, numbers):
    """Peak memory of a process that extracts the features of so many images.

    Parameters
    ----------
    folder : Path
        Of images.
    numbers : sequence of int

    Returns
    -------
    peaks : dict of {str: dict of {int: int}}
        Bytes, by precision, then number of images.
    """
    n_there = len(list_images(folder))
    return {
        precision: {
            number: ask_once(
                "_speed_sides.py",
                "extract",
                folder=str(folder),
                precision=precision,
                limit=number,
            )["peak"]
            for number in numbers
            if number <= n_there
        }
        for precision in ("float32", "bfloat16")
    }
