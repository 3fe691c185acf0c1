"""Where the tiles of an image lie."""

import math
from dataclasses import dataclass


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
    def of(cls, image_size, tile_size, overlap):
        """Lay tiles over an image.

        Parameters
        ----------
        image_size : tuple of (int, int)
            Height and width, in pixels.
        tile_size : tuple of (int, int)
            Height and width, in pixels. Where the image is smaller, that of the image.
        overlap : float in [0, 1)
            Share of a tile that it has in common with the next one, at least.

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
        """Tell which pixels a tile has.

        Parameters
        ----------
        index : int
            Tiles are counted in reading order.

        Returns
        -------
        rows, columns : slice
        """
        row, column = divmod(index, len(self.lefts))
        height, width = self.tile_size
        top, left = self.tops[row], self.lefts[column]
        return slice(top, top + height), slice(left, left + width)


def _starts(length, side, overlap):
    """First pixel of each tile along one side of an image; the last ends with it."""
    # Rounding must not shorten a step that is a whole number.
    step = max(1, math.floor(side * (1 - overlap) + 1e-9))
    return (*range(0, length - side, step), length - side)
