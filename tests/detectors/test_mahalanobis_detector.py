import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance
from sklearn.base import clone
from sklearn.covariance import (
    OAS,
    EmpiricalCovariance,
    LedoitWolf,
    ShrunkCovariance,
)
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgaussad import MahalanobisDetector

# Whether the rate is met is for test_working_point.py.
pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)

COVARIANCES = ("ledoit_wolf", "oas", "shrunk", "empirical", "diagonal", "isotropic")
REFERENCES = {
    "ledoit_wolf": LedoitWolf(),
    "oas": OAS(),
    "shrunk": ShrunkCovariance(shrinkage=0.1),
    "empirical": EmpiricalCovariance(),
}
# Sample-space and feature-space fits, and both sides of the switch between them.
SHAPES = [(50, 200), (200, 50), (80, 80), (60, 100), (70, 100), (3, 2), (40, 1)]


def correlated(n_samples, n_features, seed=0, offset=0.0):
    """Rows with eigenvalues spread over four orders of magnitude."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_features, n_features))
    scales = np.exp(-4 * np.arange(n_features) / n_features)
    return rng.normal(size=(n_samples, n_features)) @ (mixing * scales) + offset


@parametrize_with_checks(
    [MahalanobisDetector(covariance) for covariance in COVARIANCES]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


def test_scikit_learn_estimator_checks_with_array_api():
    """The check skipped above, which needs a setting before the first import."""
    code = """if True:
        from sklearn.utils.estimator_checks import check_estimator
        from skgaussad import MahalanobisDetector
        results = check_estimator(MahalanobisDetector(), on_fail=None, on_skip=None)
        print(len(results), {result["status"] for result in results})
    """
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    process = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    n_checks, statuses = process.stdout.split(maxsplit=1)
    assert int(n_checks) > 40
    assert statuses.strip() == "{'passed'}", process.stderr


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("covariance", REFERENCES)
def test_equals_scikit_learn(covariance, shape):
    if covariance == "empirical" and shape[0] <= shape[1]:
        pytest.skip("the empirical covariance of n <= D samples is singular")
    X = correlated(*shape, offset=7.0)
    X_test = 3 * correlated(30, shape[1], seed=1) + 7.0
    detector = MahalanobisDetector(covariance, threshold="chi2").fit(X)
    reference = clone(REFERENCES[covariance]).fit(X)

    expected = reference.mahalanobis(X_test)
    np.testing.assert_allclose(detector.mahalanobis(X_test), expected, rtol=1e-9)
    np.testing.assert_allclose(
        detector.score_samples(X_test), -np.sqrt(expected), rtol=1e-9
    )
    np.testing.assert_allclose(detector.location_, reference.location_, rtol=1e-12)
    scale = np.abs(reference.covariance_).max()
    np.testing.assert_allclose(
        detector.covariance_, reference.covariance_, rtol=0, atol=1e-12 * scale
    )
    if covariance in ("ledoit_wolf", "oas"):
        assert detector.shrinkage_ == pytest.approx(reference.shrinkage_, rel=1e-10)


@pytest.mark.parametrize("shape", [(50, 200), (200, 50)], ids=str)
def test_diagonal_is_the_standardized_euclidean_distance(shape):
    X = correlated(*shape)
    X_test = correlated(20, shape[1], seed=1)
    detector = MahalanobisDetector("diagonal").fit(X)
    expected = [
        distance.seuclidean(row, X.mean(axis=0), X.var(axis=0)) for row in X_test
    ]
    np.testing.assert_allclose(-detector.score_samples(X_test), expected, rtol=1e-12)


def test_isotropic_is_the_euclidean_distance_in_standard_deviations():
    X = correlated(50, 20)
    X_test = correlated(20, 20, seed=1)
    detector = MahalanobisDetector("isotropic").fit(X)
    deviation = np.sqrt(X.var(axis=0).mean())
    expected = [distance.euclidean(row, X.mean(axis=0)) / deviation for row in X_test]
    np.testing.assert_allclose(-detector.score_samples(X_test), expected, rtol=1e-12)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_precision_is_the_inverse_and_gives_the_distance(covariance):
    X = correlated(60, 15)
    X_test = correlated(10, 15, seed=1)
    detector = MahalanobisDetector(covariance).fit(X)
    np.testing.assert_allclose(
        detector.precision_ @ detector.covariance_, np.eye(15), atol=1e-8
    )
    expected = [
        distance.mahalanobis(row, detector.location_, detector.precision_)
        for row in X_test
    ]
    np.testing.assert_allclose(-detector.score_samples(X_test), expected, rtol=1e-9)


@pytest.mark.parametrize("covariance", [c for c in COVARIANCES if c != "empirical"])
def test_precision_from_fewer_samples_than_features(covariance):
    detector = MahalanobisDetector(covariance).fit(correlated(12, 30))
    np.testing.assert_allclose(
        detector.precision_ @ detector.covariance_, np.eye(30), atol=1e-8
    )


def test_rows_near_the_span_of_the_training_samples_keep_their_precision():
    """A difference of squared norms would lose all digits of the complement here."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5, 40)) * np.geomspace(1e4, 1, 5)[:, np.newaxis]
    detector = MahalanobisDetector("shrunk", shrinkage=1e-9).fit(X)
    orthogonal = np.linalg.svd(X - X.mean(axis=0))[2][-1]
    deviation = 1e-4
    row = X[:1] + deviation * orthogonal
    complement = 1e-9 * X.var(axis=0).mean()
    expected = deviation**2 / complement
    difference = detector.mahalanobis(row) - detector.mahalanobis(X[:1])
    assert difference[0] == pytest.approx(expected, rel=1e-4)


