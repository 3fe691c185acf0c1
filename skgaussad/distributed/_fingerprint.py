"""A hash by which a fitted model is known again, in other processes too."""

import dataclasses
import hashlib
import inspect

import joblib
import numpy as np

# What says where and how fast a model computes, not what, and where its weights came
# from, which have a hash.
_NOT_THE_MODEL = {
    *("device", "torch_compile", "batch_size", "num_workers", "n_jobs", "verbose"),
    *("cache", "memmap_folder", "memory"),
    *("weights", "weights_source_", "store_weights"),
}


def hash_model(estimator):
    """Hash a fitted estimator by its parameters and public fitted attributes.

    Not by its pickle, which changes when something is computed on demand. Fits with the
    same parameters and, in all digits, the same means are taken to be the same.

    Parameters
    ----------
    estimator : estimator or Pipeline

    Returns
    -------
    digest : str
    """
    return joblib.hash(_describe(estimator), hash_name="sha1")


def hash_paths(paths):
    """Hash a list of paths, in order.

    Parameters
    ----------
    paths : list of str

    Returns
    -------
    digest : str
    """
    digest = hashlib.sha256()
    for path in paths:
        encoded = path.encode(errors="surrogateescape")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def _describe(value):
    """Turn estimators into plain values, at any depth."""
    if isinstance(value, type) or inspect.isroutine(value):
        return value.__qualname__
    if hasattr(value, "get_params"):
        # A detector may compute its threshold, or keep it elsewhere.
        described = {"offset_": getattr(value, "offset_", None)}
        described.update(value.get_params(deep=False))
        described.update(
            (name, attribute)
            for name, attribute in vars(value).items()
            if name.endswith("_") and not name.startswith("_")
        )
        return type(value).__qualname__, [
            (name, _describe(described[name]))
            for name in sorted(described.keys() - _NOT_THE_MODEL)
        ]
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return [(field.name, _describe(getattr(value, field.name))) for field in fields]
    if isinstance(value, dict):
        return [(_describe(key), _describe(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_describe(item) for item in value]
    if isinstance(value, np.ndarray):
        # A view or a memory map is the same as a copy.
        return np.ascontiguousarray(value)
    return value
