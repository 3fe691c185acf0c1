"""Tests that images get the same brightness and contrast, and of what counts."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skgaussad import DeepFeatureTransformer
from skgaussad.features import FeatureCache
from skgaussad.features import _cached_extraction as cached_extraction
from skgaussad.features._intensity import (
    measure_intensity,
    standardize,
    standardize_batch,
)

SIZE = (32, 48)


def standardize_by_hand(image, is_seen=...):
    """Standardize an image of values in [0, 1] by the definition."""
    image = np.asarray(image, dtype=np.float64)
    counted = image[is_seen]
    deviation = max(counted.std(), 1 / 255)
    return np.clip((image - counted.mean()) / deviation * 0.2 + 0.5, 0, 1)


def make_transformer(standardize_intensity=True, **settings):
    settings = {"levels": [2, 4], "image_size": SIZE, "device": "cpu", **settings}
    return DeepFeatureTransformer(
        "test_resnet",
        weights=None,
        standardize_intensity=standardize_intensity,
        **settings,
    )


@pytest.fixture(scope="module")
def floats():
    """Four pictures of the size of the input: dark, bright, coloured and flat."""
    rng = np.random.default_rng(0)
    pictures = rng.uniform(size=(4, *SIZE, 3)).astype(np.float32)
    pictures[0] *= 0.2
    pictures[1] = 0.7 + 0.25 * pictures[1]
    pictures[2, :, :, 1] = 0.1
    pictures[3] = 0.4 + 0.001 * pictures[3]
    return pictures


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1e-4, 0.01, 0.3, 1]),
    st.sampled_from([0, 0.5, 1]),
)
def test_batch_is_standardized_by_the_definition(seed, contrast, density):
    rng = np.random.default_rng(seed)
    batch = (contrast * rng.beta(0.3, 1, (3, *SIZE, 3))).astype(np.float32)
    is_seen = rng.random(SIZE) >= density / 2
    weights = np.repeat(is_seen / (3 * is_seen.sum()), 3, axis=1).astype(np.float32)
    found = standardize_batch(torch.from_numpy(batch), torch.from_numpy(weights))
    expected = [standardize_by_hand(image, is_seen) for image in batch]
    # Rounding of float32, enlarged as the contrast is.
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_parts_are_standardized_by_the_whole(dtype, n_channels):
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (60, 50, n_channels), dtype=np.uint8) // 3
    pixels = levels if dtype == np.uint8 else (levels / 255).astype(np.float32)
    part = standardize(pixels[10:20, 5:30], *measure_intensity(pixels))
    assert part.dtype == np.float32
    expected = standardize_by_hand(levels / 255)[10:20, 5:30]
    np.testing.assert_allclose(part, expected, rtol=0, atol=1e-6)
    flat = np.full_like(pixels, levels[0, 0, 0])
    np.testing.assert_allclose(standardize(flat, *measure_intensity(flat)), 0.5)


def test_network_sees_standardized_images(floats):
    by_hand = [standardize_by_hand(image).astype(np.float32) for image in floats]
    expected = make_transformer(False).fit_transform(by_hand)
    found = make_transformer().fit_transform(floats)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    plain = make_transformer(False).fit_transform(floats)
    assert (np.abs(plain - expected).max(axis=1) > 0.01).all()


def test_only_seen_pixels_count(floats):
    settings = {"ignore": (0, 0, 0.5, 0.25), "image_size": SIZE}
    is_seen = np.ones(SIZE, dtype=bool)
    is_seen[:16, :12] = False
    by_hand = [
        standardize_by_hand(image, is_seen).astype(np.float32) for image in floats
    ]
    expected = make_transformer(False, **settings).fit_transform(by_hand)
    found = make_transformer(**settings).fit_transform(floats)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_no_pixel_is_seen_whole(floats):
    """Regions touch every pixel, and leave a part of each."""
    stripes = [(i / 32, 0, (i + 0.5) / 32, 1) for i in range(32)]
    features = make_transformer(ignore=stripes).fit_transform(floats)
    expected = make_transformer(False, ignore=stripes).fit_transform(floats)
    np.testing.assert_array_equal(features, expected)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 1), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_brightness_and_contrast_change_nothing(factor, place, seed):
    # Not those of 8 bits divided by 255, which are resized in 8 bits.
    image = np.random.default_rng(seed).uniform(size=(1, 50, 40, 3))
    transformer = make_transformer().fit(image)
    changed = factor * image + place * (1 - factor)
    np.testing.assert_allclose(
        transformer.transform(changed), transformer.transform(image), 1e-3, 1e-3
    )
    plain = make_transformer(False).fit(image)
    if factor < 0.9:
        difference = plain.transform(changed) - plain.transform(image)
        assert np.abs(difference).max() > 1e-2


def test_floats_and_their_8_bits_are_the_same(images):
    transformer = make_transformer().fit(images)
    as_floats = [image / 255 for image in images]
    np.testing.assert_allclose(
        transformer.transform(as_floats), transformer.transform(images), 1e-5, 1e-5
    )


def test_cache_tells_them_apart(images, tmp_path, monkeypatch):
    monkeypatch.setattr(cached_extraction, "_memory", {})
    cache = FeatureCache(tmp_path)
    for standardized in (True, False, True):
        expected = make_transformer(standardized).fit_transform(images)
        found = make_transformer(standardized, cache=cache).fit_transform(images)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_is_part_of_the_fitted_state(images):
    transformer = make_transformer().fit(images)
    expected = transformer.transform(images)
    transformer.set_params(standardize_intensity=False)
    for fitted in (transformer, pickle.loads(pickle.dumps(transformer))):
        assert "standardize_intensity=True" in repr(fitted.preprocessing_)
        np.testing.assert_allclose(fitted.transform(images), expected, 1e-5, 1e-5)
