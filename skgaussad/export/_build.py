"""The graph of a pipeline, from images to distances, labels, p-values and maps."""

import numpy as np

from ._graph import Graph
from ._head import CellNodes, DistanceNodes, aggregate, p_values, pool
from ._map_nodes import contributions_over_positions, draw, spread
from ._network import export_network
from ._preprocessing_nodes import read_images


def build_graph(scoring, resize, unit=None):
    """Build the graph of a pipeline.

    Parameters
    ----------
    scoring : Scoring
    resize : bool
        Whether the graph resizes images.
    unit : float or None, default=None
        Scale of the anomaly maps; None for a graph without maps.

    Returns
    -------
    graph : Graph
    """
    graph, transformer = Graph(), scoring.transformer
    parts, shapes = transformer._parts, transformer._backbone.shapes
    position_weights = transformer._position_weights()
    preprocessing = transformer.preprocessing_
    kept_area = transformer._kept_area
    seen = None if kept_area is None else kept_area.seen(*preprocessing.image_size)
    batch, sides = read_images(graph, preprocessing, resize, seen)
    network = export_network(
        transformer._backbone, transformer.levels_, preprocessing.image_size
    )
    outputs = iter(graph.splice(network, batch))
    maps, tokens = {}, {}
    for level in transformer.levels_:
        maps[level] = next(outputs)
        has_tokens = shapes[level][3]
        tokens[level] = next(outputs).take(0, axis=1) if has_tokens else None
    pooled = [
        pool(part, maps[part.level], tokens[part.level], position_weights[part.level])
        for part in parts
    ]
    features = graph.op("Concat", *pooled, axis=1).cast(np.float64)
    score = _ScoreOfPooled if scoring.cells is None else _ScoreOfCells
    score = score(features, scoring)
    distance = score.distance
    graph.output("distance", distance, np.float64, ("batch",))
    is_normal = -distance - scoring.offset >= 0.0
    label = graph.op("Where", is_normal, 1, -1)
    graph.output("label", label, np.int64, ("batch",))
    if scoring.held_out is not None:
        found = p_values(distance, scoring.held_out)
        graph.output("p_value", found, np.float64, ("batch",))
    if unit is None:
        return graph
    drawn = draw(score.layers(maps, position_weights, parts, unit), sides)
    shape = ("height", "width") if resize else preprocessing.image_size
    graph.output("anomaly_map", drawn, np.float32, ("batch", *shape))
    return graph


class _ScoreOfCells:
    """Nodes of the residuals of cells: the distance, and the layer of its map."""

    def __init__(self, features, scoring):
        self._nodes = CellNodes(features, scoring.cells)
        self._places = scoring.cells.places
        self.distance = self._nodes.distance

    def layers(self, maps, position_weights, parts, unit):
        """Return the layers of the map, by size; see `draw`."""
        height, width = self._places.max(axis=0) + 1
        order = np.lexsort(self._places.T[::-1])
        layer = self._nodes.residuals.take(order, axis=1) / unit
        return [((int(height), int(width)), layer)]


class _ScoreOfPooled:
    """Nodes of the distances of pooled features, and the layers of their maps."""

    def __init__(self, features, scoring):
        gaussians = scoring.gaussians
        self._features, self._gaussians = features, gaussians
        self._nodes = [DistanceNodes(features, gaussian) for gaussian in gaussians]
        distances = [features.graph.op("Sqrt", node.squared) for node in self._nodes]
        if scoring.aggregation is None:
            (self.distance,) = distances
            self._total, self._factors = self._nodes[0].squared, [1.0]
            return
        self.distance, weights = aggregate(
            distances, scoring.aggregation, scoring.top_fraction
        )
        self._total, self._factors = self.distance, _factors(distances, weights)

    def layers(self, maps, position_weights, parts, unit):
        """Return the layers of the map, by size; see `draw`."""
        gradients, constants = spread(
            self._features, self._gaussians, self._nodes, self._factors
        )
        contributions = contributions_over_positions(
            maps, position_weights, parts, self._total, gradients, constants
        )
        return [
            (
                position_weights[level].shape,
                layer * (position_weights[level].size / unit),
            )
            for level, layer in contributions.items()
        ]


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
