"""Images in, feature matrix out."""

from ._cache import FeatureCache
from ._feature_store import FeatureCacheWarning
from ._images import InvalidImageError
from ._transformer import DeepFeatureTransformer

__all__ = [
    "DeepFeatureTransformer",
    "FeatureCache",
    "FeatureCacheWarning",
    "InvalidImageError",
]
