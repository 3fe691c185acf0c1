"""Tiles that cover an image, and images cut into them."""

import math
import threading
from dataclasses import dataclass

import numpy as np

from ..exceptions import InvalidImageError
from ._decoding import decode_image
from ._input import LazyImages, describe
from ._intensity import measure_intensity, standardize

# Decoded images to keep at most: those that threads are cutting at the same time.
_MAX_DECODED = 4


@dataclass(frozen=True)
class TileGrid:
    """Tiles of one size, in rows and columns, that cover an image.

    Attributes
    ----------
    tops, lefts : tuple of int
        First pixel row of each row of tiles, and first pixel column of each column.
    tile_size : tuple of (int, int)
        Height and width of each tile, in pixels.
    """

    tops: tuple
    lefts: tuple
    tile_size: tuple

    @classmethod
    def covering(cls, image_size, tile_size, overlap):
        """Cover an image with tiles.

        Parameters
        ----------
        image_size : tuple of (int, int)
            Height and width, in pixels.
        tile_size : tuple of (int, int)
            Height and width, in pixels. A side longer than the image's is cut to it.
        overlap : float in [0, 1)
            Least fraction of a tile's side that it shares with the next tile.

        Returns
        -------
        grid : TileGrid
        """
        sides = tuple(map(min, tile_size, image_size))
        tops, lefts = (
            _starts(length, side, overlap)
            for length, side in zip(image_size, sides, strict=True)
        )
        return cls(tops, lefts, sides)

    @property
    def shape(self):
        """Number of rows and of columns of tiles."""
        return len(self.tops), len(self.lefts)

    @property
    def image_size(self):
        """Height and width of the image, in pixels."""
        height, width = self.tile_size
        return self.tops[-1] + height, self.lefts[-1] + width

    def __len__(self):
        return len(self.tops) * len(self.lefts)

    def box(self, index):
        """Return the pixel rows and columns of a tile as slices; counted by row."""
        row, column = divmod(index, len(self.lefts))
        height, width = self.tile_size
        top, left = self.tops[row], self.lefts[column]
        return slice(top, top + height), slice(left, left + width)


def _starts(length, side, overlap):
    """First pixel of each tile along one side of an image; the last ends with it."""
    # Rounding must not shorten a step that is a whole number.
    step = max(1, math.floor(side * (1 - overlap) + 1e-9))
    return (*range(0, length - side, step), length - side)


class TiledImages(LazyImages):
    """The tiles of several images, by image, row and column; cut on access.

    On access in order, each image is decoded once and dropped with its last tile.

    Parameters
    ----------
    images : sequence of images
        As `check_items` accepts them.
    rows : sequence of int
        Positions of the images to cut.
    grids : list of TileGrid
        The tiles of each of these.
    on_done : callable
        Called with 1 when the last tile of an image is cut for the first time.
    standardize_intensity : bool, default=False
        Whether tiles are standardized, by the mean and deviation of their image.
    max_value : int or None, default=None
        As for `decode_image`.

    Attributes
    ----------
    grids : list of TileGrid
        As given.
    of_image : ndarray of shape (n_tiles,), dtype int
        The image of each tile, as a position in `rows`.
    starts : ndarray of shape (n_rows,), dtype int
        Position of the first tile of each image.
    is_standardized : bool
        Whether the tiles are standardized.

    Raises
    ------
    InvalidImageError
        If an image cannot be decoded, or is not of the size that its tiles cover;
        names its position in `images`.
    """

    def __init__(
        self,
        images,
        rows,
        grids,
        on_done,
        standardize_intensity=False,
        max_value=None,
    ):
        self._images = images
        self._rows = rows
        self.grids = grids
        self._on_done = on_done
        self.is_standardized = standardize_intensity
        self._max_value = max_value
        counts = [len(grid) for grid in grids]
        self.of_image = np.repeat(np.arange(len(grids)), counts)
        self.starts = np.cumsum([0, *counts[:-1]])
        # Image with mean and deviation, and number of tiles to come, by image, least
        # recently used first.
        self._decoded = {}
        self._done = set()
        # Batches of tiles are loaded in several threads.
        self._lock = threading.Lock()

    def __len__(self):
        return len(self.of_image)

    def __getitem__(self, index):
        # A range checks the index, and counts negative ones from the end.
        index = range(len(self))[index]
        image = int(self.of_image[index])
        box = self.grids[image].box(index - int(self.starts[image]))
        with self._lock:
            pixels, intensity = self._decode(image)
        tile = pixels[box]
        return tile if intensity is None else standardize(tile, *intensity)

    def _check_size(self, image, pixels):
        """Raise if an image is not of the size that its tiles cover."""
        expected, found = self.grids[image].image_size, pixels.shape[:2]
        if found != expected:
            row = self._rows[image]
            raise InvalidImageError(
                row,
                describe(self._images[row]),
                f"expected an image of height {expected[0]} and width {expected[1]}, "
                f"which its tiles cover, got {found[0]} x {found[1]}; do not replace "
                "it while it is read, or give tiles of its size.",
            )

    def _decode(self, image):
        """Return an image, to cut one more tile from, and its mean and deviation."""
        decoded, n_left = self._decoded.pop(image, (None, len(self.grids[image])))
        if decoded is None:
            pixels = decode_image(self._images, self._rows[image], self._max_value)
            self._check_size(image, pixels)
            intensity = measure_intensity(pixels) if self.is_standardized else None
            decoded = pixels, intensity
        if n_left > 1:
            self._decoded[image] = decoded, n_left - 1
            if len(self._decoded) > _MAX_DECODED:
                del self._decoded[next(iter(self._decoded))]
        elif image not in self._done:
            self._done.add(image)
            self._on_done(1)
        return decoded
