"""Tests of the exact split of distances over principal components."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from skgaussad import (
    ConformalDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    NegatedPCA,
    RobustDetector,
    TiledDetector,
    make_detector,
)
from skgaussad.datasets import load_solar_cells
from skgaussad.inspection import split_by_component, split_distance

pytestmark = pytest.mark.filterwarnings(
    # The samples are few for a rate, which these tests do not look at.
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)
COLUMNS = {"a": slice(0, 12), "b": slice(12, 30), "all of them": slice(0, 30)}


def correlated(n_samples, n_features, seed=0):
    """Rows with variances spread over eight orders of magnitude."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(1).normal(size=(n_features, n_features))
    scales = np.exp(-9 * np.arange(n_features) / n_features)
    return rng.normal(size=(n_samples, n_features)) @ (scales[:, np.newaxis] * mixing)


ESTIMATORS = {
    "few features": (MahalanobisDetector(), 100),
    "few samples": (MahalanobisDetector(), 20),
    "oas": (MahalanobisDetector("oas"), 50),
    "hardly shrunk": (MahalanobisDetector("shrunk", shrinkage=1e-9), 20),
    "fully shrunk": (MahalanobisDetector("shrunk", shrinkage=1), 20),
    "empirical": (MahalanobisDetector("empirical"), 100),
    "diagonal": (MahalanobisDetector("diagonal"), 100),
    "isotropic": (MahalanobisDetector("isotropic"), 100),
    "NPCA": (make_pipeline(NegatedPCA(0.1), MahalanobisDetector()), 60),
    "scaled PCA": (make_pipeline(StandardScaler(), PCA(9), MahalanobisDetector()), 60),
    "not affine": (make_pipeline(Normalizer(), MahalanobisDetector()), 60),
    "conformal": (
        ConformalDetector(make_pipeline(NegatedPCA(0.1), MahalanobisDetector())),
        60,
    ),
    "robust": (make_pipeline(StandardScaler(), RobustDetector()), 60),
    "sum": (LevelEnsemble(columns=COLUMNS), 60),
    "mean after a step": (
        make_pipeline(
            StandardScaler(), LevelEnsemble(columns=COLUMNS, aggregation="mean")
        ),
        60,
    ),
    "max": (LevelEnsemble(columns=COLUMNS, aggregation="max"), 15),
    "NPCA sum": (
        LevelEnsemble(
            make_pipeline(NegatedPCA(0.1), MahalanobisDetector()), columns=COLUMNS
        ),
        60,
    ),
}


def assert_is_split(estimator, X):
    split = split_by_component(estimator, X)
    if hasattr(estimator, "estimator_") and hasattr(estimator, "fold_estimators_"):
        # Shown is the detector of all samples, and those of folds score.
        distances = -estimator.estimator_.score_samples(X)
    elif getattr(estimator, "fold_estimators_", None) is not None:
        distances = -estimator.group_scores(X).sum(axis=1)
    else:
        distances = -estimator.score_samples(X)
    is_sum = len(split.groups) > 1
    np.testing.assert_allclose(
        split.totals, distances if is_sum else distances**2, rtol=1e-9
    )
    sums = sum(contributions.sum(axis=1) for contributions in split.components.values())
    np.testing.assert_allclose(sums, split.totals, rtol=1e-9)
    for name, contributions in split.components.items():
        assert (contributions >= 0).all()
        np.testing.assert_allclose(split.groups[name], contributions.sum(axis=1))
        assert (np.diff(split.variances[name]) <= 0).all()
        assert contributions.shape[1:] == split.variances[name].shape
        assert contributions.shape[1:] == split.n_directions[name].shape
    return split


