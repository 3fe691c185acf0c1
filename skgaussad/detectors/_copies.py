"""Copies among the samples, which must not stay behind where one is held out."""

import warnings
from hashlib import sha256

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..exceptions import FalseAlarmRateWarning

_N_NAMED = 5


def find_copies(X):
    """Give rows of an array or data frame numbers, equal ones the same.

    Parameters
    ----------
    X : ndarray or data frame of shape (n_samples, n_features)

    Returns
    -------
    copies : ndarray of shape (n_samples,), dtype int, or None
        Counted from 0 without gaps; rows have the same number if they are equal to the
        last bit. None if all differ.

    Warns
    -----
    FalseAlarmRateWarning
        If there are copies, with the places of some.
    """
    return number_copies(digest_rows(X))


def digest_rows(X):
    """Return a digest of each row, bytes that only equal rows share."""
    return [sha256(row).digest()[:16] for row in np.ascontiguousarray(X)]


def find_image_copies(images, preprocessing):
    """Give images numbers as `find_copies` does rows, by their content."""
    rows = range(len(images))
    return number_copies([preprocessing.identify(images, row) for row in rows])


def number_copies(digests):
    """Give samples numbers by digests of them, and warn if some are equal."""
    _, firsts, copies = np.unique(digests, return_index=True, return_inverse=True)
    is_copy = firsts[copies] != np.arange(len(copies))
    if not is_copy.any():
        return None
    rows = np.flatnonzero(is_copy)
    named = [f"X[{row}] = X[{firsts[copies[row]]}]" for row in rows[:_N_NAMED]]
    if len(rows) > len(named):
        named.append("...")
    warnings.warn(
        f"{len(rows)} of the {len(copies)} training samples are copies of others: "
        f"{', '.join(named)}. Equal samples are held out together and count as one for "
        "the false-alarm rate. Leave copies out: they tell nothing new of what is "
        "normal.",
        FalseAlarmRateWarning,
        stacklevel=4,
    )
    return copies


def join_groups(groups, copies):
    """Make one group of those that share copies.

    Parameters
    ----------
    groups, copies : ndarray of shape (n_samples,), dtype int
        Counted from 0 without gaps.

    Returns
    -------
    groups : ndarray of shape (n_samples,), dtype int
        Counted from 0 without gaps.
    """
    n_groups = groups.max() + 1
    size = n_groups + copies.max() + 1
    # Of 32 bits, which SciPy takes in all its versions.
    places = groups.astype(np.int32), (n_groups + copies).astype(np.int32)
    links = coo_array((np.ones(len(groups)), places), shape=(size, size))
    return connected_components(links, directed=False)[1][groups]