def test_decision_function_and_predict_follow_the_offset():
    X = correlated(100, 5)
    X_test = 2 * correlated(300, 5, seed=1)
    detector = MahalanobisDetector(fpr=0.2).fit(X)
    scores = detector.score_samples(X_test)
    decision = detector.decision_function(X_test)
    np.testing.assert_array_equal(decision, scores - detector.offset_)
    np.testing.assert_array_equal(
        detector.predict(X_test), np.where(scores >= detector.offset_, 1, -1)
    )
    assert set(detector.predict(X_test)) == {-1, 1}
    np.testing.assert_array_equal(
        MahalanobisDetector(fpr=0.2).fit_predict(X), detector.predict(X)
    )


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("shape", [(30, 80), (80, 30)], ids=str)
def test_constant_features_and_duplicates_stay_finite(covariance, shape):
    X = correlated(*shape)
    X[:, ::3] = 0.1
    X = np.vstack([X, X[:5]])
    detector = MahalanobisDetector(covariance)
    if covariance == "empirical":
        with pytest.raises(ValueError, match=r"\d+ features are constant.*ledoit_wolf"):
            detector.fit(X)
        return
    detector.fit(X)
    far = X[:1].copy()
    far[:, 0] += 100
    distances = -detector.score_samples(np.vstack([X, far]))
    assert np.isfinite(distances).all()
    assert distances[-1] > distances[:-1].max(), "a constant feature that moves counts"


@pytest.mark.parametrize(
    ("covariance", "variance_of"), [("diagonal", np.min), ("isotropic", np.mean)]
)
def test_variance_of_a_constant_feature_comes_from_the_others(covariance, variance_of):
    X = correlated(50, 4)
    X[:, 1] = 3.0
    detector = MahalanobisDetector(covariance).fit(X)
    row = detector.location_ + np.array([0, 2.0, 0, 0])
    expected = 4 / variance_of(X.var(axis=0)[[0, 2, 3]])
    assert detector.mahalanobis([row])[0] == pytest.approx(expected)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_two_samples_give_a_finite_answer_or_say_what_to_do(covariance):
    X = correlated(2, 6)
    detector = MahalanobisDetector(covariance, threshold="chi2")
    if covariance in ("ledoit_wolf", "empirical"):
        # Two samples fit the Ledoit-Wolf error estimate without any spread.
        with pytest.raises(ValueError, match="rank 1 and cannot be inverted.*samples"):
            detector.fit(X)
    else:
        assert np.isfinite(detector.fit(X).score_samples(correlated(9, 6, 1))).all()


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((5, 3)), "All 5 training samples are identical"),
        (np.ones((1, 3)), "minimum of 2 is required"),
        (np.array([[0.0, np.nan], [1, 2]]), "contains NaN"),
        (np.array([[0.0, np.inf], [1, 2]]), "contains infinity"),
        (np.array([[0.0, 1e200], [1, 2], [3, 1]]), "Rescale them"),
        (np.array([[0.0, 1e-200], [0, 2e-200], [0, 0]]), "Rescale them"),
    ],
    ids=["identical", "one", "nan", "infinity", "huge", "tiny"],
)
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_training_samples_that_cannot_be_used(covariance, X, message):
    with pytest.raises(ValueError, match=message):
        MahalanobisDetector(covariance).fit(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"covariance": "lw"}, "covariance must be one of 'ledoit_wolf'.*got 'lw'"),
        ({"covariance": None}, "covariance must be one of.*got None"),
        ({"threshold": "chi"}, "threshold must be one of 'quantile'.*got 'chi'"),
        ({"fpr": 0}, r"fpr must be a number in \(0, 1\); got 0"),
        ({"fpr": 1.0}, r"fpr must be a number in \(0, 1\); got 1.0"),
        ({"fpr": float("nan")}, r"fpr must be a number in \(0, 1\); got nan"),
        ({"fpr": "5%"}, r"fpr must be a number in \(0, 1\); got '5%'"),
        ({"fpr": True}, r"fpr must be a number in \(0, 1\); got True"),
        (
            {"covariance": "shrunk", "shrinkage": 0},
            r"shrinkage must be a number in \(0, 1\]; got 0",
        ),
    ],
    ids=str,
)
def test_bad_parameters_are_named_in_fit(parameters, message):
    detector = MahalanobisDetector(**parameters)
    with pytest.raises(ValueError, match=message):
        detector.fit(correlated(20, 3))


