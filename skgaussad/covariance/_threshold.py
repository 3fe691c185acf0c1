"""False-positive rate to distance and back."""

import math
import warnings

import numpy as np
from scipy.stats import chi2


def chi2_threshold(fpr, n_dof):
    """Distance that a share `fpr` of Gaussian samples exceeds (the paper's eq. 8).

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


def conformal_threshold(held_out_distances, fpr):
    """Distance that a new normal sample exceeds with a probability of at most `fpr`.

    The ceil((1 - fpr) (n + 1))-th smallest of n distances of normal samples, each to a
    model that did not see it. Exact where they are exchangeable with the distance of
    the new sample.

    Parameters
    ----------
    held_out_distances : ndarray of shape (n_samples,)
    fpr : float
        Acceptable false-positive rate, in (0, 1).

    Returns
    -------
    threshold : float
        On the same scale as the distances.

    Warns
    -----
    UserWarning
        If (n + 1) fpr < 1: no finite threshold keeps such a rate, and the largest
        distance is returned.
    """
    n_samples = len(held_out_distances)
    # Rounding must not push a whole number such as 0.95 * 20 to the next.
    rank = math.ceil((1 - fpr) * (n_samples + 1) - 1e-9)
    if rank > n_samples:
        needed = math.ceil(1 / fpr - 1 - 1e-9)
        warnings.warn(
            f"fpr={fpr:g} needs at least {needed} training samples, and there are "
            f"{n_samples}. The threshold is the largest of their held-out distances, "
            f"which a normal sample exceeds with a probability of about "
            f"{1 / (n_samples + 1):.2g}. Give more samples or accept a higher fpr.",
            UserWarning,
            stacklevel=3,
        )
        rank = n_samples
    return float(np.partition(held_out_distances, rank - 1)[rank - 1])
