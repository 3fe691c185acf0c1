"""The scores of images, from their features, as nodes of a graph."""

import numpy as np

from ._head import DistanceNodes, aggregate
from ._map_nodes import contributions_over_positions, spread


class PooledNodes:
    """The distance to one Gaussian, or the aggregated distances to several.

    Parameters
    ----------
    features : Value of shape (n, n_features)
        Float64.
    score : PooledScore

    Attributes
    ----------
    distance : Value of shape (n,)
    """

    def __init__(self, features, score):
        self._features, self._gaussians = features, score.gaussians
        self._nodes = [
            DistanceNodes(features, gaussian) for gaussian in self._gaussians
        ]
        distances = [features.graph.op("Sqrt", node.squared) for node in self._nodes]
        self._is_sum = score.aggregation is not None
        if self._is_sum:
            self.distance, weights = aggregate(
                distances, score.aggregation, score.top_fraction
            )
            self._total, self._factors = self.distance, _factors(distances, weights)
        else:
            (self.distance,) = distances
            self._total, self._factors = self._nodes[0].squared, [1.0]

    def layers(self, maps, weights, parts, threshold):
        """Split the distance over the positions of the feature maps.

        Parameters
        ----------
        maps : dict of {int: Value of shape (n, channels, height, width)}
            By level.
        weights : dict of {int: ndarray of shape (height, width)}
            As of ``DeepFeatureTransformer._position_weights``.
        parts : tuple of Part
        threshold : float

        Returns
        -------
        layers : list of (Value of shape (n, height * width), (height, width))
            To be added, see `draw`.
        """
        gradients, constants = spread(
            self._features, self._gaussians, self._nodes, self._factors
        )
        contributions = contributions_over_positions(
            maps, weights, parts, self._total, gradients, constants
        )
        unit = threshold if self._is_sum else threshold**2
        return [
            (contribution * (weights[level].size / unit), weights[level].shape)
            for level, contribution in contributions.items()
        ]


class CellNodes:
    """The mean of the largest residuals of cells.

    Parameters
    ----------
    features : Value of shape (n, n_features)
        Float64.
    score : CellScore

    Attributes
    ----------
    distance : Value of shape (n,)
    """

    def __init__(self, features, score):
        graph, self._score = features.graph, score
        own = features.take(score.columns, axis=1)
        if score.matrix is not None:
            own = own.times_transposed(score.matrix)
        # Float32 from here on: these products are most of the work, and the features
        # have no more digits.
        centred = ((own - score.center) * score.factors).cast(np.float32)
        axes = graph.constant(score.axes.astype(np.float32))
        left = centred - graph.op("Gemm", centred, axes, transB=1) @ axes
        by_cell = (left * left).reshape(0, score.n_cells, -1)
        self._residuals = graph.op("Sqrt", by_cell.sum(2)).cast(np.float64)
        n_top = np.array([score.n_top])
        highest, _ = graph.op("TopK", self._residuals, n_top, n_outputs=2, axis=1)
        self.distance = highest.sum(1) / float(score.n_top)

    def layers(self, maps, weights, parts, threshold):
        """Put the residuals in their places; see `PooledNodes.layers`."""
        places = self._score.cell_places()
        shape = tuple(int(side) for side in places.max(axis=0) + 1)
        order = np.argsort(np.ravel_multi_index(places.T, shape))
        if len(order) < shape[0] * shape[1]:
            raise ValueError(
                f"with_maps=True: the {len(order)} cells do not fill a grid of "
                f"{shape[0]} x {shape[1]}. Set with_maps=False, or name cells that do."
            )
        return [(self._residuals.take(order, axis=1) / threshold, shape)]


def _factors(distances, weights):
    """Factors of the groups' squared distances in the aggregated distance."""
    factors = []
    for index, distance in enumerate(distances):
        graph = distance.graph
        weight = weights
        if not isinstance(weights, float):
            weight = weights.take(index, axis=1)
        # The square times 1 / distance; zero stays zero.
        some = distance > 0.0
        inverse = graph.op("Reciprocal", graph.op("Where", some, distance, 1.0))
        inverse = graph.op("Where", some, inverse, 0.0)
        factors.append((inverse * weight).expand_dims(1))
    return factors
