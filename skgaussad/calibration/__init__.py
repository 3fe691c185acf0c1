"""Error rates that hold: in the line as well as in the laboratory."""

from ._conformal_detector import ConformalDetector
from ._monitor import ConformalMonitor
from ._p_values import p_values
from ._planning import fpr_bound, planning_table, required_samples
from ._rate_estimate import RateEstimate
from ._report import CalibrationReport, calibration_report
from ._warnings import FalseAlarmRateWarning

__all__ = [
    "CalibrationReport",
    "ConformalDetector",
    "ConformalMonitor",
    "FalseAlarmRateWarning",
    "RateEstimate",
    "calibration_report",
    "fpr_bound",
    "p_values",
    "planning_table",
    "required_samples",
]
