"""Tests of the exact split of distances over positions, and of maps made of it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from torch.nn.functional import adaptive_avg_pool2d

from skgaussad import (
    AugmentedDetector,
    ConformalDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    NegatedPCA,
    RobustDetector,
    make_detector,
)
from skgaussad.datasets import load_mvtec
from skgaussad.detectors._aggregation import aggregate, aggregation_weights
from skgaussad.exceptions import InvalidImageError
from skgaussad.features._pooling import resolve_pooling
from skgaussad.inspection import anomaly_maps, split_distance
from skgaussad.metrics import pixel_roc_auc

pytestmark = pytest.mark.filterwarnings(
    # Thirty images are few for a rate, which these tests do not look at.
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)
SETTINGS = {"weights": None, "device": "cpu", "image_size": (64, 96)}


def make_transformer(levels=4, **settings):
    return DeepFeatureTransformer(
        "test_resnet", levels=levels, **{**SETTINGS, **settings}
    )


@pytest.fixture(scope="module")
def normal():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (30, 40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tested():
    rng = np.random.default_rng(1)
    return rng.integers(50, 150, (5, 40, 60, 3), dtype=np.uint8)


def on_levels(*steps, levels=4, **settings):
    return make_pipeline(make_transformer(levels, **settings), *steps)


def on_ensemble(estimator=None, levels=(2, 3, 4), columns="level", **settings):
    aggregation = settings.pop("aggregation", "sum")
    ensemble = LevelEnsemble(estimator, columns=columns, aggregation=aggregation)
    features = make_transformer(levels, **settings).set_output(transform="pandas")
    return make_pipeline(features, ensemble)


SINGLE = {
    "one level": on_levels(MahalanobisDetector()),
    "three levels": on_levels(MahalanobisDetector(), levels=[1, 2, 3]),
    "all levels": on_levels(MahalanobisDetector(), levels="all"),
    "diagonal": on_levels(MahalanobisDetector("diagonal")),
    "isotropic": on_levels(MahalanobisDetector("isotropic")),
    "NPCA": on_levels(NegatedPCA(0.1), MahalanobisDetector()),
    "scaled PCA": on_levels(StandardScaler(), PCA(9), MahalanobisDetector()),
    "whitened": on_levels(PCA(5, whiten=True), MahalanobisDetector("empirical")),
    "passthrough": on_levels("passthrough", MahalanobisDetector()),
    "grid": on_levels(MahalanobisDetector(), pooling=3, levels=[2, 3]),
    "grid with overlaps": on_levels(MahalanobisDetector(), pooling=[3, "average", 4]),
    "grid NPCA": on_levels(NegatedPCA(0.1), MahalanobisDetector(), pooling=2),
    "names": make_pipeline(
        make_transformer().set_output(transform="pandas"),
        NegatedPCA(0.5),
        MahalanobisDetector(),
    ),
    "conformal": on_levels(
        ConformalDetector(make_pipeline(NegatedPCA(0.1), MahalanobisDetector()))
    ),
    "robust": on_levels(RobustDetector(MahalanobisDetector())),
    "augmented": AugmentedDetector(on_levels(MahalanobisDetector()), n_epochs=2),
    "nested": make_pipeline(make_transformer(), make_pipeline(MahalanobisDetector())),
}
SUMS = {
    "sum": on_ensemble(),
    "sum of all": on_ensemble(levels="all"),
    "NPCA sum": on_ensemble(make_pipeline(NegatedPCA(0.1), MahalanobisDetector())),
    "mean": on_ensemble(aggregation="mean"),
    "max": on_ensemble(aggregation="max"),
    "top": on_ensemble(aggregation="top", columns="cell", pooling=3, levels=[2, 3]),
    "cells": on_ensemble(columns="cell", pooling=2),
    "overlapping columns": on_ensemble(
        columns={"a": slice(0, 40), "b": slice(20, 60)}, levels=[4]
    ),
}


def score_of_all(estimator, X):
    """Score by the models of all samples, which maps show, where folds' ones score."""
    detector = estimator[-1] if hasattr(estimator, "steps") else estimator
    if getattr(detector, "fold_estimators_", None) is None:
        return estimator.score_samples(X)
    X = estimator[:-1].transform(X)
    if hasattr(detector, "estimator_"):
        return detector.estimator_.score_samples(X)
    return -detector._aggregate(-detector.group_scores(X))