def test_samples_of_another_width_are_refused():
    detector = MahalanobisDetector().fit(correlated(20, 3))
    with pytest.raises(ValueError, match="4 features.*expecting 3 features"):
        detector.score_samples(correlated(5, 4))


@pytest.mark.parametrize("attribute", ["covariance_", "precision_"])
def test_matrices_of_an_unfitted_detector(attribute):
    with pytest.raises(NotFittedError):
        getattr(MahalanobisDetector(), attribute)


def test_scores_are_float64_for_float32_features():
    X = correlated(50, 10, offset=3.0).astype(np.float32)
    detector = MahalanobisDetector().fit(X)
    assert detector.score_samples(X).dtype == np.float64
    np.testing.assert_array_equal(
        detector.score_samples(X),
        MahalanobisDetector().fit(X.astype(float)).score_samples(X.astype(float)),
    )


def test_many_rows_are_scored_like_few(monkeypatch):
    X = correlated(50, 10)
    detector = MahalanobisDetector().fit(X)
    whole = detector.score_samples(X)
    monkeypatch.setattr("skgaussad.covariance._gaussian._BLOCK_VALUES", 70)
    np.testing.assert_allclose(detector.score_samples(X), whole, rtol=1e-12)


def test_pickle_keeps_the_scores():
    X = correlated(30, 60)
    detector = MahalanobisDetector().fit(X)
    copy = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(copy.score_samples(X), detector.score_samples(X))
    assert copy.offset_ == detector.offset_


def test_grid_search_prefers_the_covariance_that_fits():
    """Strongly correlated features, anomalies that break the correlation."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=(400, 1))
    X = common + 0.05 * rng.normal(size=(400, 5))
    X[300:] = rng.normal(size=(100, 5))
    y = np.repeat([1, -1], [300, 100])
    folds = [
        (
            normal,
            np.concatenate([np.setdiff1d(np.arange(300), normal), range(300, 400)]),
        )
        for normal in (np.arange(200), np.arange(100, 300))
    ]
    search = GridSearchCV(
        MahalanobisDetector(),
        {"covariance": ["isotropic", "diagonal", "ledoit_wolf"]},
        scoring="roc_auc",
        cv=folds,
        refit=False,
    ).fit(X, y)
    assert search.best_params_ == {"covariance": "ledoit_wolf"}
    assert search.best_score_ > 0.99


@st.composite
def training_samples(draw):
    n_samples = draw(st.integers(3, 25))
    n_features = draw(st.integers(1, 25))
    seed = draw(st.integers(0, 2**32 - 1))
    X = correlated(n_samples, n_features, seed)
    if draw(st.booleans()):
        X[:, : n_features // 2] = draw(st.sampled_from([0.0, 0.1, -1e5]))
    if draw(st.booleans()):
        X[n_samples // 2 :] = X[: n_samples - n_samples // 2]
    scale = 10.0 ** draw(st.integers(-30, 30))
    return scale * X


@settings(deadline=None, max_examples=200)
@given(X=training_samples(), covariance=st.sampled_from(COVARIANCES))
def test_finite_scores_or_a_reasoned_error(X, covariance):
    """Whatever the shape, scale, rank or duplicates: never a NaN, never a crash."""
    detector = MahalanobisDetector(covariance, threshold="chi2")
    try:
        detector.fit(X)
    except ValueError as error:
        assert "identical" in str(error) or "cannot be inverted" in str(error)
        return
    assert (detector.calibration_distances_ >= 0).all(), "infinite, but not NaN"
    spread = np.abs(X).max()
    X_test = np.vstack([X, X + spread, np.zeros((1, X.shape[1]))])
    scores = detector.score_samples(X_test)
    assert np.isfinite(scores).all()
    assert (scores <= 0).all()
    assert np.isfinite(detector.offset_)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(20, 8), (12, 30)]),
    scale=st.floats(1e-6, 1e6),
    covariance=st.sampled_from([c for c in COVARIANCES if c != "empirical"]),
)
def test_distances_do_not_depend_on_units_origin_or_order(
    seed, shape, scale, covariance
):
    X = correlated(*shape, seed)
    X_test = correlated(7, shape[1], seed + 1)
    shift = np.linspace(-3, 3, shape[1])
    order = np.random.default_rng(seed).permutation(shape[0])
    expected = MahalanobisDetector(covariance).fit(X).mahalanobis(X_test)
    moved = MahalanobisDetector(covariance).fit(scale * (X[order] + shift))
    np.testing.assert_allclose(
        moved.mahalanobis(scale * (X_test + shift)), expected, rtol=1e-6
    )
