"""Fits that do not trust every training sample to be normal."""

from ._robust_detector import RobustDetector

__all__ = ["RobustDetector"]
