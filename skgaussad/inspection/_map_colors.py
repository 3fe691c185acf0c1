"""The colours of anomaly maps, the same in every picture."""

import numpy as np

# Contributions grow with the square of the distance. On an even scale that shows a
# defect of two thresholds, one of five would be a single colour without a shape.
LIMIT = 60.0
TICKS = (0, 1, 3, 10, 30, 60)
COLORS = "inferno"


def map_norm(limit=LIMIT):
    """Make the scale, on which 1 + value grows by the same factor everywhere.

    Parameters
    ----------
    limit : float, default=LIMIT
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


def color_map(values):
    """Colour a map, with a white line around places above 1.

    Parameters
    ----------
    values : ndarray of shape (height, width)

    Returns
    -------
    pixels : ndarray of shape (height, width, 3), dtype uint8
    """
    from matplotlib import colormaps

    pixels = colormaps[COLORS](map_norm()(values).filled(), bytes=True)[..., :3].copy()
    above = np.pad(values > 1, 1, mode="edge")
    inside = above[1:-1, 1:-1]
    neighbours = (above[:-2, 1:-1], above[2:, 1:-1], above[1:-1, :-2], above[1:-1, 2:])
    pixels[inside & ~np.logical_and.reduce(neighbours)] = 255
    return pixels
