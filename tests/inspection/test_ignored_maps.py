"""Tests that ignored regions do not contribute to distances or show in maps."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline

from skgaussad import (
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    NegatedPCA,
    PositionDetector,
)
from skgaussad.inspection import anomaly_maps, split_distance

pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)
LEFT_HALF = (0, 0, 1, 0.5)
LEFT_QUARTER = (0, 0, 1, 0.25)


def make_transformer(levels=4, **settings):
    settings = {"image_size": (64, 96), **settings}
    return DeepFeatureTransformer(
        "test_resnet", levels=levels, weights=None, device="cpu", **settings
    )


@pytest.fixture(scope="module")
def normal():
    return np.random.default_rng(0).integers(0, 256, (24, 40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tested():
    return np.random.default_rng(1).integers(50, 150, (5, 40, 60, 3), dtype=np.uint8)


def make_ensemble(**settings):
    features = make_transformer([2, 4], **settings).set_output(transform="pandas")
    return make_pipeline(features, LevelEnsemble())


ESTIMATORS = {
    "average": lambda **s: make_pipeline(make_transformer(**s), MahalanobisDetector()),
    "NPCA of three levels": lambda **s: make_pipeline(
        make_transformer([1, 2, 4], **s), NegatedPCA(0.2), MahalanobisDetector()
    ),
    "grid with overlaps": lambda **s: make_pipeline(
        make_transformer([3, 4], pooling=["average", 3], **s), MahalanobisDetector()
    ),
    "ensemble": make_ensemble,
}


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([*ESTIMATORS]), st.integers(0, 2**32 - 1), st.floats(0, 0.5))
@example("grid with overlaps", 0, 0.3)
def test_split_stays_exact(normal, name, seed, density):
    rng = np.random.default_rng(seed)
    mask = rng.random((8, 12)) < density
    # Nothing is left of the first cell of the grid in level 4.
    mask[:4, :4] = True
    estimator = ESTIMATORS[name](ignore=mask).fit(normal[:12])
    X = rng.integers(0, 256, (2, 30, 20), dtype=np.uint8)
    split = split_distance(estimator, X)
    distances = -estimator.score_samples(X)
    totals = distances if name == "ensemble" else distances**2
    sums = sum(shares.sum(axis=(1, 2)) for shares in split.positions.values())
    np.testing.assert_allclose(split.totals, totals, rtol=1e-9)
    np.testing.assert_allclose(sums, totals, rtol=1e-9)
    for level, weights in estimator[0]._position_weights().items():
        shares = split.positions[level]
        np.testing.assert_array_equal(shares[:, weights == 0], 0)
        assert (shares[:, weights > 0] != 0).all()


def test_share_is_that_of_the_formula(normal, tested):
    mask = np.random.default_rng(0).random((5, 7)) < 0.5
    transformer = make_transformer(ignore=mask, batch_size=5)
    estimator = make_pipeline(transformer, MahalanobisDetector()).fit(normal)
    detector = estimator[-1]
    ((_, _, maps),) = estimator[0]._stream_with_maps(tested)
    own = maps[4].permute(0, 2, 3, 1).double().numpy() - detector.location_
    deviations = estimator[:-1].transform(tested) - detector.location_
    solved = deviations @ np.linalg.inv(detector.covariance_)
    weights = estimator[0]._position_weights()[4]
    expected = np.einsum("nhwc,nc->nhw", own, solved) * weights / weights.sum()
    shares = split_distance(estimator, tested).positions[4]
    np.testing.assert_allclose(shares, expected, rtol=1e-4, atol=1e-4 * expected.max())


@pytest.mark.parametrize("name", ESTIMATORS)
def test_map_is_zero_where_ignored_and_on_the_scale_elsewhere(normal, tested, name):
    estimator = ESTIMATORS[name](ignore=LEFT_QUARTER).fit(normal)
    maps = anomaly_maps(estimator, tested)
    levels = split_distance(estimator, tested).levels
    unit = (estimator[-1].offset_) ** (1 if name == "ensemble" else 2)
    for index, drawn in enumerate(maps):
        assert drawn.shape == (40, 60)
        assert not drawn[:, :15].any()
        assert (drawn[:, 15:] != 0).mean() > 0.99
        total = sum(of_level[index] for of_level in levels.values())
        # Linear interpolation weighs positions at the border differently.
        assert drawn[:, 15:].mean() == pytest.approx(total / abs(unit), rel=0.25)


def test_constant_density_gives_a_constant_map(normal, tested, monkeypatch):
    """Pixels beside what is ignored are not pulled to zero."""
    estimator = ESTIMATORS["average"](ignore=(0, 0, 0.6, 0.45)).fit(normal)
    weights = estimator[0]._position_weights()[4]
    squared = estimator[-1].offset_ ** 2

    def stream(scored, images):
        for _ in images:
            yield np.array([squared]), {4: squared * weights[None] / weights.sum()}

    monkeypatch.setitem(anomaly_maps.__globals__, "_stream", stream)
    expected = np.ones((40, 60))
    expected[:24, :27] = 0
    for drawn in anomaly_maps(estimator, tested):
        np.testing.assert_allclose(drawn, expected, rtol=1e-5)
    for drawn in anomaly_maps(estimator, tested, size=(20, 20)):
        np.testing.assert_allclose(drawn, expected[1::2, 1::3], rtol=1e-5)


def test_mask_is_drawn_where_the_crop_has_it(normal, tested):
    mask = np.zeros((40, 60), dtype=bool)
    mask[15:25, 25:45] = True
    estimator = ESTIMATORS["average"](ignore=mask, crop_pct=0.8).fit(normal)
    box = estimator[0].preprocessing_.visible_box(40, 60)
    for drawn in anomaly_maps(estimator, tested):
        assert not drawn[mask].any()
        visible = np.zeros_like(mask)
        visible[box] = True
        assert not drawn[~visible].any()
        assert (drawn[visible & ~mask] != 0).mean() > 0.99


# Positions


@pytest.mark.parametrize("positions", ["shared", "each"])
def test_position_detector_sees_kept_positions_only(normal, tested, positions):
    """As if there were only the right half of the feature map."""
    detector = PositionDetector(
        make_transformer(3, ignore=LEFT_HALF), positions=positions
    ).fit(normal)
    distances = detector.position_distances(tested)
    half = distances.shape[2] // 2
    assert not distances[:, :, :half].any()
    assert (distances[:, :, half:] > 0).all()
    scores = detector.score_samples(tested)
    np.testing.assert_array_equal(scores, -distances[:, :, half:].max(axis=(1, 2)))
    n_detectors = 1 if positions == "shared" else distances[0, :, half:].size
    assert len(detector.detectors_) == n_detectors

    rows = np.concatenate(list(detector._stream_positions(normal)))[:, :, half:]
    gaussian = MahalanobisDetector()
    if positions == "shared":
        gaussian.fit(rows.reshape(-1, rows.shape[-1]))
        checked = np.s_[:, :, half:]
    else:
        gaussian.fit(rows[:, 1, 2])
        checked = np.s_[:, 1:2, half + 2 : half + 3]
    features = np.concatenate(list(detector._stream_positions(tested)))[checked]
    expected = -gaussian.score_samples(features.reshape(-1, features.shape[-1]))
    np.testing.assert_allclose(distances[checked].ravel(), expected, rtol=1e-6)


def test_position_maps_show_nothing_that_is_ignored(normal, tested):
    detector = PositionDetector(make_transformer(3, ignore=LEFT_HALF)).fit(normal)
    for drawn, distances in zip(
        detector.anomaly_maps(tested), detector.position_distances(tested), strict=True
    ):
        assert not drawn[:, :30].any()
        kept = distances[distances > 0] / -detector.offset_
        assert drawn[:, 30:].min() >= kept.min() * (1 - 1e-6)


def test_positions_that_are_all_ignored(normal):
    stripes = [(i / 16, 0, (i + 0.6) / 16, 1) for i in range(16)]
    detector = PositionDetector(make_transformer(3, ignore=stripes))
    with pytest.raises(ValueError, match="no position of the feature map of which"):
        detector.fit(normal)
