"""Pillow's resizing as nodes of a graph, equal to the last bit.

Pillow resizes an image by weighted sums along its rows, then along its columns, and
rounds to 8 bits after each of the two. Here each is a product with a matrix, which the
graph computes from the size of the images. The ``Resize`` of ONNX does not round in
between, and differs by one grey value in many pixels.
"""

import math

import numpy as np
from PIL import Image

from ._graph import Value

# Pillow's weights for 8-bit images are integers in units of 2^-22.
_ONE = 2.0**22
_SUPPORTS = {
    "box": 0.5,
    "bilinear": 1.0,
    "hamming": 1.0,
    "bicubic": 2.0,
    "lanczos": 3.0,
}
RESAMPLINGS = tuple(_SUPPORTS)


def resampling_matrix(graph, kind, n_outputs, n_inputs, *, first, n_scaled):
    """Compute the weights that resample a row of pixels.

    Parameters
    ----------
    graph : Graph
    kind : {"box", "bilinear", "hamming", "bicubic", "lanczos"}
    n_outputs : Value or int
        Pixels to compute.
    n_inputs : Value or int
        Pixels of the row.
    first : Value or int
        Index of the first pixel to compute in the resized row.
    n_scaled : Value or int
        Pixels of the whole resized row.

    Returns
    -------
    weights : Value of shape (n_outputs, n_inputs)
        Float64; rows sum to 1, or are NaN outside of the resized row.
    """
    scale = _double(graph, n_inputs) / _double(graph, n_scaled)
    # Filters are widened when an image shrinks, as antialiasing.
    width = graph.op("Max", scale, 1.0)
    centers = (_count(graph, n_outputs) + _double(graph, first) + 0.5) * scale
    centers = centers.expand_dims(1)
    pixels = _count(graph, n_inputs)
    weights = _weigh(graph, kind, (pixels - centers + 0.5) / width)
    # Filters are zero outside, but Pillow's limits are rounded to whole pixels.
    reach = width * _SUPPORTS[kind]
    low = graph.op("Floor", centers - reach + 0.5)
    high = graph.op("Floor", centers + reach + 0.5)
    inside = (pixels >= low) & (pixels < high)
    weights = graph.op("Where", inside, weights, 0.0)
    return weights / graph.op("ReduceSum", weights, np.array([1]), keepdims=1)


def resize_8_bit(images, rows, columns, rows_first):
    """Resample images as Pillow does with 8 bits.

    Parameters
    ----------
    images : Value of shape (n, channels, height, width)
        Float64, integers from 0 to 255.
    rows, columns : Value of shape (new_height, height) and (new_width, width)
        Weights, of `resampling_matrix`.
    rows_first : Value or bool
        Whether to resize the height before the width: see `changes_height_first`.

    Returns
    -------
    resized : Value of shape (n, channels, new_height, new_width)
        Float64, integers from 0 to 255.
    """
    # Transposed first: runtimes up to 1.22 would fuse a transposition next to the
    # product with it, an operation that they lack in double precision.
    rows, columns = _quantize(rows), _quantize(columns.transpose(1, 0))

    def height_first():
        return _round_to_8_bit(_round_to_8_bit(rows @ images) @ columns)

    def width_first():
        return _round_to_8_bit(rows @ _round_to_8_bit(images @ columns))

    if rows_first is False:
        return width_first()
    return images.graph.choose(rows_first, height_first, width_first, np.float64)


def changes_height_first(size, new_size):
    """Tell whether Pillow resizes the height before the width; sizes (height, width).

    A value of the graph, or False for versions of Pillow that never do.
    """
    if not _pillow_knows_tall_images():
        return False
    (height, width), (new_height, new_width) = size, new_size
    less_high, less_wide = height - new_height, width - new_width
    return (less_high > 0) & (less_high > less_wide * 2)


def _pillow_knows_tall_images():
    """Tell whether Pillow resizes the height of tall images first, as from 13 on."""
    tall = np.random.default_rng(0).integers(0, 256, (40, 8), dtype=np.uint8)
    image = Image.fromarray(tall)
    at_once = image.resize((12, 10), Image.Resampling.BICUBIC)
    width_first = image.resize((12, 40), Image.Resampling.BICUBIC).resize(
        (12, 10), Image.Resampling.BICUBIC
    )
    return at_once.tobytes() != width_first.tobytes()


def _weigh(graph, kind, x):
    """Values of a filter at distances from its centre, in units of the filter."""
    x = graph.op("Abs", x)
    if kind == "box":
        return graph.op("Where", x <= 0.5, 1.0, 0.0)
    if kind == "bilinear":
        return graph.op("Max", -x + 1.0, 0.0)
    if kind == "hamming":
        # cos(pi x) by the sine, since runtimes lack the cosine in double precision.
        half = graph.op("Sin", x * (math.pi / 2))
        cosine = half * half * -2.0 + 1.0
        return _sinc(graph, x) * (cosine * 0.46 + 0.54)
    if kind == "bicubic":
        near = (x * 1.5 - 2.5) * x * x + 1.0
        far = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
        return graph.op("Where", x < 1.0, near, graph.op("Where", x < 2.0, far, 0.0))
    return _sinc(graph, x) * _sinc(graph, x / 3.0)


def _sinc(graph, x):
    # At 0 the quotient is not defined, and its limit is 1.
    is_zero = graph.op("Equal", x, 0.0)
    angle = graph.op("Where", is_zero, 1.0, x) * math.pi
    return graph.op("Where", is_zero, 1.0, graph.op("Sin", angle) / angle)


def _quantize(weights):
    graph = weights.graph
    size = graph.op("Floor", graph.op("Abs", weights) * _ONE + 0.5)
    return graph.op("Sign", weights) * size


def _round_to_8_bit(sums):
    # Sums of integers below 2^53 are exact in double precision.
    graph = sums.graph
    return graph.op("Clip", graph.op("Floor", sums / _ONE + 0.5), 0.0, 255.0)


def _double(graph, number):
    value = number if isinstance(number, Value) else graph.constant(number)
    return value.cast(np.float64)


def _count(graph, n):
    """Count from 0 to n - 1, in double precision."""
    return graph.op("Range", 0, n, 1).cast(np.float64)
