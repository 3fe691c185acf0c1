"""Distances of images, with what a detector makes of them, for the displays."""

import numpy as np
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from .._utils.labels import check_labels
from .._utils.validation import check_real
from ..detectors import find_decider


def ask_for_distances(estimator, X):
    """Ask a detector for distances and its working point.

    Parameters
    ----------
    estimator : outlier detector, Pipeline, or meta-estimator around one
        Fitted, with ``score_samples``.
    X : array-like of shape (n_samples, n_features), or sequence of images

    Returns
    -------
    distances : ndarray of shape (n_samples,)
        Minus the scores.
    threshold : float or None
        On the distance; None where none is set.
    fpr : float or None
        Rate that it was set for; None where none was named.
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
            f"{type(estimator).__name__} has no score_samples, so it has no distances "
            "to draw. Take an outlier detector, or a pipeline that ends in one."
        )
    distances = -np.asarray(estimator.score_samples(X), dtype=np.float64)
    part = find_decider(estimator)
    if getattr(part, "offset_", None) is None:
        return distances, None, None, type(estimator).__name__
    return (
        distances,
        -float(part.offset_),
        getattr(part, "fpr", None),
        type(part).__name__,
    )


def check_distances(name, distances):
    """Raise unless there is a distance and all are finite.

    Parameters
    ----------
    name : str
        Of the parameter, for the message.
    distances : array-like of shape (n_samples,)

    Returns
    -------
    distances : ndarray of shape (n_samples,)
        As float64.

    Raises
    ------
    ValueError
        If they are not what they should be.
    """
    distances = column_or_1d(np.asarray(distances, dtype=np.float64))
    if len(distances) == 0 or not np.isfinite(distances).all():
        raise ValueError(f"{name} must hold finite distances, and at least one.")
    return distances


def check_both_kinds(y, n_samples):
    """Raise unless there are good and anomalous samples.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        +1 for good samples, -1 for anomalous ones.
    n_samples : int

    Returns
    -------
    is_anomalous : ndarray of shape (n_samples,), dtype bool

    Raises
    ------
    ValueError
        If `y` holds other labels, or one of the two only, or is of another length.
    """
    is_anomalous = check_labels("y", y) == -1
    check_consistent_length(np.empty(n_samples), is_anomalous)
    if is_anomalous.all() or not is_anomalous.any():
        raise ValueError(
            "y must hold good samples (+1) and anomalous ones (-1); all "
            f"{n_samples} labels are {-1 if is_anomalous.all() else 1}."
        )
    return is_anomalous


def check_working_point(threshold, fpr):
    """Raise unless a threshold and a rate may be drawn.

    Parameters
    ----------
    threshold : float or None
        Finite.
    fpr : float or None
        In (0, 1).

    Raises
    ------
    ValueError
        If one of them is out of its range.
    """
    if threshold is not None:
        check_real("threshold", threshold, -np.inf, np.inf)
    if fpr is not None:
        check_real("fpr", fpr, 0, 1)


def percent(share):
    """Write a share that was counted.

    Parameters
    ----------
    share : float

    Returns
    -------
    text : str
    """
    return f"{100 * share:.1f} %"
