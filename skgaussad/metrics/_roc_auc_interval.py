"""How precisely an AUROC is known."""

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from .._utils.labels import check_labels
from .._utils.validation import check_real

_TINY = 1e-12


def roc_auc_interval(y_true, y_score, *, confidence=0.95):
    """Confidence interval of the area under the ROC curve (AUROC).

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        +1 for normal, -1 for anomalous samples, at least one of each.

    y_score : array-like of shape (n_samples,)
        What ``score_samples`` or ``decision_function`` returns: lower is more
        anomalous.

    confidence : float, default=0.95
        Confidence level, in (0, 1).

    Returns
    -------
    low, high : float
        Ends of the interval, in [0, 1].

    Raises
    ------
    ValueError
        If the labels are others or of one kind, or `confidence` is out of its range.

    See Also
    --------
    sklearn.metrics.roc_auc_score : The area itself.
    skgaussad.reporting.calibration_report : Rates with their intervals.

    Notes
    -----
    Newcombe's method 5 [1]_: the areas A from which the one found is not further than
    the quantile z of the normal distribution allows, with a variance for A that assumes
    exponential scores [2]_,

        V(A) = A (1 - A) (1 + (N - 1) ((1 - A) / (2 - A) + A / (1 + A))) / (m n),

    where m and n count the samples of each kind and N = (m + n) / 2. It holds at the
    ends, too: with an area of 1 the interval still tells few samples from many.
    Samples are assumed to be independent.

    References
    ----------
    .. [1] R. G. Newcombe, "Confidence intervals for an effect size measure based on the
       Mann-Whitney statistic. Part 2", Statistics in Medicine 25 (2006), 559-573.
    .. [2] J. A. Hanley and B. J. McNeil, "The meaning and use of the area under a
       receiver operating characteristic (ROC) curve", Radiology 143 (1982), 29-36.

    Examples
    --------
    Five of each kind, told apart without an error, promise less than it seems:

    >>> from skgaussad.metrics import roc_auc_interval
    >>> low, high = roc_auc_interval([1] * 5 + [-1] * 5, range(10, 0, -1))
    >>> f"{low:.2f} to {high:.2f}"
    '0.64 to 1.00'
    """
    check_real("confidence", confidence, 0, 1)
    y_true = check_labels("y_true", y_true)
    n_normal = np.count_nonzero(y_true == 1)
    n_anomalous = len(y_true) - n_normal
    if not n_normal or not n_anomalous:
        raise ValueError(
            "y_true must hold normal (+1) and anomalous (-1) samples, at least one of "
            f"each; got {n_normal} and {n_anomalous}."
        )
    found = float(roc_auc_score(y_true == 1, y_score))
    z = norm.isf((1 - confidence) / 2)
    return _end(found, -z, n_normal, n_anomalous), _end(found, z, n_normal, n_anomalous)


def _end(found, z, m, n):
    """Area from which the one found is z standard deviations away."""

    def excess(area):
        return area - found - z * np.sqrt(_variance(area, m, n))

    outermost = float(z > 0)
    if found == outermost:
        return found
    # The variance is zero at either end, which is no solution there.
    start = np.clip(found, _TINY, 1 - _TINY)
    return float(brentq(excess, start, outermost, xtol=_TINY))


def _variance(area, m, n):
    spread = (1 - area) / (2 - area) + area / (1 + area)
    return area * (1 - area) * (1 + ((m + n) / 2 - 1) * spread) / (m * n)
