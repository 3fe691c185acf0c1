"""Tests that images are resized in a graph as Pillow resizes them, bit for bit."""

from functools import cache

import numpy as np
import onnxruntime
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from skgaussad.export import _resampling
from skgaussad.export._graph import Graph
from skgaussad.export._preprocessing_nodes import read_images
from skgaussad.export._resampling import RESAMPLINGS
from skgaussad.features._decoding import load_image
from skgaussad.features._preprocessing import Preprocessing


@cache
def session_of(kind, size, crop_pct=None):
    """Make a session whose output is the network's input, in grey values."""
    graph = Graph()
    unscaled = Preprocessing(size, kind, crop_pct, (0.0,) * 3, (1 / 255,) * 3)
    batch, _ = read_images(graph, unscaled, resize=True)
    graph.output("batch", batch, np.float32, ("batch", 3, *size))
    return onnxruntime.InferenceSession(graph.model({}).SerializeToString())


def resize_in_graph(images, kind, size, crop_pct=None):
    (batch,) = session_of(kind, size, crop_pct).run(None, {"images": images})
    return np.rint(batch.transpose(0, 2, 3, 1)).astype(int)


def resize_by_pillow(image, kind, size, crop_pct=None):
    resample = Image.Resampling[kind.upper()]
    pixels = load_image([image], 0, size, resample, crop_pct)
    return np.rint(255 * pixels).astype(int)


def make_image(height, width, seed, is_binary=False):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    # Of black and white, filters with negative lobes overshoot the most.
    return np.where(image > 127, 255, 0).astype(np.uint8) if is_binary else image


sides = st.integers(1, 90)


@settings(max_examples=60, deadline=None)
@given(
    height=sides,
    width=sides,
    kind=st.sampled_from([kind for kind in RESAMPLINGS if kind != "hamming"]),
    seed=st.integers(0, 99),
    is_binary=st.booleans(),
)
@example(height=90, width=17, kind="bicubic", seed=0, is_binary=True)  # height first
@example(height=82, width=68, kind="bicubic", seed=0, is_binary=True)  # just so
@example(height=72, width=68, kind="bicubic", seed=0, is_binary=True)  # just not
@example(height=32, width=48, kind="lanczos", seed=0, is_binary=False)  # as it is
@example(height=64, width=96, kind="box", seed=0, is_binary=False)
def test_resized_as_pillow_does(height, width, kind, seed, is_binary):
    image = make_image(height, width, seed, is_binary)
    found = resize_in_graph(image[np.newaxis], kind, (32, 48))
    np.testing.assert_array_equal(found[0], resize_by_pillow(image, kind, (32, 48)))


def test_hamming_differs_by_a_grey_value_in_few_pixels():
    """Its cosine is rounded otherwise, so that weights may differ in their last bit."""
    for seed, (height, width) in enumerate([(64, 96), (75, 31), (90, 60), (20, 20)]):
        image = make_image(height, width, seed)
        found = resize_in_graph(image[np.newaxis], "hamming", (32, 48))[0]
        difference = np.abs(found - resize_by_pillow(image, "hamming", (32, 48)))
        assert difference.max() <= 1
        assert np.mean(difference > 0) < 1e-2


@pytest.mark.parametrize("crop_pct", [1.0, 0.875, 0.6])
@pytest.mark.parametrize("size", [(50, 80), (80, 50), (64, 64), (41, 90)])
def test_cropped_as_pillow_does(size, crop_pct):
    image = make_image(*size, seed=3)
    found = resize_in_graph(image[np.newaxis], "bicubic", (32, 40), crop_pct)
    expected = resize_by_pillow(image, "bicubic", (32, 40), crop_pct)
    np.testing.assert_array_equal(found[0], expected)


def test_images_of_a_batch_are_resized_one_like_the_other():
    images = np.stack([make_image(40, 30, seed) for seed in range(3)])
    found = resize_in_graph(images, "bilinear", (32, 48))
    for resized, image in zip(found, images, strict=True):
        expected = resize_by_pillow(image, "bilinear", (32, 48))
        np.testing.assert_array_equal(resized, expected)


def test_order_of_older_versions_of_pillow(monkeypatch):
    """Before version 13 the width is always changed first."""
    monkeypatch.setattr(_resampling, "_pillow_knows_tall_images", lambda: False)
    image = make_image(90, 17, seed=0, is_binary=True)
    session_of.cache_clear()
    found = resize_in_graph(image[np.newaxis], "bicubic", (32, 48))[0]
    session_of.cache_clear()
    step = Image.fromarray(image).resize((48, 90), Image.Resampling.BICUBIC)
    expected = step.resize((48, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(found, np.asarray(expected))
