"""Upsampling maps from the positions of a level to the size of an image."""

import numbers

import numpy as np
from PIL import Image

from ._decoding import read_image_size


def draw_maps(layers, images, transformer, size):
    """Upsample maps to the size of their images, or to another size.

    Parameters
    ----------
    layers : iterable of list of ndarray of shape (height, width)
        For each image maps of any sizes, which are added; NaN where a position does not
        count. Consumed after `size` was checked.
    images : sequence of images
    transformer : DeepFeatureTransformer
        Fitted, whose crop and ignored regions are applied.
    size : "image" or tuple of (int, int)
        Height and width of the maps: each those of its image, or the same for all.

    Returns
    -------
    maps : list of ndarray of shape (height, width)
        Float32. Zero in what is cropped or ignored.

    Raises
    ------
    ValueError
        If `size` is something else.
    """
    size = resolve_size(size)
    maps = []
    for of_image in layers:
        image_size = read_image_size(images, len(maps))
        box = transformer.preprocessing_.visible_box(*image_size)
        drawn = draw_map(of_image, image_size, box)
        is_resized = size not in (None, image_size)
        if is_resized:
            drawn = resize(drawn, size)
        if transformer._kept_area is not None:
            is_kept = np.ones(image_size, dtype=bool)
            is_kept[box] = transformer._kept_area.pixels(*is_kept[box].shape)
            if is_resized:
                is_kept = _take_nearest(is_kept, size)
            drawn = np.where(is_kept, drawn, np.float32(0))
        maps.append(drawn)
    return maps


def draw_map(layers, image_size, box):
    """Upsample the maps of one image to its size.

    Parameters
    ----------
    layers : list of ndarray of shape (height, width)
        Maps of any sizes, which are added; NaN where a position does not count.
    image_size : tuple of (int, int)
        Height and width.
    box : tuple of (slice, slice)
        Rows and columns of the image that the network saw.

    Returns
    -------
    drawn : ndarray of shape `image_size`
        Float32. Zero outside of the box.
    """
    drawn = np.zeros(image_size, dtype=np.float32)
    size = drawn[box].shape
    drawn[box] = sum(_interpolate(layer, size) for layer in layers)
    return drawn


def resolve_size(size):
    """Turn the parameter ``size`` into (height, width), or None for ``"image"``."""
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


def _interpolate(layer, size):
    """Interpolate a map without its positions that are NaN; zero where all are."""
    counts = ~np.isnan(layer)
    if counts.all():
        return resize(layer, size)
    values = resize(np.where(counts, layer, 0), size)
    weights = resize(counts, size)
    return np.divide(values, weights, out=np.zeros_like(values), where=weights > 0)


def _take_nearest(values, size):
    """Resize by the value at the centre of each pixel of the result."""
    rows, columns = (
        ((np.arange(n_parts) + 0.5) * n_values / n_parts).astype(int)
        for n_parts, n_values in zip(size, values.shape, strict=True)
    )
    return values[np.ix_(rows, columns)]


def resize(values, size):
    """Resize a map bilinearly to (height, width), as float32."""
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