@pytest.mark.parametrize("name", ESTIMATORS)
def test_contributions_add_up_to_the_score(name):
    estimator, n_samples = ESTIMATORS[name]
    estimator.fit(correlated(n_samples, 30))
    X = np.vstack([correlated(6, 30, seed=2), np.random.default_rng(3).normal(size=30)])
    assert_is_split(estimator, X)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_contributions_add_up_whatever_the_samples(data):
    draw = data.draw
    n_samples, n_features = draw(st.integers(5, 60)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scales = 10.0 ** rng.uniform(-draw(st.integers(0, 8)), 0, n_features)
    mixing = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    X = rng.normal(size=(n_samples + 4, n_features)) * scales @ mixing
    n_constant = draw(st.integers(0, n_features - 1))
    X[:n_samples, :n_constant] = 0
    kind = draw(st.sampled_from(["ledoit_wolf", "oas", "shrunk", "diagonal"]))
    detector = MahalanobisDetector(
        kind, shrinkage=10.0 ** draw(st.integers(-8, -1)) if kind == "shrunk" else None
    )
    assert_is_split(detector.fit(X[:n_samples]), X[n_samples:])


@pytest.mark.parametrize("least", [1e-3, 3e-4, 1e-4, 1e-5, 0])
def test_axes_of_hardly_any_variance_are_made_orthonormal(least):
    """Those of the covariance are not, and need not be: it is even about them."""
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    scales = np.array([1e3, 1, 1, *[least] * 3, *[0] * 34])
    X = rng.normal(size=(20, 40)) * scales @ rotation
    X_test = rng.normal(size=(30, 40)) * np.array([1e3, *[1] * 39]) @ rotation
    detector = MahalanobisDetector("shrunk", shrinkage=1e-3).fit(X)
    axes = detector._gaussian.axes
    if least > 1e-5:
        assert np.abs(axes @ axes.T - np.eye(6)).max() > 1e-5
    split = assert_is_split(detector, X_test)
    # All that is rounding is one component.
    assert split.n_directions["all"].sum() == 40
    if least <= 1e-5:
        assert split.n_directions["all"].tolist() == [1, 1, 1, 37]


@pytest.mark.parametrize("n_samples", [200, 12])
def test_contribution_of_a_component_is_that_of_its_eigenvector(n_samples):
    """By eigh of the covariance; directions of one variance are one component."""
    X, X_test = correlated(n_samples, 20), correlated(5, 20, seed=1)
    detector = MahalanobisDetector().fit(X)
    split = split_by_component(detector, X_test)
    eigenvalues, vectors = np.linalg.eigh(detector.covariance_)
    terms = ((X_test - X.mean(axis=0)) @ vectors) ** 2 / eigenvalues
    eigenvalues, terms = eigenvalues[::-1], terms[:, ::-1]
    rank = min(n_samples - 1, 20)
    n_directions = [1] * rank + ([] if rank == 20 else [20 - rank])
    starts = np.cumsum([0, *n_directions[:-1]])
    expected = np.add.reduceat(terms, starts, axis=1)
    assert split.n_directions["all"].tolist() == n_directions
    np.testing.assert_allclose(split.variances["all"], eigenvalues[starts], rtol=1e-7)
    np.testing.assert_allclose(
        split.components["all"], expected, rtol=1e-6, atol=1e-6 * expected.max()
    )


def test_component_of_negated_pca_is_the_axis_it_keeps():
    """The Gaussian of what NegatedPCA gives has the axes in the same order."""
    X, X_test = correlated(100, 20), correlated(5, 20, seed=1)
    pipe = make_pipeline(NegatedPCA(6), MahalanobisDetector("empirical")).fit(X)
    split = split_by_component(pipe, X_test)
    variances = pipe[0].explained_variance_ * 99 / 100
    np.testing.assert_allclose(split.variances["all"], variances, rtol=1e-9)
    expected = pipe[0].transform(X_test) ** 2 / variances
    np.testing.assert_allclose(
        split.components["all"], expected, rtol=1e-6, atol=1e-9 * expected.max()
    )


def test_component_of_a_diagonal_covariance_is_a_feature():
    X, X_test = np.random.default_rng(0).normal(size=(2, 50, 3)) * [1, 9, 3]
    detector = MahalanobisDetector("diagonal").fit(X)
    split = split_by_component(detector, X_test)
    terms = (X_test - X.mean(axis=0)) ** 2 / X.var(axis=0)
    np.testing.assert_allclose(split.components["all"], terms[:, [1, 2, 0]])
    np.testing.assert_allclose(split.variances["all"], X.var(axis=0)[[1, 2, 0]])


def test_contribution_in_a_sum_is_that_in_its_group():
    X, X_test = correlated(60, 30), correlated(5, 30, seed=1)
    split = split_by_component(LevelEnsemble(columns=COLUMNS).fit(X), X_test)
    for name, columns in COLUMNS.items():
        detector = MahalanobisDetector().fit(X[:, columns])
        single = split_by_component(detector, X_test[:, columns])
        distances = np.sqrt(single.totals)
        np.testing.assert_allclose(split.groups[name], distances)
        np.testing.assert_allclose(
            split.components[name],
            single.components["all"] / distances[:, np.newaxis],
            rtol=1e-6,
            atol=1e-9,
        )


def test_sample_at_the_mean_has_no_contributions():
    X = np.array([[1.0, 2.0], [-1.0, -2.0], [3.0, -1.0], [-3.0, 1.0]])
    ensemble = LevelEnsemble(columns={"a": [0, 1], "b": [1]}).fit(X)
    split = split_by_component(ensemble, np.zeros((1, 2)))
    assert split.totals == 0
    assert not any(contributions.any() for contributions in split.components.values())


def test_levels_of_images_are_those_of_split_distance():
    cells = load_solar_cells("mono")
    good, bad = cells.paths[cells.labels == 1], cells.paths[cells.labels == -1]
    pipe = make_detector(method="paper", levels=[4, 6], image_size=64).fit(good[:20])
    split = assert_is_split(pipe, bad[:2])
    by_position = split_distance(pipe, bad[:2])
    for level, contributions in by_position.levels.items():
        # The network rounds in batches of its own.
        np.testing.assert_allclose(
            split.groups[f"level{level}"], contributions, rtol=1e-6
        )
    # The same from the features of the images.
    features = pipe[:-1].transform(bad[:2])
    again = split_by_component(pipe[-1], features)
    np.testing.assert_allclose(again.totals, split.totals, rtol=1e-6)


def test_tiles_are_not_taken_for_images():
    """The score of a TiledDetector is that of no Gaussian on the whole image."""
    images = np.random.default_rng(0).integers(0, 256, (6, 40, 40), dtype=np.uint8)
    transformer = DeepFeatureTransformer(
        "test_resnet", levels=2, weights=None, device="cpu", image_size=32
    )
    pipe = make_pipeline(transformer, MahalanobisDetector())
    detector = TiledDetector(pipe, tile_size=20).fit(images)
    for split in (split_by_component, split_distance):
        with pytest.raises(ValueError, match="got TiledDetector.*take tile_estimator_"):
            split(detector, images)
    assert_is_split(detector.tile_estimator_, [image[:20, :20] for image in images])


def test_names_of_features_are_judged():
    X = pd.DataFrame(correlated(30, 3), columns=list("abc"))
    for detector in (MahalanobisDetector(), RobustDetector()):
        detector.fit(X)
        assert_is_split(detector, X[:4])
        with pytest.raises(ValueError, match="feature names should match"):
            split_by_component(detector, X[["b", "a", "c"]])


def test_what_cannot_be_split():
    X = correlated(30, 4)
    for estimator in (
        IsolationForest(n_estimators=2),
        LevelEnsemble(IsolationForest(n_estimators=2), columns={"a": [0], "b": [1]}),
    ):
        with pytest.raises(ValueError, match="those of Mahal.*got IsolationForest"):
            split_by_component(estimator.fit(X), X)
    with pytest.raises(ValueError, match="X has 3 features"):
        split_by_component(MahalanobisDetector().fit(X), X[:, :3])
    with pytest.raises(NotFittedError):
        split_by_component(MahalanobisDetector(), X)
    with pytest.raises(NotFittedError):
        split_by_component(
            make_pipeline(DeepFeatureTransformer(), MahalanobisDetector()), X
        )
