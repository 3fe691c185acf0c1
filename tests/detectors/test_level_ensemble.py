import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, clone
from sklearn.covariance import EllipticEnvelope, EmpiricalCovariance, LedoitWolf
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    ShuffleSplit,
)
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgaussad import (
    LevelEnsemble,
    MahalanobisDetector,
    NegatedPCA,
    make_detector,
)
from skgaussad.datasets import load_solar_cells

COLUMNS = {"level1": slice(0, 4), "level2": slice(4, 10), "level3": slice(10, 13)}


class NearestNeighborDistance(BaseEstimator):
    """Minus the mean distance to the five nearest training samples."""

    def fit(self, X, y=None):
        self.neighbors_ = NearestNeighbors(n_neighbors=5).fit(X)
        return self

    def score_samples(self, X):
        return -self.neighbors_.kneighbors(X)[0].mean(axis=1)


DETECTORS = [
    MahalanobisDetector("diagonal"),
    make_pipeline(PCA(2), MahalanobisDetector()),
    make_pipeline(NegatedPCA(2), MahalanobisDetector()),
    make_pipeline(StandardScaler(), OneClassSVM()),
    LocalOutlierFactor(novelty=True),
    EllipticEnvelope(random_state=0),
    IsolationForest(random_state=0, n_estimators=10),
    GaussianMixture(2, random_state=0),
    NearestNeighborDistance(),
]


