"""Tests of areas that are ignored: their geometry, the pooling and the features."""

import pickle
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector, load, save
from skgaussad.features import FeatureCache
from skgaussad.features import _cached_extraction as cached_extraction
from skgaussad.features._ignored import KeptArea
from skgaussad.features._pooling import Pooling, resolve_pooling
from skgaussad.features._preprocessing import Preprocessing

LEFT_HALF = (0, 0, 1, 0.5)
# No position of a map of 8 x 8 has more than 0.4 of its area left.
STRIPES = [(i / 8, 0, (i + 0.6) / 8, 1) for i in range(8)]


def make_preprocessing(image_size=(64, 96), crop_pct=None):
    return Preprocessing(image_size, "bicubic", crop_pct, (0.5,) * 3, (0.25,) * 3)


def resolve(ignore, **settings):
    return KeptArea.resolve(ignore, make_preprocessing(**settings))


def make_transformer(**settings):
    settings = {"levels": [2, 4], "image_size": (64, 96), **settings}
    return DeepFeatureTransformer("test_resnet", weights=None, device="cpu", **settings)


def fractions_by_counting(rectangles, height, width, fine=60):
    """Share of each position that is in none of the rectangles, on a fine raster."""
    y = (np.arange(height * fine)[:, np.newaxis] + 0.5) / (height * fine)
    x = (np.arange(width * fine) + 0.5) / (width * fine)
    kept = np.ones((height * fine, width * fine))
    for top, left, bottom, right in rectangles:
        kept[(y > top) & (y < bottom) & (x > left) & (x < right)] = 0
    return kept.reshape(height, fine, width, fine).mean(axis=(1, 3))


