"""Intervals of counts of p-values of normal samples."""

import numpy as np
from scipy.stats import betabinom, binom
from sklearn.utils.validation import column_or_1d


def check_p_values(p_values):
    """Return p-values as float64; raise unless there is one and all are in (0, 1]."""
    p_values = column_or_1d(np.asarray(p_values, dtype=np.float64))
    if len(p_values) == 0:
        raise ValueError("p_values is empty; give at least one.")
    outside = ~((p_values > 0) & (p_values <= 1))
    if outside.any():
        raise ValueError(
            f"p_values must be in (0, 1]; got {p_values[outside][0]:g} at position "
            f"{np.argmax(outside)}."
        )
    return p_values


def fraction_band(probability, n_samples, confidence, n_calibration=None):
    """Interval of the fraction of p-values of normal samples in a set.

    Parameters
    ----------
    probability : ndarray of shape (n_sets,)
        Of a p-value to be in each set, in [0, 1], such as the width of an interval.
    n_samples : int
        Number of samples whose p-values are counted.
    confidence : float
        In (0, 1); each interval holds with this probability at least.
    n_calibration : int or None, default=None
        Number n of held-out distances that the p-values come from, which are multiples
        of 1 / (n + 1). As all of them depend on the same distances, the number of
        p-values among k of the n + 1 possible ones is beta-binomial with k and
        n + 1 - k, not binomial. None takes n for infinite.

    Returns
    -------
    low, high : ndarray of shape (n_sets,)
    """
    levels = np.array([[(1 - confidence) / 2], [(1 + confidence) / 2]])
    if n_calibration is None:
        counts = binom.ppf(levels, n_samples, probability)
    else:
        n_values = np.rint(probability * (n_calibration + 1))
        certain = (n_values == 0) | (n_values == n_calibration + 1)
        # SciPy has no beta-binomial distribution with a parameter of 0.
        inside = np.clip(n_values, 1, n_calibration)
        counts = np.where(
            certain,
            n_samples * (n_values > 0),
            betabinom.ppf(levels, n_samples, inside, n_calibration + 1 - inside),
        )
    return tuple(counts / n_samples)
