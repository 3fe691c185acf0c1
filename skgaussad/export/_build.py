"""The graph of a pipeline, from images to distances, labels, p-values and maps."""

import numpy as np

from ._graph import Graph
from ._head import DistanceNodes, aggregate, p_values, pool
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
    nodes = [DistanceNodes(features, gaussian) for gaussian in scoring.gaussians]
    distances = [graph.op("Sqrt", node.squared) for node in nodes]
    if scoring.aggregation is None:
        (distance,) = distances
    else:
        distance, weights = aggregate(
            distances, scoring.aggregation, scoring.top_fraction
        )
    graph.output("distance", distance, np.float64, ("batch",))
    is_normal = -distance - scoring.offset >= 0.0
    label = graph.op("Where", is_normal, 1, -1)
    graph.output("label", label, np.int64, ("batch",))
    if scoring.held_out is not None:
        found = p_values(distance, scoring.held_out)
        graph.output("p_value", found, np.float64, ("batch",))
    if unit is None:
        return graph
    total, factors = nodes[0].squared, [1.0]
    if scoring.aggregation is not None:
        total, factors = distance, _factors(distances, weights)
    gradients, constants = spread(features, scoring.gaussians, nodes, factors)
    contributions = contributions_over_positions(
        maps, position_weights, parts, total, gradients, constants
    )
    sizes = {level: weights.shape for level, weights in position_weights.items()}
    drawn = draw(contributions, sizes, sides, unit)
    shape = ("height", "width") if resize else preprocessing.image_size
    graph.output("anomaly_map", drawn, np.float32, ("batch", *shape))
    return graph


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
