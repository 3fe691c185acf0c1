"""From images of any size to the network's input, as nodes of a graph."""

from dataclasses import dataclass

import numpy as np

from ._graph import Value
from ._resampling import changes_height_first, resampling_matrix, resize_8_bit


@dataclass(frozen=True)
class Side:
    """The height or the width of images, and what the network sees of it.

    Attributes
    ----------
    size : Value or int
        Pixels of the images.
    seen : int
        Pixels of the network's input.
    scaled : Value or int
        Pixels that the whole image is resized to.
    first : Value or int
        The first of these that the network sees.
    start, stop : Value or int
        What the network sees, in pixels of the images.
    """

    size: Value | int
    seen: int
    scaled: Value | int
    first: Value | int
    start: Value | int
    stop: Value | int

    @classmethod
    def whole(cls, size, seen):
        """Keep all of the image."""
        return cls(size, seen, seen, 0, 0, size)

    @classmethod
    def cropped(cls, size, seen, scaled):
        """Keep what a centre crop leaves, as `place_crop` and `visible_box` say."""
        first = _round((scaled - seen).cast(np.float64) / 2.0)
        start, stop = (
            _round((edge * size).cast(np.float64) / scaled.cast(np.float64))
            for edge in (first, first + seen)
        )
        return cls(size, seen, scaled, first, start, stop)

    def matrix(self, graph, kind):
        """Weights of the pixels of an image in those that the network sees."""
        return resampling_matrix(
            graph, kind, self.seen, self.size, first=self.first, n_scaled=self.scaled
        )


def read_images(graph, preprocessing, resize):
    """Declare the input of a graph, and bring it to the network's input.

    Parameters
    ----------
    graph : Graph
    preprocessing : Preprocessing
    resize : bool
        Whether images have any size, or that of the network.

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
    return (pixels.cast(np.float32) / np.float32(255) - mean) / std, sides


def _measure(images, preprocessing):
    """Find the sides of a batch of images."""
    graph = images.graph
    shape = graph.op("Shape", images)
    height, width = (shape.take(axis, axis=0) for axis in (1, 2))
    high, wide = preprocessing.image_size
    if preprocessing.crop_pct is None:
        return Side.whole(height, high), Side.whole(width, wide)
    # The smallest size in the ratio of the image that covers this.
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
    """Round to whole numbers, halves to even ones as Python does."""
    return number.graph.op("Round", number).cast(np.int64)
