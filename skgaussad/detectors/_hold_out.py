"""The one way to hold samples out: by lots, by folds, with models fitted anew."""

import contextlib
import inspect
import numbers
import warnings
from contextvars import ContextVar

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    check_cv,
)
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed

from .._utils.labels import number_labels
from .._utils.validation import validate_data
from ..exceptions import FalseAlarmRateWarning
from ._copies import join_groups

_is_inner = ContextVar("is_inner", default=False)


def number_groups(groups, X, copies=None):
    """Replace the names of groups by numbers from 0; None stays None.

    Parameters
    ----------
    groups : array-like of shape (n_samples,) or None
        Lot, shift or capture run of each sample, of any type that can be sorted.
    X : array-like of shape (n_samples, n_features)
    copies : ndarray of shape (n_samples,) or None, default=None
        As `number_copies` gives it. Groups that share copies become one.

    Returns
    -------
    numbers : ndarray of shape (n_samples,), dtype int, or None

    Raises
    ------
    ValueError
        If there are not as many as rows of `X`, or all are the same or share copies.
    """
    if groups is None:
        return None
    names, numbers_ = number_labels("groups", groups, X)
    if len(names) < 2:
        raise ValueError(
            "groups must hold at least two different groups, so that one can be left "
            f"out; all {len(numbers_)} samples are in group {str(names[0])!r}. Fit "
            "without groups."
        )
    if copies is None:
        return numbers_
    joined = join_groups(numbers_, copies)
    if joined.max() == 0:
        raise ValueError(
            f"groups must hold at least two groups without samples in common; all "
            f"{len(names)} hang together by samples that are equal to the last bit. "
            "Leave the copies out."
        )
    return joined


def takes_groups(estimator):
    """Whether an estimator's ``fit`` has a parameter ``groups``."""
    return "groups" in inspect.signature(estimator.fit).parameters


def is_automatic(cv):
    """Whether the parameter ``cv`` leaves the choice to the detector."""
    return isinstance(cv, str) and cv == "auto"


def split_folds(cv, n_samples, groups=None, copies=None):
    """Split samples into folds that hold out each of them exactly once.

    Parameters
    ----------
    cv : int, cross-validation splitter or "auto"
        An integer shuffles the samples, always the same way, or keeps groups together
        where there are any. ``"auto"`` is 5 folds, or each group on its own.
    n_samples : int
    groups, copies : ndarray of shape (n_samples,), dtype int, or None, default=None
        Samples to keep together: those of a group, which hold their copies, too, or
        without groups those that are equal.

    Returns
    -------
    folds : list of (train, test) tuples of ndarrays of int

    Raises
    ------
    ValueError
        If `cv` holds a sample out never or more than once, or splits a group.
    """
    rows = np.arange(n_samples)
    if is_automatic(cv):
        cv = 5 if groups is None else LeaveOneGroupOut()
    kept_together = "samples of a group"
    if groups is None and copies is not None:
        groups, kept_together = copies, "copies of a sample"
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
                    f"cv must keep the {kept_together} together, as GroupKFold does; "
                    f"got {cv!r}."
                )
    return folds


def hold_out(fit, X, folds, *, n_jobs=None, prefer=None):
    """Distances of samples to detectors fitted without their folds.

    Parameters
    ----------
    fit : callable
        Takes rows of `X` and their positions, and returns a detector fitted to them.
    X : ndarray or data frame of shape (n_samples, n_features)
    folds : list of (train, test) tuples of ndarrays of int
        That hold out each sample once.
    n_jobs, prefer
        As for :class:`joblib.Parallel`.

    Returns
    -------
    distances : ndarray of shape (n_samples,)
        Minus the scores.
    detectors : list of outlier detector
        By fold.
    """
    results = Parallel(n_jobs=n_jobs, prefer=prefer)(
        delayed(_fit_and_score)(fit, X, train, test) for train, test in folds
    )
    parts, detectors = zip(*results, strict=True)
    held_out = np.concatenate([test for _, test in folds])
    distances = np.empty(len(held_out))
    distances[held_out] = np.concatenate(parts)
    return distances, list(detectors)


def _fit_and_score(fit, X, train, test):
    """Fit a detector to some samples; return the others' distances to it, and it."""
    detector = fit(take_rows(X, train), train)
    scores = detector.score_samples(take_rows(X, test))
    return -np.asarray(scores, dtype=np.float64), detector


def number_folds(folds):
    """Return the number of the fold that holds each sample out."""
    numbers_ = np.empty(sum(len(test) for _, test in folds), dtype=int)
    for number, (_, test) in enumerate(folds):
        numbers_[test] = number
    return numbers_


def validate_named(estimator, X, **options):
    """Validate `X` for a meta-estimator; keep a data frame whose columns have names.

    The names tell :class:`~skgaussad.LevelEnsemble` the levels. `options` are those of
    :func:`sklearn.utils.validation.validate_data`.
    """
    values = validate_data(estimator, X, **options)
    return X if hasattr(estimator, "feature_names_in_") else values


def take_rows(X, rows):
    """Take rows of an array or a data frame, by positions or a mask."""
    return _safe_indexing(X, np.flatnonzero(rows) if rows.dtype == bool else rows)


@contextlib.contextmanager
def fitting_inner():
    """Fit detectors whose own working point plays no part, and is not looked at."""
    token = _is_inner.set(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FalseAlarmRateWarning)
            yield
    finally:
        _is_inner.reset(token)


def is_inner():
    """Whether a fit is one of a detector in another, or of a trial."""
    return _is_inner.get()


def fit_clone(estimator, X, rows=None):
    """Fit a clone: what :func:`functools.partial` makes the `fit` of `hold_out` of."""
    with fitting_inner():
        # FrozenEstimator insists on y.
        return clone(estimator).fit(X, None)


def clone_for_rows(detector, n_samples, rows, copies=None):
    """Clone a detector for some of its samples, which stay in their folds."""
    cloned = clone(detector)
    cv = getattr(detector, "cv", None)
    if cv is not None and not isinstance(cv, str | numbers.Integral):
        folds = number_folds(split_folds(cv, n_samples, copies=copies))
        cloned.set_params(cv=PredefinedSplit(folds[rows]))
    return cloned
