"""Whether the order of the training samples says that neighbours are alike."""

import warnings
from contextvars import ContextVar
from functools import partial

import numpy as np
from scipy.stats import betabinom, combine_pvalues
from sklearn.base import clone
from sklearn.utils.validation import _num_samples

from .._utils.array_api import to_host
from ..calibration import HeldOutDistances
from ..exceptions import FalseAlarmRateWarning
from ._hold_out import take_rows, takes_groups

# Halves show lots of any length, and trends. Half of the samples may be too few for a
# Gaussian.
_PARTS = {2: "half", 10: "tenth"}
# Two in each tenth.
_FEWEST = 20
# So many times the rate, and with a probability of less than this if order is chance.
_EXCESS = 1.5
_SIGNIFICANCE = 0.005
# Of more samples than so many, blocks that follow on each other are tried, evenly over
# all: lots of any length show in them.
_MOST = 1_000
_BLOCK = 20
# For a logarithm.
_TINY = 1e-300

_rehearsing = ContextVar("rehearsing", default=False)


def warn_of_order(detector, X, copies=None, *, rehearse=None, categories=None):
    """Warn where the threshold would not have held in the order of the samples.

    The detector is fitted without the first half of the samples, with the threshold
    that it then has, and tried on that half; and without the last one. Were the order
    chance, the rate would be that asked for. Where lots, shifts or parts follow on each
    other, or there is a trend, it is not.

    Parameters
    ----------
    detector : detector
        Fitted without groups.
    X : sequence of n_samples samples
        With the names of their features, if they have any.
    copies : ndarray of shape (n_samples,), dtype int, or None, default=None
        Numbers of the samples, equal ones the same. The first of them counts.
    rehearse : callable or None, default=None
        Takes the numbers of some samples and of others, and returns held-out distances
        of the former, and distances of the latter by a fit to the former. A ValueError
        says that these are too few. None fits a clone.
    categories : ndarray of shape (n_samples,), dtype int, or None, default=None
        Counted from 0 without gaps. Each has an order of its own.

    Warns
    -----
    FalseAlarmRateWarning
        With the rate, and what to do.
    """
    n_samples = _num_samples(X)
    rows = np.arange(n_samples)
    if copies is not None:
        rows = np.sort(np.unique(copies, return_index=True)[1])
    if len(rows) < _FEWEST or _rehearsing.get():
        return
    if len(rows) > _MOST:
        starts = np.linspace(0, len(rows) - _BLOCK, _MOST // _BLOCK).astype(int)
        rows = rows[np.add.outer(starts, np.arange(_BLOCK)).ravel()]
    if categories is None:
        categories = np.zeros(n_samples, dtype=int)
    if rehearse is None:
        rehearse = partial(_fit_and_try, detector, X)
    tried = _try_ends(detector, rehearse, rows, categories)
    if tried is None:
        return
    part, rate, by_chance = tried
    if rate < _EXCESS * detector.fpr or by_chance > _SIGNIFICANCE:
        return
    advice = (
        "Say of which lot each sample is (groups=lots in fit, detector__groups=lots in "
        "that of a pipeline, --lots on the command line)"
    )
    if not takes_groups(detector):
        advice = (
            f"{type(detector).__name__} takes no groups; take MahalanobisDetector or "
            "another that does (groups=lots in fit)"
        )
    warnings.warn(
        f"Fitted without the first or the last {part} of the training samples, in "
        f"their order, the detector calls {rate:.2g} of that {part} anomalous instead "
        f"of fpr={detector.fpr:g}: neighbours are more alike than others, as images of "
        "one lot, shift or part are. A new lot may have so many false alarms, or more. "
        f"{advice}, for a threshold that is right for a new lot.",
        FalseAlarmRateWarning,
        stacklevel=3,
    )


def _try_ends(detector, rehearse, rows, categories):
    """Try fits without the first and last samples on these, as many as it takes.

    Returns
    -------
    tried : tuple of (str, float, float) or None
        Which part was left out, the rate of alarms, and the probability of so many by
        chance. None where there are too few samples.
    """
    token = _rehearsing.set(True)
    try:
        for n_parts in _PARTS:
            parts = _part(categories[rows], n_parts)
            ends = [rows[parts == number] for number in (0, n_parts - 1)]
            try:
                tried = [
                    _try(detector, rehearse, np.setdiff1d(rows, end), end)
                    for end in ends
                ]
            except ValueError:
                continue
            n_beyond, by_chance = np.transpose(tried)
            rate = n_beyond.sum() / sum(map(len, ends))
            return (
                _PARTS[n_parts],
                rate,
                combine_pvalues(np.maximum(by_chance, _TINY)).pvalue,
            )
        return None
    finally:
        _rehearsing.reset(token)


def _part(categories, n_parts):
    """Give the samples of each category numbers of parts that follow on each other."""
    parts = np.full(len(categories), -1)
    for number in range(categories.max() + 1):
        (members,) = np.nonzero(categories == number)
        if len(members) >= n_parts:
            parts[members] = np.arange(len(members)) * n_parts // len(members)
    return parts


def _try(detector, rehearse, rows, others):
    """Count samples beyond the threshold, and tell how likely so many are by chance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held_out, distances = rehearse(rows, others)
    threshold = HeldOutDistances(held_out).threshold(detector.fpr)
    if not np.isfinite(threshold):
        raise ValueError("There are too few samples for a Gaussian.")
    n_beyond = np.count_nonzero(distances > threshold)
    n_farther = np.count_nonzero(held_out > threshold)
    # Of samples in random order the one at the threshold has any rank alike.
    law = betabinom(len(others), n_farther + 1, len(rows) - n_farther)
    return n_beyond, law.sf(n_beyond - 1)


def _fit_and_try(detector, X, rows, others):
    """Fit a clone to some samples; return their held-out distances, and others'."""
    fitted = clone(detector).fit(take_rows(X, rows))
    scores = fitted.score_samples(take_rows(X, others))
    return fitted.calibration_distances_, -to_host(scores)
