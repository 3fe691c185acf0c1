"""Reports about a fitted detector: a table, and a page to hand on.

The page takes the extra ``skgaussad[plot]``.
"""

from ._calibration_report import CalibrationReport, calibration_report
from ._write_report import write_report

__all__ = ["CalibrationReport", "calibration_report", "write_report"]
