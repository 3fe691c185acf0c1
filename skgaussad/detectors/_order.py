"""Whether the order of the training samples says that neighbours are alike."""

import warnings

import numpy as np
from scipy.stats import binom

from ..exceptions import FalseAlarmRateWarning
from ._base import RULES
from ._copies import join_groups

_N_PARTS = 10
# Two in each part.
_FEWEST = 20
# So many times the rate, and with a probability of less than this if order is chance.
_EXCESS = 1.5
_SIGNIFICANCE = 0.01


def warn_of_order(detector, X, copies):
    """Warn where samples look anomalous once their neighbours in order are left out.

    Without one of them a sample has about the distance that it has without a tenth of
    all, unless its neighbours tell more of it than others do: as images of one lot,
    shift or part do. Then the threshold is too low for a new lot.

    Parameters
    ----------
    detector : GaussianDetector or LevelEnsemble
        Fitted without groups, with its threshold.
    X : ndarray of shape (n_samples, n_features)
        Its training samples, in their order.
    copies : ndarray of shape (n_samples,), dtype int, or None
        Numbers of the samples, equal ones the same.

    Warns
    -----
    FalseAlarmRateWarning
        With the rate of those left out a tenth at a time, and what to do.
    """
    n_samples = len(X)
    if n_samples < _FEWEST or detector.threshold not in RULES:
        return
    groups = np.arange(n_samples) * _N_PARTS // n_samples
    if copies is not None:
        groups = join_groups(groups, copies)
        if groups.max() == 0:
            return
    distances = detector._distances_without(X, groups, copies)
    n_beyond = np.count_nonzero(distances > -detector.offset_)
    expected = detector.fpr * n_samples
    by_chance = binom.sf(n_beyond - 1, n_samples, detector.fpr)
    if n_beyond < _EXCESS * expected or by_chance > _SIGNIFICANCE:
        return
    warnings.warn(
        f"{n_beyond / n_samples:.2g} of the training samples are beyond the threshold "
        f"for fpr={detector.fpr:g} where they are left out a tenth at a time, in their "
        "order: neighbours are more alike than others, as images of one lot, shift or "
        "part are. A new lot will have so many false alarms or more. Say of which lot "
        "each sample is (groups=lots in fit, detector__groups=lots in that of a "
        "pipeline, --lots on the command line), for a threshold that is right for a "
        "new lot.",
        FalseAlarmRateWarning,
        stacklevel=3,
    )
