"""Figures of merit that scikit-learn does not have."""

from ._by_type import map_metrics_by_type
from ._per_region_overlap import per_region_overlap
from ._pixels import pixel_average_precision, pixel_roc_auc
from ._rates import achieved_fpr, tpr_at_fpr
from ._roc_auc_interval import roc_auc_interval

__all__ = [
    "achieved_fpr",
    "map_metrics_by_type",
    "per_region_overlap",
    "pixel_average_precision",
    "pixel_roc_auc",
    "roc_auc_interval",
    "tpr_at_fpr",
]
