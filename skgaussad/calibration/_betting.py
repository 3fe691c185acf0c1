"""Bets against the uniformity of p-values, and the martingales made of them.

A bet is a density f on [0, 1]: it turns a capital into f(p) times the capital, so that
under uniform p-values the expected capital does not change. All functions
work in logarithms and along the last axis, for one stream of p-values or many.
"""

import numpy as np
from scipy.special import ndtr, ndtri

# Drift, if small: the distribution of the distances moves as if normal scores
# z = ndtri(1 - p) were shifted by so many standard deviations. Negative: towards more
# normal parts.
SHIFTS = np.array([-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0])
# Nearer than this to 0 and to 1 the bets on a shift are flat, which limits the effect
# of a single p-value and covers those of exactly 0 and 1.
SHIFT_CLIP = 0.01

# A fraction of the p-values is at most at a level, the others stay uniform. Less than
# half is a burst of defects; nearly all parts being anomalous is a large drift.
DRIFT_FRACTION = 0.9
BURST_FRACTIONS = [0.05, 0.1, 0.3]
LEVELS, FRACTIONS = (
    grid.ravel()
    for grid in np.meshgrid([0.005, 0.02, 0.05], [DRIFT_FRACTION, *BURST_FRACTIONS])
)

N_DRIFT = len(SHIFTS) + np.count_nonzero(FRACTIONS == DRIFT_FRACTION)
N_BETS = len(SHIFTS) + len(FRACTIONS)


def _log_normalizer():
    """Log of the integral of exp(shift * z(p)), z clipped, over p in [0, 1]."""
    bound = -ndtri(SHIFT_CLIP)
    ends = 2 * SHIFT_CLIP * np.cosh(SHIFTS * bound)
    middle = ndtr(bound - SHIFTS) - ndtr(-bound - SHIFTS)
    return np.log(ends + np.exp(SHIFTS**2 / 2) * middle)


_LOG_NORMALIZER = _log_normalizer()
_LOG_SMALL = np.log(1 - FRACTIONS + FRACTIONS / LEVELS)
_LOG_NOT_SMALL = np.log1p(-FRACTIONS)


def log_bets(p_values):
    """Log-density of every bet at every p-value.

    Parameters
    ----------
    p_values : float or ndarray of shape (...)
        In [0, 1].

    Returns
    -------
    bets : ndarray of shape (..., N_BETS)
        The first `N_DRIFT` are the bets on drift, the others those on a burst.
    """
    p = np.asarray(p_values)[..., np.newaxis]
    z = -ndtri(np.clip(p, SHIFT_CLIP, 1 - SHIFT_CLIP))
    shifted = SHIFTS * z - _LOG_NORMALIZER
    small = np.where(p <= LEVELS, _LOG_SMALL, _LOG_NOT_SMALL)
    return np.concatenate([shifted, small], axis=-1)


def log_reserve(n):
    """Log of the fraction of the capital still in reserve after the n-th p-value.

    The fraction is 1 / (1 + log(1 + n)). It falls to 0 so slowly that about
    1 / (n log(n)^2) of the capital starts betting at a change after n p-values.
    """
    return -np.log1p(np.log1p(n))


def log_stake(n):
    """Log of the fraction of the capital that starts betting at the n-th p-value.

    The difference between the reserves after the (n - 1)-th and the n-th, n >= 1,
    without cancellation.
    """
    return np.log(np.log1p(1 / n)) + log_reserve(n - 1) + log_reserve(n)


def advance(log_capitals, p_values, n):
    """Bet on the n-th p-value.

    Parameters
    ----------
    log_capitals : ndarray of shape (..., N_BETS)
        Capital of each bet after n - 1 p-values, without the reserve; -inf at first.
    p_values : float or ndarray of shape (...)
        The n-th p-value.
    n : int
        At least 1.

    Returns
    -------
    log_capitals : ndarray of shape (..., N_BETS)
    """
    return np.logaddexp(log_capitals, log_stake(n)) + log_bets(p_values)


def log_martingales(log_capitals, n):
    """Log of the martingale against drift and of that against a burst.

    Each is the mean over its bets of the capitals plus the reserve, and 1 at n = 0.

    Parameters
    ----------
    log_capitals : ndarray of shape (..., N_BETS)
    n : int
        Number of p-values seen.

    Returns
    -------
    drift, burst : ndarray of shape (...)
    """
    return tuple(
        np.logaddexp(
            np.logaddexp.reduce(capitals, axis=-1) - np.log(capitals.shape[-1]),
            log_reserve(n),
        )
        for capitals in (log_capitals[..., :N_DRIFT], log_capitals[..., N_DRIFT:])
    )


def log_mean(drift, burst):
    """Log of the mean of the two martingales, on which the alarm is raised."""
    return np.logaddexp(drift, burst) - np.log(2)
