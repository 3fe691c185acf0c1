"""Anomaly maps, as nodes of a graph."""

import numpy as np

from ..features import slices_of
from ._head import cell_weights
from ._resampling import resampling_matrix


def spread(features, gaussians, nodes, factors):
    """Split the distances of images over the features.

    Parameters
    ----------
    features : Value of shape (n, n_features)
        Float64.
    gaussians : list of Gaussian
    nodes : list of DistanceNodes
        Of these.
    factors : list of Value of shape (n, 1), or of float
        Factor of the squared distance to each Gaussian.

    Returns
    -------
    gradients, constants : Value of shape (n, n_features)
        As of ``ScoredFeatures.split``.
    """
    graph = features.graph
    gradients = constants = features * 0.0
    for gaussian, node, factor in zip(gaussians, nodes, factors, strict=True):
        own = node.gradient() * factor
        # Added, because the columns of an ensemble may overlap.
        indices = graph.op(
            "Expand", gaussian.columns[np.newaxis], graph.op("Shape", own)
        )
        add = {"axis": 1, "reduction": "add"}
        gradients = graph.op("ScatterElements", gradients, indices, own, **add)
        constants = graph.op(
            "ScatterElements", constants, indices, own * gaussian.source, **add
        )
    return gradients, constants


def contributions_over_positions(maps, weights, parts, totals, gradients, constants):
    """Split totals over positions, as the function of this name in `inspection` does.

    Parameters
    ----------
    maps : dict of {int: Value of shape (n, channels, height, width)}
        By level.
    weights : dict of {int: ndarray of shape (height, width)}
        As of ``DeepFeatureTransformer._position_weights``.
    parts : tuple of Part
    totals : Value of shape (n,)
    gradients, constants : Value of shape (n, n_features)

    Returns
    -------
    contributions : dict of {int: Value of shape (n, height * width)}
        Float64, by level.
    """
    contributions = {}
    for part, columns in zip(parts, slices_of(parts), strict=True):
        own, fixed = (
            values.take(np.arange(columns.start, columns.stop), axis=1).reshape(
                0, part.pooling.n_cells, part.n_channels
            )
            for values in (gradients, constants)
        )
        positions = maps[part.level].reshape(0, 0, -1).cast(np.float64)
        of_cells = own @ positions - fixed.sum(2).expand_dims(2)
        contribution = (of_cells * cell_weights(part, weights[part.level])).sum(1)
        known = contributions.get(part.level)
        contributions[part.level] = (
            contribution if known is None else known + contribution
        )
    # The rounding error of features and maps is spread over all positions.
    left = totals
    for contribution in contributions.values():
        left = left - contribution.sum(1)
    left = (left / float(len(contributions))).expand_dims(1)
    return {
        level: contribution + left / float(weights[level].size)
        for level, contribution in contributions.items()
    }


def draw(layers, sides):
    """Upsample layers to the size of the images, and add them.

    Parameters
    ----------
    layers : list of (Value of shape (n, height * width), (height, width))
        Values of positions, 1 in all where an image is just at the threshold.
    sides : tuple of (Side, Side)
        Of the images.

    Returns
    -------
    maps : Value of shape (n, image_height, image_width)
        Float32.
    """
    drawn = None
    for layer, shape in layers:
        rows, columns = (
            _interpolation(layer.graph, side, n)
            for side, n in zip(sides, shape, strict=True)
        )
        layer = (rows @ layer.reshape(0, *shape)).times_transposed(columns)
        drawn = layer if drawn is None else drawn + layer
    return drawn.cast(np.float32)


def _interpolation(graph, side, n_positions):
    """Weights of the positions in the pixels of a side; zero for pixels cropped off."""
    start, stop = graph.op("Identity", side.start), graph.op("Identity", side.stop)
    weights = resampling_matrix(
        graph,
        "bilinear",
        side.size,
        n_positions,
        first=-start,
        n_scaled=stop - start,
    )
    pixels = graph.op("Range", 0, side.size, 1)
    seen = (pixels >= start) & (pixels < stop)
    return graph.op("Where", seen.expand_dims(1), weights, 0.0)
