"""Maps of few positions to the size of an image."""

import numbers

import numpy as np
from PIL import Image

from ..features._images import read_image_size


def draw_maps(layers, images, preprocessing, size):
    """Bring maps of few positions to the size of their images.

    Parameters
    ----------
    layers : iterable of list of ndarray of shape (height, width)
        For each image maps of any sizes, which are added. Begun once `size` is judged.
    images : sequence of images
    preprocessing : Preprocessing
        By which the network saw them.
    size : "image" or tuple of (int, int)
        Height and width of the maps: each those of its image, or the same for all.

    Returns
    -------
    maps : list of ndarray of shape (height, width)
        Float32. Zero where an image was cropped.

    Raises
    ------
    ValueError
        If `size` is something else.
    """
    size = _resolve_size(size)
    maps = []
    for of_image in layers:
        image_size = read_image_size(images, len(maps))
        rows, columns = preprocessing.visible_box(*image_size)
        inside = (columns.stop - columns.start, rows.stop - rows.start)
        drawn = np.zeros(image_size, dtype=np.float32)
        drawn[rows, columns] = sum(_resize(layer, inside) for layer in of_image)
        if size not in (None, image_size):
            drawn = _resize(drawn, size[::-1])
        maps.append(drawn)
    return maps


def _resolve_size(size):
    """Judge the parameter ``size`` of maps.

    Parameters
    ----------
    size : "image" or tuple of (int, int)

    Returns
    -------
    size : tuple of (int, int) or None
        Height and width; None for those of each image.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(size, str) and size == "image":
        return None
    if (
        isinstance(size, tuple | list)
        and len(size) == 2
        and all(isinstance(side, numbers.Integral) and side >= 1 for side in size)
    ):
        return int(size[0]), int(size[1])
    raise ValueError(
        "size must be 'image' or a pair (height, width) of positive integers; got "
        f"{size!r}."
    )


def _resize(values, size):
    """Interpolate values to a width and height, bilinearly."""
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))
