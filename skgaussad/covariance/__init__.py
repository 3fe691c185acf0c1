"""Feature matrix in, Gaussian out."""

from ._detector import MahalanobisDetector
from ._variants import VariantMahalanobisDetector

__all__ = ["MahalanobisDetector", "VariantMahalanobisDetector"]
