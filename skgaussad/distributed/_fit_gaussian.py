"""A Gaussian fitted to features that remain on the workers."""

from functools import reduce
from itertools import chain

import numpy as np
from sklearn.utils.validation import validate_data

from ..covariance import DIAGONAL_COVARIANCES, Gaussian, Moments
from ..detectors import digest_rows, number_copies
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


def digest_features(features):
    """Return a digest of each row of a partition, by which to find copies."""
    return digest_rows(np.asarray(require_features(features), dtype=np.float64))


def measure_left_out(measure, gaussian, features, n_equal):
    """Measure the samples of a partition without each of them and its copies.

    Parameters
    ----------
    measure : callable
        ``_measure_left_out`` of the detector.
    gaussian : Gaussian
    features : ndarray of shape (n_samples, n_features)
    n_equal : ndarray of shape (n_samples,), dtype int
        How many samples of all partitions are equal to each one.
    """
    features = np.asarray(require_features(features), dtype=np.float64)
    # The copies of other partitions, too, are rows of this one.
    rows = np.repeat(np.arange(len(features)), n_equal)
    measured = measure(gaussian, features[rows], rows, are_all=False)
    return measured[np.unique(rows, return_index=True)[1]]


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
    digests = [
        tasks.submit("skgaussad-digest", digest_features, part) for part in features
    ]
    digests = tasks.client.gather(digests)
    copies = number_copies(list(chain.from_iterable(digests)))
    starts = np.cumsum([0, *map(len, digests)])
    n_equal = np.ones(starts[-1], dtype=int)
    if copies is not None:
        n_equal = np.bincount(copies)[copies]
    measure = detector._measure_left_out
    left_out = [
        tasks.submit(
            "skgaussad-leave-one-out", measure_left_out, measure, gaussian, part, counts
        )
        for part, counts in zip(features, np.split(n_equal, starts[1:-1]), strict=True)
    ]
    detector._fit_moments(moments[0].result())
    measured = np.concatenate(tasks.client.gather(left_out))
    detector._set_left_out(measured, copies=copies)
    detector._set_threshold()
