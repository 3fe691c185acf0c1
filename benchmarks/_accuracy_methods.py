"""The methods of the study: what each is fitted to, and the scores that come of it."""

import os
import pickle
import time
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pandas as pd
import torch
from _accuracy_images import N_LEVELS, FeatureMaps, ImageSet
from _accuracy_prototypes import (
    CellwiseGaussian,
    GeometricMean,
    OverLeftOut,
    PositionGaussians,
    WhitenedGaussian,
    smooth,
)
from _speed_extraction import save_weights
from _speed_processes import Process, prepare_peers
from baselines import NearestNeighborDetector
from torch.nn.functional import adaptive_avg_pool2d

from skgaussad import CellwiseMahalanobisDetector, MahalanobisDetector

TOP_FRACTIONS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
N_FEW = (4, 8, 16, 32)
N_TURNS = 7


@dataclass(frozen=True)
class Result:
    """Scores of the test images of a fold, and what they cost.

    Attributes
    ----------
    scores : ndarray of shape (n_test,)
        Higher is more anomalous.
    fit, score : float
        Seconds of processor time, of all threads, for all training images and for all
        test images. The network is left out, and what else runs does not count.
    size : float
        Of the fitted model, in MB.
    is_anomaly : ndarray of shape (n_test,), dtype bool, or None
        None where it is that of the fold.
    """

    scores: np.ndarray
    fit: float
    score: float
    size: float
    is_anomaly: np.ndarray | None = None


@dataclass(frozen=True)
class Fold:
    """Training and test images of a fold, and their features.

    The test images are the normal ones held out, then all anomalies.
    """

    images: ImageSet
    features: FeatureMaps
    order: str
    number: int

    @property
    def train(self):
        """Positions of the training images."""
        return self.images.split(self.order, self.number)[0]

    @property
    def held_out(self):
        """Positions of the normal images to test on."""
        return self.images.split(self.order, self.number)[1]

    @property
    def test(self):
        """Positions of all images to test on."""
        n_normal, n_images = len(self.images.normal), len(self.images.paths)
        return np.concatenate([self.held_out, np.arange(n_normal, n_images)])

    @property
    def is_anomaly(self):
        """Which of the test images are anomalies."""
        return self.test >= len(self.images.normal)

    def maps(self, level, grid=None, network="lite0", change="plain"):
        """Read the maps of all images, pooled onto a grid or as they are, float64."""
        return pooled_maps(self.features, self.images, level, grid, network, change)


@lru_cache(4)
def pooled_maps(features, images, level, grid, network, change):
    """Pool maps onto a grid as the transformer does."""
    maps = np.asarray(features.maps(images, level, network, change), np.float32)
    if grid is not None:
        maps = torch.from_numpy(maps).permute(0, 3, 1, 2)
        maps = adaptive_avg_pool2d(maps, grid).permute(0, 2, 3, 1).numpy()
    return maps.astype(np.float64)


def timed(call, *arguments):
    """Return what a call returns, and its seconds of processor time."""
    started = time.process_time()
    returned = call(*arguments)
    return returned, time.process_time() - started


def megabytes(model):
    """Size of a pickled model."""
    return len(pickle.dumps(model)) / 1e6


def top(residuals, fraction):
    """Mean of the largest residuals of each image."""
    residuals = residuals.reshape(len(residuals), -1)
    n_top = int(np.ceil(fraction * residuals.shape[1]))
    return np.sort(residuals, axis=1)[:, -n_top:].mean(axis=1)


def as_frame(levels, maps):
    """Name the columns of maps of levels, as the transformer does."""
    names, columns = [], []
    for level, some in zip(levels, maps, strict=True):
        grid = some.shape[1]
        names += [
            f"level{level}_grid{grid}_r{row}c{column}_{channel:04d}"
            for row in range(grid)
            for column in range(grid)
            for channel in range(some.shape[3])
        ]
        columns.append(some.reshape(len(some), -1))
    return pd.DataFrame(np.hstack(columns), columns=names)


