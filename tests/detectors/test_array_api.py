import pickle
import warnings

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgaussad import (
    CellwiseMahalanobisDetector,
    LevelEnsemble,
    MahalanobisDetector,
    VariantMahalanobisDetector,
)
from skgaussad._utils import array_api as _array_api

torch = pytest.importorskip("torch")
array_api_strict = pytest.importorskip("array_api_strict")

NAMESPACES = {"torch": torch, "array_api_strict": array_api_strict}
METHODS = [
    "mahalanobis",
    "score_samples",
    "decision_function",
    "predict",
    "p_values",
    "predict_batch",
]
COLUMNS = {"even": slice(0, None, 2), "odd": slice(1, None, 2), "all": slice(None)}


@pytest.fixture
def dispatch(monkeypatch):
    # Read by scikit-learn when dispatch is on. SciPy is given no tensors here.
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    try:
        with sklearn.config_context(array_api_dispatch=True):
            yield
    except ImportError as error:
        pytest.skip(f"This scikit-learn cannot dispatch here: {error}")


def samples(n_samples, n_features=12, seed=0):
    rng = np.random.default_rng(seed)
    scales = np.geomspace(1, 0.01, n_features)
    return rng.normal(size=(n_samples, n_features)) * scales + 3


def to_namespace(X, name, dtype="float64"):
    xp = NAMESPACES[name]
    return xp.asarray(X, dtype=getattr(xp, dtype))


def check_equal(result, expected, name, rtol=1e-12):
    xp = NAMESPACES[name]
    assert isinstance(result, type(xp.asarray([0.0])))
    assert result.dtype == getattr(xp, str(expected.dtype))
    np.testing.assert_allclose(np.asarray(result), expected, rtol=rtol)


@pytest.mark.parametrize("n_samples", [8, 60], ids="n = {}".format)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAMESPACES)
@pytest.mark.parametrize("covariance", ["ledoit_wolf", "diagonal"])
def test_scores_are_those_of_numpy(dispatch, covariance, name, dtype, n_samples):
    """In float64, whatever the samples come in."""
    detector = MahalanobisDetector(covariance, fpr=0.2).fit(samples(n_samples))
    X = samples(20, seed=1).astype(dtype)
    X[:5] += 1
    for method in METHODS:
        result = getattr(detector, method)(to_namespace(X, name, dtype))
        check_equal(result, getattr(detector, method)(X), name)


@pytest.mark.parametrize("n_samples", [8, 60], ids="n = {}".format)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "cells", [4, {"odd": slice(1, 12, 2), "even": slice(0, 12, 2)}]
)
@pytest.mark.parametrize("name", NAMESPACES)
def test_residuals_are_those_of_numpy(dispatch, name, cells, dtype, n_samples):
    X = samples(20, seed=1).astype(dtype)
    X[:5] += 1
    fitted = CellwiseMahalanobisDetector(cells=cells, top_fraction=0.5, fpr=0.2)
    expected = fitted.fit(samples(n_samples))
    offset = expected.offset_
    detector = clone(fitted).fit(to_namespace(samples(n_samples), name))
    assert detector.offset_ == offset
    for method in ("cell_residuals", *METHODS[1:]):
        result = getattr(detector, method)(to_namespace(X, name, dtype))
        check_equal(result, getattr(expected, method)(X), name)
    assert name.encode() not in pickle.dumps(detector)


@pytest.mark.parametrize("name", NAMESPACES)
def test_residuals_of_several_levels(dispatch, name):
    """Divided by the scale of each level, in whatever the samples come in."""
    columns = [f"level{i // 6}_grid1_r0c{i // 3 % 2}_{i % 3:04d}" for i in range(12)]
    expected = CellwiseMahalanobisDetector(fpr=0.2).fit(
        pytest.importorskip("pandas").DataFrame(samples(60), columns=columns)
    )
    X = samples(20, seed=1)
    with warnings.catch_warnings():
        # Tensors have no names.
        warnings.simplefilter("ignore", UserWarning)
        for method in ("cell_residuals", "score_samples", "predict"):
            result = getattr(expected, method)(to_namespace(X, name))
            check_equal(result, getattr(expected, method)(X), name)


@pytest.mark.parametrize("name", NAMESPACES)
def test_many_rows_are_scored_like_few(dispatch, name, monkeypatch):
    detector = MahalanobisDetector(fpr=0.2).fit(samples(8))
    X = samples(20, seed=1)
    expected = detector.mahalanobis(X)
    monkeypatch.setattr("skgaussad.covariance._gaussian._BLOCK_VALUES", 40)
    check_equal(detector.mahalanobis(to_namespace(X, name)), expected, name)


def test_scores_stay_on_the_device(dispatch):
    device = array_api_strict.Device("device1")
    X = array_api_strict.asarray(samples(20, seed=1), device=device)
    detector = MahalanobisDetector().fit(samples(30))
    ensemble = LevelEnsemble(columns=COLUMNS).fit(samples(30))
    cellwise = CellwiseMahalanobisDetector(cells=4).fit(samples(30))
    for method in METHODS:
        assert getattr(detector, method)(X).device == device
    for method in METHODS[1:]:
        assert getattr(ensemble, method)(X).device == device
        assert getattr(cellwise, method)(X).device == device
    assert cellwise.cell_residuals(X).device == device


