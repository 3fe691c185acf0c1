"""Tiles of images, cut when they are asked for."""

import threading

import numpy as np

from ._images import LazyImages, decode_image

# Decoded images to keep at most: those that threads are cutting at the same time.
_MAX_DECODED = 4


class TiledImages(LazyImages):
    """The tiles of several images, one image after another, in reading order.

    Asked for in order, an image is decoded once, and dropped with its last tile.

    Parameters
    ----------
    images : sequence of images
        Checked.
    rows : sequence of int
        Positions of the images to cut.
    grids : list of TileGrid
        The tiles of each of these.
    on_done : callable
        Called with 1 when all tiles of an image have been asked for the first time.

    Attributes
    ----------
    grids : list of TileGrid
        The parameter.
    of_image : ndarray of shape (n_tiles,), dtype int
        The image of each tile, as a position in `rows`.
    starts : ndarray of shape (n_rows,), dtype int
        Position of the first tile of each image.

    Raises
    ------
    InvalidImageError
        If an image cannot be decoded; names its position in `images`.
    """

    def __init__(self, images, rows, grids, on_done):
        self._images = images
        self._rows = rows
        self.grids = grids
        self._on_done = on_done
        counts = [len(grid) for grid in grids]
        self.of_image = np.repeat(np.arange(len(grids)), counts)
        self.starts = np.cumsum([0, *counts[:-1]])
        # Pixels and number of tiles to come, by image, the one used last at the end.
        self._decoded = {}
        self._done = set()
        # Batches of tiles are loaded in several threads.
        self._lock = threading.Lock()

    def __len__(self):
        return len(self.of_image)

    def __getitem__(self, index):
        # A range judges the index, and counts negative ones from the end.
        index = range(len(self))[index]
        image = int(self.of_image[index])
        box = self.grids[image].box(index - int(self.starts[image]))
        with self._lock:
            return self._decode(image)[box]

    def _decode(self, image):
        """Return the pixels of an image, from which one more tile is taken."""
        pixels, n_left = self._decoded.pop(image, (None, len(self.grids[image])))
        if pixels is None:
            pixels = decode_image(self._images, self._rows[image])
        if n_left > 1:
            self._decoded[image] = pixels, n_left - 1
            if len(self._decoded) > _MAX_DECODED:
                del self._decoded[next(iter(self._decoded))]
        elif image not in self._done:
            self._done.add(image)
            self._on_done(1)
        return pixels
