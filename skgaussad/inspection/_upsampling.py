"""Maps of few positions to the size of an image."""

import numbers

import numpy as np
from PIL import Image


def resolve_size(size):
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


def upsample(maps, visible, size):
    """Interpolate maps to the size of an image, and add them.

    Parameters
    ----------
    maps : list of ndarray of shape (height, width)
        Of the same part of the image, of any sizes.
    visible : tuple
        As of ``Preprocessing.visible_box``.
    size : tuple of (int, int) or None
        Height and width of the result; None for those of the image.

    Returns
    -------
    upsampled : ndarray of shape (height, width)
        Float32. Zero outside of what is visible.
    """
    image_size, (top, bottom, left, right) = visible
    inside = (right - left, bottom - top)
    # Bilinear: what Pillow calls a resize spreads each value evenly.
    upsampled = np.zeros(image_size, dtype=np.float32)
    upsampled[top:bottom, left:right] = sum(
        np.asarray(_resize(values, inside)) for values in maps
    )
    if size in (None, image_size):
        return upsampled
    return np.asarray(_resize(upsampled, size[::-1]))


def _resize(values, size):
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return image.resize(size, Image.Resampling.BILINEAR)
