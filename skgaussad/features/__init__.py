"""Images in, feature matrix out."""

from ._images import InvalidImageError
from ._transformer import DeepFeatureTransformer

__all__ = ["DeepFeatureTransformer", "InvalidImageError"]