@pytest.mark.parametrize("name", [*SINGLE, *SUMS])
def test_contributions_add_up_to_the_score(name, normal, tested):
    estimator = (SINGLE | SUMS)[name].fit(normal)
    distances = -score_of_all(estimator, tested)
    expected = distances if name in SUMS else distances**2
    split = split_distance(estimator, tested)
    # scikit-learn's PCA computes with as many digits as it is given.
    rtol = 1e-5 if name in ("scaled PCA", "whitened") else 1e-9
    np.testing.assert_allclose(split.totals, expected, rtol=rtol)
    sums = sum(
        contributions.sum(axis=(1, 2)) for contributions in split.positions.values()
    )
    np.testing.assert_allclose(sums, split.totals, rtol=1e-9)
    np.testing.assert_allclose(sum(split.levels.values()), split.totals, rtol=1e-9)
    assert split.positions.keys() == split.levels.keys()
    for level, contributions in split.positions.items():
        np.testing.assert_allclose(split.levels[level], contributions.sum(axis=(1, 2)))
        # Not spread evenly, which would add up as well.
        involved = np.abs(contributions).max(axis=(1, 2)) > 1e-6
        assert involved.any() or name in ("max", "top")
        assert (np.ptp(contributions[involved], axis=(1, 2)) > 1e-3).all()


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.slow
def test_contributions_add_up_whatever_the_pipeline(normal, data):
    draw = data.draw
    levels = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True))
    pooling = draw(st.sampled_from(["average", 1, 2, ["average", 2]]))
    size = draw(st.sampled_from([(64, 64), (96, 64), (64, 128)]))
    reduction = draw(st.sampled_from([None, NegatedPCA(0.05), NegatedPCA(0.5)]))
    detector = MahalanobisDetector(draw(st.sampled_from(["ledoit_wolf", "diagonal"])))
    if reduction is not None:
        detector = make_pipeline(reduction, detector)
    is_sum = draw(st.booleans())
    if is_sum:
        columns = draw(st.sampled_from(["level", "cell"]))
        how = draw(st.sampled_from(["sum", "mean", "max", "top"]))
        estimator = on_ensemble(
            detector, levels, columns, aggregation=how, pooling=pooling, image_size=size
        )
    else:
        estimator = on_levels(detector, levels=levels, pooling=pooling, image_size=size)
    estimator.fit(normal)
    seed = draw(st.integers(0, 2**32 - 1))
    X = np.random.default_rng(seed).integers(0, 256, (2, 9, 7), dtype=np.uint8)
    distances = -score_of_all(estimator, X)
    split = split_distance(estimator, X)
    sums = sum(
        contributions.sum(axis=(1, 2)) for contributions in split.positions.values()
    )
    np.testing.assert_allclose(sums, distances if is_sum else distances**2, rtol=1e-9)


def feature_maps(transformer, X, level):
    batches = [maps[level] for _, _, maps in transformer._stream_with_maps(X)]
    return np.concatenate(batches).astype(np.float64)


def test_contribution_is_that_of_the_formula(normal, tested):
    """Position by position, with the inverse covariance as a matrix."""
    estimator = on_levels(MahalanobisDetector()).fit(normal)
    transformer, detector = estimator[0], estimator[-1]
    maps = feature_maps(transformer, tested, 4)
    deviations = transformer.transform(tested) - detector.location_
    solved = deviations @ np.linalg.inv(detector.covariance_)
    expected = np.empty((5, *maps.shape[2:]))
    for i, row, column in np.ndindex(expected.shape):
        own = maps[i, :, row, column] - detector.location_
        expected[i, row, column] = own @ solved[i] / expected[0].size
    contributions = split_distance(estimator, tested).positions[4]
    np.testing.assert_allclose(
        contributions, expected, rtol=1e-4, atol=1e-4 * expected.max()
    )


