"""Random splits of normal samples, and the false-alarm rate of each rule in them."""

import time
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from sklearn.covariance import LedoitWolf
from tqdm import tqdm

from skgaussad import (
    CellwiseMahalanobisDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
)
from skgaussad.calibration._held_out import HeldOutDistances
from skgaussad.calibration._parametric_thresholds import chi2_threshold
from skgaussad.calibration._tail import GeneralizedParetoTail
from skgaussad.covariance import Gaussian, leave_out
from skgaussad.datasets import load_solar_cells

# One to three standard deviations of a normal distribution, 1 in 10, 1 in 100 and 1 in
# 1000.
TARGETS = (0.317, 0.1, 0.046, 0.01, 0.003, 0.001)
# The last one is for the fitted tail alone.
LEAVE_ONE_OUT_TARGETS = TARGETS[:-1]
TAIL_TARGETS = TARGETS[-2:]
# None of the numbers of training samples promises less than 1 % with 95 % confidence.
BOUND_TARGETS = TARGETS[:4]
CONFIDENCE = 0.95
RULES = ("leave-one-out", "95 % confidence", "tail", "chi-square", "training scores")

CELL_TYPES = ("mono", "poly")
# Columns of tf_efficientnet_lite0's levels, which the synthetic samples have too.
LEVEL_WIDTHS = (32, 16, 24, 40, 80, 112, 192, 320, 1280)
GRID = 4
CELLWISE_GRID = 7
# Degrees of freedom of the heavy-tailed samples.
T_DOF = 5


@dataclass(frozen=True)
class Setting:
    """Which features a detector is fitted to, and which detector.

    Attributes
    ----------
    name : str
    widths : tuple of int
        Numbers of columns of its blocks.
    kind : {"joint", "sum", "cellwise"}
        Whether all columns get one Gaussian, or each block gets one and the distances
        are added, or all columns get one and each block a residual.
    n_test : int
        Number of synthetic samples to test on.
    """

    name: str
    widths: tuple
    kind: str
    n_test: int

    def make_detector(self):
        """Make the detector, not fitted."""
        if self.kind == "joint":
            return MahalanobisDetector()
        if self.kind == "cellwise":
            return CellwiseMahalanobisDetector(cells=len(self.widths))
        stops = np.cumsum(self.widths)
        columns = {
            str(number): slice(stop - width, stop)
            for number, (width, stop) in enumerate(
                zip(self.widths, stops, strict=True), start=1
            )
        }
        return LevelEnsemble(columns=columns)


# The wider the rows the fewer, so that no setting takes most of the time. Their rate is
# still known better than it varies between training sets.
SETTINGS = (
    Setting("level 7", LEVEL_WIDTHS[6:7], "joint", 20_000),
    Setting("sum of levels", LEVEL_WIDTHS, "sum", 5_000),
    Setting("4 x 4 grid", LEVEL_WIDTHS[6:7] * GRID**2, "joint", 4_000),
    Setting("sum of 4 x 4 cells", LEVEL_WIDTHS[6:7] * GRID**2, "sum", 4_000),
    Setting("7 x 7 cellwise", LEVEL_WIDTHS[5:6] * CELLWISE_GRID**2, "cellwise", 2_000),
)


@dataclass(frozen=True)
class NormalImages:
    """Normal images of one kind; those not drawn for training are the test set.

    Attributes
    ----------
    name : str
    features : dict of {str: ndarray of shape (n_images, n_features)}
        By name of the setting.
    """

    name: str
    features: dict

    def rows(self, setting, rng, n_train):
        """All rows in random order."""
        features = self.features[setting.name]
        return features[rng.permutation(len(features))]


