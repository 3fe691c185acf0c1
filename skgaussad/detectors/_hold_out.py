"""Splits of the training samples that hold each of them out once."""

import numbers

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut, check_cv

from ._frames import take_rows


def split_folds(cv, n_samples, groups=None):
    """Split samples into folds that hold out each of them exactly once.

    Parameters
    ----------
    cv : int, cross-validation splitter or "auto"
        An integer shuffles the samples, always the same way, or keeps groups together
        where there are any. ``"auto"`` is 5 folds, or each group on its own.
    n_samples : int
    groups : ndarray of shape (n_samples,), dtype int, or None, default=None

    Returns
    -------
    folds : list of (train, test) tuples of ndarrays of int

    Raises
    ------
    ValueError
        If `cv` holds a sample out never or more than once, or splits a group.
    """
    rows = np.arange(n_samples)
    if isinstance(cv, str) and cv == "auto":
        cv = 5 if groups is None else LeaveOneGroupOut()
    if isinstance(cv, numbers.Integral) and cv >= 2:
        if groups is None:
            cv = KFold(min(cv, n_samples), shuffle=True, random_state=0)
        else:
            cv = GroupKFold(min(cv, groups.max() + 1))
    folds = list(check_cv(cv).split(rows, groups=groups))
    held_out = np.sort(np.concatenate([test for _, test in folds]))
    if not np.array_equal(held_out, rows):
        raise ValueError(
            f"cv must hold out each of the {n_samples} training samples exactly once, "
            f"as KFold does; got {cv!r}."
        )
    if groups is not None:
        for train, test in folds:
            if np.isin(groups[test], groups[train]).any():
                raise ValueError(
                    "cv must keep the samples of a group together, as GroupKFold does; "
                    f"got {cv!r}."
                )
    return folds


def fit_and_score(estimator, X, train, test):
    """Fit an estimator on some rows and score others.

    Parameters
    ----------
    estimator : outlier detector
        Fitted in place.
    X : ndarray or data frame of shape (n_samples, n_features)
    train, test : ndarray of int

    Returns
    -------
    distances : ndarray of shape (n_test,)
        Minus the scores.
    """
    estimator.fit(take_rows(X, train))
    return -estimator.score_samples(take_rows(X, test))


def gather(folds, parts):
    """Put the results of folds in the order of the samples.

    Parameters
    ----------
    folds : list of (train, test) tuples of ndarrays of int
        That hold out each sample once.
    parts : iterable of ndarray of shape (n_test,)
        One a fold.

    Returns
    -------
    gathered : ndarray of shape (n_samples,)
    """
    held_out = np.concatenate([test for _, test in folds])
    gathered = np.empty(len(held_out))
    gathered[held_out] = np.concatenate(list(parts))
    return gathered
