"""The colours of anomaly maps, the same in every picture."""

import numpy as np

COLORS = "inferno"
# Contributions grow with the square of the distance. On an even scale that shows a
# defect of two thresholds, one of five would be a single colour without a shape.
_SQUARED_LIMIT = 60.0
_LIMIT = 3.0
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
