"""Splits and scorers for detectors that are fitted on normal samples only.

Labels are +1 for normal and -1 for anomalous samples. The scorers go into ``scoring=``
of :func:`~sklearn.model_selection.cross_validate`,
:class:`~sklearn.model_selection.GridSearchCV` and others, for any detector of
scikit-learn's kind or a pipeline that ends in one:

``auroc_scorer``
    Area under the ROC curve, in [0, 1]: the probability that an anomaly gets a lower
    score than a normal sample. ``scoring="roc_auc"`` gives the same number for labels
    of +1 and -1. This scorer refuses labels of 0 and 1: where 1 marks anomalies, that
    one would give one minus the area.
``tpr_at_fpr_scorer(fpr)``
    Fraction of the anomalies found at a false-positive rate of at most `fpr`, in
    [0, 1]: :func:`~skgaussad.metrics.tpr_at_fpr`.
``neg_achieved_fpr_scorer``
    Minus the fraction of the normal samples that ``predict`` calls anomalous, in [-1,
    0]: the negative of :func:`~skgaussad.metrics.achieved_fpr`, so that greater is
    better. A detector that calls nothing anomalous has the best value; look at it
    beside another.
"""

from ._scorers import auroc_scorer, neg_achieved_fpr_scorer, tpr_at_fpr_scorer
from ._split import GroupNormalKFold, NormalKFold, StratifiedNormalKFold

__all__ = [
    "GroupNormalKFold",
    "NormalKFold",
    "StratifiedNormalKFold",
    "auroc_scorer",
    "neg_achieved_fpr_scorer",
    "tpr_at_fpr_scorer",
]
