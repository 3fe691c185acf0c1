import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skgaussad import MahalanobisDetector
from skgaussad.covariance import COVARIANCES, leave_out
from skgaussad.covariance._moments import Moments
from skgaussad.exceptions import FalseAlarmRateWarning

# Whether the rate is met is for test_working_point.py.
pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)

SHAPES = [(50, 200), (200, 50), (80, 80), (60, 100), (12, 30), (40, 1)]


def correlated(n_samples, n_features, seed=0):
    """Rows with variances over three orders of magnitude."""
    rng = np.random.default_rng(seed)
    mixing = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    scales = np.exp(-3 * np.arange(n_features) / n_features)
    return rng.normal(size=(n_samples, n_features)) @ (mixing * scales).T


def in_parts(detector, X, size):
    for start in range(0, len(X), size):
        detector.partial_fit(X[start : start + size])
    return detector


def assert_same_gaussian(found, expected, X_test, rtol=1e-10):
    assert found.n_samples_seen_ == expected.n_samples_seen_
    assert found.n_dof_ == expected.n_dof_
    size = np.abs(expected.location_).max()
    np.testing.assert_allclose(
        found.location_, expected.location_, rtol=rtol, atol=rtol * size
    )
    assert found.shrinkage_ == pytest.approx(expected.shrinkage_, rel=rtol)
    size = np.abs(expected.covariance_).max()
    np.testing.assert_allclose(
        found.covariance_, expected.covariance_, rtol=rtol, atol=rtol * size
    )
    np.testing.assert_allclose(
        found.mahalanobis(X_test), expected.mahalanobis(X_test), rtol=rtol
    )


