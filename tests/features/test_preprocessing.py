"""Tests of the settings that turn an image into the network's input."""

import dataclasses
import pickle
import re

import numpy as np
import pytest
from PIL import Image

from skgaussad.features._preprocessing import Preprocessing

# As timm gives it. The three colours differ, so that their order shows.
NATIVE = {
    "input_size": (3, 48, 64),
    "interpolation": "bicubic",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "crop_pct": 0.875,
    "crop_mode": "center",
}
UNSET = dict.fromkeys(["image_size", "interpolation", "crop_pct", "mean", "std"])


def resolve(**given):
    return Preprocessing.resolve(NATIVE, **{**UNSET, **given})


def test_default_is_the_networks_own_but_for_the_crop():
    assert resolve() == Preprocessing(
        (48, 64), "bicubic", None, NATIVE["mean"], NATIVE["std"]
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("image_size", 32, (32, 32)),
        ("image_size", (32, 96), (32, 96)),
        ("image_size", [32, 96], (32, 96)),
        ("image_size", np.int64(32), (32, 32)),
        ("image_size", np.array([32, 96]), (32, 96)),
        ("interpolation", "box", "box"),
        ("crop_pct", 1, 1.0),
        ("crop_pct", 0.5, 0.5),
        ("mean", 0, (0.0, 0.0, 0.0)),
        ("mean", (0.1, -0.2, 0.3), (0.1, -0.2, 0.3)),
        ("mean", np.array([0.1, 0.2, 0.3]), (0.1, 0.2, 0.3)),
        ("std", 2, (2.0, 2.0, 2.0)),
        ("std", [0.1, 0.2, 0.3], (0.1, 0.2, 0.3)),
        ("standardize_intensity", np.True_, True),
    ],
    ids=repr,
)
def test_what_is_given_replaces_the_networks_own_and_nothing_else(
    name, value, expected
):
    assert resolve(**{name: value}) == dataclasses.replace(
        resolve(), **{name: expected}
    )


@pytest.mark.parametrize("value", [32, (32, 96), np.int64(32), np.array([32, 96])])
def test_sizes_are_plain_integers(value):
    size = Preprocessing.resolve_size(value)
    assert type(size) is tuple
    assert [type(side) for side in size] == [int, int]


def test_no_size_stays_none():
    assert Preprocessing.resolve_size(None) is None


@pytest.mark.parametrize(
    "value",
    [0, -1, 2.5, True, (32, 0), (32,), (1, 2, 3), (32, 1.5), "ab", object],
    ids=repr,
)
def test_size_is_refused(value):
    message = (
        "image_size must be a positive integer, a pair (height, width) of them, or "
        f"None for the network's own; got {value!r}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        resolve(image_size=value)


@pytest.mark.parametrize(
    "value", ["cubic", "BICUBIC", 3, Image.Resampling.BOX], ids=repr
)
def test_interpolation_is_refused(value):
    message = r"interpolation must be one of .*'bicubic', 'lanczos'.*, or None for the "
    with pytest.raises(
        ValueError, match=message + rf".*; got {re.escape(repr(value))}\."
    ):
        resolve(interpolation=value)


@pytest.mark.parametrize("value", [0, -0.5, 1.01, float("nan"), "0.5", True], ids=repr)
def test_crop_pct_is_refused(value):
    message = f"crop_pct must be a number in (0, 1]; got {value!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        resolve(crop_pct=value)


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize("value", [(0.5, 0.5), (1, 2, 3, 4), (), {}, object], ids=repr)
def test_normalization_is_refused_unless_of_three_channels(name, value):
    message = f"{name} must be a number or three of them, for red, green and blue; got "
    with pytest.raises(ValueError, match=message + re.escape(f"{value!r}.")):
        resolve(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "interval", "came"),
    [
        ("mean", float("nan"), "(-inf, inf)", "nan"),
        ("mean", float("inf"), "(-inf, inf)", "inf"),
        ("mean", "abc", "(-inf, inf)", "'a'"),
        ("mean", (0.5, None, 0.5), "(-inf, inf)", "None"),
        ("std", 0, "(0, inf)", "0"),
        ("std", (0.5, 0.5, -0.5), "(0, inf)", "-0.5"),
        ("std", True, "(0, inf)", "True"),
    ],
    ids=repr,
)
def test_normalization_is_refused_unless_in_range(name, value, interval, came):
    message = re.escape(f"{name} must be a number in {interval}; got {came}.")
    with pytest.raises(ValueError, match=message):
        resolve(**{name: value})


@pytest.mark.parametrize("value", [None, 1, "False"], ids=repr)
def test_standardize_intensity_is_refused(value):
    message = f"standardize_intensity must be True or False; got {value!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        resolve(standardize_intensity=value)


def test_is_a_value_that_pickles_and_cannot_be_changed():
    preprocessing = resolve(crop_pct=0.5)
    twin = pickle.loads(pickle.dumps(preprocessing))
    assert twin == preprocessing
    assert hash(twin) == hash(preprocessing)
    with pytest.raises(dataclasses.FrozenInstanceError):
        preprocessing.crop_pct = None


@pytest.mark.parametrize(
    "interpolation", [member.name.lower() for member in Image.Resampling]
)
def test_load_resizes_the_whole_image_with_the_filter(images, interpolation):
    loaded = resolve(interpolation=interpolation).load(images, 2)
    resample = Image.Resampling[interpolation.upper()]
    resized = Image.fromarray(images[2]).resize((64, 48), resample)
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, np.asarray(resized, np.float32) / 255)


def test_load_crops_the_centre_where_asked(images):
    """Of a square image, a crop of one half to size n is the middle of 2n pixels."""
    square = images[1]
    loaded = resolve(image_size=32, crop_pct=0.5).load([square], 0)
    np.testing.assert_array_equal(loaded, square[16:48, 16:48].astype(np.float32) / 255)
