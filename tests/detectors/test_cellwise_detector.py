"""Tests of the residuals of cells: exact, by an independent computation, and usable."""

import pickle
import warnings

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone, is_outlier_detector
from sklearn.covariance import OAS, LedoitWolf, ShrunkCovariance
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgaussad import (
    AugmentedDetector,
    CellwiseMahalanobisDetector,
    ConformalDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    RobustDetector,
    TiledDetector,
)
from skgaussad.detectors import _cellwise, gaussian_parts
from skgaussad.exceptions import FalseAlarmRateWarning
from skgaussad.model_selection import NormalKFold, auroc_scorer

# Whether the rate is met is for the last tests here.
pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)

COVARIANCES = ("ledoit_wolf", "oas", "shrunk")
REFERENCES = {
    "ledoit_wolf": LedoitWolf(),
    "oas": OAS(),
    "shrunk": ShrunkCovariance(shrinkage=0.1),
}
# Fewer and more samples than features.
SHAPES = [(20, 48), (90, 24)]


def maps(n_samples, n_features, seed=0, n_common=3):
    """Rows of cells that have something in common, and noise."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(n_common, n_features))
    common = rng.normal(size=(n_samples, n_common)) @ mixing
    return common + 0.3 * rng.normal(size=(n_samples, n_features)) + 2


def names(levels=(6,), grid=2, width=3):
    """Names as the transformer gives them: by level, then cell, then channel."""
    return [
        f"level{level}_grid{grid}_r{row}c{column}_{channel:04d}"
        for level in levels
        for row in range(grid)
        for column in range(grid)
        for channel in range(width)
    ]


def frame(X, columns):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X, columns=columns)


def network(levels=2, pooling=2, **parameters):
    transformer = DeepFeatureTransformer(
        "test_resnet",
        levels=levels,
        pooling=pooling,
        weights=None,
        image_size=32,
        device="cpu",
        **parameters,
    )
    return transformer.set_output(transform="pandas")


@pytest.fixture(scope="module")
def pictures():
    """Pictures of different shades, so that their features spread."""
    rng = np.random.default_rng(0)
    shades = rng.uniform(40, 200, (30, 4, 4))
    pictures = shades.repeat(8, axis=1).repeat(8, axis=2)
    pictures += rng.normal(scale=8, size=pictures.shape)
    return pictures.clip(0, 255).astype(np.uint8)


def assert_same_rows(found, expected, rtol=1e-9):
    """Relative to the largest residual of each sample."""
    finite = np.isfinite(expected).all(axis=1)
    np.testing.assert_array_equal(np.isfinite(found).all(axis=1), finite)
    found, expected = found[finite], expected[finite]
    errors = np.abs(found - expected).max(axis=1, initial=0)
    assert (errors <= rtol * expected.max(axis=1, initial=0)).all(), errors


# -- The residuals -------------------------------------------------------------------


def residuals_by_hand(covariance, X, X_test, n_cells):
    """sqrt(rho nu) |(C^-1 (x - mean))_j|, by scikit-learn and a dense solve."""
    reference = clone(REFERENCES[covariance]).fit(X)
    rho = 0.1 if covariance == "shrunk" else reference.shrinkage_
    deviations = X_test - X.mean(axis=0)
    solved = np.linalg.solve(reference.covariance_, deviations.T).T
    nu = X.var(axis=0).mean()
    by_cell = solved.reshape(len(X_test), n_cells, -1)
    return np.sqrt(rho * nu) * np.linalg.norm(by_cell, axis=2)


@pytest.mark.parametrize("n_cells", [1, 2, 12])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_residuals_are_those_of_scikit_learn_and_a_solve(covariance, shape, n_cells):
    X, X_test = maps(*shape), 2 * maps(15, shape[1], 1)
    detector = CellwiseMahalanobisDetector(covariance, cells=n_cells).fit(X)
    expected = residuals_by_hand(covariance, X, X_test, n_cells)
    found = detector.cell_residuals(X_test)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found.dtype == np.float64
    # 5 % of up to twelve cells are one.
    scores = detector.score_samples(X_test)
    np.testing.assert_allclose(scores, -expected.max(axis=1), rtol=1e-9)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_held_out_residuals_are_those_of_scikit_learn_and_a_solve(covariance, shape):
    X = maps(*shape)
    detector = CellwiseMahalanobisDetector(covariance, cells=4).fit(X)
    expected = [
        residuals_by_hand(covariance, np.delete(X, i, axis=0), X[[i]], 4)[0]
        for i in range(len(X))
    ]
    np.testing.assert_allclose(detector.calibration_residuals_, expected, rtol=1e-9)
    np.testing.assert_allclose(
        detector.calibration_distances_, np.max(expected, axis=1), rtol=1e-9
    )
    distances = np.sort(detector.calibration_distances_)
    assert -detector.offset_ == distances[int(np.ceil(0.95 * (len(X) + 1))) - 1]


def test_a_residual_is_what_the_other_cells_do_not_predict():
    """The precision of a cell times its distance from the prediction by the rest."""
    X, x = maps(90, 24), maps(1, 24, 1)[0]
    detector = CellwiseMahalanobisDetector(cells=4).fit(X)
    covariance, location = detector.covariance_, detector.location_
    rho, nu = detector.shrinkage_, X.var(axis=0).mean()
    for number in range(4):
        cell = np.arange(6 * number, 6 * number + 6)
        rest = np.setdiff1d(np.arange(24), cell)
        gain = np.linalg.solve(
            covariance[np.ix_(rest, rest)], covariance[rest][:, cell]
        )
        predicted = location[cell] + (x - location)[rest] @ gain
        precision = detector.precision_[np.ix_(cell, cell)]
        expected = np.sqrt(rho * nu) * np.linalg.norm(precision @ (x[cell] - predicted))
        found = detector.cell_residuals(x[np.newaxis])[0, number]
        assert found == pytest.approx(expected, rel=1e-9)


@st.composite
def training_maps(draw):
    """Any shape and unit; few directions, copies, constant cells and columns."""
    n_samples, n_cells = draw(st.integers(4, 30)), draw(st.integers(1, 6))
    width = draw(st.integers(1, 8))
    seed = draw(st.integers(0, 2**32 - 1))
    X = maps(n_samples, n_cells * width, seed)
    kind = draw(
        st.sampled_from(["plain", "low rank", "constant cell", "constant columns"])
    )
    if kind == "low rank":
        X = X[:, :2] @ maps(2, X.shape[1], seed)[: X[:, :2].shape[1]]
    elif kind == "constant cell":
        X[:, :width] = draw(st.sampled_from([0.0, 0.1]))
    elif kind == "constant columns":
        X[:, ::2] = -7.0
    if draw(st.booleans()):
        X[n_samples // 2 :] = X[: n_samples - n_samples // 2]
    return 10.0 ** draw(st.integers(-20, 20)) * X, n_cells


def left_out_together(X, groups):
    """Masks of the rows that go together, by group and because they are equal."""
    n_samples = len(X)
    same = (X[:, np.newaxis] == X).all(axis=2)
    if groups is not None:
        same |= groups[:, np.newaxis] == groups
    # Rows that hang together by a chain of others.
    together = np.linalg.matrix_power(same.astype(float), n_samples) > 0
    return np.unique(together, axis=0)


@settings(deadline=None, max_examples=200)
@given(
    sample=training_maps(),
    covariance=st.sampled_from(COVARIANCES),
    top_fraction=st.sampled_from([None, 0.3, 1.0]),
    n_lots=st.sampled_from([None, 2, 3]),
)
def test_held_out_residuals_equal_refits(sample, covariance, top_fraction, n_lots):
    X, n_cells = sample
    groups = None if n_lots is None else np.arange(len(X)) % n_lots
    # So that the threshold, if there is any, is finite or said not to be.
    detector = CellwiseMahalanobisDetector(
        covariance, cells=n_cells, top_fraction=top_fraction, fpr=0.5
    )
    try:
        detector.fit(X, groups=groups)
    except ValueError as error:
        messages = (
            *("identical", "cannot be inverted", "is 0 for", "no finite"),
            "hang together",
        )
        assert any(message in str(error) for message in messages), error
        return
    expected = np.full((len(X), n_cells), np.inf)
    for out in left_out_together(X, groups):
        try:
            others = clone(detector).fit(X[~out])
        except ValueError as error:
            if "no finite" not in str(error):
                continue
            # The Gaussian is fitted before the threshold.
            others = clone(detector)
            with pytest.raises(ValueError, match="no finite"):
                others.fit(X[~out])
        expected[out] = others.cell_residuals(X[out])
    found = detector.calibration_residuals_
    assert_same_rows(found, expected)
    fraction = 0.05 if top_fraction is None else top_fraction
    n_top = int(np.ceil(fraction * n_cells - 1e-9))
    top = np.sort(expected, axis=1)[:, n_cells - n_top :].mean(axis=1)
    np.testing.assert_allclose(detector.calibration_distances_, top, rtol=1e-9)


@settings(deadline=None, max_examples=50)
@given(
    exponent=st.integers(-40, 40),
    shift=st.sampled_from([0.0, -3.0, 100.0]),
    covariance=st.sampled_from(COVARIANCES),
)
def test_residuals_have_no_unit_and_no_origin(exponent, shift, covariance):
    X, X_test = maps(20, 48), maps(9, 48, 1)
    expected = CellwiseMahalanobisDetector(covariance, cells=4).fit(X)
    factor = 2.0**exponent
    found = clone(expected).fit(factor * (X + shift))
    for rows in (X, X_test):
        np.testing.assert_allclose(
            found.cell_residuals(factor * (rows + shift)),
            expected.cell_residuals(rows),
            rtol=1e-8,
        )
    assert found.offset_ == pytest.approx(expected.offset_, rel=1e-8)


def test_permuted_cells_have_permuted_residuals():
    X, X_test = maps(20, 48), maps(9, 48, 1)
    parts = np.arange(48).reshape(4, 12)
    expected = CellwiseMahalanobisDetector(cells=4).fit(X)
    order = [2, 0, 3, 1]
    columns = {name: parts[number] for name, number in zip("abcd", order, strict=True)}
    renamed = CellwiseMahalanobisDetector(cells=columns).fit(X)
    moved = CellwiseMahalanobisDetector(cells=4)
    moved.fit(X[:, parts[order].ravel()])
    assert renamed.cells_ == list("abcd")
    for found, rows in ((renamed, X_test), (moved, X_test[:, parts[order].ravel()])):
        np.testing.assert_allclose(
            found.cell_residuals(rows),
            expected.cell_residuals(X_test)[:, order],
            rtol=1e-9,
        )
        np.testing.assert_allclose(
            found.calibration_residuals_,
            expected.calibration_residuals_[:, order],
            rtol=1e-9,
        )
        np.testing.assert_allclose(
            found.score_samples(rows), expected.score_samples(X_test), rtol=1e-9
        )


@pytest.mark.parametrize(
    ("top_fraction", "n_top"), [(None, 1), (0.05, 1), (0.3, 3), (0.31, 4), (1.0, 10)]
)
def test_distance_is_the_mean_of_the_largest_residuals(top_fraction, n_top):
    X, X_test = maps(20, 40), maps(9, 40, 1)
    detector = CellwiseMahalanobisDetector(cells=10, top_fraction=top_fraction).fit(X)
    for residuals, distances in (
        (detector.cell_residuals(X_test), -detector.score_samples(X_test)),
        (detector.calibration_residuals_, detector.calibration_distances_),
    ):
        largest = np.sort(residuals, axis=1)[:, 10 - n_top :]
        np.testing.assert_allclose(distances, largest.mean(axis=1), rtol=1e-12)


def test_constant_cells_have_no_residual_but_are_seen():
    """As those that are ignored."""
    X, x = maps(30, 80), maps(1, 80, 1)
    X[:, :40] = x[:, :40] = 0.5
    detector = CellwiseMahalanobisDetector(cells=20, top_fraction=0.3).fit(X)
    residuals = detector.cell_residuals(x)
    np.testing.assert_array_equal(residuals[0, :10], 0)
    expected = np.sort(residuals)[:, -6:].mean()
    assert -detector.score_samples(x) == pytest.approx(expected)
    before = -detector.score_samples(x)
    x[:, 0] += 10
    assert -detector.score_samples(x) > 2 * before
    assert detector.cell_residuals(x).argmax() == 0


def test_a_cell_that_varies_in_one_sample_only_is_left_out_exactly():
    """As many cells are averaged with the sample as without it."""
    X = maps(12, 36)
    X[:, 4:] = X[0, 4:]
    X[3, 4:] += np.arange(32)
    detector = CellwiseMahalanobisDetector(cells=9, fpr=0.3, top_fraction=0.5).fit(X)
    others = clone(detector).fit(np.delete(X, 3, axis=0))
    assert detector.calibration_distances_[3] == pytest.approx(
        -others.score_samples(X[3:4])[0], rel=1e-9
    )


def test_a_tiny_fraction_is_a_single_cell():
    X = maps(20, 36)
    tiny, one = (
        CellwiseMahalanobisDetector(cells=9, top_fraction=fraction).fit(X)
        for fraction in (1e-12, 1 / 9)
    )
    np.testing.assert_array_equal(tiny.score_samples(X), one.score_samples(X))


@pytest.mark.parametrize("n_levels", [1, 2])
def test_a_fit_that_fails_leaves_the_one_before_it(n_levels):
    columns = names(levels=range(n_levels))
    X, same = frame(maps(20, 12 * n_levels), columns), np.ones((9, 12 * n_levels))
    same = frame(same, columns)
    detector = CellwiseMahalanobisDetector(fpr=0.3).fit(X)
    before = detector.score_samples(X), detector.cells_, detector.offset_
    with pytest.raises(ValueError, match="identical"):
        detector.set_params(cells=3 * n_levels).fit(same)
    np.testing.assert_array_equal(detector.score_samples(X), before[0])
    assert (detector.cells_, detector.offset_) == before[1:]


def test_cells_of_two_grids_are_refused():
    columns = names(grid=2) + names(grid=1)
    with pytest.raises(ValueError, match="cells of one grid.*grid1, grid2"):
        CellwiseMahalanobisDetector().fit(frame(maps(20, len(columns)), columns))


def test_the_cell_with_the_defect_is_found():
    """What moves all cells alike counts for little."""
    X, x = maps(60, 48), maps(1, 48, 1)
    detector = CellwiseMahalanobisDetector(cells=8).fit(X)
    common = np.random.default_rng(7).normal(size=(3, 48))
    moved, damaged = x + 2 * common[0], x.copy()
    damaged[:, 18:24] += 2
    assert -detector.score_samples(moved) < 1.2 * -detector.score_samples(x)
    assert -detector.score_samples(damaged) > 2 * -detector.score_samples(x)
    assert detector.cell_residuals(damaged).argmax() == 3
    np.testing.assert_array_equal(
        detector.predict(np.vstack([x, moved, damaged])), [1, 1, -1]
    )


def test_many_rows_are_measured_like_few(monkeypatch):
    X = maps(20, 48)
    detector = CellwiseMahalanobisDetector(cells=4).fit(X)
    whole = detector.cell_residuals(X)
    monkeypatch.setattr(_cellwise, "_BLOCK_VALUES", 100)
    np.testing.assert_allclose(detector.cell_residuals(X), whole, rtol=1e-12)


# -- Which columns are a cell --------------------------------------------------------


def test_cells_are_read_from_the_names():
    X, X_test = maps(20, 12), maps(9, 12, 1)
    detector = CellwiseMahalanobisDetector().fit(frame(X, names()))
    by_number = CellwiseMahalanobisDetector(cells=4).fit(X)
    assert detector.cells_ == ["grid2_r0c0", "grid2_r0c1", "grid2_r1c0", "grid2_r1c1"]
    assert by_number.cells_ == ["r0c0", "r0c1", "r1c0", "r1c1"]
    assert detector.scale_ is None
    np.testing.assert_allclose(
        detector.cell_residuals(frame(X_test, names())),
        by_number.cell_residuals(X_test),
        rtol=1e-12,
    )
    with pytest.raises(ValueError, match="feature names"):
        detector.score_samples(frame(X_test, names()[::-1]))


def test_cells_of_several_levels_are_joined_on_one_scale():
    levels = (5, 6)
    X, X_test = maps(20, 24), maps(9, 24, 1)
    # The second level is louder, and must not rule.
    loud = np.repeat([1.0, 1000.0], 12)
    detector = CellwiseMahalanobisDetector(fpr=0.2)
    detector.fit(frame(X * loud, names(levels)))
    deviations = X - X.mean(axis=0)
    scale = np.repeat(
        [np.sqrt((d**2).mean()) for d in np.split(deviations, 2, axis=1)], 12
    )
    np.testing.assert_allclose(detector.scale_, scale * loud, rtol=1e-12)
    assert len(detector.cells_) == 4
    order = np.arange(24).reshape(2, 4, 3).swapaxes(0, 1).ravel()
    expected = CellwiseMahalanobisDetector(cells=4, fpr=0.2)
    expected.fit((X / scale)[:, order])
    np.testing.assert_allclose(
        detector.cell_residuals(frame(X_test * loud, names(levels))),
        expected.cell_residuals((X_test / scale)[:, order]),
        rtol=1e-9,
    )
    assert detector.offset_ == pytest.approx(expected.offset_, rel=1e-9)


@pytest.mark.parametrize(
    ("cells", "columns", "message"),
    [
        ("auto", None, r"cells='auto' .*X has no names.*make_detector\(\).*cells=49"),
        ("auto", [f"f{i}" for i in range(24)], "feature 0 is called 'f0'.*pooling=7"),
        (
            "auto",
            [*names(width=3), *(f"level7_{i:04d}" for i in range(12))],
            "feature 12 is called 'level7_0000'",
        ),
        (
            "auto",
            [*names(width=3), *names(grid=1, width=12)],
            "cells of one grid, and the features are of grid1, grid2",
        ),
        (5, None, "cells=5 does not divide the 24 features.*such as 49"),
        (0, None, "cells=0 does not divide"),
        (-4, None, "cells=-4 does not divide"),
        (True, None, "cells must be 'auto', a number of cells or a dict.*got True"),
        (4.0, None, "cells must be .*got 4.0"),
        ("grid", None, "cells must be .*got 'grid'"),
        (None, None, "cells must be .*got None"),
        ({}, None, r"columns must be .*got \{\}"),
        ({"a": slice(0, 12), "b": slice(12, 30), "c": [1]}, None, "of 1, 12 columns"),
        ({"a": slice(0, 16), "b": slice(16, 24)}, None, "cells of 8, 16 columns"),
        ({"a": slice(0, 8), "b": slice(8, 16)}, None, "16 in all with 24 features"),
        ({"a": slice(0, 12), "b": slice(11, 23)}, None, "all columns once"),
        ({"a": [0, 99]}, None, r"'a'\] must be a slice or a list of indices"),
    ],
    ids=str,
)
def test_what_are_no_cells_is_said(cells, columns, message):
    X = maps(20, 24)
    X = X if columns is None else frame(X, columns)
    with pytest.raises(ValueError, match=message):
        CellwiseMahalanobisDetector(cells=cells).fit(X)
    with pytest.raises(ValueError, match=message):
        CellwiseMahalanobisDetector(cells=cells).partial_fit(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"covariance": "empirical"}, "covariance must be one of 'ledoit_wolf', 'oas'"),
        ({"covariance": "diagonal"}, "covariance must be one of 'ledoit_wolf', 'oas'"),
        ({"shrinkage": 0.2}, "shrinkage=0.2 has no effect with covariance="),
        ({"top_fraction": 0}, r"top_fraction must be a number in \(0, 1\]; got 0"),
        ({"top_fraction": 1.1}, r"top_fraction must be a number in \(0, 1\]; got 1.1"),
        ({"threshold": "chi2"}, "threshold must be one of 'quantile', 'tail'"),
        ({"fpr": 0}, r"fpr must be a number in \(0, 1\)"),
    ],
    ids=str,
)
def test_bad_parameters_are_named(parameters, message):
    X = maps(20, 24)
    for method in ("fit", "partial_fit"):
        detector = CellwiseMahalanobisDetector(**{"cells": 4, **parameters})
        with pytest.raises(ValueError, match=message):
            getattr(detector, method)(X)


def test_a_top_fraction_that_was_changed_is_refused():
    X = maps(40, 24)
    detector = CellwiseMahalanobisDetector(cells=12).fit(X)
    residuals = detector.calibration_residuals_
    detector.set_params(top_fraction=0.5)
    for ask in (detector.predict, detector.p_values, detector.predict_batch):
        with pytest.raises(ValueError, match=r"top_fraction was set to 0.5 after"):
            ask(X)
    for name in ("calibration_distances_", "offset_"):
        with pytest.raises(ValueError, match="the two do not go together"):
            getattr(detector, name)
    # They do not depend on it.
    np.testing.assert_array_equal(detector.calibration_residuals_, residuals)
    expected = CellwiseMahalanobisDetector(cells=12, top_fraction=0.5).fit(X)
    np.testing.assert_allclose(detector.calibrate(X).offset_, expected.offset_)


# -- A scikit-learn estimator --------------------------------------------------------


@parametrize_with_checks(
    [
        CellwiseMahalanobisDetector(cells=1),
        CellwiseMahalanobisDetector("oas", cells=1),
        CellwiseMahalanobisDetector("shrunk", shrinkage=0.3, cells=1),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


def test_it_is_an_outlier_detector_that_is_cloned_and_pickled(tmp_path):
    X = frame(maps(30, 24), names(width=6))
    detector = CellwiseMahalanobisDetector("shrunk", shrinkage=0.2, top_fraction=0.5)
    assert is_outlier_detector(detector)
    assert clone(detector).get_params() == detector.get_params()
    detector.fit(X)
    joblib.dump(detector, tmp_path / "detector")
    for copy in (
        pickle.loads(pickle.dumps(detector)),
        joblib.load(tmp_path / "detector"),
        joblib.load(tmp_path / "detector", mmap_mode="r"),
    ):
        np.testing.assert_array_equal(copy.score_samples(X), detector.score_samples(X))
        assert copy.offset_ == detector.offset_
        np.testing.assert_array_equal(
            copy.calibration_residuals_, detector.calibration_residuals_
        )
    with pytest.raises(NotFittedError):
        CellwiseMahalanobisDetector(cells=4).cell_residuals(X)
    with pytest.raises(NotFittedError):
        _ = CellwiseMahalanobisDetector(cells=4).calibration_residuals_


def test_a_pickle_has_the_axes_and_little_else():
    X = maps(60, 600)
    detector = CellwiseMahalanobisDetector(cells=30).fit(X)
    detector.score_samples(X)
    # Axes; mean, range, third powers and columns; residuals.
    n_values = 59 * 600 + 8 * 600 + 60 * 31
    assert len(pickle.dumps(detector)) < 8 * n_values + 4000


def test_a_search_over_levels_grids_and_cells(pictures):
    damaged = pictures.copy()
    damaged[:, 10:14, 8:20:2] = 255
    damaged[:, 10:14, 9:20:2] = 0
    X = np.concatenate([pictures, damaged[:10]])
    y = np.repeat([1, -1], [30, 10])
    pipe = Pipeline(
        [("features", network()), ("detector", CellwiseMahalanobisDetector())]
    )
    search = GridSearchCV(
        pipe,
        {
            "features__levels": [2, 3, [2, 3]],
            "features__pooling": [1, 2],
            "detector__top_fraction": [None, 1.0],
        },
        scoring=auroc_scorer,
        cv=NormalKFold(2, shuffle=True, random_state=0),
        refit=False,
        n_jobs=2,
        error_score="raise",
    ).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == 12
    assert len(set(scores)) > 3
    assert search.best_score_ > 0.95
    # The folds are those that one has by hand.
    best = clone(pipe).set_params(**search.best_params_)
    train, test = next(NormalKFold(2, shuffle=True, random_state=0).split(X, y))
    score = auroc_scorer(best.fit(X[train]), X[test], y[test])
    assert score == search.cv_results_["split0_test_score"][search.best_index_]


# -- Samples that come and go --------------------------------------------------------


def assert_same_detector(found, expected, X, rtol=1e-9):
    assert found.n_samples_seen_ == expected.n_samples_seen_
    assert found.shrinkage_ == pytest.approx(expected.shrinkage_, rel=rtol)
    for method in ("cell_residuals", "score_samples", "decision_function"):
        np.testing.assert_allclose(
            getattr(found, method)(X), getattr(expected, method)(X), rtol=rtol
        )
    for name in ("calibration_residuals_", "calibration_distances_", "offset_"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=rtol
        )
    np.testing.assert_array_equal(found.p_values(X), expected.p_values(X))


def in_parts(detector, X, size):
    for start in range(0, len(X), size):
        detector.partial_fit(X[start : start + size])
    return detector


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_samples_added_joined_and_taken_out(covariance, shape):
    X, X_test = maps(*shape), maps(30, shape[1], 1)
    half = len(X) // 2
    detector = CellwiseMahalanobisDetector(covariance, cells=4, fpr=0.2)
    expected = clone(detector).fit(X)
    joined = in_parts(clone(detector), X[:half], 3).merge(clone(detector).fit(X[half:]))
    more = clone(detector).fit(np.vstack([X, X_test[:7]]))
    for found in (
        in_parts(clone(detector), X, 1),
        in_parts(clone(detector), X, 7),
        clone(detector).fit(X[:half]).partial_fit(X[half:]),
        joined,
        more.remove_samples(X_test[:7]),
    ):
        assert not hasattr(found, "offset_")
        for name in ("calibration_residuals_", "calibration_distances_"):
            with pytest.raises(NotFittedError, match=r"Call calibrate\(X\)"):
                getattr(found, name)
        for method in ("predict", "p_values"):
            with pytest.raises(NotFittedError, match=r"Call calibrate\(X\)"):
                getattr(found, method)(X)
        assert_same_detector(found.calibrate(X), expected, X_test)
    # A part of the samples has the residuals that it has among all.
    found = joined.calibrate(X[5:15])
    np.testing.assert_allclose(
        found.calibration_residuals_, expected.calibration_residuals_[5:15], rtol=1e-9
    )


def test_calibrate_takes_the_covariance_that_was_set():
    X = maps(30, 24)
    detector = CellwiseMahalanobisDetector(cells=4).fit(X).set_params(covariance="oas")
    expected = CellwiseMahalanobisDetector("oas", cells=4).fit(X)
    assert_same_detector(detector.calibrate(X), expected, X)


def test_samples_of_several_levels_cannot_come_and_go():
    X = frame(maps(30, 24), names((5, 6)))
    message = "several levels, each divided by its deviation.*or a single level"
    detector = CellwiseMahalanobisDetector().fit(X)
    offset = detector.offset_
    for change in (
        detector.partial_fit,
        detector.remove_samples,
        detector.calibrate,
        lambda X: detector.merge(clone(detector).fit(X)),
        # Not the first samples either.
        clone(detector).partial_fit,
        # Of other cells, there is no scale.
        lambda X: CellwiseMahalanobisDetector(cells=4).fit(X).merge(detector),
    ):
        with pytest.raises(ValueError, match=message):
            change(X)
    assert detector.offset_ == offset
    single = frame(maps(30, 12), names())
    assert detector.fit(single).partial_fit(single[:3]).n_samples_seen_ == 33


def test_too_few_samples_say_what_is_missing():
    X = maps(8, 24)
    detector = CellwiseMahalanobisDetector(cells=4).partial_fit(X[:1])
    with pytest.raises(NotFittedError, match="a single training sample so far"):
        detector.cell_residuals(X)
    assert np.isfinite(detector.partial_fit(X[1:]).score_samples(X)).all()
    # Ledoit and Wolf's shrinkage of two samples is zero.
    with pytest.raises(ValueError, match=r"is 0.*set the intensity|cannot be inverted"):
        CellwiseMahalanobisDetector(cells=4).fit(X[:2])
    with pytest.raises(ValueError, match="no finite threshold for fpr=0.2"):
        CellwiseMahalanobisDetector("shrunk", cells=4, fpr=0.2).fit(X[:2])
    with pytest.raises(ValueError, match="is 0 for 40 samples with n_features=1"):
        CellwiseMahalanobisDetector(cells=1).fit(maps(40, 1))


# -- Groups, working points, wrappings -----------------------------------------------


def test_lots_are_left_out_together():
    rng = np.random.default_rng(0)
    lots = np.repeat(np.arange(20), 6)
    X = maps(120, 24) + 3 * rng.normal(size=(20, 24))[lots]
    detector = CellwiseMahalanobisDetector(cells=4, fpr=0.2).fit(X, groups=lots)
    for lot in (0, 7):
        others = clone(detector).fit(X[lots != lot])
        np.testing.assert_allclose(
            detector.calibration_residuals_[lots == lot],
            others.cell_residuals(X[lots == lot]),
            rtol=1e-9,
        )
    assert detector.p_values(X[:1] + 99 * np.eye(24)[:1]) == pytest.approx(1 / 21)
    assert 0 < detector.fpr_bound() <= 1
    for method in ("partial_fit", "calibrate", "remove_samples"):
        with pytest.raises(ValueError, match=r"fitted with groups"):
            getattr(detector, method)(X)
    with pytest.raises(ValueError, match="groups have no effect with threshold='tail'"):
        clone(detector).set_params(threshold="tail").fit(X, groups=lots)


def test_rules_p_values_batches_and_bounds():
    X, X_test = maps(60, 24), maps(30, 24, 1)
    X_test[:5, :6] += 9
    detector = CellwiseMahalanobisDetector(cells=4).fit(X)
    distances = detector.calibration_distances_
    scores = detector.score_samples(X_test)
    expected = [(1 + np.sum(distances >= -score)) / 61 for score in scores]
    np.testing.assert_allclose(detector.p_values(X_test), expected)
    np.testing.assert_array_equal(
        detector.predict(X_test), np.where(scores >= detector.offset_, 1, -1)
    )
    assert detector.fpr_bound() > 0.05
    careful = CellwiseMahalanobisDetector(cells=4, confidence=0.9).fit(X)
    assert careful.offset_ < detector.offset_
    tail = CellwiseMahalanobisDetector(cells=4, threshold="tail").fit(X)
    assert tail.p_values(X_test[:5]).max() < 1 / 61
    batch = tail.predict_batch(X_test, fdr=0.05)
    np.testing.assert_array_equal(batch[:5], -1)
    assert np.count_nonzero(batch[5:] == -1) <= 1


def test_a_robust_fit_leaves_out_the_damaged():
    X = maps(80, 24)
    X[[7, 30], :6] += 6
    for rows, cells in ((X, 4), (frame(X, names(width=6)), "auto")):
        robust = RobustDetector(CellwiseMahalanobisDetector(cells=cells)).fit(rows)
        assert {7, 30} <= set(robust.suspects_) <= set(range(80))
        assert len(robust.suspects_) < 6
        others = CellwiseMahalanobisDetector(cells=4).fit(X[robust.support_])
        np.testing.assert_allclose(
            robust.score_samples(rows), others.score_samples(X), rtol=1e-9
        )
        assert robust.predict(rows)[7] == -1


def test_conformal_distances_are_those_of_the_folds():
    X = maps(40, 24)
    folds = NormalKFold(4, shuffle=True, random_state=0)
    for rows, cells in ((X, 4), (frame(X, names(width=6)), "auto")):
        inner = CellwiseMahalanobisDetector(cells=cells)
        conformal = ConformalDetector(inner, cv=folds).fit(rows)
        train, test = next(folds.split(X))
        others = CellwiseMahalanobisDetector(cells=4).fit(X[train])
        np.testing.assert_allclose(
            conformal.calibration_distances_[test], -others.score_samples(X[test])
        )
        conformal.predict(rows)
    with pytest.raises(ValueError, match="fpr=0.01 of the inner Cellwise"):
        ConformalDetector(CellwiseMahalanobisDetector(cells=4, fpr=0.01)).fit(X)


def test_an_ensemble_of_levels_leaves_out_in_closed_form():
    X, X_test = maps(40, 24), maps(9, 24, 1)
    columns = {"level5": slice(0, 12), "level6": slice(12, 24)}
    ensemble = LevelEnsemble(CellwiseMahalanobisDetector(cells=4), columns=columns)
    ensemble.fit(X)
    halves = list(columns.values())
    parts = [CellwiseMahalanobisDetector(cells=4).fit(X[:, half]) for half in halves]
    by_part = [
        part.score_samples(X_test[:, half])
        for part, half in zip(parts, halves, strict=True)
    ]
    np.testing.assert_allclose(ensemble.score_samples(X_test), sum(by_part))
    np.testing.assert_allclose(
        ensemble.calibration_distances_, sum(p.calibration_distances_ for p in parts)
    )
    by_dict = LevelEnsemble(
        CellwiseMahalanobisDetector(cells={"a": slice(0, 6), "b": slice(6, 12)}),
        columns=columns,
    ).fit(X)
    assert by_dict.estimators_[0].cells_ == ["a", "b"]
    with pytest.raises(ValueError, match="cells='auto'.*number of cells"):
        LevelEnsemble(CellwiseMahalanobisDetector()).fit(frame(X, names((5, 6))))


def test_its_distance_is_no_mahalanobis_distance():
    detector = CellwiseMahalanobisDetector(cells=4).fit(maps(30, 24))
    assert not hasattr(detector, "mahalanobis")
    assert not hasattr(detector, "_gaussian_parts")
    ensemble = LevelEnsemble(detector, columns={"all": slice(None)}).fit(maps(30, 24))
    for fitted in (detector, ensemble):
        with pytest.raises(ValueError, match=r"got Cellwise.* shown by anomaly_maps"):
            gaussian_parts(fitted)


def test_copies_of_a_picture_are_left_out_together(pictures):
    pipe = make_pipeline(network(), CellwiseMahalanobisDetector(fpr=0.2))
    augmented = AugmentedDetector(pipe, n_epochs=2).fit(pictures)
    assert augmented.calibration_distances_.shape == (60,)
    features = augmented.estimator_[0].transform(pictures)
    inner = augmented.estimator_[1]
    assert inner.n_samples_seen_ == 60
    # One of 31 pictures, not of 61 copies.
    far = np.full((1, 32, 32), 255, dtype=np.uint8)
    far[:, ::2] = 0
    assert augmented.p_values(far) == pytest.approx(1 / 31)
    np.testing.assert_array_equal(
        augmented.score_samples(pictures), inner.score_samples(features)
    )
    augmented.set_params(estimator__cellwisemahalanobisdetector__top_fraction=1.0)
    with pytest.raises(ValueError, match="top_fraction was set to 1.0"):
        augmented.predict(pictures)


def test_tiles_of_a_picture_are_left_out_together():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 48, 48), dtype=np.uint8)
    pipe = make_pipeline(network(pooling=2), CellwiseMahalanobisDetector())
    tiled = TiledDetector(pipe, fpr=0.2).fit(images)
    inner = tiled.tile_estimator_[-1]
    assert inner.calibration_residuals_.shape == (12 * 4, 4)
    by_refits = []
    for index in range(12):
        others = TiledDetector(pipe, fpr=0.2).fit(np.delete(images, index, axis=0))
        by_refits.append(others.tile_distances(images[[index]])[0].max())
    np.testing.assert_allclose(tiled.calibration_distances_, by_refits, rtol=1e-4)
    scratched = images[:1].copy()
    scratched[:, 20:28, 20:28] = 255
    assert tiled.score_samples(scratched) < tiled.score_samples(images[:1])
    assert tiled.worst_tiles(scratched).shape == (1, 4)


# -- The rate ------------------------------------------------------------------------


@pytest.mark.parametrize("n_samples", [20, 39, 60])
@pytest.mark.parametrize("tail", ["gaussian", "heavy"])
def test_the_default_threshold_keeps_its_rate(tail, n_samples):
    """On average over training sets, within three standard errors."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(48, 48)) * np.geomspace(1, 0.05, 48)
    rates = []
    for _ in range(150):
        rows = rng.normal(size=(n_samples + 200, 48)) @ mixing
        if tail == "heavy":
            rows /= np.sqrt(rng.chisquare(3, size=(len(rows), 1)) / 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FalseAlarmRateWarning)
            detector = CellwiseMahalanobisDetector(cells=8, fpr=0.05)
            detector.fit(rows[:n_samples])
        rates.append(np.mean(detector.predict(rows[n_samples:]) == -1))
    error = np.std(rates) / np.sqrt(len(rates))
    # A rate is a multiple of 1 / (n + 1).
    promised = max(1, np.floor(0.05 * (n_samples + 1))) / (n_samples + 1)
    assert np.mean(rates) < promised + 3 * error
    assert np.mean(rates) > 0.6 * promised