# Rectangles whose edges lie on the raster above, for maps of 1 to 6 positions a side.
edges = st.tuples(st.integers(0, 9), st.integers(1, 10)).filter(lambda e: e[0] < e[1])
rectangles = st.lists(
    st.tuples(edges, edges).map(
        lambda e: (e[0][0] / 10, e[1][0] / 10, e[0][1] / 10, e[1][1] / 10)
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(rectangles, st.integers(1, 6), st.integers(1, 6))
def test_fractions_of_rectangles_are_areas(given, height, width):
    expected = fractions_by_counting(given, height, width)
    if not fractions_by_counting(given, 1, 1).any():
        with pytest.raises(ValueError, match="ignore leaves nothing"):
            resolve(given)
        return
    fractions = resolve(given).fractions(height, width)
    np.testing.assert_allclose(fractions, expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(fractions == 0, expected == 0)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 12))
def test_fractions_of_masks_are_areas(data, height, width):
    """A mask is as many rectangles as it has pixels that are not zero."""
    bits = data.draw(st.lists(st.booleans(), min_size=60, max_size=60))
    mask = np.reshape(bits, (6, 10))
    if mask.all() or not mask.any():
        return
    pixels = [
        (row / 6, column / 10, (row + 1) / 6, (column + 1) / 10)
        for row, column in np.argwhere(mask)
    ]
    fractions = resolve(mask).fractions(height, width)
    expected = resolve(pixels).fractions(height, width)
    np.testing.assert_allclose(fractions, expected, rtol=0, atol=2e-9)
    np.testing.assert_allclose(fractions.mean(), 1 - mask.mean(), rtol=0, atol=1e-8)
    np.testing.assert_array_equal(resolve(mask).pixels(6, 10), ~mask)


def test_one_rectangle_is_a_list_of_one():
    several = resolve([LEFT_HALF]).fractions(5, 7)
    np.testing.assert_array_equal(resolve(LEFT_HALF).fractions(5, 7), several)
    np.testing.assert_array_equal(several[0], [0, 0, 0, 0.5, 1, 1, 1])


@pytest.mark.parametrize("kind", ["bool", "float", "path", "str", "pil", "rgb"])
def test_masks_of_all_kinds(kind, tmp_path):
    mask = np.zeros((4, 6), dtype=bool)
    mask[1:3, 2:] = True
    picture = Image.fromarray(mask.astype(np.uint8))
    path = tmp_path / "mask.png"
    picture.save(path)
    given = {
        "bool": mask,
        "float": mask * 0.25,
        "path": path,
        "str": str(path),
        "pil": picture,
        "rgb": Image.merge("RGB", [Image.new("L", (6, 4)), picture, picture]),
    }[kind]
    np.testing.assert_array_equal(resolve(given).pixels(4, 6), ~mask)


def test_nothing_is_ignored():
    assert resolve(None) is None


def test_mask_goes_through_the_crop_of_the_images(images):
    """What is left of a mask is where a picture of it has what is not black."""
    rng = np.random.default_rng(0)
    coarse = rng.random((5, 8)) < 0.5
    mask = np.kron(coarse, np.ones((40, 40), dtype=bool))
    preprocessing = make_preprocessing((64, 96), crop_pct=0.6)
    seen = preprocessing.load([255 * mask.astype(np.uint8)], 0)[:, :, 0]
    fractions = KeptArea.resolve(mask, preprocessing).fractions(64, 96)
    far_from_edges = (seen < 0.01) | (seen > 0.99)
    assert far_from_edges.mean() > 0.7
    np.testing.assert_allclose(
        fractions[far_from_edges], 1 - seen[far_from_edges], atol=0.05
    )


@pytest.mark.parametrize(
    ("ignore", "came"),
    [
        ((0, 0, 10, 20), "the rectangle (0.0, 0.0, 10.0, 20.0). Divide pixels by"),
        ((0.5, 0, 0.5, 1), "the rectangle (0.5, 0.0, 0.5, 1.0)"),
        ([LEFT_HALF, (0, 0, np.nan, 1)], "the rectangle (0.0, 0.0, nan, 1.0)"),
        ((-0.1, 0, 1, 1), "the rectangle (-0.1, 0.0, 1.0, 1.0)"),
        ((0, 1), "(0, 1)"),
        ([], "[]"),
        (0.5, "0.5"),
        ([LEFT_HALF, (0, 1)], "(0, 1)]"),
        (np.array(LEFT_HALF), "an array of shape (4,), dtype float64. Rectangles are"),
        (np.zeros((2, 2, 3)), "an array of shape (2, 2, 3)"),
        (np.full((2, 2), "a"), "an array of shape (2, 2), dtype <U1"),
    ],
    ids=repr,
)
def test_what_is_refused(ignore, came):
    with pytest.raises(ValueError, match=rf"ignore must be .*{re.escape(came)}"):
        resolve(ignore)


def test_mask_that_cannot_be_read(tmp_path):
    path = tmp_path / "none.png"
    with pytest.raises(ValueError, match=r"given as ignore \(.*none.png.*not exist"):
        resolve(path)


# Pooling


def pool_by_hand(values, weights, kind, grid):
    """One image and channel, with every position taken as often as its weight says."""
    if kind == "max":
        return [values[weights >= 0.5].max()]
    pooled = []
    for rows, columns in Pooling("grid", grid).cells(*values.shape):
        v, w = values[rows, columns].ravel(), weights[rows, columns].ravel()
        if kind == "std":
            pooled.append(np.sqrt(np.cov(v, aweights=w, ddof=0)))
        else:
            pooled.append(np.average(v, weights=w))
    return pooled


@pytest.mark.parametrize("size", [(7, 7), (4, 6), (9, 5)], ids=str)
@pytest.mark.parametrize("entry", ["average", "max", "std", 2, 3])
def test_pooling_is_weighted(entry, size):
    rng = np.random.default_rng(0)
    feature_map = rng.normal(5, 1, (2, 3, *size)).astype(np.float32)
    weights = rng.integers(0, 5, size) / 4
    # What is ignored may hold anything.
    feature_map[..., weights == 0] = 1e6
    (pooling,) = resolve_pooling(entry)
    pooling.check(5, *size, False, weights)
    pooled = pooling(
        torch.from_numpy(feature_map), None, torch.tensor(weights, dtype=torch.float32)
    )
    pooled = pooled.reshape(2, -1, 3).numpy()
    for image, channel in np.ndindex(2, 3):
        values = feature_map[image, channel].astype(np.float64)
        expected = pool_by_hand(values, weights, pooling.kind, pooling.grid)
        np.testing.assert_allclose(pooled[image, :, channel], expected, rtol=1e-5)


@pytest.mark.parametrize("entry", ["average", "max", "std", 2, 3])
def test_pooling_with_all_weights_one_is_that_without(entry):
    feature_map = torch.from_numpy(
        np.random.default_rng(0).normal(5, 1, (2, 3, 7, 5)).astype(np.float32)
    )
    (pooling,) = resolve_pooling(entry)
    np.testing.assert_allclose(
        pooling(feature_map, None, torch.ones(7, 5)),
        pooling(feature_map, None),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("pooling", "ignore", "message"),
    [
        (2, (0, 0, 1, 1), "ignore leaves nothing of the images"),
        (2, np.ones((3, 3)), "ignore leaves nothing of the images"),
        ("average", (0, 0, 1, 1 - 1e-12), "ignore leaves nothing of the images"),
        (
            "max",
            STRIPES,
            "no position of the feature map of level 4 with at least 50% of its area",
        ),
    ],
)
def test_too_much_is_ignored(images, pooling, ignore, message):
    transformer = make_transformer(levels=4, image_size=64, pooling=pooling)
    with pytest.raises(ValueError, match=message):
        transformer.set_params(ignore=ignore).fit(images)


def test_features_of_cells_that_are_ignored_entirely_are_zero():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (4, 64, 96, 3), dtype=np.uint8)
    transformer = make_transformer(
        levels=[3, 4], pooling=[3, 2], ignore=(0, 0, 0.5, 0.5)
    )
    features = transformer.fit_transform(X)
    names = transformer.get_feature_names_out()
    # Some channels of random weights are zero in all cells.
    some = {name.rpartition("_")[0] for name in names[features.any(axis=0)]}
    assert {name.rpartition("_")[0] for name in names} - some == {
        f"level{level}_grid{grid}_r0c0" for level in (3, 4) for grid in (3, 2)
    }
    X[:, :32, :48] = 255
    np.testing.assert_array_equal(transformer.transform(X), features)


