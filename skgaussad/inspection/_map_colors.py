"""The colours of anomaly maps, the same in every picture."""

import numpy as np

COLORS = "plasma"
# Contributions grow with the square of the distance. On an even scale that shows a
# defect of two thresholds, one of five would be a single colour without a shape.
_SQUARED_LIMIT = 60.0
_LIMIT = 10.0
# Of the colours over an image, where the map is at 1 and above; below, less and less.
_OPACITY = 0.6
_FROM = 0.5
# How much red, green and blue make of grey.
_GREY = (0.299, 0.587, 0.114)
_TICKS = (0, 0.5, 1, 2, 3, 10, 30, 60)


def limit_of(meaning):
    """Return the value at the end of the scale, by the meaning of a map."""
    return _SQUARED_LIMIT if meaning in ("contribution", "tile") else _LIMIT


def ticks_of(limit):
    """Return the values to mark on a scale."""
    far_apart = limit <= 10
    return [t for t in _TICKS if t <= limit and (far_apart or t not in (0.5, 2))]


def map_norm(limit):
    """Make the scale, on which 1 + value grows by the same factor everywhere.

    Parameters
    ----------
    limit : float
        Value at the end of the scale; its beginning is 0.

    Returns
    -------
    norm : matplotlib.colors.FuncNorm
        Values beyond the ends get the colours of these.
    """
    from matplotlib.colors import FuncNorm

    return FuncNorm((_log1p_of_positive, np.expm1), vmin=0, vmax=limit, clip=True)


def _log1p_of_positive(values):
    # Matplotlib asks for all values of a map, those below the scale as well.
    return np.log1p(np.maximum(values, 0.0))


def color_map(values, meaning):
    """Colour a map, with a white line around places above 1.

    Parameters
    ----------
    values : ndarray of shape (height, width)
    meaning : str
        Of the map, as `map_meaning` tells.

    Returns
    -------
    pixels : ndarray of shape (height, width, 3), dtype uint8
    """
    from matplotlib import colormaps

    norm = map_norm(limit_of(meaning))
    pixels = colormaps[COLORS](norm(values).filled(), bytes=True)[..., :3].copy()
    above = np.pad(values > 1, 1, mode="edge")
    inside = above[1:-1, 1:-1]
    neighbours = (above[:-2, 1:-1], above[2:, 1:-1], above[1:-1, :-2], above[1:-1, 2:])
    pixels[inside & ~np.logical_and.reduce(neighbours)] = 255
    return pixels


def opacity(values):
    """How much a map covers its image: nothing up to 0.5, most from 1 on."""
    return _OPACITY * np.clip((values - _FROM) / (1 - _FROM), 0, 1)


def in_grey(pixels):
    """Return an image of floats in [0, 1], or of uint8, as grey floats in [0, 1]."""
    pixels = pixels / 255 if pixels.dtype == np.uint8 else pixels
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels @ np.array(_GREY)


def overlay_map(pixels, values, meaning):
    """Lay a map over its image, which is grey, with a white line where it is above 1.

    Parameters
    ----------
    pixels : ndarray of shape (height, width, 1) or (height, width, 3)
        Uint8, or floats in [0, 1].
    values : ndarray of shape (height, width)
    meaning : str
        Of the map, as `map_meaning` tells.

    Returns
    -------
    picture : ndarray of shape (height, width, 3), dtype uint8
    """
    colors = color_map(values, meaning)
    covered = opacity(values)
    covered[(colors == 255).all(axis=2)] = 1
    grey = 255 * in_grey(pixels)[..., np.newaxis]
    covered = covered[..., np.newaxis]
    return (covered * colors + (1 - covered) * grey).round().astype(np.uint8)
