import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import (
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    ShuffleSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgaussad import ConformalDetector, LevelEnsemble, MahalanobisDetector, NegatedPCA
from skgaussad.calibration import HeldOutDistances
from skgaussad.exceptions import FalseAlarmRateWarning

SPLIT_GROUPS = list(KFold(3, shuffle=True, random_state=0).split(range(30)))


def draw(n_samples, rng, n_features=12):
    """Rows with a few directions of much variance and many of little."""
    scales = np.geomspace(10, 0.1, n_features)
    return rng.standard_t(6, size=(n_samples, n_features)) * scales


@parametrize_with_checks(
    [
        ConformalDetector(MahalanobisDetector("diagonal")),
        ConformalDetector(make_pipeline(StandardScaler(), MahalanobisDetector("oas"))),
    ]
)
@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:Fitted without the first or the last half")
@pytest.mark.filterwarnings("ignore:The features are uncorrelated")
def test_steps_before_the_detector_do_not_see_the_samples_left_out():
    X = draw(25, np.random.default_rng(0))
    pipe = make_pipeline(NegatedPCA(4), MahalanobisDetector())
    detector = ConformalDetector(pipe, cv=LeaveOneOut()).fit(X)
    expected = [
        -clone(pipe).fit(np.delete(X, i, axis=0)).score_samples(X[i : i + 1])[0]
        for i in range(25)
    ]
    np.testing.assert_allclose(detector.calibration_distances_, expected)
    np.testing.assert_allclose(
        detector.estimator_.score_samples(X), clone(pipe).fit(X).score_samples(X)
    )


def rank_by_folds(estimator, X, X_test, folds, groups=None):
    """CV+ as it is written down: mean distances, and p-values one by one."""
    by_fold, held_out, number = [], np.empty(len(X)), np.empty(len(X), dtype=int)
    for k, (train, test) in enumerate(folds):
        fitted = clone(estimator).fit(X[train])
        held_out[test], number[test] = -fitted.score_samples(X[test]), k
        by_fold.append(-fitted.score_samples(X_test))
    weights, n = np.ones(len(X)), len(X)
    if groups is not None:
        _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        weights, n = 1 / sizes[numbers], len(sizes)
    p_values = [
        (
            1
            + sum(
                w
                for r, k, w in zip(held_out, number, weights, strict=True)
                if r >= by_fold[k][x]
            )
        )
        / (n + 1)
        for x in range(len(X_test))
    ]
    return np.mean(by_fold, axis=0), np.array(p_values), held_out


@pytest.mark.filterwarnings("ignore:The features are uncorrelated")
@pytest.mark.parametrize("n_folds", [3, 5, 30])
@pytest.mark.parametrize(
    "inner",
    [make_pipeline(NegatedPCA(4), MahalanobisDetector()), OneClassSVM(nu=0.2)],
    ids=["npca", "svm"],
)
def test_p_values_are_those_of_cv_plus(inner, n_folds):
    rng = np.random.default_rng(0)
    X, X_test = draw(30, rng), draw(200, rng)
    folds = list(KFold(n_folds, shuffle=True, random_state=0).split(X))
    mean, expected, held_out = rank_by_folds(inner, X, X_test, folds)
    for fpr in (0.05, 0.1, 0.3, 0.7):
        detector = ConformalDetector(inner, cv=folds, fpr=fpr).fit(X)
        p_values = detector.p_values(X_test)
        np.testing.assert_allclose(p_values, expected)
        np.testing.assert_array_equal(
            detector.predict(X_test) == -1, expected <= fpr + 1e-12
        )
    np.testing.assert_allclose(detector.calibration_distances_, held_out)
    # Moved no farther than the rank needs.
    distances = -detector.score_samples(X_test)
    ranks = [np.sum(held_out < m) for m in mean]
    unmoved = np.isclose((31 - np.array(ranks)) / 31, expected)
    np.testing.assert_allclose(distances[unmoved], mean[unmoved])
    assert unmoved.any() and (n_folds == 30 or not unmoved.all())
    beyond = expected == 1 / 31
    assert np.all(distances[beyond] > held_out.max())


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_joined_distances_have_the_rank_of_cv_plus(data):
    """Ties included, where the p-value may be the next higher one."""
    draw_from = data.draw
    n, n_folds = draw_from(st.integers(2, 25)), draw_from(st.integers(1, 4))
    values = st.integers(-3, 9).map(float) | st.floats(0, 9) | st.just(np.inf)
    held_out = np.array([draw_from(values) for _ in range(n)])
    folds = np.array([draw_from(st.integers(0, n_folds - 1)) for _ in range(n)])
    groups = None
    if draw_from(st.booleans()):
        groups = np.unique(
            [draw_from(st.integers(0, 5)) for _ in range(n)], return_inverse=True
        )[1]
    by_fold = np.array([[draw_from(values) for _ in range(n_folds)] for _ in range(5)])
    kept = HeldOutDistances(held_out, groups, folds=folds)
    joined = kept.join_folds(by_fold)
    weights = np.ones(n) if groups is None else (1 / np.bincount(groups))[groups]
    near = by_fold * np.where(by_fold > 0, 1 - 1e-9, 1 + 1e-9)
    sums = np.array([weights @ (held_out >= s[folds]) for s in near])
    expected = np.minimum((1 + sums) / (kept.n_units + 1), 1)
    p_values = kept.p_values(joined)
    assert np.all(p_values >= expected - 1e-6)
    possible = np.minimum((1 + np.append(kept._sorted[1], 0)) / (kept.n_units + 1), 1)
    for p, q in zip(p_values, expected, strict=True):
        # None that can be had lies between.
        assert (
            not np.any((possible >= q - 1e-6) & (possible < p - 1e-6))
            or len(set(held_out)) < n
        )
    order = np.argsort(joined)
    assert np.all(np.diff(p_values[order]) <= 1e-12)


def test_a_rate_by_all_samples_would_be_void():
    """With fewer samples than features, and a step that learns."""
    rng = np.random.default_rng(0)
    scales = np.arange(1, 151) ** -0.5
    inner = make_pipeline(PCA(0.99), MahalanobisDetector())
    rates, of_all = [], []
    for _ in range(10):
        X, X_test = np.split(rng.normal(size=(360, 150)) * scales, [60])
        detector = ConformalDetector(inner, fpr=0.1).fit(X)
        rates.append(np.mean(detector.predict(X_test) == -1))
        distances = -detector.estimator_.score_samples(X_test)
        of_all.append(np.mean(distances > -detector.offset_))
    assert np.mean(rates) < 0.1 + 3 * stats.sem(rates)
    assert np.mean(of_all) > 0.2


@pytest.mark.parametrize(
    "inner",
    [
        make_pipeline(NegatedPCA(4), MahalanobisDetector()),
        IsolationForest(n_estimators=20, random_state=0),
    ],
    ids=["npca", "forest"],
)
@pytest.mark.slow
def test_the_rate_holds_for_any_detector(inner):
    rng = np.random.default_rng(1)
    rates = []
    for _ in range(25):
        detector = ConformalDetector(inner, fpr=0.1, cv=10).fit(draw(60, rng))
        rates.append(np.mean(detector.predict(draw(300, rng)) == -1))
    assert abs(np.mean(rates) - 0.1) < 3 * stats.sem(rates) + 1 / 61


@pytest.mark.filterwarnings("ignore:The features are uncorrelated")
def test_the_pipeline_alone_misses_the_rate():
    """What the steps have seen looks more normal than it is."""
    rng = np.random.default_rng(1)
    pipe = make_pipeline(NegatedPCA(6), MahalanobisDetector(fpr=0.1))
    rates = [
        np.mean(pipe.fit(draw(15, rng)).predict(draw(300, rng)) == -1)
        for _ in range(25)
    ]
    assert np.mean(rates) > 0.1 + 3 * stats.sem(rates) + 1 / 16


def test_groups_are_left_out_whole_and_weigh_alike():
    rng = np.random.default_rng(2)
    X = draw(60, rng)
    runs = np.repeat(["a", "b", "c", "d"], [10, 10, 20, 20])
    detector = ConformalDetector(MahalanobisDetector(), fpr=0.4).fit(X, groups=runs)
    for run in "abcd":
        rest = MahalanobisDetector().fit(X[runs != run])
        np.testing.assert_allclose(
            detector.calibration_distances_[runs == run],
            -rest.score_samples(X[runs == run]),
        )
    direct = MahalanobisDetector(fpr=0.4)
    direct.fit(X, groups=runs)
    assert detector.offset_ == pytest.approx(direct.offset_)
    X_test = draw(50, rng)
    folds = LeaveOneGroupOut().split(X, groups=runs)
    _, expected, _ = rank_by_folds(MahalanobisDetector(), X, X_test, folds, runs)
    p_values = detector.p_values(X_test)
    # Weights differ, so that a rank can lie between two that distances have.
    assert np.all(p_values > expected - 1e-9)
    assert np.all(p_values < expected + 1 / 20)


def test_shuffled_folds_are_put_in_the_order_of_the_samples():
    X = draw(40, np.random.default_rng(3))
    folds = KFold(5, shuffle=True, random_state=0)
    expected = np.empty(40)
    for train, test in folds.split(X):
        expected[test] = -MahalanobisDetector().fit(X[train]).score_samples(X[test])
    for cv in ("auto", 5, folds):
        detector = ConformalDetector(MahalanobisDetector(), cv=cv).fit(X)
        np.testing.assert_allclose(detector.calibration_distances_, expected)


def test_levels_come_from_the_names_of_a_data_frame():
    X = draw(40, np.random.default_rng(3), n_features=6)
    names = [f"level{level}_{channel:04d}" for level in (1, 2) for channel in range(3)]
    frame = pd.DataFrame(X, columns=names)
    columns = {"level1": slice(0, 3), "level2": slice(3, 6)}
    by_name = ConformalDetector(LevelEnsemble()).fit(frame)
    by_number = ConformalDetector(LevelEnsemble(columns=columns)).fit(X)
    np.testing.assert_array_equal(
        by_name.calibration_distances_, by_number.calibration_distances_
    )
    np.testing.assert_array_equal(
        by_name.score_samples(frame), by_number.score_samples(X)
    )


def test_folds_over_processes_change_nothing():
    X = draw(40, np.random.default_rng(3))
    pipe = make_pipeline(StandardScaler(), MahalanobisDetector())
    one, two = (ConformalDetector(pipe, n_jobs=n).fit(X) for n in (None, 2))
    np.testing.assert_allclose(one.calibration_distances_, two.calibration_distances_)


@pytest.mark.parametrize(
    ("parameters", "groups", "message"),
    [
        ({"cv": ShuffleSplit(3)}, None, "cv must hold out each of the 30.*exactly"),
        ({"threshold": "chi2"}, None, "threshold must be one of 'quantile'"),
        ({"fpr": 2}, None, r"fpr must be a number in \(0, 1\); got 2"),
        (
            {"cv": SPLIT_GROUPS},
            np.repeat([0, 1, 2], 10),
            "cv must keep the samples of a group together, as GroupKFold",
        ),
    ],
    ids=["cv", "threshold", "fpr", "split groups"],
)
def test_bad_parameters_are_named(parameters, groups, message):
    detector = ConformalDetector(MahalanobisDetector(), **parameters)
    with pytest.raises(ValueError, match=message):
        detector.fit(draw(30, np.random.default_rng(0)), groups=groups)


def test_too_few_samples_for_the_rate():
    detector = ConformalDetector(MahalanobisDetector(), fpr=0.01)
    with pytest.warns(FalseAlarmRateWarning, match="needs at least 99.*are 30") as seen:
        detector.fit(draw(30, np.random.default_rng(0)))
    assert seen[0].filename == __file__
    assert -detector.offset_ == detector.calibration_distances_.max()
