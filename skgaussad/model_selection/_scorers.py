"""Scorers for outlier detectors, whose labels are +1 (normal) and -1 (anomalous)."""

import numpy as np
from sklearn.metrics import make_scorer, roc_auc_score

from .._utils.labels import check_labels
from .._utils.validation import check_real
from ..metrics import achieved_fpr, tpr_at_fpr

# Both rank samples alike; not every detector outside scikit-learn has the first.
_SCORES = ("score_samples", "decision_function")


def _auroc(y_true, y_score):
    y_true = check_labels("y_true", y_true)
    if len(np.unique(y_true)) < 2:
        raise ValueError(
            "The AUROC needs normal samples (+1) and anomalies (-1) in y_true; all "
            f"{len(y_true)} labels are {y_true[0]}."
        )
    return float(roc_auc_score(y_true, y_score))


# Objects cannot carry a docstring: these two are described in that of the package.
auroc_scorer = make_scorer(_auroc, response_method=_SCORES)
neg_achieved_fpr_scorer = make_scorer(achieved_fpr, greater_is_better=False)


def tpr_at_fpr_scorer(fpr):
    """Make a scorer of the fraction of anomalies found at a false-positive rate.

    Parameters
    ----------
    fpr : float
        Fraction of the normal samples that may be called anomalous, in [0, 1].

    Returns
    -------
    scorer : callable
        Takes a fitted detector, samples and their labels (+1 normal, -1 anomalous) and
        returns :func:`~skgaussad.metrics.tpr_at_fpr` of the detector's scores, in
        [0, 1]. For ``scoring=`` of :func:`~sklearn.model_selection.cross_validate`,
        :class:`~sklearn.model_selection.GridSearchCV` and others.

    Raises
    ------
    ValueError
        If `fpr` is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import cross_val_score
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.model_selection import NormalKFold, tpr_at_fpr_scorer
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.normal(size=(100, 3)), rng.normal(size=(20, 3)) + 4])
    >>> y = np.repeat([1, -1], [100, 20])
    >>> scorer = tpr_at_fpr_scorer(fpr=0.04)
    >>> cross_val_score(MahalanobisDetector(), X, y, cv=NormalKFold(4), scoring=scorer)
    array([1., 1., 1., 1.])
    """
    check_real("fpr", fpr, 0, 1, closed="both")
    return make_scorer(tpr_at_fpr, response_method=_SCORES, fpr=fpr)
