"""False-alarm rates of detectors that are fitted again by folds."""

from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.svm import OneClassSVM
from tqdm import tqdm

from skgaussad import ConformalDetector, MahalanobisDetector, NegatedPCA

FOLD_TARGETS = (0.05, 0.1)
SIZES = (100, 200, 300)
INNER = {
    "NegatedPCA(0.01)": make_pipeline(NegatedPCA(0.01), MahalanobisDetector()),
    "NegatedPCA(20)": make_pipeline(NegatedPCA(20), MahalanobisDetector()),
    "PCA(0.99)": make_pipeline(PCA(0.99), MahalanobisDetector()),
    "OneClassSVM": OneClassSVM(nu=0.1),
    "LOF": LocalOutlierFactor(novelty=True),
}
# CV+, and the distances by the detector of all samples, ranked among held-out ones.
WAYS = ("CV+", "by all")
_N_NEW = 1_000
_N_FEATURES = 192


@dataclass(frozen=True)
class FoldMeasurement:
    """Rates and AUROC of one detector on one source and size.

    Attributes
    ----------
    name : str
    rates : ndarray of shape (n_splits, n_ways, n_targets)
    aurocs : ndarray of shape (n_splits, n_ways)
    """

    name: str
    rates: np.ndarray
    aurocs: np.ndarray


def _draw(source, n_train, rng):
    """Draw training samples, other normal ones and anomalies."""
    if source is None:
        scales = np.arange(1, _N_FEATURES + 1) ** -0.5
        rows = rng.normal(size=(n_train + 2 * _N_NEW, _N_FEATURES)) * scales
        train, new, anomalous = np.split(rows, [n_train, n_train + _N_NEW])
        return train, new, 1.3 * anomalous
    normal, anomalous = source
    order = rng.permutation(len(normal))
    return normal[order[:n_train]], normal[order[n_train:]], anomalous


def _measure(source, inner, n_train, seed):
    train, new, anomalous = _draw(source, n_train, np.random.default_rng(seed))
    detector = ConformalDetector(clone(inner)).fit(train)
    labels = np.repeat([1, -1], [len(new), len(anomalous)])
    rates = np.empty((len(WAYS), len(FOLD_TARGETS)))
    aurocs = np.empty(len(WAYS))
    for way, scoring in enumerate((detector, detector.estimator_)):
        scores = scoring.score_samples(np.vstack([new, anomalous]))
        aurocs[way] = roc_auc_score(labels == 1, scores)
        for at, target in enumerate(FOLD_TARGETS):
            threshold = detector._held_out.threshold(target)
            rates[way, at] = np.mean(-scores[: len(new)] > threshold)
    return rates, aurocs


def measure_folds(cells, sizes, n_splits, seed=0, n_jobs=None, verbose=True):
    """Measure rates over random splits.

    Parameters
    ----------
    cells : dict of {str: tuple of (ndarray, ndarray)}
        Level 7 of normal and of defective cells, by cell type.
    sizes : sequence of int
    n_splits, seed, n_jobs, verbose
        As for `measure`.

    Returns
    -------
    measurements : list of FoldMeasurement
    """
    plan = [
        (f"{kind}, n = {n_train}, {name}", (source, inner, n_train))
        for kind, source in {**cells, "Gaussian": None}.items()
        for n_train in sizes
        for name, inner in INNER.items()
    ]
    tasks = (
        delayed(_measure)(*task, [seed, number, split])
        for number, (_, task) in enumerate(plan)
        for split in range(n_splits)
    )
    found = iter(
        tqdm(
            Parallel(n_jobs=n_jobs, return_as="generator")(tasks),
            total=len(plan) * n_splits,
            desc="folds",
            disable=not verbose,
        )
    )
    measurements = []
    for name, _ in plan:
        rates, aurocs = zip(*(next(found) for _ in range(n_splits)), strict=True)
        measurements.append(FoldMeasurement(name, np.array(rates), np.array(aurocs)))
    return measurements
