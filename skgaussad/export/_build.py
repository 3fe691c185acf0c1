"""The graph of a pipeline, from images to distances, labels, p-values and maps."""

import numpy as np

from ._graph import Graph
from ._head import p_values, pool
from ._map_nodes import draw
from ._network import export_network
from ._preprocessing_nodes import read_images


def build_graph(scoring, resize, with_maps=False):
    """Build the graph of a pipeline.

    Parameters
    ----------
    scoring : Scoring
    resize : bool
        Whether the graph resizes images.
    with_maps : bool, default=False
        Whether the graph returns anomaly maps.

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
    score = scoring.score.nodes(features)
    distance = score.distance
    graph.output("distance", distance, np.float64, ("batch",))
    is_normal = -distance - scoring.offset >= 0.0
    label = graph.op("Where", is_normal, 1, -1)
    graph.output("label", label, np.int64, ("batch",))
    if scoring.held_out is not None:
        found = p_values(distance, scoring.held_out)
        graph.output("p_value", found, np.float64, ("batch",))
    if not with_maps:
        return graph
    layers = score.layers(maps, position_weights, parts, -scoring.offset)
    drawn = draw(layers, sides)
    shape = ("height", "width") if resize else preprocessing.image_size
    graph.output("anomaly_map", drawn, np.float32, ("batch", *shape))
    return graph
