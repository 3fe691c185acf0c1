"""Image anomaly detection by Gaussians in pretrained deep features."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .covariance import MahalanobisDetector
    from .features import DeepFeatureTransformer

__all__ = ["DeepFeatureTransformer", "MahalanobisDetector"]

_HOMES = {"DeepFeatureTransformer": "features", "MahalanobisDetector": "covariance"}


def __getattr__(name):
    # Importing scikit-learn takes most of a second, which is due on first use only.
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
