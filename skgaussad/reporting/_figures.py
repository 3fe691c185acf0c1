"""The pictures of a report, as data URIs."""

import base64
import io

import numpy as np

from .._utils.shared_lock import SharedLock
from ..inspection import (
    COLORS,
    ScoreDistributionDisplay,
    WorkingPointDisplay,
    limit_of,
    map_norm,
    ticks_of,
)

_SIZE = (6.4, 4.4)


def draw_distances(scored, fpr):
    """Draw the distances with the threshold.

    Parameters
    ----------
    scored : ScoredImages
    fpr : float or None

    Returns
    -------
    picture : str
        As a data URI.
    """

    def draw(ax):
        ScoreDistributionDisplay.from_predictions(
            scored.y,
            -scored.distances,
            offset=-scored.threshold,
            fpr=fpr,
            defect_types=scored.defect_types,
            ax=ax,
        )

    return _draw(draw)


def draw_roc(scored, fpr):
    """Draw the ROC with the working point, where there are both kinds of images.

    Parameters
    ----------
    scored : ScoredImages
    fpr : float or None

    Returns
    -------
    picture : str or None
        As a data URI.
    """
    if scored.y is None or len(set(scored.y.tolist())) < 2:
        return None

    def draw(ax):
        WorkingPointDisplay.from_predictions(
            scored.y, -scored.distances, offset=-scored.threshold, fpr=fpr, ax=ax
        )

    return _draw(draw)


# The settings of matplotlib are those of the process.
_settings_in_use = SharedLock()


def _draw(draw):
    """Draw on a figure of its own, as SVG whose letters need no font."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    draw(figure.subplots())
    buffer = io.BytesIO()
    # Without a date, so that the same data give the same page.
    settings = {"svg.fonttype": "path", "svg.hashsalt": "skgaussad"}
    with _settings_in_use.held(alone=True), matplotlib.rc_context(settings):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/svg+xml;base64,{encoded}"


def color_bar(meaning):
    """Return the colours of maps as stops of a CSS gradient, and its ticks.

    Parameters
    ----------
    meaning : str
        Of the maps, as `map_meaning` tells.

    Returns
    -------
    stops : list of str
        From the colour of 0 to that of the limit, at even distances.
    ticks : list of (str, float)
        Labels, and their places in percent of the length.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    limit = limit_of(meaning)
    norm = map_norm(limit)
    stops = [to_hex(color) for color in colormaps[COLORS](np.linspace(0, 1, 17))]
    return stops, [(f"{tick:g}", 100 * float(norm(tick))) for tick in ticks_of(limit)]
