"""Resizing and normalization of images, as nodes of a graph."""

from dataclasses import dataclass

import numpy as np

from ..features import LEAST_DEVIATION, STANDARD_DEVIATION, STANDARD_MEAN
from ._graph import Value
from ._resampling import changes_height_first, resampling_matrix, resize_8_bit


@dataclass(frozen=True)
class Side:
    """The height or the width of images, and the part of it that the network sees.

    Attributes
    ----------
    size : Value or int
        Pixels of the images.
    seen : int
        Pixels of the network's input.
    scaled : Value or int
        Pixels of the resized image before cropping.
    first : Value or int
        First pixel of the crop in the resized image.
    start, stop : Value or int
        Limits of the crop in pixels of the original image.
    """

    size: Value | int
    seen: int
    scaled: Value | int
    first: Value | int
    start: Value | int
    stop: Value | int

    @classmethod
    def whole(cls, size, seen):
        """Take the whole side."""
        return cls(size, seen, seen, 0, 0, size)

    @classmethod
    def cropped(cls, size, seen, scaled):
        """Take a centre crop, as `place_crop` and `visible_box` do."""
        first = _round((scaled - seen).cast(np.float64) / 2.0)
        start, stop = (
            _round((edge * size).cast(np.float64) / scaled.cast(np.float64))
            for edge in (first, first + seen)
        )
        return cls(size, seen, scaled, first, start, stop)

    def matrix(self, graph, kind):
        """Weights of the image's pixels in the pixels of the network's input."""
        return resampling_matrix(
            graph, kind, self.seen, self.size, first=self.first, n_scaled=self.scaled
        )


def read_images(graph, preprocessing, resize, seen=None):
    """Declare the input of a graph, and resize and normalize it for the network.

    Parameters
    ----------
    graph : Graph
    preprocessing : Preprocessing
    resize : bool
        Whether images may have any size, or must have that of the network's input.
    seen : ndarray of shape (height, width), dtype bool, or None, default=None
        Which pixels of the network's input are not ignored; None for all.

    Returns
    -------
    batch : Value of shape (n, 3, height, width)
        Float32, normalized.
    sides : tuple of (Side, Side)
        Height and width.
    """
    shape = ("height", "width") if resize else preprocessing.image_size
    images = graph.input("images", np.uint8, ("batch", *shape, 3))
    pixels = images.transpose(0, 3, 1, 2)
    if resize:
        sides = _measure(images, preprocessing)
        kind = preprocessing.interpolation
        pixels = resize_8_bit(
            pixels.cast(np.float64),
            *(side.matrix(graph, kind) for side in sides),
            changes_height_first(
                [side.size for side in sides], [side.scaled for side in sides]
            ),
        )
    else:
        sides = tuple(Side.whole(size, size) for size in preprocessing.image_size)
    # In the order and precision of load_image and Extractor.
    mean, std = (
        np.array(values, dtype=np.float32).reshape(3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    if seen is None:
        seen = np.ones(preprocessing.image_size, dtype=bool)
    batch = pixels.cast(np.float32) / np.float32(255)
    if preprocessing.standardize_intensity:
        batch = _standardize(batch, seen)
    batch = (batch - mean) / std
    # Ignored pixels get the mean colour, which is zero.
    return batch if seen.all() else batch * seen.astype(np.float32), sides


def _standardize(batch, seen):
    """Standardize each image by its pixels that are seen, as `standardize_batch`."""
    graph, axes = batch.graph, (1, 2, 3)
    # Sums of so many values in float32 differ between runtimes.
    weights, batch = seen / max(3 * seen.sum(), 1), batch.cast(np.float64)
    mean = (batch * weights).sum(*axes).expand_dims(*axes)
    centred = batch - mean
    variance = (centred * centred * weights).sum(*axes).expand_dims(*axes)
    deviation = graph.op("Max", graph.op("Sqrt", variance), LEAST_DEVIATION)
    scaled = centred / deviation * STANDARD_DEVIATION + STANDARD_MEAN
    return graph.op("Clip", scaled, 0.0, 1.0).cast(np.float32)


def _measure(images, preprocessing):
    """Return the sides of a batch of images, height first."""
    graph = images.graph
    # Taking the first pixel fails where there is none, which else would be scored.
    first = images.take(np.array([0]), axis=1).take(np.array([0]), axis=2)
    nothing = (first.cast(np.int64) * 0).sum(0, 1, 2, 3)
    shape = graph.op("Shape", images) + nothing
    height, width = (shape.take(axis, axis=0) for axis in (1, 2))
    high, wide = preprocessing.image_size
    if preprocessing.crop_pct is None:
        return Side.whole(height, high), Side.whole(width, wide)
    # The smallest size of the image's aspect ratio that covers this one.
    least_high = int(high / preprocessing.crop_pct)
    least_wide = int(wide / preprocessing.crop_pct)
    is_tall = height * least_wide >= width * least_high
    scaled_height = graph.op("Where", is_tall, height * least_wide / width, least_high)
    scaled_width = graph.op("Where", is_tall, least_wide, width * least_high / height)
    return (
        Side.cropped(height, high, scaled_height),
        Side.cropped(width, wide, scaled_width),
    )


def _round(number):
    """Round to integers, halves to even as Python does."""
    return number.graph.op("Round", number).cast(np.int64)
