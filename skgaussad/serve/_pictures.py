"""Images and their anomaly maps as PNG, as a browser shows them."""

import io

import numpy as np
from PIL import Image

from ..detectors import find_max_value
from ..features import as_picture, decode_image
from ..inspection import anomaly_maps, map_meaning, overlay_map

# Pixels along the longer side of a picture.
_LARGEST = 1024


def draw_image(model, path):
    """Return an image as it is scored, as PNG.

    Parameters
    ----------
    model : estimator
    path : str

    Returns
    -------
    png : bytes

    Raises
    ------
    InvalidImageError
        If it is no image.
    """
    return _encode(_read(model, path))


def draw_overlay(model, path):
    """Return an image with its anomaly map over it, as PNG.

    The image is grey, and the colours of the map cover what is anomalous; a white line
    surrounds what is above 1, the threshold.

    Parameters
    ----------
    model : estimator
        With anomaly maps.
    path : str

    Returns
    -------
    png : bytes

    Raises
    ------
    InvalidImageError
        If it is no image.
    ValueError
        If the model has no maps.
    """
    image = _read(model, path)
    (values,) = anomaly_maps(model, [path], size=(image.height, image.width))
    pixels = overlay_map(np.asarray(image.convert("RGB")), values, map_meaning(model))
    return _encode(Image.fromarray(pixels))


def _read(model, path):
    """Read an image as it is scored, and make it smaller."""
    image = as_picture(decode_image([path], 0, find_max_value(model)))
    image.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BOX)
    return image


def _encode(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
