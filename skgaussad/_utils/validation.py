"""Checks of constructor parameters and of features, made in ``fit``.

Not by `sklearn.utils.check_scalar`, which accepts NaN and booleans, and raises
TypeError for values of other types.
"""

import numbers
import os
import sys
import weakref

import numpy as np
from sklearn.utils import validation

_FLOATS = (np.float32, np.float64)


def check_choice(name, value, choices):
    """Raise ValueError unless `value` is one of the strings `choices`."""
    if not isinstance(value, str) or value not in choices:
        expected = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {expected}; got {value!r}.")


def check_real(name, value, low, high, *, closed=""):
    """Raise ValueError unless `value` is a real number between `low` and `high`.

    `closed` names the bounds that are allowed: "" for none, "low", "high" or "both".
    """
    left, right = closed in ("low", "both"), closed in ("high", "both")
    interval = f"{'[' if left else '('}{low}, {high}{']' if right else ')'}"
    inside = (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and (value >= low if left else value > low)
        and (value <= high if right else value < high)
    )
    if not inside:
        raise ValueError(f"{name} must be a number in {interval}; got {value!r}.")


def check_integer(name, value, low):
    """Raise ValueError unless `value` is an integer of at least `low`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ValueError(f"{name} must be an integer of at least {low}; got {value!r}.")
    if value < low:
        raise ValueError(f"{name} must be at least {low}; got {value!r}.")


def validate_data(estimator, X, **options):
    """Validate `X` as the function of this name of scikit-learn does.

    Of images, the error says what to do, and not to reshape them; masked values, which
    would count as any other, are an error.
    """
    came = _find_images(X)
    if came is not None:
        name = type(estimator).__name__
        raise ValueError(
            f"{name} takes a matrix of features, of shape (n_samples, n_features), and "
            f"got {came}. Put a DeepFeatureTransformer before it, not in it: "
            f"make_pipeline(DeepFeatureTransformer(), {name}(...)), or "
            f"make_detector(detector={name}(...)); what it wraps gets features, too."
        )
    check_unmasked("X", X)
    if not options.get("reset", True):
        values = _values_by_names(estimator, X)
        if values is not None:
            # What scikit-learn does for each of thousands of columns takes longer than
            # the network. Their names are right, and the rest is that of an array.
            options.pop("reset")
            return validation.check_array(
                values, estimator=estimator, input_name="X", **options
            )
    return validation.validate_data(estimator, X, **options)


def _values_by_names(estimator, X):
    """Return the values of a data frame of one float type with the names of a fit.

    None for other samples.
    """
    names = getattr(estimator, "feature_names_in_", None)
    pandas = sys.modules.get("pandas")
    if names is None or pandas is None or type(X) is not pandas.DataFrame:
        return None
    if not X.columns.equals(_as_index(estimator, names)):
        return None
    values = X.to_numpy()
    return values if values.dtype in _FLOATS else None


# By estimator: making one takes as long as comparing names one by one.
_indices = weakref.WeakKeyDictionary()


def _as_index(estimator, names):
    """Return the names of a fit as pandas has them."""
    known, index = _indices.get(estimator, (None, None))
    if known is not names:
        index = sys.modules["pandas"].Index(names)
        _indices[estimator] = names, index
    return index


def check_unmasked(name, X):
    """Raise ValueError where a value is masked, which would count as any other."""
    masked = np.argwhere(np.ma.getmask(X)) if np.ma.isMaskedArray(X) else ()
    if len(masked):
        raise ValueError(
            f"{name}[{', '.join(map(str, masked[0]))}] is masked, and a masked value "
            "is not left out. Fill in masked values, or leave their samples or "
            "features out."
        )


def _find_images(X):
    """Say which images `X` holds, or None."""
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape) in (3, 4):
        return f"images, an array of shape {tuple(shape)}"
    is_column = isinstance(X, list | tuple) or (shape is not None and len(shape) == 1)
    if not is_column or len(X) == 0:
        return None
    first = X.iloc[0] if hasattr(X, "iloc") else X[0]
    if isinstance(first, str | os.PathLike):
        return "paths"
    if hasattr(first, "getbands") or (isinstance(first, np.ndarray) and first.ndim > 1):
        return f"images, the first a {type(first).__name__}"
    return None