@pytest.fixture(scope="module")
def samples():
    """Normal rows, and anomalous ones that break the correlation of level 2."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 13))
    X[:, 4:10] = X[:, 4:5] + 0.1 * X[:, 4:10]
    anomalous = rng.normal(size=(40, 13))
    return X[:120], X[120:], anomalous


# With ten rows a check asks for a rate that only nineteen can support.
@parametrize_with_checks(
    [LevelEnsemble(columns={"first": slice(0, 1), "all": slice(0, None)})]
)
@pytest.mark.filterwarnings("ignore:fpr=0.05 needs at least 19 training samples")
# Iris is sorted by species, and two rows are equal.
@pytest.mark.filterwarnings("ignore:Fitted without the first or the last half")
@pytest.mark.filterwarnings("ignore:1 of the 150 training samples are copies")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("aggregation", ["sum", "mean", "max", "top"])
def test_equals_a_hand_written_loop(samples, aggregation):
    X, X_test, anomalous = samples
    X_test = np.vstack([X_test, anomalous])
    ensemble = LevelEnsemble(
        columns=COLUMNS,
        aggregation=aggregation,
        top_fraction=0.5 if aggregation == "top" else None,
    ).fit(X)
    distances = np.array(
        [
            np.sqrt(LedoitWolf().fit(X[:, part]).mahalanobis(X_test[:, part]))
            for part in COLUMNS.values()
        ]
    )
    expected = {
        "sum": distances.sum(axis=0),
        "mean": distances.mean(axis=0),
        "max": distances.max(axis=0),
        "top": np.sort(distances, axis=0)[-2:].mean(axis=0),
    }[aggregation]
    np.testing.assert_allclose(ensemble.group_scores(X_test), -distances.T, rtol=1e-9)
    np.testing.assert_allclose(ensemble.score_samples(X_test), -expected, rtol=1e-9)
    np.testing.assert_array_equal(
        ensemble.predict(X_test),
        np.where(ensemble.score_samples(X_test) >= ensemble.offset_, 1, -1),
    )


@pytest.mark.parametrize(
    ("share", "n_top"), [(0.01, 1), (0.05, 1), (0.25, 5), (0.3, 6), (0.31, 7), (1, 20)]
)
def test_top_fraction_rounds_up_to_whole_groups(share, n_top):
    X = np.random.default_rng(0).normal(size=(30, 20))
    columns = {f"cell{i}": [i] for i in range(20)}
    ensemble = LevelEnsemble(columns=columns, aggregation="top", top_fraction=share)
    ensemble.fit(X)
    distances = -ensemble.group_scores(X)
    expected = np.sort(distances, axis=1)[:, 20 - n_top :].mean(axis=1)
    np.testing.assert_allclose(-ensemble.score_samples(X), expected)


@pytest.mark.filterwarnings("ignore:The features are uncorrelated")
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: type(d).__name__)
def test_works_with_any_detector(samples, detector):
    X, X_test, _ = samples
    cv = KFold(5, shuffle=True, random_state=0)
    ensemble = LevelEnsemble(clone(detector), columns=COLUMNS).fit(X)
    expected = np.column_stack(
        [
            clone(detector).fit(X[:, part]).score_samples(X_test[:, part])
            for part in COLUMNS.values()
        ]
    )
    np.testing.assert_allclose(ensemble.group_scores(X_test), expected)
    if isinstance(detector, MahalanobisDetector):
        # In closed form, without folds.
        np.testing.assert_allclose(ensemble.score_samples(X_test), expected.sum(axis=1))
        return
    # CV+, one test sample and one training sample at a time.
    n_as_far = np.zeros(len(X_test))
    for train, test in cv.split(X):
        by_train = [clone(detector).fit(X[train][:, part]) for part in COLUMNS.values()]
        held_out, new = (
            -sum(
                fitted.score_samples(rows[:, part])
                for fitted, part in zip(by_train, COLUMNS.values(), strict=True)
            )
            for rows in (X[test], X_test)
        )
        n_as_far += (held_out >= new[:, np.newaxis]).sum(axis=1)
    p_values = (1 + n_as_far) / (len(X) + 1)
    np.testing.assert_allclose(ensemble.p_values(X_test), p_values)
    flagged = ensemble.predict(X_test) == -1
    np.testing.assert_array_equal(flagged, p_values <= 0.05)
    assert flagged.mean() < 0.25


def test_levels_come_from_the_names_of_a_data_frame(samples):
    X, X_test, _ = samples
    names = [
        f"{level}_{channel:04d}"
        for level, part in COLUMNS.items()
        for channel in range(part.stop - part.start)
    ]
    frame, frame_test = (pd.DataFrame(rows, columns=names) for rows in (X, X_test))
    by_name = LevelEnsemble().fit(frame)
    assert list(by_name.columns_) == list(COLUMNS)
    np.testing.assert_array_equal(
        by_name.score_samples(frame_test),
        LevelEnsemble(columns=COLUMNS).fit(X).score_samples(X_test),
    )


def test_threshold_is_the_quantile_of_held_out_distances(samples):
    X, _, _ = samples
    cv = KFold(4)
    ensemble = LevelEnsemble(columns=COLUMNS, fpr=0.1, cv=cv).fit(X)
    held_out = np.empty(len(X))
    for train, test in cv.split(X):
        apart = LevelEnsemble(columns=COLUMNS).fit(X[train])
        held_out[test] = -apart.score_samples(X[test])
    np.testing.assert_allclose(ensemble.calibration_distances_, held_out)
    # ceil(0.9 * 121) = 109
    assert -ensemble.offset_ == pytest.approx(np.sort(held_out)[108])


@pytest.mark.parametrize("aggregation", ["sum", "max"])
def test_leaves_out_exactly_without_fitting_again(samples, aggregation):
    X, _, _ = samples
    exact, refitted = (
        LevelEnsemble(columns=COLUMNS, aggregation=aggregation, cv=cv).fit(X[:40])
        for cv in ("auto", LeaveOneOut())
    )
    np.testing.assert_allclose(
        exact.calibration_distances_, refitted.calibration_distances_, rtol=1e-9
    )
    assert exact.offset_ == pytest.approx(refitted.offset_, rel=1e-9)


def test_leaves_out_whole_groups(samples):
    X, _, _ = samples
    runs = np.repeat(["a", "b", "c", "d"], 30)
    exact, refitted = (
        LevelEnsemble(columns=COLUMNS, fpr=0.4, cv=cv).fit(X, groups=runs)
        for cv in ("auto", LeaveOneGroupOut())
    )
    np.testing.assert_allclose(
        exact.calibration_distances_, refitted.calibration_distances_, rtol=1e-9
    )
    pipelines = LevelEnsemble(
        make_pipeline(StandardScaler(), MahalanobisDetector("empirical")),
        columns=COLUMNS,
        fpr=0.4,
    ).fit(X, groups=runs)
    expected = np.empty(len(X))
    for run in "abcd":
        rest = X[runs != run]
        expected[runs == run] = sum(
            np.sqrt(
                EmpiricalCovariance()
                .fit(rest[:, part])
                .mahalanobis(X[runs == run][:, part])
            )
            for part in COLUMNS.values()
        )
    np.testing.assert_allclose(pipelines.calibration_distances_, expected, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:The features are uncorrelated")
def test_no_step_of_a_pipeline_has_seen_the_samples_held_out(samples):
    """NPCA fitted on all samples keeps directions in which these do not vary."""
    X, _, _ = samples
    pipe = make_pipeline(NegatedPCA(3), MahalanobisDetector())
    columns = {"all": slice(0, None)}
    ensemble = LevelEnsemble(pipe, columns=columns, cv=LeaveOneOut()).fit(X[:30])
    expected = [
        -clone(pipe).fit(np.delete(X[:30], i, axis=0)).score_samples(X[i : i + 1])[0]
        for i in range(30)
    ]
    np.testing.assert_allclose(ensemble.calibration_distances_, expected, rtol=1e-9)


def test_the_threshold_holds_its_rate_for_the_sum_of_levels():
    """Mean over splits, n < D in a level, where chi-square has no rule at all."""
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(60, 60))
    columns = {"shallow": slice(0, 10), "deep": slice(10, 60)}
    rates = []
    for _ in range(40):
        X = rng.standard_t(5, size=(440, 60)) @ mixing
        ensemble = LevelEnsemble(columns=columns, fpr=0.1).fit(X[:40])
        rates.append(np.mean(ensemble.predict(X[40:]) == -1))
    standard_error = stats.sem(rates)
    assert abs(np.mean(rates) - 0.1) < 3 * standard_error + 1 / 41


def test_too_few_samples_for_the_rate(samples):
    X, _, _ = samples
    ensemble = LevelEnsemble(columns=COLUMNS, fpr=0.005)
    with pytest.warns(UserWarning, match="fpr=0.005 needs at least 199.*there are 120"):
        ensemble.fit(X)
    assert -ensemble.offset_ == ensemble.calibration_distances_.max()


def test_integer_folds_are_at_most_the_samples(samples):
    X, _, _ = samples
    few = LevelEnsemble(columns=COLUMNS, fpr=0.3, cv=50).fit(X[:6])
    loo = LevelEnsemble(columns=COLUMNS, fpr=0.3, cv=LeaveOneOut()).fit(X[:6])
    np.testing.assert_allclose(few.calibration_distances_, loo.calibration_distances_)


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_threads_change_nothing(samples, n_jobs):
    X, X_test, _ = samples
    one, many = (
        LevelEnsemble(columns=COLUMNS, n_jobs=n).fit(X) for n in (None, n_jobs)
    )
    np.testing.assert_array_equal(one.score_samples(X_test), many.score_samples(X_test))
    assert one.offset_ == many.offset_


def test_the_estimator_given_stays_unfitted(samples):
    X, _, _ = samples
    given = MahalanobisDetector()
    ensemble = LevelEnsemble(given, columns=COLUMNS).fit(X)
    assert not hasattr(given, "location_")
    assert [e.n_features_in_ for e in ensemble.estimators_] == [4, 6, 3]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"aggregation": "median"}, "aggregation must be one of 'sum'.*got 'median'"),
        ({"top_fraction": 0}, r"top_fraction must be a number in \(0, 1\]; got 0"),
        (
            {"top_fraction": 0.1},
            "top_fraction=0.1 has no effect.*'sum'",
        ),
        ({"fpr": 1}, r"fpr must be a number in \(0, 1\); got 1"),
        ({"cv": ShuffleSplit(3)}, "cv must hold out each of the 120.*exactly once"),
    ],
    ids=str,
)
def test_bad_parameters_are_named(samples, parameters, message):
    ensemble = LevelEnsemble(**{"columns": COLUMNS, **parameters})
    with pytest.raises(ValueError, match=message):
        ensemble.fit(samples[0])


@pytest.fixture(scope="module")
def cells():
    data = load_solar_cells("mono")
    chosen = np.concatenate(
        [np.flatnonzero(data.labels == 1)[:60], np.flatnonzero(data.labels == -1)[:20]]
    )
    return data.paths[chosen], data.labels[chosen]


@pytest.mark.filterwarnings("ignore:Fitted without the first or the last half")
def test_level_pipeline_detects_and_extracts_once(cells, monkeypatch):
    from skgaussad.features._extraction import Extractor

    paths, labels = cells
    seen = []
    stream = Extractor.stream

    def counting(self, images, *args, **options):
        seen.append(len(images))
        return stream(self, images, *args, **options)

    monkeypatch.setattr(Extractor, "stream", counting)
    pipe = make_detector(method="paper", levels=[5, 6, 7], image_size=96, fpr=0.1)
    pipe.fit(paths[:40])
    assert list(pipe["detector"].columns_) == ["level5", "level6", "level7"]
    scores = pipe.score_samples(paths[40:])
    assert seen == [40, 40], "one pass for all levels"
    assert roc_auc_score(labels[40:] == 1, scores) > 0.9


@pytest.mark.filterwarnings("ignore:Fitted without the first or the last half")
@pytest.mark.filterwarnings("ignore:.* alone sets the threshold")
def test_level_pipeline_in_a_grid_search(cells):
    paths, labels = cells
    pipe = make_detector(
        detector=LevelEnsemble(MahalanobisDetector(), columns="cell"),
        levels=7,
        pooling=2,
        image_size=64,
    )
    grid = {
        "features__levels": [2, [6, 7]],
        "detector__aggregation": ["sum", "top"],
        "detector__estimator__covariance": ["ledoit_wolf"],
    }
    folds = [(np.arange(40), np.arange(40, 80))]
    search = GridSearchCV(pipe, grid, scoring="roc_auc", cv=folds, refit=False)
    search.fit(paths, labels)
    scores = dict(
        zip(
            [
                (str(p["features__levels"]), p["detector__aggregation"])
                for p in search.cv_results_["params"]
            ],
            search.cv_results_["mean_test_score"],
            strict=True,
        )
    )
    assert len(scores) == 4
    assert min(scores["[6, 7]", how] for how in ("sum", "top")) > 0.85
    assert clone(pipe).fit(paths[:40])["detector"].columns_.keys() == {
        f"level7_grid2_r{row}c{column}" for row in (0, 1) for column in (0, 1)
    }
