"""Reports on a fitted detector: a table of rates, and an HTML page.

The page needs the extra ``skgaussad[plot]``.
"""

from ._calibration_report import CalibrationReport, calibration_report
from ._evaluation import evaluate
from ._fit_summary import FitSummary, fit_summary
from ._write_report import write_report, write_report_of, write_review

__all__ = [
    "CalibrationReport",
    "FitSummary",
    "calibration_report",
    "fit_summary",
    "write_report",
    "write_review",
]
