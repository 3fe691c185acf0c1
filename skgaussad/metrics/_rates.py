"""True- and false-positive rates of a detector, with anomalies as the positives."""

import numpy as np
from sklearn.metrics import roc_curve

from .._utils.labels import check_labels
from .._utils.validation import check_real


def tpr_at_fpr(y_true, y_score, *, fpr):
    """Fraction of anomalies found at a false-positive rate.

    The highest true-positive rate among the thresholds on the score whose
    false-positive rate is at most `fpr`: a point of the ROC curve, with no
    interpolation between points.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        +1 for normal samples, -1 for anomalies, which are the positives. Both must
        occur.

    y_score : array-like of shape (n_samples,)
        Higher is more normal, as ``score_samples`` and ``decision_function`` of
        scikit-learn's outlier detectors are. Of a distance, give the negative.

    fpr : float
        Fraction of the normal samples that may be called anomalous, in [0, 1].

    Returns
    -------
    tpr : float
        In [0, 1].

    Raises
    ------
    ValueError
        If `y_true` holds other labels or only one of the two, `y_score` is not finite
        or of another length, or `fpr` is out of its range.

    See Also
    --------
    achieved_fpr : The rate at the threshold of a detector.

    Notes
    -----
    The threshold is chosen with the labels at hand, so the rate says what the scores
    allow. A detector has to set its threshold without anomalies and reaches less or
    more at its own false-positive rate.

    Examples
    --------
    >>> from skgaussad.metrics import tpr_at_fpr
    >>> y_true = [1, 1, 1, 1, -1, -1, -1, -1]
    >>> y_score = [-1, -2, -3, -6, -2.5, -4, -5, -7]
    >>> tpr_at_fpr(y_true, y_score, fpr=0)
    0.25
    >>> tpr_at_fpr(y_true, y_score, fpr=0.25)
    0.75
    """
    check_real("fpr", fpr, 0, 1, closed="both")
    is_anomalous = check_labels("y_true", y_true) == -1
    if is_anomalous.all() or not is_anomalous.any():
        raise ValueError(
            "y_true must hold normal samples (+1) and anomalies (-1); all "
            f"{len(is_anomalous)} labels are {-1 if is_anomalous.all() else 1}."
        )
    rates, tpr, _ = roc_curve(
        is_anomalous, -np.asarray(y_score, dtype=np.float64), drop_intermediate=False
    )
    return float(tpr[rates <= fpr].max())


def achieved_fpr(y_true, y_pred):
    """Fraction of the normal samples that a detector called anomalous.

    To be compared with the rate that was asked for, on samples that were not in the
    fit; section IV-B and table IV of [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        +1 for normal samples, of which there must be one, -1 for anomalies.

    y_pred : array-like of shape (n_samples,)
        What ``predict`` gave: +1 for normal, -1 for anomalous.

    Returns
    -------
    fpr : float
        In [0, 1].

    Raises
    ------
    ValueError
        If there are other labels, no normal sample, or the lengths differ.

    See Also
    --------
    tpr_at_fpr : The rate of anomalies found at a false-positive rate.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> from skgaussad.metrics import achieved_fpr
    >>> achieved_fpr([1, 1, 1, 1, -1], [1, 1, -1, 1, -1])
    0.25
    """
    y_true = check_labels("y_true", y_true)
    y_pred = check_labels("y_pred", y_pred)
    if len(y_true) != len(y_pred):
        raise ValueError(
            "y_true and y_pred must be of equal length; got "
            f"{len(y_true)} and {len(y_pred)}."
        )
    is_normal = y_true == 1
    if not is_normal.any():
        raise ValueError(
            "y_true must hold normal samples (+1), of which the false-positive rate "
            f"is a fraction; all {len(y_true)} labels are -1."
        )
    return float(np.mean(y_pred[is_normal] == -1))
