"""False-positive rate to distance, by distributions of Gaussian samples."""

import warnings

import numpy as np
from scipy.stats import binomtest, chi2, f

from ..exceptions import FalseAlarmRateWarning

# Seldom enough for a warning on data that follow the distribution.
_CONTRADICTION = 0.001


def chi2_threshold(fpr, n_dof):
    """Distance that `fpr` of Gaussian samples exceed (the paper's eq. 8).

    Parameters
    ----------
    fpr : float
        Acceptable false-positive rate, in (0, 1).
    n_dof : int
        Degrees of freedom: the number of features that vary.

    Returns
    -------
    threshold : float
        Mahalanobis distance, not squared.
    """
    return float(np.sqrt(chi2.isf(fpr, n_dof)))


def f_threshold(fpr, n_samples, n_features):
    """Distance that `fpr` of Gaussian samples exceed, for estimated moments.

    Hotelling's distribution: where mean and covariance (denominator n, no shrinkage)
    are those of n Gaussian samples, (n - D) / (D (n + 1)) times the squared distance of
    another sample follows an F distribution with D and n - D degrees of freedom [1]_.

    Parameters
    ----------
    fpr : float
        Acceptable false-positive rate, in (0, 1).
    n_samples, n_features : int
        n and D, n > D.

    Returns
    -------
    threshold : float
        Mahalanobis distance, not squared.

    References
    ----------
    .. [1] H. Hotelling, "The generalization of Student's ratio", Annals of Mathematical
       Statistics 2 (1931), 360-378.
    """
    n_left = n_samples - n_features
    scale = n_features * (n_samples + 1) / n_left
    return float(np.sqrt(scale * f.isf(fpr, n_features, n_left)))


def warn_of_contradiction(threshold, fpr, name, left_out_distances):
    """Warn where left-out samples contradict the rate that a distribution promises.

    Parameters
    ----------
    threshold : float
        Mahalanobis distance, not squared.
    fpr : float
        The rate promised.
    name : str
        Value of the parameter ``threshold``, for the message.
    left_out_distances : ndarray of shape (n_samples,)
        Distance of each training sample to a model fitted without it, not squared.

    Warns
    -----
    FalseAlarmRateWarning
        If the number of left-out samples above the threshold has a probability below
        0.001 under the promised rate.
    """
    n_samples = len(left_out_distances)
    n_above = int(np.count_nonzero(left_out_distances > threshold))
    if binomtest(n_above, n_samples, fpr).pvalue >= _CONTRADICTION:
        return
    warnings.warn(
        f"threshold={name!r} promises false alarms on {100 * fpr:.3g} % of normal "
        f"samples, but {100 * n_above / n_samples:.3g} % of the training samples "
        f"({n_above} of {n_samples}) exceed it when each is measured by a model "
        "fitted without it. The distribution does not hold for these features. Use "
        "threshold='quantile', which sets the rate by these distances.",
        FalseAlarmRateWarning,
        stacklevel=4,
    )
