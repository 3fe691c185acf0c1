"""Arrays of other libraries, by scikit-learn's array API dispatch.

The one file that imports private parts of scikit-learn. Without
``sklearn.set_config(array_api_dispatch=True)`` all arrays are NumPy's.
"""

import numpy as np
from sklearn.utils._array_api import (
    _convert_to_numpy,
    _is_numpy_namespace,
    _max_precision_float_dtype,
    device,
    get_namespace,
)


def namespace_of(X):
    """Array namespace that an array is computed with.

    Parameters
    ----------
    X : array-like

    Returns
    -------
    xp : module
        numpy for whatever is no array of another library.
    """
    xp, is_array_api = get_namespace(X)
    return xp if is_array_api and not _is_numpy_namespace(xp) else np


def score_dtype(X):
    """Floating-point type to score an array in.

    Parameters
    ----------
    X : array-like

    Returns
    -------
    dtype : dtype of the namespace of `X`
        float64, or float32 on devices that have no float64.
    """
    xp = namespace_of(X)
    return xp.float64 if xp is np else _max_precision_float_dtype(xp, device(X))


def to_host(X):
    """Copy an array of another library to a NumPy array.

    Parameters
    ----------
    X : array-like

    Returns
    -------
    X : ndarray, or `X` itself where it is no array of another library
    """
    xp = namespace_of(X)
    return X if xp is np else _convert_to_numpy(X, xp)


def like(array, X, dtype=None):
    """Copy a NumPy array to the namespace and device of another array.

    Parameters
    ----------
    array : ndarray
    X : array
    dtype : dtype of the namespace of `X` or None, default=None
        None keeps that of `array`.

    Returns
    -------
    array : array of the namespace of `X`, or `array` itself for a NumPy array `X`
    """
    xp = namespace_of(X)
    if xp is np:
        return array
    # torch shares the memory, and warns where it cannot be written to, as in arrays
    # that joblib has mapped from a file.
    array = np.require(array, requirements="W")
    return xp.asarray(array, dtype=dtype, device=device(X))
