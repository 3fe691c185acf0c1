"""False-alarm rates in new lots: simulated ones, and modules of solar cells."""

import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from skgaussad import CellwiseMahalanobisDetector, MahalanobisDetector
from skgaussad.exceptions import FalseAlarmRateWarning

# K lots promise 2 / (K + 1) and more: 0.34, 0.19 and 0.065 for those below.
N_LOTS = (5, 10, 30)
# Standard deviations of the means of lots, in those of samples, in each column.
EFFECTS = (0.0, 0.3, 1.0, 3.0)
SIZES = ("equal", "unequal")
LOT_TARGETS = (0.35, 0.2, 0.1, 0.05)
CONFIDENCE = 0.95
# Rates between which the threshold must not rise.
_GRID = np.geomspace(0.001, 0.9, 100)
_N_FEATURES = 20
_N_IN_LOT = 20
_N_NEW_LOTS = 300
# Good images of a new lot that enter the fit.
N_ADDED = (0, 5, 10, 20)
_FEWEST_LEFT = 5
# One to measure in, and two to leave out one of.
_FEWEST_MODULES = 3
RULES = ("by lot", "by sample")


@dataclass(frozen=True)
class LotMeasurement:
    """What became of the rates in new lots, over training sets.

    Attributes
    ----------
    name : str
    n_lots : int
        Number of training lots.
    rates : ndarray of shape (n_training_sets, n_rules, n_targets)
        In the order of `RULES` and `LOT_TARGETS`.
    bounds : ndarray of shape (n_training_sets, n_targets)
        Upper bounds on the rates by lot.
    is_promised : ndarray of shape (n_targets,)
        Whether so many lots keep the promise of a rate.
    n_rising : int
        Training sets in which a higher rate has a higher threshold.
    """

    name: str
    n_lots: int
    rates: np.ndarray
    bounds: np.ndarray
    is_promised: np.ndarray
    n_rising: int


def draw_lots(rng, n_lots, sizes, effect):
    """Draw samples of lots with a mean each, in random order, and their lots."""
    lots = np.repeat(np.arange(n_lots), sizes)
    means = effect * rng.normal(size=(n_lots, _N_FEATURES))
    order = rng.permutation(len(lots))
    return (rng.normal(size=(len(lots), _N_FEATURES)) + means[lots])[order], lots[order]