def assert_same_threshold(found, expected, X_test, rtol=1e-10):
    np.testing.assert_allclose(
        found.calibration_distances_, expected.calibration_distances_, rtol=rtol
    )
    assert found.offset_ == pytest.approx(expected.offset_, rel=rtol)
    np.testing.assert_array_equal(found.p_values(X_test), expected.p_values(X_test))
    np.testing.assert_array_equal(found.predict(X_test), expected.predict(X_test))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_parts_and_calibration_equal_one_fit(covariance, shape):
    if covariance == "empirical" and shape[0] <= shape[1]:
        pytest.skip("the empirical covariance of n <= D samples is singular")
    X, X_test = correlated(*shape), 2 * correlated(30, shape[1], 1)
    expected = MahalanobisDetector(covariance, fpr=0.2).fit(X)
    for size in (1, 7, shape[0]):
        found = in_parts(MahalanobisDetector(covariance, fpr=0.2), X, size)
        assert_same_gaussian(found, expected, X_test)
        assert_same_threshold(found.calibrate(X), expected, X_test)
    started = MahalanobisDetector(covariance, fpr=0.2).fit(X[: shape[0] * 2 // 3])
    started.partial_fit(X[shape[0] * 2 // 3 :])
    assert_same_gaussian(started, expected, X_test)
    assert_same_threshold(started.calibrate(X), expected, X_test)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_scikit_learn_on_all_samples(shape):
    X, X_test = correlated(*shape), 2 * correlated(30, shape[1], 1)
    found = in_parts(MahalanobisDetector(), X, 9)
    reference = LedoitWolf().fit(X)
    np.testing.assert_allclose(
        found.mahalanobis(X_test), reference.mahalanobis(X_test), rtol=1e-9
    )
    if shape[1] > 1:
        assert found.shrinkage_ == pytest.approx(reference.shrinkage_, rel=1e-10)
    refitted = [
        LedoitWolf().fit(np.delete(X, i, 0)).mahalanobis(X[i : i + 1])[0]
        for i in range(len(X))
    ]
    np.testing.assert_allclose(
        found.calibrate(X).calibration_distances_ ** 2, refitted, rtol=1e-9
    )


@st.composite
def training_samples(draw):
    """Any shape and unit; constant and rectified features, duplicates, an outlier."""
    n_samples = draw(st.integers(2, 30))
    n_features = draw(st.integers(1, 40))
    X = correlated(n_samples, n_features, draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["plain", "constant", "rectified"]))
    if kind == "constant":
        X[:, : n_features // 2] = draw(st.sampled_from([0.0, 0.1, -7.0]))
    elif kind == "rectified":
        X = np.maximum(X - X.std(), 0)
    if draw(st.booleans()):
        X[n_samples // 2 :] = X[: n_samples - n_samples // 2]
    if draw(st.booleans()):
        X[-1] *= draw(st.sampled_from([10.0, 100.0]))
    return 10.0 ** draw(st.integers(-30, 30)) * X


@settings(deadline=None, max_examples=200)
@given(
    X=training_samples(),
    covariance=st.sampled_from(COVARIANCES),
    data=st.data(),
)
def test_any_split_equals_one_fit_or_lacks_the_same(X, covariance, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(X) - 1))))
    found = MahalanobisDetector(covariance, threshold="chi2")
    for part in np.split(X, cuts):
        found.partial_fit(part)
    expected = MahalanobisDetector(covariance, threshold="chi2")
    X_test = np.vstack([X, X[:3] + X.std()])
    try:
        expected.fit(X)
    except ValueError as error:
        assert "identical" in str(error) or "cannot be inverted" in str(error)
        with pytest.raises(NotFittedError, match="identical|cannot be inverted"):
            found.mahalanobis(X_test)
        return
    assert found.offset_ == expected.offset_
    # Sums of squares lose digits of small variances.
    ratio = np.linalg.cond(expected.covariance_ / expected.covariance_.max())
    rtol = 1e-10 + 1e-15 * ratio
    assert found.shrinkage_ == pytest.approx(expected.shrinkage_, rel=rtol)
    np.testing.assert_allclose(
        found.mahalanobis(X_test), expected.mahalanobis(X_test), rtol=rtol, atol=1e-20
    )
    if ratio < 1e5:
        np.testing.assert_allclose(
            found.calibrate(X).calibration_distances_,
            expected.calibration_distances_,
            rtol=1e-8,
        )


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_an_origin_far_away(covariance):
    """Samples near 1e6 have ten digits of their deviations, and so do distances."""
    X, X_test = correlated(200, 20) + 1e6, 2 * correlated(30, 20, 1) + 1e6
    expected = MahalanobisDetector(covariance).fit(X)
    found = in_parts(MahalanobisDetector(covariance), X, 1)
    assert_same_gaussian(found, expected, X_test, rtol=1e-8)
    assert_same_threshold(found.calibrate(X), expected, X_test, rtol=1e-8)


@pytest.mark.parametrize("factor", [100, 1e4])
@pytest.mark.parametrize("covariance", ["ledoit_wolf", "diagonal", "isotropic"])
def test_a_dominant_sample_and_one_that_alone_varies(covariance, factor):
    """Those that a difference of moments has few digits for, or none."""
    X = correlated(40, 12)
    X[3] *= factor
    X[:, 5] = 0.1
    X[7, 5] = 1.0
    expected = MahalanobisDetector(covariance).fit(X).calibration_distances_
    found = in_parts(MahalanobisDetector(covariance), X, 11).calibrate(X)
    found = found.calibration_distances_
    np.testing.assert_allclose(found[3], expected[3], rtol=1e-11)
    # Of the others the dominant one takes digits of its own, also in a fit.
    np.testing.assert_allclose(found, expected, rtol=1e-15 * factor**2 * 100)


@pytest.mark.parametrize("scale", [1e-4, 1e-5])
def test_a_sample_that_nearly_alone_varies(scale):
    X = correlated(50, 4)
    X[:, 2] *= scale
    X[7, 2] = 1.0
    expected = MahalanobisDetector("empirical").fit(X).calibration_distances_
    found = in_parts(MahalanobisDetector("empirical"), X, 9)
    np.testing.assert_allclose(
        found.calibrate(X).calibration_distances_, expected, rtol=1e-10
    )
    # Without the others at hand it has few digits, and beyond 1e-8 none.
    some = found.calibrate(X[:45]).calibration_distances_
    if scale == 1e-5:
        assert np.isinf(some[7])
    else:
        assert some[7] == pytest.approx(expected[7], rel=1e-6)


@pytest.mark.parametrize("size", [1, 13, 40])
def test_variances_far_below_the_shrinkage(size):
    """Sums of squares do not know them, and they do not matter."""
    X = correlated(40, 60) * np.geomspace(1, 1e-9, 60)
    expected = MahalanobisDetector("shrunk").fit(X)
    found = in_parts(MahalanobisDetector("shrunk"), X, size).calibrate(X)
    assert_same_gaussian(found, expected, X)
    assert_same_threshold(found, expected, X)


def test_a_sample_that_alone_varies_in_a_feature_is_infinitely_far():
    X = correlated(50, 4)
    X[:, 2] = 0.0
    X[7, 2] = 1.0
    found = in_parts(MahalanobisDetector("empirical", threshold="chi2"), X, 9)
    for rows in (np.arange(50), np.arange(10)):
        distances = found.calibrate(X[rows]).calibration_distances_
        assert np.isinf(distances[7])
        assert np.isfinite(np.delete(distances, 7)).all()


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_calibration_with_some_of_the_samples(covariance):
    X = correlated(100, 20)
    expected = MahalanobisDetector(covariance).fit(X).calibration_distances_
    found = in_parts(MahalanobisDetector(covariance, fpr=0.1), X, 30)
    some = np.random.default_rng(0).permutation(100)[:40]
    found.calibrate(X[some])
    np.testing.assert_allclose(found.calibration_distances_, expected[some], 1e-10)
    # The ceil((1 - 0.1) (40 + 1))-th smallest.
    assert found.offset_ == pytest.approx(-np.sort(expected[some])[37 - 1])
    # An outlier among few has the distance that it has among all.
    X[some[0]] *= 50
    expected = MahalanobisDetector(covariance).fit(X).calibration_distances_
    found = in_parts(MahalanobisDetector(covariance), X, 30).calibrate(X[some])
    np.testing.assert_allclose(found.calibration_distances_, expected[some], 1e-6)


def test_a_sample_beyond_all_digits_is_infinitely_far_among_some():
    X = correlated(100, 20)
    X[0] *= 1e5
    found = in_parts(MahalanobisDetector(fpr=0.1), X, 30).calibrate(X[:50])
    assert np.isinf(found.calibration_distances_[0])
    assert np.isfinite(found.calibration_distances_[1:]).all()


def test_a_feature_in_which_the_others_hardly_vary_is_constant_among_some():
    X = correlated(60, 6)
    X[:, 5] = 0.0
    X[7, 5] = 1.0
    expected = MahalanobisDetector("diagonal").fit(X).calibration_distances_
    X[30, 5] = 1e-6
    found = in_parts(MahalanobisDetector("diagonal"), X, 9).calibrate(X[:50])
    assert found.calibration_distances_[7] == pytest.approx(expected[7])


def test_little_shrinkage_of_few_samples():
    """Each sample is nearly as far out as one can be, and nothing may cancel."""
    X = correlated(30, 60)
    expected = MahalanobisDetector("shrunk", shrinkage=1e-9).fit(X)
    found = in_parts(MahalanobisDetector("shrunk", shrinkage=1e-9), X, 7)
    for n_rows in (30, 20):
        np.testing.assert_allclose(
            found.calibrate(X[:n_rows]).calibration_distances_,
            expected.calibration_distances_[:n_rows],
            rtol=1e-10,
        )


def test_a_feature_of_two_values():
    """Fourth powers equal squared squares, which only Ledoit and Wolf's error minds."""
    X = (np.arange(6000) % 2)[:, np.newaxis] + 0.0
    found = in_parts(MahalanobisDetector(), X, 999).calibrate(X[:50])
    # Equal ones among those given are left out together.
    rest = np.delete(X, np.arange(0, 50, 2))
    expected = abs(X[0, 0] - rest.mean()) / rest.std()
    np.testing.assert_allclose(found.calibration_distances_, expected)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_many_rows_are_calibrated_like_few(covariance, monkeypatch):
    X = correlated(40, 15)
    detector = in_parts(MahalanobisDetector(covariance), X, 11)
    whole = detector.calibrate(X).calibration_distances_
    monkeypatch.setattr("skgaussad.covariance._leave_out._BLOCK_VALUES", 50)
    blocks = detector.calibrate(X).calibration_distances_
    np.testing.assert_allclose(blocks, whole, rtol=1e-12)


@pytest.mark.parametrize("covariance", ["ledoit_wolf", "diagonal"])
def test_single_precision_is_calibrated_as_it_is(covariance):
    """In less memory than a copy would take, as of features mapped from a file."""
    X = correlated(40_000, 40).astype(np.float32)
    detector = in_parts(MahalanobisDetector(covariance), X, 10_000)
    tracemalloc.start()
    try:
        detector.calibrate(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * X.nbytes < X.astype(float).nbytes
    distances = detector.calibration_distances_
    detector.calibrate(X.astype(float))
    np.testing.assert_array_equal(detector.calibration_distances_, distances)


@pytest.mark.parametrize("covariance", ["ledoit_wolf", "shrunk", "diagonal"])
def test_a_dominant_sample_in_single_precision(covariance):
    """It is measured by a fit to the others."""
    X = correlated(30, 5).astype(np.float32)
    X[3] *= 1e6
    X[:, 2] = 1
    X[4, 2] = 2
    detector = MahalanobisDetector(covariance).partial_fit(X).calibrate(X)
    distances = detector.calibration_distances_
    detector.calibrate(X.astype(float))
    np.testing.assert_array_equal(detector.calibration_distances_, distances)
    others = MahalanobisDetector(covariance).fit(np.delete(X, 3, axis=0))
    assert distances[3] == pytest.approx(-others.score_samples(X[3:4])[0], rel=1e-9)


def test_what_is_missing_is_said_until_it_is_there():
    X = correlated(8, 3)
    detector = MahalanobisDetector(threshold="chi2")
    with pytest.raises(NotFittedError, match="not fitted yet"):
        detector.score_samples(X)

    def assert_lacks(message):
        for use in (
            lambda: detector.score_samples(X),
            lambda: detector.predict(X),
            lambda: detector.calibrate(X[:1]),
            lambda: detector.covariance_,
            lambda: detector.offset_,
            lambda: check_is_fitted(detector),
        ):
            with pytest.raises(NotFittedError, match=message):
                use()
        assert not hasattr(detector, "location_")

    detector.partial_fit(X[:1])
    assert_lacks("a single training sample so far.*partial_fit")
    assert detector.n_samples_seen_ == 1
    detector.partial_fit(X[:1])
    assert_lacks("All 2 training samples are identical")
    detector.partial_fit(X[1:])
    check_is_fitted(detector)
    np.testing.assert_allclose(
        detector.score_samples(X),
        MahalanobisDetector().fit(np.vstack([X[:1], X])).score_samples(X),
    )
    detector.calibrate(X).remove_samples(X[1:])
    assert_lacks("All 2 training samples are identical")
    assert not hasattr(detector, "calibration_distances_")

    detector = MahalanobisDetector("empirical", threshold="f").partial_fit(X[:3])
    assert_lacks("3 samples in 3 features has rank 2.*give more samples")
    detector = MahalanobisDetector("empirical", threshold="f").partial_fit(
        X * [1, 0, 1]
    )
    assert_lacks("has rank 2 and cannot be inverted; 1 features are constant")
    # Collinear features are seen once the covariance is decomposed.
    detector = MahalanobisDetector("empirical", threshold="chi2")
    detector.partial_fit(X @ [[1, 0, 1], [0, 1, 1], [0, 0, 0]])
    for use in (detector.score_samples, detector.calibrate):
        with pytest.raises(NotFittedError, match="rank 2 and cannot be inverted"):
            use(X @ [[1, 0, 1], [0, 1, 1], [0, 0, 0]])


@pytest.mark.parametrize("threshold", ["quantile", "tail", "chi2", "f"])
def test_the_threshold_after_a_change(threshold):
    X = correlated(80, 3)
    parameters = {"threshold": threshold, "fpr": 0.05, "covariance": "empirical"}
    expected = MahalanobisDetector(**parameters).fit(X)
    detector = in_parts(MahalanobisDetector(**parameters), X, 9)
    changes = [
        lambda: detector,
        lambda: detector.calibrate(X).remove_samples(X[:5]).partial_fit(X[:5]),
        lambda: (
            detector.calibrate(X[5:])
            .remove_samples(X[:5])
            .merge(MahalanobisDetector("empirical").fit(X[:5]))
        ),
        lambda: MahalanobisDetector(**parameters).fit(X[5:]).partial_fit(X[:5]),
    ]
    for change in changes:
        changed = change()
        needs = ["p_values", "predict_batch"]
        if threshold in ("chi2", "f"):
            assert changed.offset_ == expected.offset_
            np.testing.assert_array_equal(changed.predict(X), expected.predict(X))
        else:
            needs += ["decision_function", "predict"]
            assert not hasattr(changed, "offset_")
        for method in needs:
            with pytest.raises(NotFittedError, match=r"Call calibrate\(X\)"):
                getattr(changed, method)(X)
        for method in ("fpr_bound", "calibration_distances_"):
            with pytest.raises(NotFittedError, match=r"Call calibrate\(X\)"):
                getattr(changed, method)()
        assert not hasattr(changed, "calibration_distances_")
        assert not hasattr(changed, "calibration_distances_")
        assert_same_threshold(clone_of(changed).calibrate(X), expected, X)


def clone_of(detector):
    """A fitted copy."""
    return pickle.loads(pickle.dumps(detector))


def test_the_law_is_judged_by_calibrate_only():
    X = np.random.default_rng(0).standard_t(2, size=(300, 10))
    detector = MahalanobisDetector(threshold="chi2", fpr=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        in_parts(detector, X, 100)
    with pytest.warns(
        FalseAlarmRateWarning, match="distribution does not hold"
    ) as caught:
        detector.calibrate(X)
    assert caught[0].filename == __file__
    with pytest.warns(FalseAlarmRateWarning, match="needs at least 999") as caught:
        MahalanobisDetector(fpr=0.001).partial_fit(X).calibrate(X)
    assert caught[0].filename == __file__


def test_fit_starts_anew():
    X, more = correlated(60, 5), correlated(60, 5, 1)
    detector = in_parts(MahalanobisDetector(), more, 20).fit(X)
    assert_same_gaussian(detector, MahalanobisDetector().fit(X), more)
    # Of other features, too.
    assert detector.fit(X[:, :3]).n_features_in_ == 3
    assert detector.partial_fit(more[:, :3]).n_samples_seen_ == 120


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_merging_equals_one_fit(covariance):
    X, X_test = correlated(100, 20), 2 * correlated(30, 20, 1)
    expected = MahalanobisDetector(covariance).fit(X)
    first = MahalanobisDetector(covariance).fit(X[:60])
    second = in_parts(MahalanobisDetector(covariance), X[60:], 1)
    before = second.mahalanobis(X_test)
    assert first.merge(second) is first
    assert_same_gaussian(first, expected, X_test)
    assert_same_threshold(first.calibrate(X), expected, X_test)
    np.testing.assert_array_equal(second.mahalanobis(X_test), before)
    # A single sample is no Gaussian, but can be merged.
    lonely = MahalanobisDetector(covariance).partial_fit(X[:1])
    rest = MahalanobisDetector(covariance).fit(X[1:])
    assert_same_gaussian(lonely.merge(rest), expected, X_test)


def test_what_differs_between_detectors_to_merge_is_named():
    pandas = pytest.importorskip("pandas")
    X = correlated(30, 3)
    detector = MahalanobisDetector("shrunk").fit(X)
    before = detector.mahalanobis(X)
    for other, message in [
        (MahalanobisDetector("oas").fit(X), "same covariance.*'shrunk'.*'oas'"),
        (MahalanobisDetector("shrunk", shrinkage=0.2).fit(X), "same shrinkage.*0.2"),
        (MahalanobisDetector("shrunk").fit(X[:, :2]), "same n_features_in_.*3.*2"),
        (
            MahalanobisDetector("shrunk").fit(pandas.DataFrame(X, columns=list("abc"))),
            "same feature_names_in_.*None.*'a'",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            detector.merge(other)
    with pytest.raises(TypeError, match="MahalanobisDetector; got LedoitWolf"):
        detector.merge(LedoitWolf().fit(X))
    with pytest.raises(NotFittedError, match="The other detector has no training"):
        detector.merge(MahalanobisDetector("shrunk"))
    with pytest.raises(NotFittedError, match="This detector has no training"):
        MahalanobisDetector("shrunk").merge(detector)
    np.testing.assert_array_equal(detector.mahalanobis(X), before)


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("n_forgotten", [1, 50, 70])
def test_forgetting_equals_a_fit_to_the_others(covariance, n_forgotten):
    X, X_test = correlated(100, 20), 2 * correlated(30, 20, 1)
    X[:, 3] = np.maximum(X[:, 3] - 3, 0)  # constant but for a few
    X[:n_forgotten, 3] += 1
    X[0] *= 30
    detector = MahalanobisDetector(covariance, threshold="chi2")
    rest = clone(detector)
    if covariance == "empirical":
        X, X_test = np.delete(X, 3, 1), np.delete(X_test, 3, 1)
    rest.fit(X[n_forgotten:])
    for fitted in (detector.fit(X), in_parts(clone(detector), X, 33)):
        assert fitted.remove_samples(X[:n_forgotten]) is fitted
        assert_same_gaussian(fitted, rest, X_test)
        fitted.calibrate(X[n_forgotten:])
        assert_same_threshold(fitted, rest, X_test)


def test_a_window_that_moves_on():
    X = correlated(400, 10)
    detector = MahalanobisDetector().fit(X[:50])
    for start in range(10, 351, 10):
        detector.partial_fit(X[start + 40 : start + 50]).remove_samples(
            X[start - 10 : start]
        )
    assert_same_gaussian(detector, MahalanobisDetector().fit(X[350:]), X)


def test_what_cannot_be_forgotten_or_calibrated_with():
    X = correlated(30, 3)
    detector = MahalanobisDetector().fit(X)
    before, offset = detector.mahalanobis(X), detector.offset_
    for rows, message in [
        (X[:5] + 10, "not all of these samples are among the training samples"),
        (X, "30 samples cannot be taken out of 30"),
        (np.vstack([X, X]), "60 samples cannot be taken out of 30"),
        (X[:, :2], "2 features"),
    ]:
        with pytest.raises(ValueError, match=f"(?i){message}"):
            detector.remove_samples(rows)
    with pytest.raises(ValueError, match="feature 0 goes from"):
        detector.calibrate(X + 10)
    with pytest.raises(ValueError, match="60 samples, and the detector.*30"):
        detector.calibrate(np.vstack([X, X]))
    with pytest.raises(ValueError, match="2 features"):
        detector.calibrate(X[:, :2])
    with pytest.raises(NotFittedError):
        MahalanobisDetector().remove_samples(X)
    with pytest.raises(NotFittedError):
        MahalanobisDetector().calibrate(X)
    np.testing.assert_array_equal(detector.mahalanobis(X), before)
    assert detector.offset_ == offset, "an error changes nothing"


def test_samples_of_another_type_are_taken_as_numbers():
    """Squares of small integers do not fit into their type."""
    X = np.random.default_rng(0).integers(0, 256, (60, 4), dtype=np.uint8)
    detector = (
        in_parts(MahalanobisDetector(), X, 20).remove_samples(X[50:]).calibrate(X[:50])
    )
    expected = MahalanobisDetector().fit(X[:50].astype(float))
    assert_same_gaussian(detector, expected, X.astype(float))
    assert_same_threshold(detector, expected, X.astype(float))


def test_samples_too_few_for_a_gaussian_can_be_forgotten():
    X = correlated(8, 3)
    detector = MahalanobisDetector("empirical", threshold="chi2").partial_fit(X[:3])
    detector.remove_samples(X[2:3])
    assert detector.n_samples_seen_ == 2
    expected = MahalanobisDetector("empirical", threshold="chi2").fit(X)
    assert_same_gaussian(detector.partial_fit(X[2:]), expected, X)


def test_samples_that_cannot_be_added_change_nothing():
    X = correlated(30, 3)
    detector = MahalanobisDetector().fit(X)
    before = detector.predict(X)
    for rows, message in [
        (X[:, :2], "2 features"),
        (np.full((1, 3), np.nan), "contains NaN"),
        (np.full((1, 3), 1e200), "Rescale them"),
    ]:
        with pytest.raises(ValueError, match=message):
            detector.partial_fit(rows)
    np.testing.assert_array_equal(detector.predict(X), before)
    assert detector.n_samples_seen_ == 30


def test_parameters_are_judged():
    X = correlated(30, 3)
    grouped = MahalanobisDetector(fpr=0.2)
    grouped.fit(X, groups=np.arange(30) % 5)
    for method in ("partial_fit", "remove_samples", "calibrate", "merge"):
        with pytest.raises(ValueError, match=r"Use fit\(X, groups=groups\)"):
            getattr(grouped, method)(X)
    with pytest.raises(ValueError, match="fpr must be"):
        MahalanobisDetector(fpr=2).partial_fit(X)
    with pytest.raises(ValueError, match="threshold='f' needs"):
        MahalanobisDetector(threshold="f").partial_fit(X)
    # Another shrinkage of the same moments will do, but not what was not kept.
    detector = MahalanobisDetector("oas").fit(X[:20])
    detector.set_params(covariance="ledoit_wolf").partial_fit(X[20:])
    assert_same_gaussian(detector, MahalanobisDetector().fit(X), X)
    with pytest.raises(ValueError, match="'diagonal' needs only variances.*Call fit"):
        detector.set_params(covariance="diagonal").partial_fit(X)
    detector = MahalanobisDetector("isotropic").fit(X)
    with pytest.raises(ValueError, match="'oas' needs variances and correlations"):
        detector.set_params(covariance="oas").partial_fit(X)


def test_adding_samples_does_not_decompose(monkeypatch):
    """Else samples added one by one would cost D^3 each."""
    X = correlated(60, 20)
    detector = MahalanobisDetector().fit(X[:30])

    def refuse(*args, **kwargs):
        raise AssertionError("decomposed")

    with monkeypatch.context() as patch:
        patch.setattr("numpy.linalg.eigh", refuse)
        in_parts(detector, X[30:], 5).remove_samples(X[:5])
        assert detector.shrinkage_ > 0
    assert_same_gaussian(detector, MahalanobisDetector().fit(X[5:]), X)


def test_pickles_are_small_after_a_fit_and_go_on():
    X = correlated(20, 300)
    fitted = MahalanobisDetector().fit(X)
    n_values = 8 * (19 + 6) * 300
    assert len(pickle.dumps(fitted)) < 1.1 * n_values < 8 * 300**2 / 10
    copy = clone_of(fitted).partial_fit(X[:1] + 0.1)
    assert_same_gaussian(copy, fitted.partial_fit(X[:1] + 0.1), X)
    # Two matrices: moments and, once it is used, axes.
    fitted.score_samples(X)
    assert len(pickle.dumps(fitted)) < 1.1 * 8 * 300 * (300 + 20 + 6)


def test_variances_alone_form_no_matrix():
    X = correlated(10, 2)[:, np.arange(20_000) % 2]
    detector = in_parts(MahalanobisDetector("diagonal"), X, 3).calibrate(X)
    assert len(pickle.dumps(detector)) < 8 * 20_000 * 10
    assert detector.remove_samples(X[:1]).n_dof_ == 20_000


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_moments_and_distances_made_elsewhere(covariance):
    """As many machines make them, each with a part of the samples."""
    X = correlated(90, 12)
    parts = np.split(X, [20, 55])
    diagonal = covariance in ("diagonal", "isotropic")
    moments = [Moments.of(part, diagonal=diagonal) for part in parts]
    detector = MahalanobisDetector(covariance)
    detector._fit_moments(moments[0].merge(moments[1].merge(moments[2])))
    gaussian = clone_of(detector._gaussian)
    squared = np.concatenate(
        [leave_out(gaussian, part, are_all=False) for part in parts]
    )
    detector._set_held_out(np.sqrt(squared))
    detector._set_threshold()
    expected = MahalanobisDetector(covariance).fit(X)
    assert detector.n_features_in_ == 12
    assert_same_gaussian(detector, expected, X)
    assert_same_threshold(detector, expected, X)
    with pytest.raises(ValueError, match="single training sample"):
        MahalanobisDetector(covariance)._fit_moments(
            Moments.of(X[:1], diagonal=diagonal)
        )
