"""Image anomaly detection by Gaussians in pretrained deep features."""

from importlib import import_module, metadata
from threading import RLock

__all__ = [
    "AugmentedDetector",
    "CellwiseMahalanobisDetector",
    "ConformalDetector",
    "DeepFeatureTransformer",
    "DetectorPipeline",
    "LevelEnsemble",
    "MahalanobisDetector",
    "MondrianDetector",
    "NegatedPCA",
    "PositionDetector",
    "RobustDetector",
    "TiledDetector",
    "VariantMahalanobisDetector",
    "load",
    "make_detector",
    "save",
]

_HOMES = {
    "DeepFeatureTransformer": "features",
    "DetectorPipeline": "_make_detector",
    "NegatedPCA": "decomposition",
    "load": "persistence",
    "make_detector": "_make_detector",
    "save": "persistence",
}

# Modules of scikit-learn import each other: threads that begin with different ones find
# some of them half done.
_import_lock = RLock()


def __getattr__(name):
    # Importing scikit-learn takes most of a second, which is due on first use only.
    if name == "__version__":
        return metadata.version(__name__)
    if name in __all__:
        home = _HOMES.get(name, "detectors")
        with _import_lock:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__, "__version__"})
