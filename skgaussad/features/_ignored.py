"""Regions of the images that are ignored: rectangles or a mask."""

import hashlib
import os
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..exceptions import InvalidImageError
from ._decoding import decode_image, read_image_size
from ._input import LazyImages

# Without weights, positions count if at least this fraction of their area is kept.
LEAST_FRACTION = 0.5
# A mask the wrong way round mostly leaves less than that.
_LITTLE = 1 / 3
# Of aspect ratios, for rounded sizes.
_TOLERANCE = 0.02
# A mask with shorter sides is a coarse grid, of any aspect ratio.
_SHORT = 30

_EXPECTED = (
    "a rectangle (top, left, bottom, right) in fractions of height and width with "
    "0 <= top < bottom <= 1 and 0 <= left < right <= 1, a list of these, or a mask: a "
    "path, a PIL image or an array of shape (height, width)"
)


@dataclass(frozen=True, eq=False)
class KeptArea:
    """The area of the network's input that is not ignored, as fields of a grid.

    Attributes
    ----------
    row_edges : ndarray of shape (n_rows + 1,)
        Edges of the fields in fractions of the height, increasing from 0 to 1.
    column_edges : ndarray of shape (n_columns + 1,)
        The same in fractions of the width.
    is_kept : ndarray of shape (n_rows, n_columns), dtype bool
        Whether each field is kept.
    """

    row_edges: np.ndarray
    column_edges: np.ndarray
    is_kept: np.ndarray

    @classmethod
    def resolve(cls, ignore, preprocessing, images=None):
        """Turn the parameter ``ignore`` into the area that is kept.

        Parameters
        ----------
        ignore : tuple of float, list of tuple, path, PIL image, ndarray or None
        preprocessing : Preprocessing
            A mask is cropped like the images.
        images : sequence or None, default=None
            The training images, to check a mask by; None for not at all.

        Returns
        -------
        kept_area : KeptArea or None
            None if nothing is ignored.

        Raises
        ------
        ValueError
            If it is something else, a mask cannot be read, or nothing or everything is
            ignored.

        Warns
        -----
        UserWarning
            If most is ignored, or a mask has another aspect ratio than the images.
        """
        if ignore is None:
            return None
        if isinstance(ignore, np.ndarray | str | os.PathLike | Image.Image):
            is_ignored = read_mask(ignore)
            area = cls._of_mask(is_ignored, preprocessing)
        else:
            is_ignored = None
            area = cls._of_rectangles(_list_rectangles(ignore))
        if area.is_kept.all():
            raise ValueError(
                "ignore has no effect: the mask is zero wherever the network looks. "
                "A mask is nonzero in the regions to leave out (the alpha channel does "
                "not count); to use all of the images, leave ignore out."
            )
        if area.fractions(1, 1) == 0:
            raise ValueError(
                "ignore leaves nothing of the images; ignore less. A mask is nonzero "
                "in the regions to leave out: if it is the other way round, invert it."
            )
        if is_ignored is not None and images is not None:
            _warn_of_mask(is_ignored.shape, area, preprocessing, images)
        return area

    @classmethod
    def _of_mask(cls, is_ignored, preprocessing):
        is_kept = ~is_ignored[preprocessing.visible_box(*is_ignored.shape)]
        edges = []
        for axis in (0, 1):
            n_pixels = is_kept.shape[axis]
            # Equal neighbouring rows or columns are joined to one field.
            changes = (np.diff(is_kept, axis=axis) != 0).any(axis=1 - axis)
            starts = np.concatenate([[0], 1 + np.flatnonzero(changes)])
            is_kept = is_kept.take(starts, axis=axis)
            edges.append(np.append(starts, n_pixels) / n_pixels)
        return cls(*edges, is_kept)

    @classmethod
    def _of_rectangles(cls, rectangles):
        tops, lefts, bottoms, rights = np.transpose(rectangles)
        row_edges = np.unique([0, *tops, *bottoms, 1])
        column_edges = np.unique([0, *lefts, *rights, 1])
        is_kept = np.ones((len(row_edges) - 1, len(column_edges) - 1), dtype=bool)
        for top, left, bottom, right in rectangles:
            rows = slice(*np.searchsorted(row_edges, [top, bottom]))
            columns = slice(*np.searchsorted(column_edges, [left, right]))
            is_kept[rows, columns] = False
        return cls(row_edges, column_edges, is_kept)

    def digest(self, *sizes):
        """Return a digest of the fractions at sizes (height, width), for cache keys."""
        content = hashlib.blake2b(digest_size=16)
        for size in sizes:
            content.update(f"{size}".encode() + self.fractions(*size).tobytes())
        return content.hexdigest()

    def fractions(self, height, width):
        """Fraction of the area of each position of a map that is kept.

        Parameters
        ----------
        height, width : int
            Size of the map, whose positions divide the input evenly.

        Returns
        -------
        fractions : ndarray of shape (height, width)
            Float64, in [0, 1].
        """
        rows = _overlaps(self.row_edges, height)
        columns = _overlaps(self.column_edges, width)
        # Rounded, so that positions that are ignored entirely get exactly zero.
        return np.round(rows @ self.is_kept @ columns.T, 9)

    def seen(self, height, width):
        """Return which pixels of an input of this size no ignored region touches."""
        return self.fractions(height, width) == 1

    def pixels(self, height, width):
        """Return whether the centre of each pixel is kept.

        Parameters
        ----------
        height, width : int
            Of the part of an image that the network sees, in pixels.

        Returns
        -------
        is_kept : ndarray of shape (height, width), dtype bool
        """
        rows, columns = (
            np.searchsorted(edges, (np.arange(size) + 0.5) / size, side="right") - 1
            for edges, size in ((self.row_edges, height), (self.column_edges, width))
        )
        return self.is_kept[np.ix_(rows, columns)]