# Features


def test_features_are_weighted_means_of_the_maps(images):
    mask = np.random.default_rng(0).random((5, 7)) < 0.4
    transformer = make_transformer(pooling=["average", 2], ignore=mask, batch_size=7)
    features = transformer.fit_transform(images)
    ((_, _, maps),) = transformer._stream_with_maps(images)
    start = 0
    for feature_map in maps.values():
        values = feature_map.double().numpy()
        height, width = values.shape[2:]
        weights = resolve(mask).fractions(height, width)
        for cell in [np.s_[:, :], *Pooling("grid", 2).cells(height, width)]:
            expected = (values[(..., *cell)] * weights[cell]).sum(axis=(2, 3))
            expected /= weights[cell].sum()
            stop = start + values.shape[1]
            np.testing.assert_allclose(
                features[:, start:stop], expected, rtol=1e-4, atol=1e-5
            )
            start = stop
    assert start == features.shape[1]


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("test_resnet", ["average", "max", "std"]),
        # With attention and with squeeze-and-excitation, which look at all positions.
        ("test_vit", ["average", "class_token"]),
        ("test_efficientnet", "average"),
    ],
)
def test_what_is_ignored_changes_nothing(name, pooling):
    """Neither there nor, by way of the network, anywhere else."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (4, 160, 160, 3), dtype=np.uint8)
    changed = X.copy()
    changed[:, 40:, :80] = rng.integers(0, 256, (4, 120, 80, 3))

    def change(**settings):
        transformer = DeepFeatureTransformer(
            name,
            levels="all",
            pooling=pooling,
            weights=None,
            image_size=160,
            device="cpu",
            **settings,
        )
        features = transformer.fit_transform(X)
        return np.abs(transformer.transform(changed) - features).max()

    assert change() > 1e-3
    assert change(ignore=(0.25, 0, 1, 0.5)) == 0
    assert change(ignore=(0.25, 0, 1, 0.5), standardize_intensity=True) == 0
    # One column less, of which the features then depend.
    assert change(ignore=(0.25, 0, 1, 79 / 160)) > 1e-4


def test_network_sees_the_mean_colour_where_ignored(images):
    """Pixels that are ignored in part are not seen."""
    settings = {"mean": (0.2, 0.4, 0.6), "interpolation": "nearest", "image_size": 64}
    ignored = make_transformer(**settings, ignore=(0.3, 0.4, 0.51, 1), levels=1)
    ignored.fit(images)
    blanked = []
    for image in images:
        pixels = ignored.preprocessing_.load([image], 0)
        # 0.3 to 0.51 of 64 pixels are 19.2 to 32.64, and 0.4 is 25.6.
        pixels[19:33, 25:] = settings["mean"]
        blanked.append(pixels)
    expected, found = (
        [maps[1].numpy() for _, _, maps in transformer._stream_with_maps(X)]
        for transformer, X in (
            (make_transformer(**settings, levels=1).fit(images), blanked),
            (ignored, images),
        )
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_features_do_not_depend_on_batches_copies_and_pickles(images):
    ignore = (0, 0, 1, 0.4)
    transformer = make_transformer(pooling=["max", "std", 2], ignore=ignore)
    expected = transformer.fit_transform(images)
    whole = make_transformer(pooling=["max", "std", 2]).fit_transform(images)
    assert np.abs(expected - whole).max() > 1e-3
    for other in (
        clone(transformer).set_params(batch_size=1).fit(images),
        pickle.loads(pickle.dumps(transformer)),
    ):
        np.testing.assert_allclose(
            other.transform(images), expected, rtol=1e-4, atol=1e-5
        )


def test_clone_has_a_mask_of_its_own(images):
    mask = np.zeros((4, 4))
    mask[0] = 1
    copy = clone(make_transformer(ignore=mask))
    assert copy.ignore is not mask
    np.testing.assert_array_equal(copy.ignore, mask)
    fitted = make_transformer(ignore=mask).fit(images)
    expected = fitted.transform(images)
    mask[:] = 0
    np.testing.assert_array_equal(fitted.transform(images), expected)


def test_cache_tells_areas_apart(images, tmp_path, monkeypatch):
    monkeypatch.setattr(cached_extraction, "_memory", {})
    cache = FeatureCache(tmp_path)
    for ignore in (None, LEFT_HALF, (0, 0.5, 1, 1), [LEFT_HALF]):
        expected = make_transformer(ignore=ignore).fit_transform(images)
        found = make_transformer(ignore=ignore, cache=cache).fit_transform(images)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_cache_leaves_out_levels_of_which_nothing_is_left(images, tmp_path):
    settings = {"pooling": "max", "image_size": 64, "ignore": STRIPES}
    with pytest.raises(ValueError, match="no position of the feature map of level 4"):
        make_transformer(**settings, levels=4).fit(images)
    expected = make_transformer(**settings, levels=1).fit_transform(images)
    transformer = make_transformer(**settings, levels=1, cache=tmp_path)
    found = transformer.fit_transform(images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_digest_is_of_the_fractions_at_all_sizes():
    half, as_mask = resolve(LEFT_HALF), resolve(np.array([[1, 0]]))
    assert half.digest((4, 4), (9, 9)) == as_mask.digest((4, 4), (9, 9))
    assert half.digest((4, 4)) != half.digest((4, 4), (9, 9))
    assert half.digest((4, 4)) != half.digest((2, 8))
    assert half.digest((4, 4)) != resolve((0, 0.5, 1, 1)).digest((4, 4))
    # Both leave the left half of two positions, and the input tells them apart.
    stripes = resolve([(0, 0, 1, 0.25), (0, 0.5, 1, 0.75)])
    others = resolve([(0, 0.25, 1, 0.5), (0, 0.75, 1, 1)])
    assert stripes.digest((1, 2)) == others.digest((1, 2))
    assert stripes.digest((1, 2), (4, 4)) != others.digest((1, 2), (4, 4))


@pytest.fixture
def transformer():
    return DeepFeatureTransformer(
        "test_resnet", weights=None, image_size=32, levels=2, batch_size=2
    )


IMAGES = np.full((2, 30, 60), 128, dtype=np.uint8)


def corner(height, width):
    """Make a mask of a corner, a sixteenth of the images."""
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[: height // 4, : width // 4] = 255
    return mask


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((30, 60)), "ignore has no effect: .*zero wherever"),
        (Image.new("RGBA", (60, 30), (0, 0, 0, 255)), "has no effect.* alpha"),
        (np.ones((30, 60)), "leaves nothing .*invert"),
        (np.full((30, 60), np.nan), "without NaN"),
    ],
    ids=["empty", "alpha", "full", "NaN"],
)
def test_masks_of_nothing_and_of_everything_are_refused(transformer, mask, message):
    with pytest.raises(ValueError, match=message):
        transformer.set_params(ignore=mask).fit(IMAGES)


def test_a_mask_of_what_is_cropped_has_no_effect(transformer):
    mask = np.zeros((40, 40))
    mask[:2] = 1
    transformer.set_params(ignore=mask, crop_pct=0.8)
    with pytest.raises(ValueError, match="no effect"):
        transformer.fit(np.full((2, 40, 40), 128, dtype=np.uint8))


def test_a_mask_the_wrong_way_round_is_warned_of(transformer):
    transformer.set_params(ignore=corner(30, 60)).fit(IMAGES)
    transformer.set_params(ignore=255 - corner(30, 60))
    with pytest.warns(UserWarning, match=r"leaves 5\.8 % of the .*invert it"):
        transformer.fit(IMAGES)


@pytest.mark.parametrize("size", [(60, 30), (30, 45), (64, 48)])
def test_a_mask_of_another_aspect_ratio_is_warned_of(transformer, size):
    transformer.set_params(ignore=corner(*size))
    with pytest.warns(UserWarning, match="same aspect ratio"):
        transformer.fit(IMAGES)


@pytest.mark.parametrize("size", [(30, 60), (99, 200), (32, 32), (224, 224), (8, 9)])
def test_masks_of_the_images_or_the_input_fit(transformer, size):
    transformer.set_params(ignore=corner(*size)).fit(IMAGES)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB"])
def test_a_picture_as_a_mask_can_be_saved(transformer, tmp_path, mode):
    mask = Image.fromarray(corner(30, 60)).convert(mode)
    rng = np.random.default_rng(0)
    X = rng.integers(256, size=(20, 30, 60), dtype=np.uint8)
    pipe = make_pipeline(transformer.set_params(ignore=mask), MahalanobisDetector())
    pipe.fit(X)
    for loaded in (
        load(save_to(pipe, tmp_path / "m.skgaussad")),
        pickle.loads(pickle.dumps(pipe)),
    ):
        np.testing.assert_array_equal(loaded.score_samples(X), pipe.score_samples(X))
        np.testing.assert_array_equal(loaded[0].ignore, corner(30, 60) > 0)
    assert transformer.ignore is mask


def save_to(pipe, path):
    save(pipe, path)
    return path
