"""From a map of residuals to the score of an image."""

import numpy as np
from scipy import ndimage

AGGREGATIONS = ("mean", "components")


def component_score(residual_map, min_area):
    """Highest threshold that leaves a connected component of a given size.

    An image is defective at a threshold where the pixels whose residual is at least the
    threshold hold a connected component of `min_area` pixels or more (section IV-C of
    the paper). There is one at each threshold up to the score, and none above: the ROC
    curve over images of this score is the one over thresholds on pixels.

    Parameters
    ----------
    residual_map : ndarray of shape (height, width)
        Finite residuals.
    min_area : int
        Between 1 and height times width. Pixels are connected by their sides.

    Returns
    -------
    score : float
        One of the values of the map: higher is more anomalous.

    Examples
    --------
    >>> import numpy as np
    >>> from baselines import component_score
    >>> residual_map = np.array([[0, 9, 0, 0], [0, 0, 4, 5], [0, 0, 7, 0]])
    >>> component_score(residual_map, min_area=1)
    9.0
    >>> component_score(residual_map, min_area=3)
    4.0
    """
    thresholds = np.unique(residual_map)
    # Bisection: a component exists at thresholds[low], and none at thresholds[high].
    low, high = 0, len(thresholds)
    while high - low > 1:
        middle = (low + high) // 2
        if _largest_area(residual_map >= thresholds[middle]) >= min_area:
            low = middle
        else:
            high = middle
    return float(thresholds[low])


def _largest_area(mask):
    """Return the number of pixels of the largest connected component."""
    labels, _ = ndimage.label(mask)
    return np.bincount(labels.ravel())[1:].max(initial=0)


def aggregate_residuals(residual_map, aggregation, min_area):
    """Score an image by its residuals.

    Parameters
    ----------
    residual_map : ndarray of shape (height, width)
    aggregation : {"mean", "components"}
    min_area : int
        Used by ``"components"`` only.

    Returns
    -------
    score : float
        Higher is more anomalous.
    """
    if aggregation == "mean":
        return float(residual_map.mean(dtype=np.float64))
    return component_score(residual_map, min_area)
