"""What the engine changes: features, AUROC, false alarms, and the speed of networks."""

import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from _harness import format_table
from _speed_processes import ask_once
from PIL import Image
from sklearn.metrics import roc_auc_score

from skgaussad import CellwiseMahalanobisDetector
from skgaussad.datasets import load_solar_cells
from skgaussad.exceptions import FalseAlarmRateWarning
from skgaussad.model_selection import NormalKFold

CELL_TYPES = ("mono", "poly")
# The first of each is what the others are compared with.
ENGINES = {
    "float32 by torch": {"engine": "torch"},
    "float32 by openvino": {"engine": "openvino"},
    "bfloat16 by openvino": {"engine": "openvino", "precision": "bfloat16"},
}
FILES = {"whole JPEG": {}, "reduced JPEG": {"reduce_jpeg": True}}
# So many times their size have solar cells as JPEG files.
ENLARGED = 4
JPEG_QUALITY = 95
NETWORKS = (
    "tf_efficientnet_lite0",
    "resnet18",
    "convnext_atto",
    "mobilenetv3_small_100",
    "vit_tiny_patch16_224",
)
# Of the first; those of the others are on a hub, and random ones take as long.
WEIGHTS = {"tf_efficientnet_lite0": "auto"}
N_FOLDS = 5
# Of the default detector.
N_CELLS = 49
FPR = 0.05


@dataclass(frozen=True)
class NetworkByEngine:
    """One network at all of its levels, by both engines.

    Attributes
    ----------
    name : str
    n_levels : int
    difference : float
        Largest distance between both engines' features of one image and level, in
        lengths of torch's.
    rates : dict of {str: float}
        Images per second by engine, decoding included.
    conversion : float
        Seconds of the first fit by OpenVINO beyond that by torch.
    """

    name: str
    n_levels: int
    difference: float
    rates: dict
    conversion: float

    @property
    def ratio(self):
        """Rate by OpenVINO in times of that by torch."""
        return self.rates["openvino"] / self.rates["torch"]


@dataclass(frozen=True)
class Quality:
    """The default detector on one type of solar cells, over folds at random.

    Attributes
    ----------
    kind : {"mono", "poly"}
    name : str
        What the features were computed by, or from.
    base : str or None
        The name of what it is compared with, if not with itself.
    auroc : float
        Percent.
    n_flagged, n_good : int
        Good cells above the threshold of a model of the others, and all.
    """

    kind: str
    name: str
    base: str | None
    auroc: float
    n_flagged: int
    n_good: int


def measure_networks(paths, n_rounds):
    """Compare both engines on some networks at every level.

    Parameters
    ----------
    paths : list of str
    n_rounds : int

    Returns
    -------
    networks : list of NetworkByEngine
    """
    networks = []
    for name in NETWORKS:
        answer = ask_once(
            "_speed_sides.py",
            "compare_engines",
            paths=paths,
            backbone=name,
            weights=WEIGHTS.get(name),
            n_rounds=n_rounds,
        )
        rates = {
            engine: float(np.median(len(paths) / np.array(answer[engine])))
            for engine in ("openvino", "torch")
        }
        networks.append(
            NetworkByEngine(
                name,
                answer["n_levels"],
                answer["difference"],
                rates,
                answer["conversion"],
            )
        )
    return networks


def format_networks(networks):
    """Format the comparison as a table."""
    columns = {"network": "", "levels": "d", "difference": ".1e", "openvino": ".0f"}
    columns |= {"torch": ".0f", "times": ".2f", "conversion s": ".1f"}
    rows = [
        (
            found.name,
            found.n_levels,
            found.difference,
            found.rates["openvino"],
            found.rates["torch"],
            found.ratio,
            found.conversion,
        )
        for found in networks
    ]
    return format_table(columns, rows)


def measure_quality(folder, step=1):
    """Fit and judge by the default detector with each engine and precision.

    Parameters
    ----------
    folder : Path
        For features.
    step : int, default=1
        Take every so-manieth cell only.

    Returns
    -------
    qualities : list of Quality
    """
    paths = [str(path) for path in load_solar_cells().paths[::step]]
    return _measure(paths, ENGINES, folder, step)


def measure_reduction(folder, step=1):
    """Do the same with enlarged JPEG files, whole and reduced; see `measure_quality`.

    Their details are no finer than those of the cells: this is not what an image loses
    whose details are.
    """
    enlarged = folder / "enlarged"
    enlarged.mkdir()
    paths = []
    for path in load_solar_cells().paths[::step]:
        paths.append(str(enlarged / f"{Path(path).stem}.jpg"))
        with Image.open(path) as image:
            size = [ENLARGED * side for side in image.size]
            large = image.resize(size, Image.Resampling.BICUBIC)
            large.save(paths[-1], quality=JPEG_QUALITY)
    return _measure(paths, FILES, folder, step)


def _measure(paths, by_name, folder, step):
    """Return the qualities of each set of settings, the first one's without a base."""
    data = load_solar_cells()
    labels, types = data.labels[::step], data.cell_types[::step]
    matrix = folder / "default.npy"
    extract = partial(ask_once, "_speed_sides.py", "extract_default", paths=paths)
    qualities = []
    first = next(iter(by_name))
    for name, settings in by_name.items():
        extract(matrix=str(matrix), settings=settings)
        features = np.load(matrix)
        base = None if name == first else first
        for kind in CELL_TYPES:
            rows = types == kind
            found = _judge(features[rows], labels[rows])
            qualities.append(Quality(kind, name, base, *found))
        matrix.unlink()
    return qualities


def _judge(features, labels):
    """Return the mean AUROC in percent, and how many good ones are flagged, of all."""
    aurocs, n_flagged, n_good = [], 0, 0
    folds = NormalKFold(N_FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(features, labels):
        detector = CellwiseMahalanobisDetector(cells=N_CELLS, fpr=FPR)
        with warnings.catch_warnings():
            # The cells are in the order of their modules.
            warnings.simplefilter("ignore", FalseAlarmRateWarning)
            detector.fit(features[train])
        distances = -detector.score_samples(features[test])
        aurocs.append(100 * roc_auc_score(labels[test] == -1, distances))
        good = distances[labels[test] == 1]
        n_flagged += int((good > -detector.offset_).sum())
        n_good += len(good)
    return float(np.mean(aurocs)), n_flagged, n_good


def format_quality(qualities):
    """Format AUROC and false alarms as a table, in percent."""
    columns = {"cells": "", "features": "", "AUROC": ".2f"}
    columns |= {"false alarms": ".1f", "good cells": "d"}
    rows = [
        (q.kind, q.name, q.auroc, 100 * q.n_flagged / q.n_good, q.n_good)
        for q in qualities
    ]
    return format_table(columns, rows)
