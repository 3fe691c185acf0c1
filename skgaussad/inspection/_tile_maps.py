"""The maps of the tiles of images, put together."""

import numpy as np

from ..features import draw_map, resize, resolve_size


def draw_tiled_maps(stream_layers, detector, images, size):
    """Draw the maps of tiles at their places.

    Parameters
    ----------
    stream_layers : callable
        Takes tiles, and yields for each a list of maps of any sizes, which are added.
    detector : TiledDetector
        Fitted.
    images : sequence of images
    size : "image" or tuple of (int, int)
        Height and width of the maps: each those of its image, or the same for all.

    Returns
    -------
    maps : list of ndarray of shape (height, width)
        Float32. Where tiles overlap, their maximum.

    Raises
    ------
    ValueError
        If `size` is something else.
    """
    size = resolve_size(size)
    maps = []
    for tiles in detector._stream_tiles(images):
        layers = stream_layers(tiles)
        for grid in tiles.grids:
            drawn = np.full(grid.image_size, -np.inf, dtype=np.float32)
            for index in range(len(grid)):
                of_tile = draw_map(next(layers), grid.tile_size, np.s_[:, :])
                place = drawn[grid.box(index)]
                np.maximum(place, of_tile, out=place)
            maps.append(drawn if size is None else resize(drawn, size))
    return maps
