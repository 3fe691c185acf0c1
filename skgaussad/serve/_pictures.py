"""Images and their anomaly maps as PNG, as a browser shows them."""

import io

import numpy as np
from PIL import Image

from ..detectors import find_max_value
from ..features import decode_image
from ..inspection import anomaly_maps, map_meaning, overlay_map

# Pixels along the longer side of a picture.
_LARGEST = 1024


def draw_image(model, path, largest=_LARGEST):
    """Return an image as it is scored, as PNG.

    Parameters
    ----------
    model : estimator
    path : str
    largest : int, default=1024
        Pixels along its longer side at most.

    Returns
    -------
    png : bytes

    Raises
    ------
    InvalidImageError
        If it is no image.
    """
    return _encode(_read(model, path, largest))


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
    image = _read(model, path, _LARGEST)
    draw = getattr(model, "anomaly_maps", None)
    size = image.height, image.width
    (values,) = (
        anomaly_maps(model, [path], size=size)
        if draw is None
        else draw([path], size=size)
    )
    pixels = overlay_map(np.asarray(image.convert("RGB")), values, map_meaning(model))
    return _encode(Image.fromarray(pixels))


def _read(model, path, largest):
    """Read an image as it is scored, and make it smaller."""
    pixels = decode_image([path], 0, find_max_value(model))
    if pixels.dtype != np.uint8:
        pixels = (255 * pixels).round().astype(np.uint8)
    image = Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels)
    image.thumbnail((largest, largest), Image.Resampling.BOX)
    return image


def _encode(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
