"""Hashes that identify a fitted model and a list of paths across processes."""

import dataclasses
import hashlib
import inspect

import joblib
import numpy as np

# Left out: device, speed and storage, which do not change the scores, and the source of
# the weights, whose content is hashed as weights_sha256_.
_LEFT_OUT = {
    *(
        "device",
        "engine",
        "engine_",
        "torch_compile",
        "batch_size",
        "num_workers",
        "n_jobs",
        "verbose",
    ),
    *("cache", "memmap_folder", "memory"),
    *("weights", "weights_source_", "store_weights"),
}


def hash_model(estimator):
    """Hash a fitted estimator by its parameters and public fitted attributes.

    A pickle would not do: it changes when an attribute is computed on demand. The
    covariance is not hashed; models with equal parameters and equal means, bit by bit,
    are assumed to be equal.
    """
    return joblib.hash(_describe(estimator), hash_name="sha1")


def hash_paths(paths):
    """Hash a list of paths, in order."""
    digest = hashlib.sha256()
    for path in paths:
        encoded = path.encode(errors="surrogateescape")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def _describe(value):
    """Replace estimators by plain values, at any depth."""
    if isinstance(value, type) or inspect.isroutine(value):
        return value.__qualname__
    if hasattr(value, "get_params"):
        # May be a property, which vars does not list.
        described = {"offset_": getattr(value, "offset_", None)}
        described.update(value.get_params(deep=False))
        described.update(
            (name, attribute)
            for name, attribute in vars(value).items()
            if name.endswith("_") and not name.startswith("_")
        )
        return type(value).__qualname__, [
            (name, _describe(described[name]))
            for name in sorted(described.keys() - _LEFT_OUT)
        ]
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return [(field.name, _describe(getattr(value, field.name))) for field in fields]
    if isinstance(value, dict):
        return [(_describe(key), _describe(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_describe(item) for item in value]
    if isinstance(value, np.ndarray):
        # joblib hashes views and memory maps unlike arrays of the same values.
        return np.ascontiguousarray(value)
    return value
