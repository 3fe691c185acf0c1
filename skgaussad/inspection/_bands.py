"""Where counts of p-values lie that come from normal samples."""

import numpy as np
from scipy.stats import betabinom, binom
from sklearn.utils.validation import column_or_1d


def check_p_values(p_values):
    """Raise unless all p-values are in (0, 1] and there is one.

    Parameters
    ----------
    p_values : array-like of shape (n_samples,)

    Returns
    -------
    p_values : ndarray of shape (n_samples,)
        As float64.

    Raises
    ------
    ValueError
        If they are not what they should be.
    """
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


def share_band(share, n_samples, confidence, n_calibration=None):
    """Interval of the share of p-values in a set that normal samples hit by `share`.

    Parameters
    ----------
    share : ndarray of shape (n_shares,)
        Probabilities, in [0, 1], such as the widths of intervals of p-values.
    n_samples : int
        Number of samples whose p-values are counted.
    confidence : float
        In (0, 1); each interval holds with this probability at least.
    n_calibration : int or None, default=None
        Number n of held-out distances that the p-values come from, which are whole
        multiples of 1 / (n + 1). All of them depend on the same distances, and vary
        together for that: the number of p-values among k of the n + 1 possible ones is
        beta-binomial with k and n + 1 - k, not binomial. None takes n for infinite.

    Returns
    -------
    low, high : ndarray of shape (n_shares,)
    """
    levels = np.array([[(1 - confidence) / 2], [(1 + confidence) / 2]])
    if n_calibration is None:
        counts = binom.ppf(levels, n_samples, share)
    else:
        n_values = np.rint(share * (n_calibration + 1))
        certain = (n_values == 0) | (n_values == n_calibration + 1)
        # SciPy has no beta law with a parameter of 0.
        inside = np.clip(n_values, 1, n_calibration)
        counts = np.where(
            certain,
            n_samples * (n_values > 0),
            betabinom.ppf(levels, n_samples, inside, n_calibration + 1 - inside),
        )
    return tuple(counts / n_samples)
