"""The mathematics of false-alarm rates."""

from ._adaptive import AdaptiveThreshold
from ._held_out import HeldOutDistances, required_units
from ._monitor import ConformalMonitor
from ._parametric_thresholds import chi2_threshold, f_threshold, warn_of_contradiction
from ._planning import fpr_bound, planning_table, required_samples
from ._rate_estimate import (
    RateEstimate,
    estimate_rate,
    estimate_rates,
    rows_by_group,
)
from ._tail import GeneralizedParetoTail

__all__ = [
    "AdaptiveThreshold",
    "ConformalMonitor",
    "fpr_bound",
    "planning_table",
    "required_samples",
]
