"""The parts of a feature vector: one pooling of one level each."""

import contextlib
import functools
from dataclasses import dataclass

from ._pooling import Pooling


@dataclass(frozen=True)
class Part:
    """The features that one pooling computes from one level.

    Attributes
    ----------
    level : int
    pooling : Pooling
    n_channels : int
        Of the level.
    """

    level: int
    pooling: Pooling
    n_channels: int

    @property
    def names(self):
        """Names of the features, as ``level7_0012``."""
        return _names_of(self)

    @property
    def width(self):
        """Number of features."""
        return self.pooling.n_cells * self.n_channels


@functools.lru_cache
def _names_of(part):
    return tuple(part.pooling.names(part.level, part.n_channels))


def list_parts(levels, poolings, shapes, kept_area=None):
    """List the parts of a feature vector, by level, then pooling.

    Parameters
    ----------
    levels : iterable of int
    poolings : tuple of Pooling
    shapes : dict of {int: tuple (channels, height, width, has_class_token)}
    kept_area : KeptArea or None, default=None
        None if nothing is ignored.

    Returns
    -------
    parts : tuple of Part

    Raises
    ------
    ValueError
        If a pooling does not apply to a level.
    """
    parts = []
    for level in levels:
        n_channels, height, width, has_class_token = shapes[level]
        weights = None if kept_area is None else kept_area.fractions(height, width)
        for pooling in poolings:
            pooling.check(level, height, width, has_class_token, weights)
            parts.append(Part(level, pooling, n_channels))
    return tuple(parts)


def list_possible_parts(poolings, shapes, kept_area=None):
    """List the parts of all levels to which a pooling applies, as `list_parts` does."""
    parts = []
    for level in shapes:
        for pooling in poolings:
            with contextlib.suppress(ValueError):
                parts.extend(list_parts([level], [pooling], shapes, kept_area))
    return tuple(parts)


def slices_of(parts):
    """Return the columns of each part as a list of slices."""
    slices, start = [], 0
    for part in parts:
        slices.append(slice(start, start + part.width))
        start += part.width
    return slices


def level_slices(parts):
    """Return the columns of each level as a slice; parts are sorted by level."""
    slices = {}
    for part, columns in zip(parts, slices_of(parts), strict=True):
        start = slices.get(part.level, columns).start
        slices[part.level] = slice(start, columns.stop)
    return slices
