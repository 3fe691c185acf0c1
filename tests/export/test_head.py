"""Tests of the nodes that come after the network, by the functions they repeat."""

import numpy as np
import onnxruntime
import pytest
import torch

from skgaussad.calibration._held_out import HeldOutDistances
from skgaussad.calibration._tail import GeneralizedParetoTail
from skgaussad.detectors._aggregation import aggregate, aggregation_weights
from skgaussad.export import _head
from skgaussad.export._graph import Graph
from skgaussad.features._parts import Part
from skgaussad.features._pooling import resolve_pooling


def run(array, compute):
    """Run what `compute` adds to a graph with one input."""
    graph = Graph()
    array = np.asarray(array)
    shape = [f"axis{axis}" for axis in range(array.ndim)]
    value = compute(graph.input("input", array.dtype, shape))
    graph.output("output", value, np.float64, None)
    # Every graph here ends in double precision.
    session = onnxruntime.InferenceSession(graph.model({}).SerializeToString())
    return session.run(None, {"input": array})[0]


@pytest.fixture(scope="module")
def feature_map():
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 4, 5, 7)).astype(np.float32)


@pytest.mark.parametrize("is_ignored", [False, True])
@pytest.mark.parametrize("pooling", ["average", "max", "std", 2, 3, 5])
def test_pooling_is_that_of_the_transformer(feature_map, pooling, is_ignored):
    (pooling,) = resolve_pooling(pooling)
    weights = np.ones((5, 7))
    if is_ignored:
        weights[:2, 3:5] = 0.25
        # All of some cells of the finest grid.
        weights[4, 1:] = 0.0
    found = run(
        feature_map,
        lambda value: _head.pool(Part(7, pooling, 4), value, None, weights).cast(float),
    )
    expected = pooling(
        torch.from_numpy(feature_map),
        None,
        torch.tensor(weights, dtype=torch.float32) if is_ignored else None,
    )
    np.testing.assert_allclose(found, expected.numpy(), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("how", ["sum", "mean", "max", "top"])
def test_aggregation_and_its_weights(how):
    table = np.random.default_rng(1).uniform(1, 9, size=(6, 5))

    def split(value):
        return [value.take(group, axis=1) for group in range(5)]

    def aggregated(value):
        return _head.aggregate(split(value), how, 0.4)[0]

    def weights(value):
        _, found = _head.aggregate(split(value), how, 0.4)
        return value * 0.0 + found

    np.testing.assert_allclose(run(table, aggregated), aggregate(table, how, 0.4))
    expected = aggregation_weights(table, how, 0.4)
    np.testing.assert_allclose(run(table, weights), expected)


def held_out_distances(kind):
    distances = np.random.default_rng(2).gamma(9, size=40)
    if kind == "ties and infinity":
        distances[3:9] = distances[2]
        distances[9] = np.inf
    groups = np.arange(40) % 7 if kind == "groups" else None
    tail = None
    if kind == "tail":
        tail = GeneralizedParetoTail.fit(distances)
    if kind == "tail that ends":
        tail = GeneralizedParetoTail(
            np.sort(distances)[-11], 11 / 41, *np.array([[-0.5], [1.0], [1.0]])
        )
    return HeldOutDistances(distances, groups, tail)


@pytest.mark.parametrize(
    "kind", ["samples", "groups", "ties and infinity", "tail", "tail that ends"]
)
def test_p_values(kind):
    held_out = held_out_distances(kind)
    finite = held_out.distances[np.isfinite(held_out.distances)]
    distances = np.concatenate(
        [finite, finite + 1e-9, [0.0], np.linspace(0, 9 * finite.max(), 30)]
    )
    found = run(distances, lambda value: _head.p_values(value, held_out))
    np.testing.assert_allclose(found, held_out.p_values(distances), rtol=1e-12)
    assert found.min() > 0
