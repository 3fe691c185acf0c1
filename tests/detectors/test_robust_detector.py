import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgaussad import (
    ConformalDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    RobustDetector,
)
from skgaussad.datasets import load_solar_cells


def correlated(n_samples, n_features, rng):
    mixing = np.linspace(1, 0.2, n_features)
    common = rng.normal(size=(n_samples, 1))
    return (rng.normal(size=(n_samples, n_features)) + common) * mixing


@parametrize_with_checks(
    [RobustDetector(), RobustDetector(LevelEnsemble(columns={"a": [0]}))]
)
@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:.*look anomalous:UserWarning")
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("n_features", [8, 90], ids=["n > D", "n < D"])
@pytest.mark.parametrize(
    ("share", "n_places"), [(0.05, 1), (0.2, 16)], ids=["in one place", "scattered"]
)
def test_planted_anomalies_are_found(n_features, share, n_places):
    """They are in the first fit, and pull its mean and covariance towards them."""
    rng = np.random.default_rng(0)
    X = correlated(80, n_features, rng)
    n_anomalies = int(share * 80)
    X[:n_anomalies] += 4 * rng.choice([-1, 1], size=(n_places, n_features))
    detector = RobustDetector().fit(X)
    assert set(range(n_anomalies)) <= set(detector.suspects_)
    assert len(detector.suspects_) <= n_anomalies + 4
    np.testing.assert_array_equal(
        np.flatnonzero(~detector.support_), np.sort(detector.suspects_)
    )
    clean = MahalanobisDetector().fit(X[detector.support_])
    np.testing.assert_allclose(
        detector.score_samples(X), clean.score_samples(X), rtol=1e-9
    )


def test_distances_of_training_samples_are_held_out():
    rng = np.random.default_rng(1)
    X = correlated(60, 5, rng)
    X[:3] += 8
    detector = RobustDetector().fit(X)
    support = detector.support_
    assert 3 <= (~support).sum() < 8
    single = MahalanobisDetector().fit(X[support])
    distances = detector.calibration_distances_
    np.testing.assert_allclose(
        distances[support], single.calibration_distances_, rtol=1e-9
    )
    np.testing.assert_allclose(
        distances[~support], -single.score_samples(X[~support]), rtol=1e-9
    )
    assert (np.diff(distances[detector.suspects_]) <= 0).all()
    p_values = detector.training_p_values_
    assert p_values[detector.suspects_].max() < p_values[support].min()


@pytest.mark.parametrize("dof", [5, 1000], ids=["heavy tails", "Gaussian"])
def test_the_rate_holds_where_all_samples_are_normal(dof):
    """Suspects count as normal in the threshold, so the rate is not spoilt by them."""
    rng = np.random.default_rng(2)

    def draw(n_samples):
        scale = np.sqrt(dof / rng.chisquare(dof, size=(n_samples, 1)))
        return scale * correlated(n_samples, 30, rng)

    rates, n_suspects = [], []
    for _ in range(40):
        detector = RobustDetector(fpr=0.1).fit(draw(60))
        rates.append(np.mean(detector.predict(draw(400)) == -1))
        n_suspects.append(len(detector.suspects_))
    assert abs(np.mean(rates) - 0.1) < 3 * stats.sem(rates) + 1 / 61
    if dof == 1000:
        assert np.mean(n_suspects) < 3


def test_solar_cells_with_defective_ones_among_them():
    """AUROC nearer to that of a clean fit than to that of a fit to all."""
    cells = load_solar_cells("mono")
    good, bad = (np.flatnonzero(cells.labels == label) for label in (1, -1))
    rng = np.random.default_rng(0)
    good, bad = rng.permutation(good)[:260], rng.permutation(bad)[:90]
    network = DeepFeatureTransformer(levels=6, image_size=96)
    features = network.fit_transform(cells.paths[[*good, *bad]])
    clean = features[:160]
    mixed_rows = rng.permutation([*range(160), *range(260, 290)])
    mixed = features[mixed_rows]
    test, labels = features[[*range(160, 260), *range(290, 350)]], [1] * 100 + [-1] * 60
    robust = RobustDetector()
    aurocs = [
        roc_auc_score(labels, detector.fit(X).score_samples(test))
        for detector, X in [
            (MahalanobisDetector(), clean),
            (robust, mixed),
            (MahalanobisDetector(), mixed),
        ]
    ]
    assert aurocs[0] - aurocs[1] < (aurocs[0] - aurocs[2]) / 2
    found = mixed_rows[robust.suspects_] >= 160
    assert found.mean() > 0.6, "most suspects are defective"
    assert found.sum() > 15, "most defective ones are suspects"


def test_works_around_ensembles_and_pipelines():
    rng = np.random.default_rng(3)
    X = correlated(80, 6, rng)
    X[:4] += 8
    columns = {"first": slice(0, 3), "second": slice(3, 6)}
    for inner in (
        LevelEnsemble(columns=columns),
        ConformalDetector(IsolationForest(random_state=0)),
    ):
        detector = RobustDetector(inner, alpha=0.01).fit(X)
        assert set(range(4)) <= set(detector.suspects_)
        copy = pickle.loads(pickle.dumps(detector))
        np.testing.assert_array_equal(copy.p_values(X), detector.p_values(X))


def test_levels_come_from_the_names_of_a_data_frame():
    rng = np.random.default_rng(5)
    X = correlated(60, 6, rng)
    X[:3] += 8
    names = [f"level{level}_{channel:04d}" for level in (1, 2) for channel in range(3)]
    frame = pd.DataFrame(X, columns=names)
    by_name = RobustDetector(LevelEnsemble()).fit(frame)
    columns = {"level1": slice(0, 3), "level2": slice(3, 6)}
    by_hand = RobustDetector(LevelEnsemble(columns=columns)).fit(X)
    assert list(by_name.estimator_.columns_) == ["level1", "level2"]
    np.testing.assert_array_equal(by_name.suspects_, by_hand.suspects_)
    np.testing.assert_array_equal(
        by_name.score_samples(frame), by_hand.score_samples(X)
    )


def test_most_are_never_left_out():
    rng = np.random.default_rng(4)
    X = correlated(50, 3, rng)
    X[:10] += 20 * rng.normal(size=(10, 3))
    detector = RobustDetector(max_contamination=0.1)
    with pytest.warns(
        UserWarning, match=r"of the 50 .* max_contamination=0.1 allows; "
    ):
        detector.fit(X)
    assert len(detector.suspects_) == 5


def test_the_estimator_given_stays_unfitted():
    given = MahalanobisDetector()
    RobustDetector(given).fit(correlated(30, 3, np.random.default_rng(0)))
    assert not hasattr(given, "location_")


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"alpha": 0}, ValueError, r"alpha must be a number in \(0, 1\); got 0"),
        ({"max_contamination": 0.5}, ValueError, r"in \(0, 0.5\); got 0.5"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1; got 0"),
        ({"threshold": "chi2"}, ValueError, "threshold must be one of 'quantile'"),
        (
            {"estimator": IsolationForest()},
            TypeError,
            "no calibration_distances_. Take.*ConformalDetector",
        ),
    ],
    ids=str,
)
def test_bad_parameters_are_named(parameters, error, message):
    detector = clone(RobustDetector(**parameters))
    with pytest.raises(error, match=message):
        detector.fit(correlated(30, 3, np.random.default_rng(0)))