@dataclass(frozen=True)
class SyntheticNormals:
    """Normal samples of a known distribution, new ones in each split.

    The variance of a block's k-th column is 1 / k.

    Attributes
    ----------
    name : str
    n_dof : int or None
        Degrees of freedom of a multivariate t distribution, None for a Gaussian.
    n_test : int or None, default=None
        Number of samples to test on, None for the setting's.
    """

    name: str
    n_dof: int | None
    n_test: int | None = None

    def rows(self, setting, rng, n_train):
        """Rows to train on, at most `n_train`, and to test on."""
        n_samples = n_train + (self.n_test or setting.n_test)
        scales = np.concatenate(
            [np.arange(1, width + 1) ** -0.5 for width in setting.widths]
        )
        rows = rng.standard_normal((n_samples, len(scales))) * scales
        if self.n_dof is not None:
            radii = np.sqrt(rng.chisquare(self.n_dof, n_samples) / self.n_dof)
            rows /= radii[:, np.newaxis]
        return rows


def make_synthetic(n_test=None):
    """Make the two sources of synthetic samples."""
    return [
        SyntheticNormals("Gaussian", None, n_test),
        SyntheticNormals("heavy-tailed", T_DOF, n_test),
    ]


def extract_solar_cells(n_images=None, image_size=None, verbose=True):
    """Features of the solar cells, one entry for each cell type.

    Parameters
    ----------
    n_images : int or None, default=None
        Take only so many functional cells of each type, and a quarter as many defective
        ones.
    image_size : int or None, default=None
        None takes the network's own.
    verbose : bool, default=True
        Whether to show progress bars.

    Returns
    -------
    features : dict of {str: dict of {str: ndarray}}
        By cell type, then by name of the setting.
    labels : dict of {str: ndarray}
        By cell type: +1 for functional cells, -1 for defective ones.
    modules : dict of {str: ndarray}
        By cell type: the solar module of each cell.
    """
    cells = {}
    data = load_solar_cells()
    for kind in CELL_TYPES:
        rows = np.flatnonzero(data.cell_types == kind)
        functional, defective = (rows[data.labels[rows] == label] for label in (1, -1))
        n_defective = None if n_images is None else n_images // 4
        cells[kind] = np.concatenate([functional[:n_images], defective[:n_defective]])
    order = np.concatenate(list(cells.values()))

    def transform(levels, pooling):
        transformer = DeepFeatureTransformer(
            "tf_efficientnet_lite0",
            levels=levels,
            pooling=pooling,
            image_size=image_size,
            interpolation="bilinear",
            verbose=verbose,
        )
        features = transformer.fit_transform(data.paths[order])
        return features, transformer.level_slices_

    by_level, slices = transform("all", "average")
    by_cell, _ = transform(7, GRID)
    cellwise, _ = transform(6, CELLWISE_GRID)
    matrices = (by_level[:, slices[7]], by_level, by_cell, by_cell, cellwise)
    features, labels, modules, start = {}, {}, {}, 0
    for kind, rows in cells.items():
        part = slice(start, start + len(rows))
        features[kind] = {
            setting.name: matrix[part]
            for setting, matrix in zip(SETTINGS, matrices, strict=True)
        }
        labels[kind], modules[kind] = data.labels[rows], data.modules[rows]
        start = part.stop
    return features, labels, modules


def thresholds(detector, training_distances):
    """Thresholds of every rule at every target, from one fitted detector.

    Parameters
    ----------
    detector : MahalanobisDetector, LevelEnsemble or CellwiseMahalanobisDetector
        Fitted; with any `fpr` and the default threshold.
    training_distances : ndarray of shape (n_samples,)
        Distances of the training samples to the Gaussians that they are part of.

    Returns
    -------
    thresholds : ndarray of shape (n_rules, n_targets)
        Not squared, in the order of `RULES` and `TARGETS`. NaN where a rule has none:
        no chi-square distribution is known for sums and residuals. Where the samples
        are too few for a rate, leave-one-out's is the largest distance.
    """
    distances = detector.calibration_distances_
    held_out = HeldOutDistances(distances)
    tail = GeneralizedParetoTail.fit(distances)
    with_tail = HeldOutDistances(distances, tail=tail)
    n_dof = getattr(detector, "n_dof_", None)
    rules = (
        held_out.threshold,
        lambda target: held_out.threshold(target, CONFIDENCE),
        with_tail.threshold,
        lambda target: np.nan if n_dof is None else chi2_threshold(target, n_dof),
        lambda target: np.quantile(training_distances, 1 - target),
    )
    return np.array([[rule(target) for target in TARGETS] for rule in rules])