def _overlaps(edges, size):
    """Fraction of each of `size` equal parts of a side that lies in each field."""
    parts = np.arange(size + 1)[:, np.newaxis]
    fields = edges * size
    ends = np.minimum(parts[1:], fields[1:])
    starts = np.maximum(parts[:-1], fields[:-1])
    return np.clip(ends - starts, 0, None)


def _warn_of_mask(shape, area, preprocessing, images):
    """Warn if a mask seems to be inverted or to belong to other images."""
    fraction = area.fractions(1, 1)[0, 0]
    if fraction < _LITTLE:
        warnings.warn(
            f"The mask given as ignore leaves {100 * fraction:.2g} % of the images. It "
            "is nonzero in the regions to leave out: if it is the other way round, "
            "invert it.",
            stacklevel=4,
        )
    if isinstance(images, LazyImages) or min(shape) < _SHORT:
        return
    size = read_image_size(images, 0)
    fitting = [size] if preprocessing.crop_pct else [size, preprocessing.image_size]
    aspect = shape[0] / shape[1]
    if not any(abs(aspect * w / h - 1) < _TOLERANCE for h, w in fitting):
        warnings.warn(
            f"The mask given as ignore is {shape[0]} pixels high and {shape[1]} wide, "
            f"and the first image {size[0]} and {size[1]}: stretched to it, the mask "
            "may lie elsewhere. Give one of the same aspect ratio.",
            stacklevel=4,
        )


def read_mask(mask):
    """Return where a mask is nonzero, as an array of shape (height, width)."""
    if isinstance(mask, np.ndarray):
        if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "biuf":
            raise ValueError(
                f"ignore must be {_EXPECTED}; got an array of shape {mask.shape}, "
                f"dtype {mask.dtype}. Rectangles are tuples or lists."
            )
        if not np.isfinite(mask).all():
            raise ValueError("ignore must be a mask without NaN and infinite values.")
        return mask != 0
    try:
        return decode_image([mask], 0).any(axis=2)
    except InvalidImageError as error:
        raise ValueError(
            f"The mask given as ignore ({error.item}) cannot be read: {error.problem}"
        ) from error


def _list_rectangles(ignore):
    """Return one rectangle or several as an array of shape (n_rectangles, 4)."""
    try:
        rectangles = np.asarray(ignore, dtype=np.float64)
    except (TypeError, ValueError):
        rectangles = np.empty(0)
    if rectangles.ndim == 1:
        rectangles = rectangles[np.newaxis]
    if rectangles.ndim != 2 or rectangles.shape[1] != 4:
        raise ValueError(f"ignore must be {_EXPECTED}; got {ignore!r}.")
    starts, ends = rectangles[:, :2], rectangles[:, 2:]
    # False for NaN, too.
    is_valid = ((starts >= 0) & (starts < ends) & (ends <= 1)).all(axis=1)
    if not is_valid.all():
        bad = tuple(map(float, rectangles[np.argmin(is_valid)]))
        raise ValueError(
            f"ignore must be {_EXPECTED}; got the rectangle {bad}. Divide pixels by "
            "the height or width of the image."
        )
    return rectangles