def pooled(fold):
    """Fit the paper's Gaussian to each level; add their distances, too."""
    results = {}
    for level in range(1, N_LEVELS + 1):
        means = fold.features.means(fold.images, level).astype(np.float64)
        detector, fit = timed(MahalanobisDetector().fit, means[fold.train])
        scores, score = timed(detector.score_samples, means[fold.test])
        result = Result(-scores, fit, score, megabytes(detector))
        results[f"pooled level {level}"] = result
    parts = [(r.scores, r.fit, r.score, r.size) for r in results.values()]
    totals = (sum(values) for values in zip(*parts, strict=True))
    return {**results, "pooled sum of levels": Result(*totals)}


def cells(fold, levels, grid=7, network="lite0", fractions=TOP_FRACTIONS):
    """Fit one Gaussian to all cells, with the detector of the package."""
    X = as_frame(levels, [fold.maps(level, grid, network) for level in levels])
    train, test = X.iloc[fold.train], X.iloc[fold.test]
    detector, fit = timed(CellwiseMahalanobisDetector().fit, train)
    residuals, score = timed(detector.cell_residuals, test)
    costs = (fit, score, megabytes(detector))
    name = f"cells {describe_levels(levels)}"
    if grid != 7:
        name += f" {grid} x {grid}"
    if network != "lite0":
        name += f" {network}"
    results = {
        f"{name} top {fraction:g}": Result(top(residuals, fraction), *costs)
        for fraction in fractions
    }
    if len(fractions) > 1:
        scale = 1.0 if detector.scale_ is None else detector.scale_
        squared = detector._gaussian.mahalanobis(test.to_numpy() / scale)
        results[f"{name} distance"] = Result(np.sqrt(squared), *costs)
    return results


def describe_levels(levels):
    """Name levels: level 6, or levels 6+7."""
    return f"level{'s' * (len(levels) > 1)} {'+'.join(map(str, levels))}"


def prototype(fold, name, model, grid=7, before=None, after=None):
    """Fit a variation to maps of level 6, and score by the top 5 %."""
    maps = fold.maps(6, grid)
    maps = maps if before is None else before(maps)
    model, fit = timed(model().fit, maps[fold.train])
    residuals, score = timed(model.residuals, maps[fold.test])
    residuals = residuals if after is None else after(residuals)
    # Whitening is a function that cannot be pickled.
    return {f"{name} top 0.05": Result(top(residuals, 0.05), fit, score, np.nan)}


def few(fold):
    """Fit to few images, alone and with rotated and mirrored copies."""
    order = np.random.default_rng(fold.number).permutation(fold.train)[: N_FEW[-1]]
    normal = fold.images.only_normal()
    turned = [f"turn {number}" for number in range(1, N_TURNS + 1)]
    results = {}
    for name, level, grid in (("pooled level 7", 7, 1), ("cells level 6", 6, 7)):
        maps = fold.maps(level, grid)
        copies = [
            pooled_maps(fold.features, normal, level, grid, "lite0", change)[order]
            for change in turned
        ]
        test = maps[fold.test].reshape(len(fold.test), -1)
        for n_images in N_FEW:
            if n_images > len(order):
                continue
            alone = maps[order[:n_images]]
            with_copies = np.concatenate([alone, *(some[:n_images] for some in copies)])
            for label, train in (("", alone), (" and copies", with_copies)):
                detector = (
                    MahalanobisDetector()
                    if grid == 1
                    else CellwiseMahalanobisDetector(cells=grid**2)
                )
                _, fit = timed(detector.fit, train.reshape(len(train), -1))
                scores, score = timed(detector.score_samples, test)
                results[f"{n_images} images{label}, {name}"] = Result(
                    -scores, fit, score, megabytes(detector)
                )
    return results


def light(fold, network):
    """Take normal images changed as a whole for the anomalies."""
    maps = fold.maps(6, 7, network)
    model, fit = timed(CellwiseGaussian().fit, maps[fold.train])
    results = {}
    for change in ("darkened to 85 %", "darkened to 70 %", "veiled by 15 %"):
        changed = fold.maps(6, 7, network, change)
        tested = np.concatenate([maps[fold.held_out], changed[fold.held_out]])
        residuals, score = timed(model.residuals, tested)
        is_changed = np.repeat([False, True], len(fold.held_out))
        results[f"normal, {change}, {network}"] = Result(
            top(residuals, 0.05), fit, score, megabytes(model), is_changed
        )
    return results


