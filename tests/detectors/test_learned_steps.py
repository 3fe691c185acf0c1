"""Steps before a detector that learn from the samples it leaves out."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from skgaussad import (
    CellwiseMahalanobisDetector,
    ConformalDetector,
    LevelEnsemble,
    MahalanobisDetector,
    MondrianDetector,
    NegatedPCA,
    RobustDetector,
    VariantMahalanobisDetector,
)
from skgaussad.exceptions import FalseAlarmRateWarning

LEARNED = "learned from the same samples"


def draw(n_samples=60, n_features=30, seed=0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_features, n_features))
    return rng.normal(size=(n_samples, n_features)) @ mixing + 5


def says_so(estimator, X, **fit):
    """Whether a fit warns of steps that learned."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FalseAlarmRateWarning)
        estimator.fit(X, **fit)
    return any(LEARNED in str(warning.message) for warning in caught)


@pytest.mark.parametrize(
    "step",
    [
        NegatedPCA(0.1),
        NegatedPCA(5),
        PCA(0.9),
        PCA(5),
        PCA(whiten=True),
        make_pipeline(StandardScaler(), PCA(8)),
    ],
    ids=str,
)
@pytest.mark.parametrize("n_samples", [20, 60])
def test_components_are_seen_in_any_pipeline(step, n_samples):
    X = draw(n_samples)
    ensemble = LevelEnsemble(columns={"a": [0, 1], "b": [2]})
    for detector in (MahalanobisDetector(), ensemble):
        assert says_so(make_pipeline(step, detector), X)
        assert says_so(make_pipeline(step, detector), X.astype(np.float32))
    assert not says_so(ConformalDetector(make_pipeline(step, MahalanobisDetector())), X)


@pytest.mark.parametrize(
    "detector",
    [
        MondrianDetector(),
        MondrianDetector(shared=True),
        RobustDetector(),
        VariantMahalanobisDetector(random_state=0),
        ConformalDetector(MahalanobisDetector()),
    ],
    ids=str,
)
def test_every_detector_sees_them(detector):
    """A ConformalDetector behind the step, not around it, too."""
    X = draw(60)
    assert says_so(make_pipeline(NegatedPCA(5), clone(detector)), X)
    assert not says_so(clone(detector), X)


@pytest.mark.parametrize(
    "detector",
    [
        MahalanobisDetector(),
        ConformalDetector(MahalanobisDetector()),
        MondrianDetector(),
        RobustDetector(),
    ],
    ids=str,
)
def test_data_frames_of_several_types_are_fitted(detector):
    X = draw(60, 4)
    frame = pd.DataFrame(X, columns=list("abcd"))
    mixed = frame.assign(b=frame["b"] > 5)
    for given in (mixed, frame.convert_dtypes(), frame.astype(object)):
        scores = clone(detector).fit(given).score_samples(given)
        expected = clone(detector).fit(given.astype(float))
        np.testing.assert_allclose(scores, expected.score_samples(given.astype(float)))


def test_components_are_seen_with_groups_and_by_calibrate():
    X = PCA(10).fit_transform(draw())
    assert says_so(MahalanobisDetector(fpr=0.3), X, groups=np.arange(60) % 10)
    assert says_so(CellwiseMahalanobisDetector(cells=2), X)
    detector = MahalanobisDetector().partial_fit(X)
    with pytest.warns(FalseAlarmRateWarning, match=LEARNED) as caught:
        detector.calibrate(X)
    assert caught[0].filename == __file__


SCALERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    MinMaxScaler(),
    MaxAbsScaler(),
    RobustScaler(),
    PowerTransformer(),
    QuantileTransformer(n_quantiles=20),
    make_pipeline(StandardScaler(), MinMaxScaler((-1, 1))),
]


@pytest.mark.parametrize("step", SCALERS, ids=str)
def test_scaling_is_seen_where_it_changes_the_rate(step):
    X = draw(60, 30)
    assert says_so(make_pipeline(step, MahalanobisDetector()), X)
    assert says_so(make_pipeline(step, MahalanobisDetector()), X.astype(np.float32))
    for covariance in ("empirical", "diagonal"):
        # PowerTransformer changes more than scales, and cannot be told from the others.
        assert says_so(make_pipeline(step, MahalanobisDetector(covariance)), X)
    # Of so few features of so many samples it does not.
    assert not says_so(make_pipeline(step, MahalanobisDetector()), draw(1000, 8))
    conformal = ConformalDetector(make_pipeline(step, MahalanobisDetector()))
    assert not says_so(conformal, X)


def rectified(n_samples=60, n_features=30):
    """Features that are 0 in half of the samples, as those of networks are."""
    return np.maximum(draw(n_samples, n_features) - 5, 0)


def counts(n_samples=60, n_features=30):
    rng = np.random.default_rng(0)
    return rng.poisson(rng.uniform(1, 9, n_features), (n_samples, n_features)) * 1.0


@pytest.mark.parametrize("step", SCALERS, ids=str)
def test_scaling_is_seen_whatever_some_features_hold(step):
    X = step.fit_transform(draw())
    some_zero = np.where(np.arange(30) < 10, rectified(), draw())
    of_copies = draw()
    of_copies[10:12] = of_copies[:2]
    for repeating in (some_zero, of_copies, np.column_stack([draw(), counts()[:, :4]])):
        assert says_so(MahalanobisDetector(fpr=0.1), step.fit_transform(repeating))
    unscaled = np.column_stack([X, draw(seed=1)[:, :10]])
    assert says_so(MahalanobisDetector(), unscaled)


@pytest.mark.parametrize(
    "step",
    [StandardScaler(), MinMaxScaler(), MaxAbsScaler(), PowerTransformer()],
    ids=str,
)
def test_scaling_of_rectified_features_is_seen(step):
    assert says_so(MahalanobisDetector(), step.fit_transform(rectified()))
    assert not says_so(MahalanobisDetector(), rectified())


