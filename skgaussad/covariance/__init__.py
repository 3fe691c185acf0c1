"""Feature matrix in, Gaussian out."""

from ._detector import MahalanobisDetector

__all__ = ["MahalanobisDetector"]