@pytest.mark.parametrize(
    "steps",
    [[NegatedPCA(0.1)], [StandardScaler(), PCA(9)], [PCA(5, whiten=True)]],
    ids=["NPCA", "scaled PCA", "whitened"],
)
def test_contribution_through_steps_is_that_of_the_formula(steps, normal, tested):
    """Each position goes through the steps itself, as an image would."""
    estimator = on_levels(*steps, MahalanobisDetector()).fit(normal)
    transformer, detector = estimator[0], estimator[-1]
    maps = feature_maps(transformer, tested, 4)
    deviations = estimator[:-1].transform(tested) - detector.location_
    solved = deviations @ np.linalg.inv(detector.covariance_)
    expected = np.empty((5, *maps.shape[2:]))
    for i, row, column in np.ndindex(expected.shape):
        own = estimator[1:-1].transform(maps[i : i + 1, :, row, column])
        own = own[0] - detector.location_
        expected[i, row, column] = own @ solved[i] / expected[0].size
    contributions = split_distance(estimator, tested).positions[4]
    np.testing.assert_allclose(
        contributions, expected, rtol=1e-3, atol=1e-3 * expected.max()
    )


def test_contribution_in_a_sum_is_that_in_its_level(normal, tested):
    """A level's distance is its squared distance over itself."""
    split = split_distance(on_ensemble().fit(normal), tested)
    for level in (2, 3, 4):
        single = split_distance(
            on_levels(MahalanobisDetector(), levels=level).fit(normal), tested
        )
        distances = np.sqrt(single.totals)
        np.testing.assert_allclose(split.levels[level], distances, rtol=1e-6)
        np.testing.assert_allclose(
            split.positions[level],
            single.positions[level] / distances[:, np.newaxis, np.newaxis],
            rtol=1e-4,
            atol=1e-6 * np.abs(single.positions[level]).max(),
        )


def test_cell_of_a_grid_has_the_contributions_of_its_features(normal, tested):
    estimator = on_levels(MahalanobisDetector("diagonal"), pooling=2, image_size=64)
    split = split_distance(estimator.fit(normal), tested)
    transformer, detector = estimator[0], estimator[-1]
    deviations = transformer.transform(tested) - detector.location_
    terms = deviations**2 / np.diag(detector.covariance_)
    of_cells = terms.reshape(5, 2, 2, -1).sum(axis=3)
    contributions = split.positions[4]
    half = contributions.shape[1] // 2
    for row, column in np.ndindex(2, 2):
        rows, columns = (
            slice(row * half, (row + 1) * half),
            slice(column * half, (column + 1) * half),
        )
        np.testing.assert_allclose(
            contributions[:, rows, columns].sum(axis=(1, 2)),
            of_cells[:, row, column],
            rtol=1e-4,
        )


