"""Scores of several groups of features to one."""

import math

import numpy as np

from .._utils.array_api import namespace_of

_TOP_FRACTION = 0.05
AGGREGATIONS = ("sum", "mean", "max", "top")


def aggregate(distances, how, top_fraction):
    """Aggregate the distances of each row.

    Parameters
    ----------
    distances : array of shape (n_samples, n_groups)
        Of any array namespace. Higher is more anomalous.
    how : {"sum", "mean", "max", "top"}
        ``"top"`` takes the mean of the highest ones.
    top_fraction : float or None
        Fraction of the groups that ``"top"`` averages, in (0, 1], rounded up to a whole
        number of groups; None is 0.05.

    Returns
    -------
    aggregated : array of shape (n_samples,)
    """
    xp = namespace_of(distances)
    if how == "sum":
        return xp.sum(distances, axis=1)
    if how == "mean":
        return xp.mean(distances, axis=1)
    if how == "max":
        return xp.max(distances, axis=1)
    n_groups = distances.shape[1]
    n_top = count_top(n_groups, top_fraction)
    return xp.mean(xp.sort(distances, axis=1)[:, n_groups - n_top :], axis=1)


def aggregation_weights(distances, how, top_fraction):
    """Weights that each group's distance has in the aggregated one.

    Parameters
    ----------
    distances, how, top_fraction
        As for `aggregate`.

    Returns
    -------
    weights : ndarray of shape (n_samples, n_groups)
        The aggregated distance is the sum of the weighted ones.
    """
    n_groups = distances.shape[1]
    if how == "sum":
        return np.ones_like(distances)
    n_used = {"mean": n_groups, "max": 1}.get(how) or count_top(n_groups, top_fraction)
    used = np.argsort(distances, axis=1, kind="stable")[:, n_groups - n_used :]
    weights = np.zeros_like(distances)
    np.put_along_axis(weights, used, 1 / n_used, axis=1)
    return weights


def count_top(n_groups, top_fraction):
    """Count the groups that are averaged, at least one."""
    top_fraction = _TOP_FRACTION if top_fraction is None else top_fraction
    return max(1, math.ceil(top_fraction * n_groups - 1e-9))
