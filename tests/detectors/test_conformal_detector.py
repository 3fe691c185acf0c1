import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import KFold, LeaveOneOut, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgaussad import ConformalDetector, LevelEnsemble, MahalanobisDetector, NegatedPCA
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
        detector.score_samples(X), clone(pipe).fit(X).score_samples(X)
    )


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
    np.testing.assert_allclose(detector.p_values(X), direct.p_values(X))


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
