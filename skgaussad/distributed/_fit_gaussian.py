"""A Gaussian fitted to features that remain on the workers."""

from functools import reduce

import numpy as np
from sklearn.utils.validation import validate_data

from ..covariance import DIAGONAL_COVARIANCES, Gaussian, Moments
from ._workers import require_features

# Moments that a worker has at a time, of n_features x n_features each.
_FAN_IN = 4
# Tasks that free moments go before those that make some.
_MAKES, _USES = 1, 2


def moments_of(features, diagonal):
    """Take the moments of a partition."""
    features = np.asarray(require_features(features), dtype=np.float64)
    return Moments.of(features, diagonal=diagonal)


def merge(moments):
    """Merge moments of several partitions."""
    return reduce(Moments.merge, moments)


def decompose(moments, covariance, shrinkage):
    """Make the Gaussian of the moments of all partitions, with its axes."""
    gaussian = Gaussian.from_moments(moments, covariance, shrinkage)
    # Computed before it is copied to the workers.
    _ = gaussian.spectrum
    return gaussian


def measure_left_out(measure, gaussian, features):
    """Measure the samples of a partition without each of them."""
    features = np.asarray(require_features(features), dtype=np.float64)
    return measure(gaussian, features, are_all=False)


def fit_detector(detector, tasks, features, names):
    """Fit a detector to features on workers.

    The workers take the moments of each partition, merge them as a tree, and measure
    the leave-one-out distances in a second pass. This process receives the merged
    moments and a number for each image, or for each of its cells.

    Parameters
    ----------
    detector : MahalanobisDetector or CellwiseMahalanobisDetector
        Fitted in place.
    tasks : Tasks
    features : list of dask.distributed.Future
        Of partitions, in order.
    names : array or data frame of shape (1, n_features)
        A row with the names of the features, if they have some.
    """
    diagonal = detector.covariance in DIAGONAL_COVARIANCES
    moments = [
        tasks.submit("skgaussad-moments", moments_of, part, diagonal, priority=_MAKES)
        for part in features
    ]
    while len(moments) > 1:
        merged = [
            tasks.submit(
                "skgaussad-merge", merge, moments[i : i + _FAN_IN], priority=_USES
            )
            for i in range(0, len(moments), _FAN_IN)
        ]
        tasks.drop(moments)
        moments = merged
    gaussian = tasks.submit(
        "skgaussad-decompose",
        decompose,
        moments[0],
        detector.covariance,
        detector._shrinkage,
    )
    validate_data(detector, names, dtype=np.float64)
    _, learned = detector._learn_features(np.asarray(names, dtype=np.float64))
    vars(detector).update(learned)
    measure = detector._measure_left_out
    left_out = [
        tasks.submit(
            "skgaussad-leave-one-out", measure_left_out, measure, gaussian, part
        )
        for part in features
    ]
    detector._fit_moments(moments[0].result())
    detector._set_left_out(np.concatenate(tasks.client.gather(left_out)))
    detector._set_threshold()