@pytest.mark.parametrize("quadrant", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("levels", [5, [4, 6]])
def test_defect_has_its_largest_contribution_where_it_is(quadrant, levels):
    """A dark blot on a fine regular pattern."""
    rng = np.random.default_rng(0)
    grid = np.add.outer(np.arange(128), np.arange(128)) % 16 < 8
    X = (
        np.stack(
            [
                110 + 60 * np.roll(grid, k, axis=1) + rng.normal(0, 8, (128, 128))
                for k in range(40)
            ]
        )
        .clip(0, 255)
        .astype(np.uint8)
    )
    row, column = quadrant
    defective = X[-1:].copy()
    defective[0, 64 * row + 20 : 64 * row + 44, 64 * column + 20 : 64 * column + 44] = (
        10
    )
    estimator = make_pipeline(
        DeepFeatureTransformer(levels=levels, device="cpu", image_size=128),
        MahalanobisDetector(),
    ).fit(X[:-1])
    split = split_distance(estimator, defective)
    for contributions in split.positions.values():
        half = contributions.shape[1] // 2
        quarters = [
            contributions[0, r * half : (r + 1) * half, c * half : (c + 1) * half].sum()
            for r in (0, 1)
            for c in (0, 1)
        ]
        assert np.argmax(quarters) == 2 * row + column
    (anomaly_map,) = anomaly_maps(estimator, defective)
    peak = np.unravel_index(np.argmax(anomaly_map), anomaly_map.shape)
    assert (peak[0] // 64, peak[1] // 64) == quadrant


# Maps


def test_map_is_on_the_scale_of_the_threshold(normal, tested):
    for name, estimator in {**SINGLE, **SUMS}.items():
        if name not in ("one level", "sum", "conformal"):
            continue
        estimator.fit(normal)
        detector = estimator[-1]
        ratios = score_of_all(estimator, tested) / detector.offset_
        expected = ratios if name in SUMS else ratios**2
        # As many pixels as positions or a multiple, so that interpolation keeps means.
        maps = anomaly_maps(estimator, tested, size=(64, 96))
        assert all(anomaly_map.dtype == np.float32 for anomaly_map in maps)
        np.testing.assert_allclose([m.mean() for m in maps], expected, rtol=2e-3)


def test_maps_have_the_sizes_of_the_images(normal, tmp_path):
    estimator = on_levels(MahalanobisDetector()).fit(normal)
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(turned, exif=exif)
    images = [
        np.zeros((12, 34), dtype=np.uint8),
        Image.new("L", (56, 78)),
        turned,
        np.zeros((9, 9, 4), dtype=np.uint8),
    ]
    maps = anomaly_maps(estimator, images)
    assert [m.shape for m in maps] == [(12, 34), (78, 56), (30, 20), (9, 9)]
    maps = anomaly_maps(estimator, images, size=(5, 6))
    assert [m.shape for m in maps] == [(5, 6)] * 4


def test_maps_do_not_depend_on_the_batch(normal, tested):
    estimator = on_levels(MahalanobisDetector(), batch_size=2).fit(normal)
    together = anomaly_maps(estimator, tested)
    for i in range(5):
        (alone,) = anomaly_maps(estimator, tested[i : i + 1])
        np.testing.assert_allclose(alone, together[i], rtol=1e-3, atol=1e-4)


def test_what_is_cropped_has_no_contribution(normal):
    estimator = on_levels(MahalanobisDetector(), crop_pct=0.5, image_size=64).fit(
        normal
    )
    image = np.random.default_rng(2).integers(0, 256, (100, 200), dtype=np.uint8)
    (anomaly_map,) = anomaly_maps(estimator, [image])
    seen = np.zeros((100, 200), dtype=bool)
    seen[25:75, 75:125] = True
    assert anomaly_map[seen].all()
    assert not anomaly_map[~seen].any()


def test_map_is_where_its_position_is(normal):
    """Not turned or mirrored: an image that differs in one corner only."""
    X = np.full((31, 64, 96), 128, dtype=np.uint8)
    X += np.random.default_rng(0).integers(0, 3, X.shape, dtype=np.uint8)
    estimator = on_levels(MahalanobisDetector(), levels=3).fit(X[:-1])
    X[-1, :20, 60:] = 250
    (anomaly_map,) = anomaly_maps(estimator, X[-1:])
    peak = np.unravel_index(np.argmax(anomaly_map), anomaly_map.shape)
    assert peak[0] < 30 and peak[1] > 50


@pytest.mark.parametrize(
    ("method", "levels", "at_least"),
    [
        ("paper", 6, 0.90),
        ("paper", 7, 0.89),
        ("paper", [5, 6, 7], 0.85),
        ("cells", 6, 0.91),
        ("cells", [6, 7], 0.92),
    ],
)
@pytest.mark.slow
def test_maps_of_broken_cookies(test_data, method, levels, at_least):
    root = test_data / "data" / "cookies"
    train, test = (load_mvtec(root, split=split) for split in ("train", "test"))
    estimator = make_detector(method=method, levels=levels).fit(train.paths)
    masks = [
        np.zeros((512, 384), dtype=bool)
        if path is None
        else np.asarray(Image.open(path)) > 0
        for path in test.mask_paths
    ]
    maps = anomaly_maps(estimator, test.paths)
    assert pixel_roc_auc(masks, maps) >= at_least


# What is refused


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (
            on_levels(Normalizer(), MahalanobisDetector()),
            "through steps that are affine.*got Normalizer",
        ),
        (
            on_levels(MahalanobisDetector(), pooling=["average", "max"]),
            "for average and grid pooling, .*; got 'max'",
        ),
        (
            on_levels(LocalOutlierFactor(novelty=True)),
            "are those of MahalanobisDetector.*got LocalOutlierFactor",
        ),
        (
            on_ensemble(LocalOutlierFactor(novelty=True)),
            "are those of MahalanobisDetector.*got LocalOutlierFactor",
        ),
        (
            make_pipeline(
                make_transformer([2, 3]).set_output(transform="pandas"),
                StandardScaler().set_output(transform="pandas"),
                LevelEnsemble(),
            ),
            "nothing between.*got StandardScaler",
        ),
    ],
    ids=["step", "pooling", "detector", "ensemble", "before an ensemble"],
)
def test_pipeline_that_cannot_be_split(estimator, message, normal):
    estimator.fit(normal)
    for function in (split_distance, anomaly_maps):
        with pytest.raises(ValueError, match=message):
            function(estimator, normal[:2])


