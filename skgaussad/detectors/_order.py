"""Whether the order of the training samples says that neighbours are alike."""

import warnings
from functools import partial

import numpy as np
from scipy.stats import betabinom, combine_pvalues
from sklearn.utils.validation import _num_samples

from .._utils.array_api import to_host
from ..calibration import HeldOutDistances
from ..exceptions import FalseAlarmRateWarning
from ._hold_out import (
    clone_for_rows,
    fitting_inner,
    is_inner,
    take_rows,
    takes_groups,
)

# Ten in each half.
_FEWEST = 20
# So many times the rate, and with a probability of less than this if order is chance.
_EXCESS = 1.5
_SIGNIFICANCE = 0.005
# Of more samples than so many, blocks that follow on each other are tried, evenly over
# all: lots of any length show in them.
_MOST = 400
_BLOCK = 20
# For a logarithm.
_TINY = 1e-300


def warn_of_order(detector, X, copies=None, *, rehearse=None, categories=None):
    """Warn where the threshold would not have held in the order of the samples.

    The detector is fitted without the first half of the samples, with the threshold
    that it then has, and tried on that half; and without the last one. Were the order
    chance, the rate would be that asked for. Where lots, shifts or parts follow on each
    other, or there is a trend, it is not. Where half of the samples are too few for the
    detector, a MahalanobisDetector, which takes any number, is tried in its place.

    Parameters
    ----------
    detector : detector
        Fitted without groups.
    X : sequence of n_samples samples
        With the names of their features, if they have any.
    copies : ndarray of shape (n_samples,), dtype int, or None, default=None
        Numbers of the samples, equal ones the same. One of them counts.
    rehearse : callable or None, default=None
        Takes the numbers of some samples and of others, and returns held-out distances
        of the former, and distances of the latter by a fit to the former. None fits a
        clone.
    categories : ndarray of shape (n_samples,), dtype int, or None, default=None
        Counted from 0 without gaps. Each has an order of its own.

    Warns
    -----
    FalseAlarmRateWarning
        With the rate, and what to do; or that the order could not be looked at.
    """
    if is_inner():
        return
    n_samples = _num_samples(X)
    rows = np.arange(n_samples)
    if copies is not None:
        rows = _choose_one(copies)
    if len(rows) < _FEWEST:
        return
    if len(rows) > _MOST:
        starts = np.linspace(0, len(rows) - _BLOCK, _MOST // _BLOCK).astype(int)
        rows = rows[np.add.outer(starts, np.arange(_BLOCK)).ravel()]
    if categories is None:
        categories = np.zeros(n_samples, dtype=int)
    if rehearse is None:
        rehearse = partial(_fit_and_try, detector, X, copies)
    halves = _halve(rows, categories[rows])
    random_state = np.random.get_state(legacy=False)  # noqa: NPY002
    try:
        _judge(detector, X, rehearse, halves)
    finally:
        # What has no seed draws from the state of the process.
        np.random.set_state(random_state)  # noqa: NPY002


def _judge(detector, X, rehearse, halves):
    """Warn if fits to the halves say so, or cannot be made."""
    name, tried_by = type(detector).__name__, "the detector"
    try:
        rate, by_chance = _try_halves(rehearse, halves, detector.fpr)
    # Of any kind: what only warns must not end a fit.
    except Exception as error:
        tried_by = f"a MahalanobisDetector, since {name} fails on half of them,"
        try:
            rehearse = partial(_fit_and_try, _make_any_number(), X, None)
            rate, by_chance = _try_halves(rehearse, halves, detector.fpr)
        except Exception:
            warnings.warn(
                "Whether neighbours among the training samples are more alike than "
                "others, as images of one lot are, was not looked at. If lots, shifts "
                "or parts follow on each other, a new one may have many false alarms. "
                f"{name} cannot be fitted to half of the samples, which shows it: "
                f"{error}",
                FalseAlarmRateWarning,
                stacklevel=4,
            )
            return
    if rate < _EXCESS * detector.fpr or by_chance > _SIGNIFICANCE:
        return
    advice = (
        "Say of which lot each sample is (groups=lots in fit, detector__groups=lots in "
        "that of a pipeline, --lots on the command line)"
    )
    if not takes_groups(detector):
        advice = (
            f"{name} takes no groups; take MahalanobisDetector or another that does "
            "(groups=lots in fit)"
        )
    warnings.warn(
        "Fitted without the first or the last half of the training samples, in their "
        f"order, {tried_by} calls {rate:.2g} of that half anomalous instead "
        f"of fpr={detector.fpr:g}: neighbours are more alike than others, as images of "
        "one lot, shift or part are. A new lot may have so many false alarms, or more. "
        f"{advice}, for a threshold that is right for a new lot.",
        FalseAlarmRateWarning,
        stacklevel=4,
    )


def _choose_one(copies):
    """Return one of each set of copies, in their order, so that sets may be compared.

    The first ones of large sets come early in any order. So only sets of the size that
    most have are taken; where fewer than half have it, any sample of each, at random.
    """
    _, first, sizes = np.unique(copies, return_index=True, return_counts=True)
    are_equal = sizes == np.bincount(sizes).argmax()
    if 2 * np.count_nonzero(are_equal) < len(sizes):
        mixed = np.random.default_rng(0).permutation(len(copies))
        return np.sort(mixed[np.unique(copies[mixed], return_index=True)[1]])
    return np.sort(first[are_equal])


def _halve(rows, categories):
    """Divide samples into the first half of each category, and the last."""
    half = np.full(len(rows), -1)
    for number in np.unique(categories):
        (members,) = np.nonzero(categories == number)
        # A single one would leave a half without its category.
        if len(members) > 1:
            half[members] = np.arange(len(members)) >= len(members) // 2
    return rows[half == 0], rows[half == 1]


def _make_any_number():
    """Make the detector that takes any number of samples."""
    # Not above, since it looks at the order itself.
    from ._mahalanobis import MahalanobisDetector

    return MahalanobisDetector()


def _try_halves(rehearse, halves, fpr):
    """Try fits to each half on the other.

    Returns
    -------
    rate, by_chance : float
        The rate of alarms, and the probability of so many by chance.
    """
    tried = [
        _try(rehearse, some, others, fpr) for some, others in (halves[::-1], halves)
    ]
    n_beyond, by_chance = np.transpose(tried)
    rate = n_beyond.sum() / sum(map(len, halves))
    return rate, combine_pvalues(np.maximum(by_chance, _TINY)).pvalue


def _try(rehearse, rows, others, fpr):
    """Count samples beyond the threshold, and tell how likely so many are by chance."""
    with fitting_inner(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held_out, distances = rehearse(rows, others)
    threshold = HeldOutDistances(held_out).threshold(fpr)
    if not np.isfinite(threshold):
        raise ValueError("their held-out distances are infinite")
    n_beyond = np.count_nonzero(distances > threshold)
    n_farther = np.count_nonzero(held_out > threshold)
    # Of samples in random order the one at the threshold has any rank alike.
    law = betabinom(len(others), n_farther + 1, len(rows) - n_farther)
    return n_beyond, law.sf(n_beyond - 1)


def _fit_and_try(detector, X, copies, rows, others):
    """Fit a clone to some samples; return their held-out distances, and others'."""
    fitted = clone_for_rows(detector, _num_samples(X), rows, copies)
    fitted.fit(take_rows(X, rows))
    scores = fitted.score_samples(take_rows(X, others))
    return fitted.calibration_distances_, -to_host(scores)
