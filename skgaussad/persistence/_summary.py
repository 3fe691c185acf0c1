"""The readable part of a model file."""

import contextlib
import platform
from dataclasses import asdict
from importlib import metadata

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from .._utils.training_samples import TrainingSamples
from ..detectors import find_decider, find_threshold, n_calibration_units
from ..features import DeepFeatureTransformer

_PACKAGES = (
    "skgaussad",
    "scikit-learn",
    "numpy",
    "scipy",
    "skops",
    "safetensors",
    "torch",
    "timm",
    "pillow",
)
# Long representations of parameters are cut; the estimator has them in full.
_MAX_CHARACTERS = 200


def summarize(estimator):
    """Collect the facts that `model_info` returns.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    facts : dict
        Of strings, numbers, None, and lists and dicts of these.
    """
    return {
        "python": platform.python_version(),
        "packages": installed_versions(),
        "estimator": _full_name(estimator),
        "parameters": {
            name: _readable(value)
            for name, value in estimator.get_params().items()
            if not isinstance(value, BaseEstimator)
        },
        "networks": [
            {"name": name, **_describe_network(part)}
            for name, part in _walk("", estimator)
            if isinstance(part, DeepFeatureTransformer) and hasattr(part, "levels_")
        ],
        "detector": _describe_detector(estimator),
        "training_samples": _describe_samples(estimator),
    }


def installed_versions():
    """Return the versions of the packages that a model depends on, by name."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def _walk(name, estimator):
    """Yield an estimator and the estimators in it, with their names."""
    yield name, estimator
    if isinstance(estimator, Pipeline):
        parts = dict(estimator.steps)
    elif isinstance(estimator, FeatureUnion):
        parts = dict(estimator.transformer_list)
    else:
        parts = {key: v for key, v in vars(estimator).items() if key.endswith("_")}
    for key, value in parts.items():
        if isinstance(value, BaseEstimator):
            yield from _walk(f"{name}.{key}".lstrip("."), value)


def _describe_network(transformer):
    return {
        "backbone": transformer.backbone,
        "levels": list(transformer.levels_),
        "precision": transformer.precision_,
        "preprocessing": asdict(transformer.preprocessing_),
        "n_features": len(transformer.get_feature_names_out()),
        "weights_source": transformer.weights_source_,
        "weights_sha256": transformer.weights_sha256_,
        "weights_in_file": bool(transformer.store_weights),
    }


def _describe_detector(estimator):
    """Describe the part that decides, or return None where there is none."""
    threshold, estimator = find_threshold(estimator), find_decider(estimator)
    if threshold is None:
        return None
    facts = {
        "class": _full_name(estimator),
        "threshold_distance": _readable(threshold),
    }
    for name in ("threshold", "fpr", "confidence"):
        if hasattr(estimator, name):
            facts[name] = _readable(getattr(estimator, name))
    if getattr(estimator, "calibration_distances_", None) is not None:
        facts["n_calibration_units"] = n_calibration_units(estimator)
    facts["training"] = {
        name: _readable(value)
        for name, value in sorted(vars(estimator).items())
        if name.endswith("_") and isinstance(value, bool | int | float | np.generic)
    }
    return facts


def _describe_samples(estimator):
    """Describe the training samples that are kept, or return None for none."""
    samples = vars(estimator).get("_training")
    if not isinstance(samples, TrainingSamples):
        return None
    rows, groups = samples.is_in, samples.groups
    return {
        "n_samples": int(rows.sum()),
        "n_groups": None if groups is None else len(np.unique(groups[rows])),
        "n_updates": len(samples.times) - 1,
        "changed": samples.times[-1],
    }


def _full_name(estimator):
    names = [*type(estimator).__module__.split("."), type(estimator).__qualname__]
    return ".".join(name for name in names if not name.startswith("_"))


def _readable(value):
    """Turn a value into one that JSON can represent."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 3]}..."