def test_pipeline_without_images():
    X = np.random.default_rng(0).normal(size=(30, 3))
    for estimator in (MahalanobisDetector(), Pipeline([("d", MahalanobisDetector())])):
        with pytest.raises(ValueError, match="begins with a DeepFeatureTransformer"):
            split_distance(estimator.fit(X), X)


def test_threshold_that_gives_no_scale(normal, tested):
    estimator = on_levels(MahalanobisDetector()).fit(normal)
    estimator[-1].offset_ = -np.inf
    assert split_distance(estimator, tested).totals.shape == (5,)
    with pytest.raises(ValueError, match="there is no scale for maps"):
        anomaly_maps(estimator, tested)


@pytest.mark.parametrize("size", ["full", 3, (3,), (0, 3), (1.5, 2), None], ids=repr)
def test_size_that_is_refused(normal, size):
    estimator = on_levels(MahalanobisDetector()).fit(normal)
    with pytest.raises(ValueError, match="size must be 'image' or a pair"):
        anomaly_maps(estimator, normal[:1], size=size)


def test_bad_image_is_named(normal):
    estimator = on_levels(MahalanobisDetector()).fit(normal)
    with pytest.raises(InvalidImageError, match=r"X\[1\]"):
        anomaly_maps(estimator, [normal[0], "missing.png"])


# Parts


@pytest.mark.parametrize("grid", [1, 2, 3, 5])
def test_cells_are_those_of_adaptive_pooling(grid):
    (pooling,) = resolve_pooling(grid)
    x = torch.rand(1, 1, 7, 11, dtype=torch.float64)
    expected = adaptive_avg_pool2d(x, grid).flatten()
    found = [x[0, 0, rows, columns].mean() for rows, columns in pooling.cells(7, 11)]
    assert torch.allclose(torch.stack(found), expected)


@pytest.mark.parametrize("covariance", ["ledoit_wolf", "oas", "shrunk", "diagonal"])
@pytest.mark.parametrize("n_samples", [12, 25, 200])
def test_solving_is_multiplying_by_the_inverse(covariance, n_samples):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 25)) * np.logspace(0, -3, 25)
    detector = MahalanobisDetector(covariance).fit(X)
    deviations = rng.normal(size=(4, 25))
    expected = np.linalg.solve(detector.covariance_, deviations.T).T
    found = detector._gaussian.solve(deviations)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * expected.max())


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=30),
    st.sampled_from(["sum", "mean", "max", "top"]),
    st.floats(0.01, 1),
)
def test_aggregate_is_the_weighted_sum(distances, how, top_fraction):
    distances = np.array([distances])
    weights = aggregation_weights(distances, how, top_fraction)
    assert (weights >= 0).all()
    np.testing.assert_allclose(
        (weights * distances).sum(axis=1), aggregate(distances, how, top_fraction)
    )
