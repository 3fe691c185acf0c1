import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import config_context
from sklearn.covariance import LedoitWolf
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skgaussad import DeepFeatureTransformer, MahalanobisDetector
from skgaussad.calibration import fpr_bound
from skgaussad.datasets import load_solar_cells
from skgaussad.exceptions import FalseAlarmRateWarning


def achieved_rates(detector, draw, n_samples, n_splits=40, n_test=500):
    """Share of new samples flagged, for each of several training sets."""
    return np.array(
        [
            np.mean(detector.fit(draw(n_samples)).predict(draw(n_test)) == -1)
            for _ in range(n_splits)
        ]
    )


def heavy_tailed(n_features, seed=0):
    """Return a function that draws correlated rows with t-distributed scale."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_features, n_features)) / np.arange(1, n_features + 1)

    def draw(n_samples):
        scale = np.sqrt(5 / rng.chisquare(5, size=(n_samples, 1)))
        return scale * rng.normal(size=(n_samples, n_features)) @ mixing

    return draw


@pytest.mark.parametrize("fpr", [0.317, 0.1, 0.046, 0.01, 0.003])
@pytest.mark.parametrize("covariance", ["empirical", "ledoit_wolf"])
def test_chi_square_threshold_holds_its_rate_on_gaussian_data(covariance, fpr):
    n_features, n_test = 8, 20_000
    # Variances within a factor of ten: shrinkage lifts variances far below the mean.
    mixing = np.random.default_rng(2).normal(size=(n_features, n_features))
    mixing = np.linalg.qr(mixing)[0] * np.linspace(1, 3, n_features)
    rng = np.random.default_rng(3)
    X = rng.normal(size=(20_000, n_features)) @ mixing
    X_test = rng.normal(size=(n_test, n_features)) @ mixing
    detector = MahalanobisDetector(covariance, threshold="chi2", fpr=fpr).fit(X)
    n_false = int((detector.predict(X_test) == -1).sum())
    low, high = stats.binom.ppf([0.001, 0.999], n_test, fpr)
    assert low <= n_false <= high


def test_chi_square_threshold_counts_the_features_that_vary():
    X = heavy_tailed(6)(200)
    X[:, 2] = 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FalseAlarmRateWarning)
        detector = MahalanobisDetector(threshold="chi2", fpr=0.02).fit(X)
    assert detector.n_dof_ == 5
    assert stats.chi2.sf(detector.offset_**2, 5) == pytest.approx(0.02)


@pytest.mark.parametrize("n_features", [3, 80], ids=["n > D", "n < D"])
@pytest.mark.parametrize("covariance", ["ledoit_wolf", "diagonal"])
@pytest.mark.parametrize("fpr", [0.3, 0.05, 0.025])
def test_leave_one_out_keeps_the_rate_on_heavy_tails(covariance, n_features, fpr):
    """Within three standard errors, where the chi-square law is off by factors."""
    detector = MahalanobisDetector(covariance, fpr=fpr)
    rates = achieved_rates(detector, heavy_tailed(n_features), n_samples=40)
    assert abs(rates.mean() - fpr) < 3 * stats.sem(rates) + 1 / 41


def test_leave_one_out_threshold_is_the_conformal_quantile():
    X = heavy_tailed(5)(40)
    detector = MahalanobisDetector(fpr=0.1).fit(X)
    expected = [
        np.sqrt(LedoitWolf().fit(np.delete(X, i, 0)).mahalanobis(X[i : i + 1])[0])
        for i in range(40)
    ]
    np.testing.assert_allclose(detector.calibration_distances_, expected, rtol=1e-9)
    # ceil(0.9 * 41) = 37
    assert -detector.offset_ == pytest.approx(np.sort(expected)[36], rel=1e-9)
    np.testing.assert_array_equal(
        detector.calibration_distances_, detector.calibration_distances_
    )


def test_p_values_decide_as_predict_does():
    draw = heavy_tailed(5)
    X, X_test = draw(60), 2 * draw(300)
    for fpr in (0.02, 0.1, 0.5):
        detector = MahalanobisDetector(fpr=fpr).fit(X)
        p_values = detector.p_values(X_test)
        distances = -detector.score_samples(X_test)
        larger = detector.calibration_distances_ >= distances[:, np.newaxis]
        np.testing.assert_allclose(p_values, (1 + larger.sum(axis=1)) / 61)
        np.testing.assert_array_equal(
            detector.predict(X_test), np.where(p_values <= fpr, -1, 1)
        )


@pytest.mark.parametrize("n_features", [4, 60], ids=["n > D", "n < D"])
def test_p_values_of_normal_samples_are_valid(n_features):
    """P(p <= a) <= a, on average over training sets, up to Monte-Carlo error."""
    draw = heavy_tailed(n_features)
    p_values = np.array(
        [MahalanobisDetector().fit(draw(39)).p_values(draw(200)) for _ in range(60)]
    )
    for level in (0.025, 0.1, 0.25, 0.5, 0.9):
        rates = (p_values <= level).mean(axis=1)
        assert rates.mean() <= level + 3 * stats.sem(rates)
        assert rates.mean() >= level - 3 * stats.sem(rates) - 1 / 40


def test_a_bound_with_confidence_fails_as_seldom_as_it_says():
    detector = MahalanobisDetector(fpr=0.1, confidence=0.8)
    rates = achieved_rates(detector, heavy_tailed(3), 60, n_splits=150, n_test=2000)
    n_failed = np.count_nonzero(rates > 0.1)
    low, high = stats.binom.ppf([0.001, 0.999], 150, 0.2)
    assert low <= n_failed <= high


def test_fpr_bound_counts_the_samples_above_the_threshold():
    detector = MahalanobisDetector(fpr=0.05).fit(heavy_tailed(3)(200))
    # The 191st smallest of 200: nine lie above.
    assert detector.fpr_bound(0.9) == fpr_bound(9, 200, 0.9)
    careful = MahalanobisDetector(fpr=0.05, confidence=0.95).fit(heavy_tailed(3)(200))
    assert careful.fpr_bound(0.95) <= 0.05 < detector.fpr_bound(0.95)


def test_f_law_is_exact_where_the_chi_square_law_is_not():
    """Gaussian samples, n = 2 D: the chi-square law flags several times too many."""
    rng = np.random.default_rng(0)

    def draw(n_samples):
        return rng.normal(size=(n_samples, 10))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FalseAlarmRateWarning)
        for threshold, low, high in (("f", 0.8, 1.25), ("chi2", 3, 20)):
            detector = MahalanobisDetector("empirical", threshold=threshold, fpr=0.05)
            rates = achieved_rates(detector, draw, 20, n_splits=200, n_test=200)
            assert low < rates.mean() / 0.05 < high


@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
def test_f_law_of_a_single_feature_is_students():
    """The prediction interval of a Gaussian variable, with the variance over n."""
    detector = MahalanobisDetector("empirical", threshold="f", fpr=0.05)
    detector.fit(heavy_tailed(1)(20))
    expected = np.sqrt(21 / 19) * stats.t.isf(0.05 / 2, 19)
    assert -detector.offset_ == pytest.approx(expected)


def test_f_law_is_not_that_of_a_shrunk_covariance():
    with pytest.raises(ValueError, match="needs covariance='empirical'.*'ledoit_wolf'"):
        MahalanobisDetector(threshold="f").fit(heavy_tailed(3)(20))


def test_fit_warns_with_both_rates_where_the_law_is_contradicted():
    X = heavy_tailed(20)(50)
    detector = MahalanobisDetector("empirical", threshold="chi2", fpr=0.02)
    with pytest.warns(FalseAlarmRateWarning) as caught:
        detector.fit(X)
    n_above = np.count_nonzero(detector.calibration_distances_ > -detector.offset_)
    assert n_above > 5
    message = str(caught[0].message)
    assert "promises false alarms on 2 %" in message
    assert f"but {2 * n_above} % of the training samples ({n_above} of 50)" in message
    assert caught[0].filename == __file__


def test_fit_does_not_warn_where_the_law_holds():
    X = np.random.default_rng(0).normal(size=(500, 3))
    for threshold in ("chi2", "f"):
        MahalanobisDetector("empirical", threshold=threshold, fpr=0.05).fit(X)


@pytest.mark.parametrize(
    ("parameters", "needed"),
    [
        ({"fpr": 0.01}, "fpr=0.01 needs at least 99 training samples.*are 50"),
        (
            {"fpr": 0.05, "confidence": 0.95},
            "fpr=0.05 with confidence=0.95 needs at least 59 training samples",
        ),
    ],
    ids=str,
)
def test_too_few_samples_for_the_rate(parameters, needed):
    detector = MahalanobisDetector(**parameters)
    with pytest.warns(FalseAlarmRateWarning, match=needed) as caught:
        detector.fit(heavy_tailed(3)(50))
    assert -detector.offset_ == detector.calibration_distances_.max()
    assert caught[0].filename == __file__


def test_three_samples_leave_no_gaussian_to_measure_by():
    with (
        pytest.warns(FalseAlarmRateWarning),
        pytest.raises(ValueError, match="no finite threshold.*3 of the 3.*'chi2'"),
    ):
        MahalanobisDetector().fit(heavy_tailed(10)(3))


def runs_that_differ(rng, n_runs, n_in_run, n_features=4):
    """Rows in runs with a mean each, and their runs."""
    means = 2 * rng.normal(size=(n_runs, 1, n_features))
    X = means + rng.normal(size=(n_runs, n_in_run, n_features))
    return X.reshape(-1, n_features), np.repeat(np.arange(n_runs), n_in_run)


def test_leave_one_group_out_keeps_the_rate_in_a_new_run():
    """Leaving out single samples cannot see that a new run differs from all before."""
    rng = np.random.default_rng(0)
    by_group, by_sample = [], []
    for _ in range(60):
        X, runs = runs_that_differ(rng, 14, 20)
        X_new, _ = runs_that_differ(rng, 20, 20)
        for groups, achieved in ((runs, by_group), (None, by_sample)):
            order = rng.permutation(len(X))
            detector = MahalanobisDetector(fpr=0.15)
            detector.fit(X[order], groups=None if groups is None else groups[order])
            achieved.append(np.mean(detector.predict(X_new) == -1))
    assert np.mean(by_group) < 0.15 + 3 * stats.sem(by_group)
    assert np.mean(by_sample) > 0.15 + 6 * stats.sem(by_sample)


def test_group_threshold_and_p_values_weigh_groups_alike():
    rng = np.random.default_rng(1)
    X, runs = runs_that_differ(rng, 9, 20)
    runs = np.where(runs == 0, 1, runs)  # one run of 40, seven of 20
    detector = MahalanobisDetector(fpr=0.25)
    detector.fit(X, groups=[f"run {run}" for run in runs])
    distances = detector.calibration_distances_

    def weighed(above):
        return (1 + sum(above[runs == run].mean() for run in range(1, 9))) / 9

    kept = [t for t in np.sort(distances) if weighed(distances > t) <= 0.25]
    assert -detector.offset_ == kept[0]
    X_new, _ = runs_that_differ(rng, 3, 20)
    np.testing.assert_allclose(
        detector.p_values(X_new),
        [weighed(distances >= d) for d in -detector.score_samples(X_new)],
    )


def test_too_few_groups_for_the_rate():
    X, runs = runs_that_differ(np.random.default_rng(0), 5, 30)
    detector = MahalanobisDetector(fpr=0.05)
    with pytest.warns(FalseAlarmRateWarning, match="at least 39 groups, and.*are 5"):
        detector.fit(X, groups=runs)
    above = detector.calibration_distances_ > -detector.offset_
    assert 0.04 < above.mean() <= 0.05


def test_groups_reach_the_detector_through_metadata_routing():
    X, runs = runs_that_differ(np.random.default_rng(0), 5, 10)
    detector = MahalanobisDetector(fpr=0.4)
    steps = [("identity", FunctionTransformer()), ("detector", detector)]
    direct = Pipeline(steps).fit(X, detector__groups=runs)["detector"].offset_
    assert direct == detector.fit(X, groups=runs).offset_
    with config_context(enable_metadata_routing=True):
        detector.set_fit_request(groups=True)
        assert Pipeline(steps).fit(X, groups=runs)["detector"].offset_ == direct


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a"] * 20, "at least two different groups.*all 20 samples are in group 'a'"),
        (["a", "b"], "inconsistent numbers of samples"),
    ],
    ids=["one", "short"],
)
def test_groups_that_cannot_be_used(groups, message):
    detector = MahalanobisDetector()
    with pytest.raises(ValueError, match=message):
        detector.fit(heavy_tailed(3)(20), groups=groups)


def test_a_fit_without_groups_forgets_those_before():
    X, runs = runs_that_differ(np.random.default_rng(0), 5, 10)
    order = np.random.default_rng(1).permutation(len(X))
    X, runs = X[order], runs[order]
    detector = MahalanobisDetector(fpr=0.4).fit(X, groups=runs)
    by_group = detector.calibration_distances_
    by_sample = detector.fit(X).calibration_distances_
    assert (by_sample < by_group).mean() > 0.9, "others of the run are near"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"confidence": 1}, r"confidence must be a number in \(0, 1\); got 1"),
        (
            {"confidence": 0.9, "threshold": "chi2"},
            "confidence needs threshold='quantile' without.*; got threshold='chi2'",
        ),
    ],
    ids=str,
)
def test_bad_confidence(parameters, message):
    with pytest.raises(ValueError, match=message):
        MahalanobisDetector(**parameters).fit(heavy_tailed(3)(30))


def test_batch_decision_limits_the_share_of_false_discoveries():
    """Ten anomalies among 90 normal samples; mean over batches below the limit."""
    draw = heavy_tailed(3)
    detector = MahalanobisDetector().fit(draw(600))
    shares, found = [], []
    for _ in range(60):
        X = draw(100)
        X[:10] *= 40
        flagged = detector.predict_batch(X, fdr=0.2) == -1
        shares.append(flagged[10:].sum() / max(flagged.sum(), 1))
        found.append(flagged[:10].mean())
    assert np.mean(shares) < 0.2 + 3 * stats.sem(shares)
    assert np.mean(found) > 0.5
    np.testing.assert_array_equal(
        detector.predict_batch(X, fdr=0.2),
        np.where(stats.false_discovery_control(detector.p_values(X)) <= 0.2, -1, 1),
    )


def test_rate_on_solar_cells():
    """Real features, n < D, mean over splits; chi-square flags twice as many."""
    cells = load_solar_cells("mono")
    good = cells.paths[cells.labels == 1]
    features = DeepFeatureTransformer(levels=6, image_size=96).fit_transform(good)
    rng = np.random.default_rng(0)
    rates = {"quantile": [], "chi2": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FalseAlarmRateWarning)
        for _ in range(30):
            order = rng.permutation(len(features))
            train, test = features[order[:100]], features[order[100:]]
            for threshold, achieved in rates.items():
                detector = MahalanobisDetector(threshold=threshold, fpr=0.05)
                achieved.append(np.mean(detector.fit(train).predict(test) == -1))
    by_sample = rates["quantile"]
    assert abs(np.mean(by_sample) - 0.05) < 3 * stats.sem(by_sample) + 1 / 101
    assert np.mean(rates["chi2"]) > 0.1
