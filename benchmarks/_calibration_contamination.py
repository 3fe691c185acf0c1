"""Defective images among the training images: what a robust fit keeps of the AUROC."""

import warnings

import numpy as np
from sklearn.metrics import roc_auc_score

from skgaussad import MahalanobisDetector, RobustDetector
from skgaussad.exceptions import FalseAlarmRateWarning

FRACTIONS = (0.0, 0.05, 0.1, 0.2)
FITS = ("clean", "all", "robust", "rechecked")
FPR = 0.05


def measure_contamination(features, labels, fractions, n_splits, seed):
    """Fit with defective images among the training images, over several splits.

    Three fifths of the normal images are for training, with so many defective ones
    added that these are a given fraction of all. The others, normal and defective, are
    for testing.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features)
    labels : ndarray of shape (n_images,)
        +1 for normal, -1 for defective images.
    fractions : sequence of float
    n_splits, seed : int

    Returns
    -------
    figures : dict of {float: dict of {str: ndarray of shape (n_splits, 2)}}
        AUROC and false-positive rate at a target of 5 %, by fraction and fit: to the
        normal images only, to all, robust to all, and to all but those suspects that
        are defective.
    """
    normal, defective = (np.flatnonzero(labels == label) for label in (1, -1))
    n_normal = int(0.6 * len(normal))
    figures = {}
    for fraction in fractions:
        rng = np.random.default_rng(seed)
        n_defective = round(fraction / (1 - fraction) * n_normal)
        rows = {name: [] for name in FITS}
        for _ in range(n_splits):
            good, bad = rng.permutation(normal), rng.permutation(defective)
            train = np.concatenate([good[:n_normal], bad[:n_defective]])
            test = np.concatenate([good[n_normal:], bad[n_defective:]])
            for name, detector in _fit(features[train], labels[train]).items():
                scores = detector.score_samples(features[test])
                flagged = scores[labels[test] == 1] < detector.offset_
                auroc = roc_auc_score(labels[test] == 1, scores)
                rows[name].append((auroc, flagged.mean()))
        figures[fraction] = {name: np.array(values) for name, values in rows.items()}
    return figures


def _fit(X, labels):
    with warnings.catch_warnings():
        # With --quick there are too few images for the rate.
        warnings.simplefilter("ignore", FalseAlarmRateWarning)
        robust = RobustDetector(fpr=FPR).fit(X)
        confirmed = ~robust.support_ & (labels == -1)
        fits = {
            "clean": MahalanobisDetector(fpr=FPR).fit(X[labels == 1]),
            "all": MahalanobisDetector(fpr=FPR).fit(X),
            "robust": robust,
            "rechecked": MahalanobisDetector(fpr=FPR).fit(X[~confirmed]),
        }
    return fits