def rates(detector, train, test):
    """Share of the test samples beyond each threshold.

    Returns
    -------
    rates : ndarray of shape (n_rules, n_targets)
        NaN where a rule has no threshold.
    """
    limits = thresholds(detector, -detector.score_samples(train))
    distances = -detector.score_samples(test)
    above = (distances[:, np.newaxis, np.newaxis] > limits).mean(axis=0)
    return np.where(np.isnan(limits), np.nan, above)


@dataclass(frozen=True)
class Measurement:
    """Rates of all rules for one source, setting and number of training samples.

    Attributes
    ----------
    source, setting : str
    n_train, n_test : int
    rates : ndarray of shape (n_splits, n_rules, n_targets)
    """

    source: str
    setting: str
    n_train: int
    n_test: int
    rates: np.ndarray

    def of(self, rule, target):
        """Rates of a rule at a target, one a split."""
        return self.rates[:, RULES.index(rule), TARGETS.index(target)]


def _measure_split(source, setting, sizes, seed):
    """Rates for each training size, and the number of test samples."""
    rng = np.random.default_rng(seed)
    rows = source.rows(setting, rng, max(sizes))
    return [
        (
            rates(setting.make_detector().fit(rows[:n]), rows[:n], rows[n:]),
            len(rows) - n,
        )
        for n in sizes
    ]


def measure(sources, sizes, n_splits, seed=0, n_jobs=None, verbose=True):
    """Measure the rates of all rules over random splits.

    Parameters
    ----------
    sources : list of NormalImages or SyntheticNormals
    sizes : sequence of int
        Numbers of training samples. Of images, those are left out that leave less than
        a fifth of the images to test on.
    n_splits : int
    seed : int, default=0
    n_jobs : int or None, default=None
        Processes, as in joblib.
    verbose : bool, default=True
        Whether to show a progress bar.

    Returns
    -------
    measurements : list of Measurement
    """
    plan = []
    for source in sources:
        possible = sizes
        if isinstance(source, NormalImages):
            n_images = len(next(iter(source.features.values())))
            possible = [n for n in sizes if 5 * (n_images - n) >= n_images]
        plan += [(source, setting, possible) for setting in SETTINGS if possible]
    tasks = (
        delayed(_measure_split)(source, setting, possible, [seed, number, split])
        for number, (source, setting, possible) in enumerate(plan)
        for split in range(n_splits)
    )
    found = iter(
        tqdm(
            Parallel(n_jobs=n_jobs, return_as="generator")(tasks),
            total=len(plan) * n_splits,
            desc="splits",
            disable=not verbose,
        )
    )
    measurements = []
    for source, setting, possible in plan:
        splits = [next(found) for _ in range(n_splits)]
        for number, n_train in enumerate(possible):
            of_size = np.array([split[number][0] for split in splits])
            n_test = splits[0][number][1]
            measurements.append(
                Measurement(source.name, setting.name, n_train, n_test, of_size)
            )
    return measurements


def measure_cost(n_samples, n_features, repeats, seed=0):
    """Time a fit, the leave-one-out distances after it, and scikit-learn's fit.

    Parameters
    ----------
    n_samples, n_features : int
    repeats : int
        The median of so many is taken, and the three are timed in turn.

    Returns
    -------
    seconds : dict of {str: float}
        ``"fit"``, ``"leave-one-out"`` (after the fit), ``"scikit-learn"``.
    """
    X = np.random.default_rng(seed).standard_normal((n_samples, n_features))
    X *= np.arange(1, n_features + 1) ** -0.5
    taken = {"fit": [], "leave-one-out": [], "scikit-learn": []}
    for _ in range(repeats):
        start = time.perf_counter()
        gaussian, row_vectors = Gaussian.fit(X, "ledoit_wolf")
        fitted = time.perf_counter()
        leave_out(gaussian, X, row_vectors=row_vectors)
        left_out = time.perf_counter()
        LedoitWolf().fit(X)
        taken["fit"].append(fitted - start)
        taken["leave-one-out"].append(left_out - fitted)
        taken["scikit-learn"].append(time.perf_counter() - left_out)
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}