@pytest.mark.parametrize("name", NAMESPACES)
def test_devices_without_float64_score_in_float32(dispatch, name, monkeypatch):
    monkeypatch.setattr(
        _array_api, "_max_precision_float_dtype", lambda xp, device: xp.float32
    )
    X = samples(20, seed=1).astype("float32")
    for detector in (
        MahalanobisDetector(),
        LevelEnsemble(columns=COLUMNS),
        CellwiseMahalanobisDetector(cells=4),
    ):
        detector.fit(samples(60))
        for method in ("score_samples", "p_values"):
            result = getattr(detector, method)(to_namespace(X, name, "float32"))
            expected = getattr(detector, method)(X).astype("float32")
            check_equal(result, expected, name, rtol=1e-3)


@pytest.mark.parametrize("threshold", ["quantile", "tail", "chi2"])
@pytest.mark.parametrize("name", NAMESPACES)
def test_fit_moves_samples_to_the_host(dispatch, name, threshold):
    X = samples(60)
    expected = MahalanobisDetector(threshold=threshold).fit(X)
    detector = MahalanobisDetector(threshold=threshold).fit(to_namespace(X, name))
    assert isinstance(detector.location_, np.ndarray)
    assert detector.offset_ == expected.offset_
    assert name.encode() not in pickle.dumps(detector)
    detector.score_samples(to_namespace(X, name))
    assert name.encode() not in pickle.dumps(detector)


@pytest.mark.parametrize("name", NAMESPACES)
def test_samples_that_come_and_go(dispatch, name):
    X = samples(60)
    expected = MahalanobisDetector().fit(X[:50])
    detector = MahalanobisDetector().partial_fit(to_namespace(X, name))
    detector.remove_samples(to_namespace(X[50:], name)).calibrate(
        to_namespace(X[:50], name)
    )
    assert detector.offset_ == pytest.approx(expected.offset_, rel=1e-9)


@pytest.mark.parametrize("aggregation", ["sum", "mean", "max", "top"])
@pytest.mark.parametrize("name", NAMESPACES)
def test_level_ensembles(dispatch, name, aggregation):
    X, X_new = samples(60), samples(20, seed=1)
    ensemble = LevelEnsemble(columns=COLUMNS, aggregation=aggregation)
    ensemble.fit(to_namespace(X, name))
    assert ensemble.offset_ == ensemble.fit(X).offset_
    for method in ("group_scores", *METHODS[1:]):
        result = getattr(ensemble, method)(to_namespace(X_new, name))
        check_equal(result, getattr(ensemble, method)(X_new), name)


@pytest.mark.parametrize("name", NAMESPACES)
def test_level_ensembles_of_other_detectors_score_on_the_host(dispatch, name):
    pipeline = make_pipeline(StandardScaler(), MahalanobisDetector())
    ensemble = LevelEnsemble(pipeline, columns=COLUMNS).fit(samples(60))
    X = samples(20, seed=1)
    result = ensemble.score_samples(to_namespace(X, name))
    check_equal(result, ensemble.score_samples(X), name)


@pytest.mark.parametrize("name", NAMESPACES)
def test_variants(dispatch, name):
    X = samples(60)
    X[:30] += 5
    labels = np.repeat([0, 1], 30)
    detector = VariantMahalanobisDetector().fit(to_namespace(X, name), variants=labels)
    for method in ("mahalanobis", "score_samples", "predict"):
        result = getattr(detector, method)(to_namespace(X, name))
        check_equal(result, getattr(detector, method)(X), name)
    np.testing.assert_array_equal(
        detector.predict_variant(to_namespace(X, name)), labels
    )


@pytest.mark.parametrize("name", NAMESPACES)
def test_wrong_samples_are_refused_as_ever(dispatch, name):
    detector = MahalanobisDetector().fit(samples(60))
    X = samples(5)
    with pytest.raises(ValueError, match="X has 11 features"):
        detector.score_samples(to_namespace(X[:, 1:], name))
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        detector.score_samples(to_namespace(X, name))


def test_without_dispatch_tensors_are_copied_to_numpy():
    X = samples(60)
    for detector in (MahalanobisDetector(), LevelEnsemble(columns=COLUMNS)):
        detector.fit(torch.asarray(X))
        result = detector.score_samples(torch.asarray(X))
        assert isinstance(result, np.ndarray)
        np.testing.assert_array_equal(result, detector.score_samples(X))


def test_what_can_only_be_read_is_copied(dispatch):
    """joblib maps large arrays from files, and torch would warn of them."""
    detector = MahalanobisDetector(fpr=0.2).fit(samples(8))
    detector.location_.flags.writeable = False
    detector.mahalanobis(to_namespace(samples(8), "torch"))
    assert not detector.location_.flags.writeable
