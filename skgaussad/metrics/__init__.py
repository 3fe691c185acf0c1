"""Figures of merit that scikit-learn does not have."""

from ._aggregation import mean_and_sem
from ._rates import achieved_fpr, tpr_at_fpr

__all__ = ["achieved_fpr", "mean_and_sem", "tpr_at_fpr"]
