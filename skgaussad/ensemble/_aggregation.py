"""Scores of several groups of features to one."""

import math

import numpy as np

AGGREGATIONS = ("sum", "mean", "max", "top")


def aggregate(distances, how, top_share):
    """Aggregate the distances of each row.

    Parameters
    ----------
    distances : ndarray of shape (n_samples, n_groups)
        Higher is more anomalous.
    how : {"sum", "mean", "max", "top"}
        ``"top"`` takes the mean of the highest ones.
    top_share : float
        Share of the groups that ``"top"`` averages, in (0, 1], rounded up to a whole
        number of groups.

    Returns
    -------
    aggregated : ndarray of shape (n_samples,)
    """
    if how == "sum":
        return distances.sum(axis=1)
    if how == "mean":
        return distances.mean(axis=1)
    if how == "max":
        return distances.max(axis=1)
    n_groups = distances.shape[1]
    n_top = math.ceil(top_share * n_groups - 1e-9)
    return np.partition(distances, n_groups - n_top, axis=1)[:, -n_top:].mean(axis=1)
