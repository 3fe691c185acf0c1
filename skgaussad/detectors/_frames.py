"""Features for an inner estimator, which may need the names of a data frame."""

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import validate_data


def validate_named(estimator, X, **options):
    """Validate `X` for a meta-estimator; keep a data frame whose columns have names.

    The names tell :class:`~skgaussad.LevelEnsemble` the levels.

    Parameters
    ----------
    estimator : estimator
        The meta-estimator.
    X : array-like of shape (n_samples, n_features)
    **options
        As for :func:`sklearn.utils.validation.validate_data`.

    Returns
    -------
    X : ndarray or data frame of shape (n_samples, n_features)
    """
    values = validate_data(estimator, X, **options)
    return X if hasattr(estimator, "feature_names_in_") else values


def take_rows(X, rows):
    """Take rows of an array or a data frame.

    Parameters
    ----------
    X : ndarray or data frame of shape (n_samples, n_features)
    rows : ndarray of int or bool

    Returns
    -------
    taken : ndarray or data frame
    """
    return _safe_indexing(X, np.flatnonzero(rows) if rows.dtype == bool else rows)
