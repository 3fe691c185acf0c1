"""Numbers of normal samples that a false-positive rate needs, and bounds on rates."""

import math

import numpy as np
from scipy.stats import beta

from .._utils.validation import check_real

# Rounding must not push a whole number, such as 1 / 0.05 - 1, to the next.
_TOLERANCE = 1e-10


def required_samples(fpr, confidence=None):
    """Least number of normal samples that a false-positive rate needs.

    Parameters
    ----------
    fpr : float
        Acceptable false-positive rate, in (0, 1).

    confidence : float or None, default=None
        None asks for the rate on average over training sets: the least n with
        (n + 1) fpr >= 1, below which no finite conformal threshold has the rate. A
        number in (0, 1) asks for a threshold whose rate is at most `fpr` in that
        fraction of training sets: the least n with 1 - (1 - fpr)^n >= confidence [1]_.

    Returns
    -------
    n_samples : int
        At least 1.

    Raises
    ------
    ValueError
        If `fpr` or `confidence` is out of its range.

    See Also
    --------
    planning_table : The numbers for several rates and confidences.
    fpr_bound : Upper bound on the rate of a threshold.

    Notes
    -----
    With this number the threshold is the largest of their distances. With more samples
    it is lower for the same rate, so that more anomalies are found.

    References
    ----------
    .. [1] V. Vovk, "Conditional validity of inductive conformal predictors", Machine
       Learning 92 (2013), 349-376.

    Examples
    --------
    >>> from skgaussad.calibration import required_samples
    >>> required_samples(0.01)
    99
    >>> required_samples(0.01, confidence=0.95)
    299
    """
    check_real("fpr", fpr, 0, 1)
    if confidence is None:
        n_samples = 1 / fpr - 1
    else:
        check_real("confidence", confidence, 0, 1)
        n_samples = math.log1p(-confidence) / math.log1p(-fpr)
    return max(1, math.ceil(n_samples * (1 - _TOLERANCE)))


def planning_table(fprs=(0.1, 0.05, 0.02, 0.01, 0.001), confidences=(0.9, 0.95, 0.99)):
    """Numbers of normal samples that false-positive rates need.

    Parameters
    ----------
    fprs : sequence of float
        Acceptable false-positive rates, each in (0, 1).

    confidences : sequence of float
        Fractions of training sets, each in (0, 1), in which a rate has to hold.

    Returns
    -------
    table : pandas.DataFrame of shape (n_fprs, 1 + n_confidences)
        What :func:`required_samples` gives. Rows are the rates. The column
        ``"average"`` is that for a rate on average over training sets, the others are
        the confidences.

    Raises
    ------
    ValueError
        If a rate or a confidence is out of its range.

    See Also
    --------
    required_samples : One number of the table.

    Examples
    --------
    >>> from skgaussad.calibration import planning_table
    >>> planning_table(fprs=[0.05, 0.01], confidences=[0.95, 0.99])
    confidence  average  0.95  0.99
    fpr
    0.05             19    59    90
    0.01             99   299   459
    """
    import pandas as pd

    columns = {
        "average": None,
        **{confidence: confidence for confidence in confidences},
    }
    table = pd.DataFrame(
        {
            name: [required_samples(fpr, confidence) for fpr in fprs]
            for name, confidence in columns.items()
        },
        index=pd.Index(fprs, name="fpr"),
    )
    return table.rename_axis(columns="confidence")


def fpr_bound(n_exceeding, n_samples, confidence=0.95):
    """Upper bound on the false-positive rate of a threshold.

    Parameters
    ----------
    n_exceeding : int or array-like of int
        Number of held-out distances of normal samples above the threshold, from 0 to
        `n_samples`.

    n_samples : int or array-like of int
        Number of held-out distances; broadcast against `n_exceeding`.

    confidence : float, default=0.95
        Fraction of training sets, in (0, 1), in which the rate is at most the bound.

    Returns
    -------
    bound : float or ndarray
        In (0, 1].

    Raises
    ------
    ValueError
        If a number is no integer or out of its range.

    See Also
    --------
    required_samples : The number of samples that a rate needs.

    Notes
    -----
    Where the threshold is the (n - k)-th smallest of n continuous and exchangeable
    distances, its false-positive rate differs between training sets and follows a beta
    distribution with the parameters k + 1 and n - k [1]_ [2]_. The bound is its
    quantile, which is also the upper end of a one-sided Clopper-Pearson interval.

    Held-out distances of the training samples come from Gaussians that differ a little
    from one another and from the one fitted to all of them, so the distribution holds
    approximately.

    References
    ----------
    .. [1] S. Bates, E. Candès, L. Lei, Y. Romano and M. Sesia, "Testing for outliers
       with conformal p-values", Annals of Statistics 51 (2023), 149-178.
    .. [2] V. Vovk, "Conditional validity of inductive conformal predictors", Machine
       Learning 92 (2013), 349-376.

    Examples
    --------
    The threshold of a detector that was fitted on 200 images, asked for 5 %, is the
    191st smallest distance. It may still have a rate of:

    >>> from skgaussad.calibration import fpr_bound
    >>> round(fpr_bound(9, 200), 3)
    0.077

    The largest of 299 distances has a rate of at most 1 %:

    >>> round(fpr_bound(0, 299), 4)
    0.01
    """
    check_real("confidence", confidence, 0, 1)
    n_exceeding = _check_counts("n_exceeding", n_exceeding, 0)
    n_samples = _check_counts("n_samples", n_samples, 1)
    if np.any(n_exceeding > n_samples):
        raise ValueError(
            "n_exceeding must be at most n_samples; got "
            f"{n_exceeding.tolist()} and {n_samples.tolist()}."
        )
    n_below = n_samples - n_exceeding
    # SciPy has no beta distribution with a parameter of 0: all samples exceed the
    # threshold.
    bound = np.where(
        n_below == 0, 1.0, beta.ppf(confidence, n_exceeding + 1, np.maximum(n_below, 1))
    )
    return bound if bound.ndim else float(bound)


def _check_counts(name, values, low):
    """Return `values` as an integer array, or say what is wrong with them."""
    counts = np.asarray(values)
    if not np.issubdtype(counts.dtype, np.integer) or np.any(counts < low):
        raise ValueError(
            f"{name} must be an integer of at least {low}, or an array of them; got "
            f"{values!r}."
        )
    return counts