def _measure(make, train, lots, new, new_lots):
    """Rates in new lots, each counting alike, and what was promised."""
    sizes = np.bincount(new_lots)
    weights = (1 / np.maximum(sizes, 1) / np.count_nonzero(sizes))[new_lots]
    rates = np.empty((len(RULES), len(LOT_TARGETS)))
    bounds, promised = np.empty((2, len(LOT_TARGETS)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FalseAlarmRateWarning)
        for rule, groups in enumerate((lots, None)):
            detector = make().fit(train, groups=groups)
            distances = -detector.score_samples(new)
            held_out = detector._held_out
            for number, target in enumerate(LOT_TARGETS):
                threshold = held_out.threshold(target)
                rates[rule, number] = weights @ (distances > threshold)
                if groups is not None:
                    detector.offset_ = -threshold
                    bounds[number] = detector.fpr_bound(CONFIDENCE)
                    promised[number] = held_out.supports(target)
            if groups is not None:
                thresholds = [held_out.threshold(rate) for rate in _GRID]
    return rates, bounds, promised, np.any(np.diff(thresholds) > 0)


def _simulate(n_lots, effect, sizes, seed):
    rng = np.random.default_rng(seed)
    n_in_lot = np.full(n_lots, _N_IN_LOT)
    if sizes == "unequal":
        n_in_lot = rng.integers(2, 3 * _N_IN_LOT, n_lots)
    train, lots = draw_lots(rng, n_lots, n_in_lot, effect)
    new, new_lots = draw_lots(rng, _N_NEW_LOTS, _N_IN_LOT, effect)
    return _measure(MahalanobisDetector, train, lots, new, new_lots)


def _split_modules(make, features, modules, n_lots, seed):
    """Fit to some modules at random, and measure in all others."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.unique(modules))
    trained = np.isin(modules, names[:n_lots])
    order = rng.permutation(np.flatnonzero(trained))
    numbers = np.unique(modules[~trained], return_inverse=True)[1]
    return _measure(make, features[order], modules[order], features[~trained], numbers)


def measure_lots(cells, n_sets, seed=0, n_jobs=None, verbose=True):
    """Measure rates in new lots.

    Parameters
    ----------
    cells : dict of {str: tuple of (dict of {str: ndarray}, ndarray)}
        By cell type: features of normal cells by name of the setting, ``"level 7"`` and
        ``"7 x 7 cellwise"``, and their modules.
    n_sets : int
        Number of training sets.
    seed, n_jobs, verbose
        As for `measure`.

    Returns
    -------
    measurements : list of LotMeasurement
    """
    plan = []
    for number, n_lots in enumerate(N_LOTS):
        for effect in EFFECTS:
            for sizes in SIZES:
                name = f"simulated, effect {effect:g}, {sizes}"
                key = [seed, number, int(10 * effect), SIZES.index(sizes)]
                plan.append((name, n_lots, (_simulate, n_lots, effect, sizes), key))
    for number, (kind, (features, modules)) in enumerate(cells.items()):
        n_modules = len(np.unique(modules))
        makers = {
            "level 7": MahalanobisDetector,
            "7 x 7 cellwise": partial(CellwiseMahalanobisDetector, cells=49),
        }
        for setting, make in makers.items():
            for n_lots in (n for n in (5, 10, 20) if n < 0.8 * n_modules):
                task = _split_modules, make, features[setting], modules, n_lots
                key = [seed, 9, number, n_lots]
                plan.append((f"{kind}, {setting}", n_lots, task, key))
    tasks = (
        delayed(task[0])(*task[1:], [*key, number])
        for *_, task, key in plan
        for number in range(n_sets)
    )
    found = iter(
        tqdm(
            Parallel(n_jobs=n_jobs, return_as="generator")(tasks),
            total=len(plan) * n_sets,
            desc="training sets",
            disable=not verbose,
        )
    )
    measurements = []
    for name, n_lots, *_ in plan:
        rates, bounds, promised, rising = map(
            np.array, zip(*(next(found) for _ in range(n_sets)), strict=True)
        )
        measurements.append(
            LotMeasurement(
                name, n_lots, rates, bounds, promised[0].astype(bool), int(rising.sum())
            )
        )
    return measurements


def measure_added(features, labels, modules, n_added, seed=0, fpr=0.05):
    """Measure in a module of which some good cells were in the fit, for each module.

    Parameters
    ----------
    features : ndarray of shape (n_cells, n_features)
        Cellwise, of functional and defective cells.
    labels, modules : ndarray of shape (n_cells,)
    n_added : int
        Number of good cells of the module that are fitted to, beside all other modules.
    seed : int, default=0
    fpr : float, default=0.05

    Returns
    -------
    figures : ndarray of shape (n_modules, n_rules, 2)
        False alarms among the good cells left, and defects of the module found, in the
        order of `RULES`; NaN for a module without defects. Modules are left out that
        would have fewer than five good cells left, and all where there are fewer than
        three.
    """
    figures = []
    if len(np.unique(modules[labels == 1])) < _FEWEST_MODULES:
        return np.empty((0, len(RULES), 2))
    for module in np.unique(modules):
        rng = np.random.default_rng([seed, module])
        own = modules == module
        good = rng.permutation(np.flatnonzero(own & (labels == 1)))
        bad = np.flatnonzero(own & (labels == -1))
        if len(good) < max(N_ADDED) + _FEWEST_LEFT:
            continue
        # The same cells are scored whatever number is added.
        good, added = good[max(N_ADDED) :], good[:n_added]
        train = np.concatenate([np.flatnonzero(~own & (labels == 1)), added])
        train = rng.permutation(train)
        found = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FalseAlarmRateWarning)
            for groups in (modules[train], None):
                detector = CellwiseMahalanobisDetector(cells=49, fpr=fpr)
                detector.fit(features[train], groups=groups)
                flagged = detector.predict(features[[*good, *bad]]) == -1
                of_good, of_bad = flagged[: len(good)], flagged[len(good) :]
                found.append((of_good.mean(), of_bad.mean() if len(bad) else np.nan))
        figures.append(found)
    return np.array(figures)
