"""Tests of maps of the residuals of cells."""

import numpy as np
import pytest

from skgaussad import (
    AugmentedDetector,
    CellwiseMahalanobisDetector,
    RobustDetector,
    TiledDetector,
    make_detector,
)
from skgaussad.features import resize
from skgaussad.inspection import AnomalyMapDisplay, anomaly_maps, split_distance

pytestmark = pytest.mark.filterwarnings(
    # Thirty images are few for a rate, which these tests do not look at.
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)
SETTINGS = {
    "backbone": "test_resnet",
    "weights": None,
    "device": "cpu",
    "image_size": 64,
    "levels": 3,
    "pooling": 4,
    # These pictures are so even that a defect would change all of them.
    "standardize_intensity": False,
}


def make(detector=None, **settings):
    return make_detector(detector=detector, **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def normal():
    rng = np.random.default_rng(0)
    return np.clip(rng.normal(128, 4, (30, 64, 64)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def fitted(normal):
    return make().fit(normal)


def residuals_of(estimator, X):
    return estimator[-1].cell_residuals(estimator[:-1].transform(X))


def test_the_middle_of_a_cell_has_its_residual_over_the_threshold(fitted, normal):
    """Bilinear interpolation to an odd multiple keeps the values at the centres."""
    images = normal[:4, :60, :20]
    maps = np.array(anomaly_maps(fitted, images))
    ratios = residuals_of(fitted, images) / -fitted.offset_
    found = maps[:, 7::15, 2::5].reshape(4, -1)
    np.testing.assert_allclose(found, ratios, rtol=1e-5)


def test_an_image_is_anomalous_by_its_highest_cells(normal):
    detector = make(CellwiseMahalanobisDetector(top_fraction=0.2)).fit(normal)
    X = normal.copy()
    X[::2, 20:30, 10:40] = 255
    maps = anomaly_maps(detector, X, size=(4, 4))
    highest = [np.sort(drawn, axis=None)[-4:].mean() for drawn in maps]
    expected = np.where(np.array(highest) > 1, -1, 1)
    np.testing.assert_array_equal(detector.predict(X), expected)
    assert {1, -1} == set(expected)


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("levels", [3, [3, 4]])
def test_a_defect_is_brightest_where_it_is(normal, corner, levels):
    detector = make(levels=levels).fit(normal)
    row, column = np.multiply(corner, 40)
    image = normal[0].copy()
    image[row + 4 : row + 20, column + 4 : column + 20] = 250
    (drawn,) = detector.anomaly_maps([image])
    peak = np.unravel_index(drawn.argmax(), drawn.shape)
    np.testing.assert_array_equal(np.floor_divide(peak, 32), corner)


def test_maps_of_cells_told_by_number_are_those_of_named_ones(fitted, normal):
    unnamed = make(CellwiseMahalanobisDetector(cells=16)).fit(normal)
    for first, second in zip(
        anomaly_maps(unnamed, normal[:2]), anomaly_maps(fitted, normal[:2]), strict=True
    ):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "wrap",
    [
        AugmentedDetector,
        lambda pipe: make(RobustDetector(CellwiseMahalanobisDetector())),
    ],
    ids=["AugmentedDetector", "RobustDetector"],
)
def test_maps_of_what_stands_around_it(wrap, normal):
    outer = wrap(make()).fit(normal)
    (drawn,) = anomaly_maps(outer, normal[:1])
    assert drawn.shape == (64, 64)
    assert AnomalyMapDisplay.from_estimator(outer, normal[:1]).meaning == "cell"


def test_maps_of_tiles_are_joined(normal):
    tiled = TiledDetector(make(), tile_size=32, overlap=0).fit(normal)
    (drawn,) = anomaly_maps(tiled, normal[:1])
    inner = tiled.tile_estimator_
    for rows in (slice(0, 32), slice(32, 64)):
        tile = normal[0][rows, 32:]
        layer = residuals_of(inner, [tile]).reshape(4, 4) / -tiled.offset_
        np.testing.assert_allclose(drawn[rows, 32:], resize(layer, (32, 32)), rtol=1e-5)
    assert AnomalyMapDisplay.from_estimator(tiled, normal[:1]).meaning == "cell"


def test_what_is_ignored_is_zero_and_leaves_its_neighbours_alone(normal):
    ignore = (0, 0, 0.25, 0.5)
    detector = make(ignore=ignore).fit(normal)
    (drawn,) = detector.anomaly_maps(normal[:1])
    assert not drawn[:16, :32].any()
    layer = residuals_of(detector, normal[:1]).reshape(4, 4) / -detector.offset_
    assert not layer[0, :2].any()
    # Beside it, not mixed with its zeros.
    np.testing.assert_allclose(drawn[0, 32], layer[0, 2], rtol=1e-5)


def test_a_cell_of_which_a_sliver_is_left_is_drawn(normal):
    """Of 8 positions the first of 3 cells has 3, of which less are ignored."""
    detector = make(pooling=3, ignore=(0, 0, 1, 0.34)).fit(normal)
    (drawn,) = detector.anomaly_maps(normal[:1])
    layer = residuals_of(detector, normal[:1]).reshape(3, 3) / -detector.offset_
    assert layer[:, 0].all()
    expected = resize(layer, (64, 64))
    np.testing.assert_allclose(drawn[:, 22:], expected[:, 22:], rtol=1e-5)


def test_one_scale_for_all_maps_of_cells(fitted, normal):
    display = AnomalyMapDisplay.from_estimator(fitted, normal[:2])
    assert display.meaning == "cell"
    assert {drawn.norm.vmax for drawn in display.map_images_} == {10.0}
    assert "residual of a cell, in thresholds" in display.color_bar_.ax.get_ylabel()


def test_cells_without_places_have_no_map(normal):
    n_features = make().fit(normal[:5])[-1].n_features_in_
    half = n_features // 2
    cells = {"upper": slice(0, half), "lower": slice(half, None)}
    detector = make(CellwiseMahalanobisDetector(cells=cells)).fit(normal)
    with pytest.raises(ValueError, match="no places on one grid.*'upper', 'lower'"):
        detector.anomaly_maps(normal[:1])


def test_cells_that_are_none_of_the_grid_have_no_map(normal):
    """Channels of the mean, told as if they were cells."""
    cells = CellwiseMahalanobisDetector(cells=4)
    detector = make(cells, pooling="average").fit(normal)
    with pytest.raises(ValueError, match="2 x 2.*pools into 1 with.*'average'"):
        detector.anomaly_maps(normal[:1])


def test_its_distance_is_not_split(fitted, normal):
    with pytest.raises(ValueError, match="CellwiseMahalanobisDetector"):
        split_distance(fitted, normal[:1])


def test_a_detector_without_images_has_no_map():
    X = np.random.default_rng(0).normal(size=(30, 8))
    detector = CellwiseMahalanobisDetector(cells=4).fit(X)
    with pytest.raises(ValueError, match="begins with a DeepFeatureTransformer"):
        anomaly_maps(detector, [np.zeros((8, 8), np.uint8)])


def test_no_scale_without_a_threshold(normal):
    detector = make().fit(normal)
    detector[-1].partial_fit(detector[:-1].transform(normal[:2]))
    with pytest.raises(ValueError, match="scale for maps"):
        detector.anomaly_maps(normal[:1])