def patch_neighbours(fold):
    """Measure each patch of level 6 by the nearest of 1 % of those of training."""
    maps = fold.maps(6)
    patches = maps[fold.train].reshape(-1, maps.shape[-1])
    chosen = np.random.default_rng(0).choice(len(patches), len(patches) // 100, False)
    detector, fit = timed(NearestNeighborDetector(1).fit, patches[chosen])
    tested = maps[fold.test]
    scores, score = timed(detector.score_samples, tested.reshape(-1, tested.shape[-1]))
    distances = -scores.reshape(len(tested), -1)
    return {
        f"k-NN on patches of level 6 {name}": Result(
            top(distances, fraction), fit, score, megabytes(detector)
        )
        for name, fraction in (("maximum", 1e-9), ("top 0.05", 0.05))
    }


class Peers:
    """anomalib's methods, on the same images, in their own interpreter.

    Parameters
    ----------
    environment : path-like
        Of the interpreter; made if there is none.
    folder : Path
        In which maps are kept, and what the interpreters exchange.
    """

    def __init__(self, environment, folder):
        # glibc's heap would grow by 28 MB with each patch that PatchCore chooses.
        os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**20))
        self._process = Process("_accuracy_peers.py", prepare_peers(environment))
        self._folder = folder.absolute() / "peer_maps"
        self._folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._process.__exit__(*exception)

    def fit(self, fold, method):
        """Fit a method to a fold, and score."""
        folder = self._folder / fold.images.name
        if not folder.exists():
            self._extract(fold, folder)
        scores = self._folder / f"scores-{os.getpid()}.npy"
        costs = self._process.ask(
            "fit",
            method=method,
            folder=str(folder),
            train=fold.train.tolist(),
            test=fold.test.tolist(),
            scores=str(scores),
        )
        costs.pop("peak")
        found = np.load(scores)
        scores.unlink()
        return {method: Result(found, **costs)}

    def _extract(self, fold, folder):
        """Have the peers' extractor compute its maps of the resized images."""
        partial_folder = folder.with_suffix(".part")
        partial_folder.mkdir(exist_ok=True)
        weights, pixels = self._folder / "weights.pth", partial_folder / "pixels.npy"
        save_weights(weights)
        np.save(pixels, fold.features.pixels(fold.images))
        self._process.ask(
            "extract",
            pixels=str(pixels),
            weights=str(weights),
            folder=str(partial_folder),
        )
        partial_folder.rename(folder)


def _list_families():
    """Families of methods that are fitted at once, by their names."""
    families = {"pooled": pooled}
    for levels in ((5,), (6,), (7,), (8,), (6, 7), (5, 6, 7)):
        # Level 7 has 7 x 7 positions.
        for grid in (4, 7, 14) if max(levels) <= 6 else (4, 7):
            name = f"cells {describe_levels(levels)} grid {grid}"
            families[name] = partial(cells, levels=levels, grid=grid)
    for network in ("standardized", "bfloat16", "320 px", "lite1", "lite2"):
        families[f"cells {network}"] = partial(
            cells, levels=(6,), network=network, fractions=(0.05,)
        )
    tried = {
        "a Gaussian for each of 7 x 7 cells of level 6": {"model": PositionGaussians},
        "a Gaussian for each of 14 x 14 positions of level 6 after 3 x 3 averaging": {
            "model": PositionGaussians,
            "grid": 14,
            "before": smooth,
        },
        "geometric mean of joint and own": {"model": GeometricMean},
        "geometric mean of joint (3/4) and own (1/4)": {
            "model": partial(GeometricMean, 0.25)
        },
        "3 x 3 smoothing of residuals": {"model": CellwiseGaussian, "after": smooth},
        "residuals over their mean left out": {"model": OverLeftOut},
        **{
            f"whitened by {whitening}": {"model": partial(WhitenedGaussian, whitening)}
            for whitening in ("cell", "channels", "scale", "features")
        },
    }
    for name, options in tried.items():
        families[name] = partial(prototype, name=name, **options)
    families["few images"] = few
    for network in ("lite0", "standardized"):
        families[f"light {network}"] = partial(light, network=network)
    families["neighbours"] = patch_neighbours
    return families


FAMILIES = _list_families()
