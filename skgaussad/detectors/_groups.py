"""Lots, shifts and capture runs of the training samples."""

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d


def number_groups(groups, X):
    """Replace the names of groups by numbers from 0.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        Names of any kind.
    X : array-like of shape (n_samples, n_features)

    Returns
    -------
    numbers : ndarray of shape (n_samples,), dtype int

    Raises
    ------
    ValueError
        If there are not as many as rows of `X`, or all are the same.
    """
    groups = column_or_1d(groups)
    check_consistent_length(X, groups)
    names, numbers = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            "groups must hold at least two different groups, so that one can be left "
            f"out; all {len(groups)} samples are in group {str(names[0])!r}. Fit "
            "without groups."
        )
    return numbers
