"""Scores of samples and the threshold on them, as the displays take them."""

import numpy as np
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from .._utils.labels import check_labels
from .._utils.validation import check_real
from ..detectors import find_decider, find_threshold


def ask_for_scores(estimator, X):
    """Ask a detector for scores and its threshold.

    Parameters
    ----------
    estimator : outlier detector, Pipeline, or meta-estimator around one
        Fitted, with ``score_samples``.
    X : array-like of shape (n_samples, n_features), or sequence of images

    Returns
    -------
    y_score : ndarray of shape (n_samples,)
        Higher is more normal.
    offset : float or None
        Threshold on the score; None where the detector has none.
    fpr : float or None
        False-positive rate that it was set for, if the detector has one.
    name : str
        Class of the detector that has the threshold.

    Raises
    ------
    TypeError
        If the detector has no scores.
    """
    check_is_fitted(estimator)
    if not hasattr(estimator, "score_samples"):
        raise TypeError(
            f"{type(estimator).__name__} has no score_samples. Take an outlier "
            "detector that has, or a pipeline that ends in one."
        )
    y_score = np.asarray(estimator.score_samples(X), dtype=np.float64)
    threshold, part = find_threshold(estimator), find_decider(estimator)
    if threshold is None:
        return y_score, None, None, type(estimator).__name__
    return y_score, -threshold, getattr(part, "fpr", None), type(part).__name__


def check_scores(name, scores):
    """Return `scores` as float64, or raise unless there is one and all are finite."""
    scores = column_or_1d(np.asarray(scores, dtype=np.float64))
    if len(scores) == 0 or not np.isfinite(scores).all():
        raise ValueError(f"{name} must hold finite scores, and at least one.")
    return scores


def check_both_kinds(name, labels, n_samples):
    """Return which samples are anomalous, or raise unless both kinds occur."""
    is_anomalous = check_labels(name, labels) == -1
    check_consistent_length(np.empty(n_samples), is_anomalous)
    if is_anomalous.all() or not is_anomalous.any():
        raise ValueError(
            f"{name} must hold normal samples (+1) and anomalous ones (-1); all "
            f"{n_samples} labels are {-1 if is_anomalous.all() else 1}."
        )
    return is_anomalous


def check_threshold(offset, fpr):
    """Raise unless `offset` is finite and `fpr` in (0, 1), where they are given."""
    if offset is not None:
        check_real("offset", offset, -np.inf, np.inf)
    if fpr is not None:
        check_real("fpr", fpr, 0, 1)


def percent(fraction):
    """Write a measured fraction in percent."""
    return f"{100 * fraction:.1f} %"
