"""Image anomaly detection by Gaussians in pretrained deep features."""

from .covariance import MahalanobisDetector
from .features import DeepFeatureTransformer

__all__ = ["DeepFeatureTransformer", "MahalanobisDetector"]