@pytest.mark.parametrize(
    "step",
    [StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler()],
    ids=str,
)
def test_scaled_whole_numbers_are_seen(step):
    rng = np.random.default_rng(1)
    grey = rng.integers(0, 200, size=(60, 100)) + rng.integers(0, 50, size=100) * 1.0
    for X in (counts(n_features=100), grey):
        assert says_so(MahalanobisDetector(), step.fit_transform(X))
        assert not says_so(MahalanobisDetector(), X)


def test_scaling_is_seen_in_half_precision():
    halves = StandardScaler().fit_transform(draw()).astype(np.float16)
    assert says_so(MahalanobisDetector(), halves)


@pytest.mark.parametrize("white", [100, 255, 1023, 4095, 16383, 65535])
def test_limits_of_sensors_and_activations_are_no_scaling(white):
    normal = np.random.default_rng(2).normal(size=(60, 100))
    grey = np.clip(np.rint((normal / 2 + 0.5) * white), 0, white)
    for X in (
        grey,
        grey / white,
        np.clip(normal / 2 + 0.5, 0, 1),
        np.clip(2 * normal + 2, 0, 6),
        np.clip(2 * np.exp(normal), 0, 6),
        np.clip(1.5 * normal, -1, 1),
    ):
        assert not says_so(MahalanobisDetector(), X)


@pytest.mark.parametrize("dtype", [bool, np.float16, np.float32, np.int8])
@pytest.mark.parametrize(
    "detector",
    [
        ConformalDetector(MahalanobisDetector(), cv=3),
        RobustDetector(),
        MondrianDetector(),
        LevelEnsemble(columns={"all": slice(0, 8)}),
    ],
    ids=lambda detector: type(detector).__name__,
)
def test_numbers_of_any_type_are_looked_at(detector, dtype):
    X = np.random.default_rng(0).normal(size=(60, 8))
    X = X > 0 if dtype is bool else (3 * X).astype(dtype)
    assert not says_so(detector, X)
    if dtype == np.float32:
        assert not says_so(detector, X * np.float32(3e18))


@pytest.mark.parametrize("function", [np.tanh, lambda X: 1 / (1 + np.exp(-2 * X))])
def test_activations_near_their_limits_are_no_scaling(function):
    X = function(4 * np.random.default_rng(4).normal(size=(60, 100)))
    for each in (X, X.astype(np.float32)):
        assert not says_so(MahalanobisDetector(), each)


def test_bounded_features_of_many_samples_are_no_scaling():
    X = np.random.default_rng(5).uniform(size=(4000, 200))
    assert not says_so(MahalanobisDetector(), X)


def test_a_share_and_the_rest_are_no_scaling():
    share = np.random.default_rng(3).random(60)
    shares = np.column_stack([share, 1 - share])
    for each in (shares, shares.astype(np.float32)):
        assert not says_so(MahalanobisDetector(), each)


@pytest.mark.parametrize("threshold", ["tail", "chi2", "f"])
def test_other_rules_are_judged_too(threshold):
    covariance = "ledoit_wolf" if threshold == "tail" else "empirical"
    detector = MahalanobisDetector(covariance, threshold=threshold)
    assert says_so(make_pipeline(NegatedPCA(5), detector), draw(60))
    assert not says_so(detector, draw(60))


def test_other_features_are_silent():
    for n_samples in (20, 60):
        assert not says_so(MahalanobisDetector(), draw(n_samples))
    rng = np.random.default_rng(0)
    binary = rng.integers(0, 2, size=(60, 30)).astype(float)
    pixels = rng.integers(0, 256, size=(60, 300)).astype(float).clip(10, 245)
    shares = rng.dirichlet(np.ones(30), size=60)
    of_unit_length = draw() / np.linalg.norm(draw(), axis=1, keepdims=True)
    full_range = rng.integers(0, 256, size=(60, 300)).astype(float)
    full_range[0], full_range[1] = 0, 255
    full_range = rng.permuted(full_range, axis=0)
    copied = np.outer(draw()[:, 0], rng.uniform(1, 2, size=30))
    mirrored = copied[:, :1] * rng.choice([-1, 1], size=30)
    several = (binary, pixels, full_range, full_range / 255, shares, of_unit_length)
    for X in (*several, copied, mirrored, np.abs(draw())):
        assert not says_so(MahalanobisDetector(), X)
    for step in (PCA(10), StandardScaler(), MinMaxScaler()):
        of_others = step.fit(draw(seed=1)).transform(draw())
        assert not says_so(MahalanobisDetector(), of_others), "of other samples"


def test_the_warning_is_deserved():
    """Of principal components, most new samples are beyond the threshold."""
    X = draw(400, 50)
    pipe = make_pipeline(NegatedPCA(10), MahalanobisDetector())
    with pytest.warns(FalseAlarmRateWarning, match=LEARNED):
        pipe.fit(X[:60])
    assert np.mean(pipe.predict(X[60:]) == -1) > 0.3


def test_the_warning_of_scaling_is_deserved():
    rates = []
    for seed in range(5):
        X = np.random.default_rng(seed).normal(size=(1000, 200))
        pipe = make_pipeline(MinMaxScaler(), MahalanobisDetector())
        with pytest.warns(FalseAlarmRateWarning, match="200 features of 40 samples"):
            pipe.fit(X[:40])
        conformal = ConformalDetector(pipe).fit(X[:40])
        fitted = pipe, conformal
        rates.append([np.mean(each.predict(X[40:]) == -1) for each in fitted])
    pipe, conformal = np.mean(rates, axis=0)
    assert pipe > 0.1
    assert conformal < 0.07
