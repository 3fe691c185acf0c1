import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgaussad import MahalanobisDetector, VariantMahalanobisDetector
from skgaussad.detectors import _variant_mahalanobis as _variants

pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)


def three_variants(n_samples, n_features, seed=0, distance=12.0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(3, n_features))
    centres *= distance / np.linalg.norm(centres, axis=1, keepdims=True)
    mixing = np.random.default_rng(98).normal(size=(n_features, n_features))
    mixing = np.linalg.qr(mixing)[0] * np.linspace(0.5, 1.5, n_features)
    labels = rng.choice(["a", "b", "c"], size=n_samples, p=[0.5, 0.3, 0.2])
    noise = rng.normal(size=(n_samples, n_features)) @ mixing
    return centres[np.searchsorted(["a", "b", "c"], labels)] + noise, labels


@parametrize_with_checks(
    [VariantMahalanobisDetector(), VariantMahalanobisDetector(1, covariance="oas")]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


def test_means_and_covariance_are_those_of_linear_discriminant_analysis():
    X, labels = three_variants(120, 8)
    detector = VariantMahalanobisDetector(covariance="empirical")
    detector.fit(X, variants=labels)
    lda = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True)
    lda.fit(X, labels)
    np.testing.assert_array_equal(detector.variants_, lda.classes_)
    np.testing.assert_allclose(detector.locations_, lda.means_)
    np.testing.assert_allclose(detector.weights_, lda.priors_)
    np.testing.assert_allclose(detector.covariance_, lda.covariance_)


@pytest.mark.parametrize("shape", [(120, 8), (60, 90)], ids=str)
def test_distance_is_the_least_over_the_variants(shape):
    X, labels = three_variants(*shape)
    X_test, _ = three_variants(20, shape[1], seed=1)
    detector = VariantMahalanobisDetector().fit(X, variants=labels)
    pooled = X - np.stack([X[labels == label].mean(axis=0) for label in labels])
    reference = MahalanobisDetector().fit(pooled)
    squared = np.array(
        [
            reference.mahalanobis(X_test - X[labels == label].mean(axis=0))
            for label in "abc"
        ]
    )
    np.testing.assert_allclose(detector.mahalanobis(X_test), squared.min(axis=0))
    np.testing.assert_array_equal(
        detector.predict_variant(X_test), np.array(list("abc"))[squared.argmin(axis=0)]
    )
    np.testing.assert_allclose(
        detector.decision_function(X_test),
        -np.sqrt(squared.min(axis=0)) - detector.offset_,
    )


@pytest.mark.parametrize(
    "covariance", ["ledoit_wolf", "shrunk", "isotropic", "diagonal"]
)
def test_one_variant_is_the_single_gaussian(covariance):
    X, _ = three_variants(60, 8)
    one = VariantMahalanobisDetector(1, covariance=covariance, threshold="chi2").fit(X)
    single = MahalanobisDetector(covariance, threshold="chi2").fit(X)
    np.testing.assert_allclose(one.mahalanobis(X), single.mahalanobis(X))
    assert one.offset_ == single.offset_


@pytest.mark.parametrize("shape", [(150, 8), (60, 90)], ids=["n > D", "n < D"])
def test_variants_are_found_without_labels(shape):
    X, labels = three_variants(*shape)
    detector = VariantMahalanobisDetector(3, random_state=0).fit(X)
    assert adjusted_rand_score(labels, detector.training_variants_) == 1
    assert 1 <= detector.n_iter_ < 20
    labelled = VariantMahalanobisDetector().fit(X, variants=labels)
    np.testing.assert_allclose(detector.mahalanobis(X), labelled.mahalanobis(X))
    assert labelled.n_iter_ == 0, "nothing is searched"


def test_the_search_starts_from_the_clusters_asked_for(monkeypatch):
    asked = []

    def make(n_clusters, **options):
        asked.append(options)
        return KMeans(n_clusters, **options)

    monkeypatch.setattr(_variants, "KMeans", make)
    X, _ = three_variants(60, 8)
    VariantMahalanobisDetector(3, n_init=4, random_state=5).fit(X)
    # All and five folds, and that of each half for the order.
    assert asked == 18 * [{"n_init": 4, "random_state": 5}]


def test_the_search_improves_on_k_means():
    """Flat clouds side by side, which k-means cuts askew; mean over ten draws."""
    labels = np.arange(300) % 2
    agreements = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(300, 2)) * [2, 0.5] + labels[:, np.newaxis] * [2, 2]
        clustered = KMeans(2, n_init=10, random_state=0).fit_predict(X)
        detector = VariantMahalanobisDetector(2, random_state=0).fit(X)
        agreements.append(
            [
                adjusted_rand_score(labels, found)
                for found in (clustered, detector.training_variants_)
            ]
        )
        # Where no sample moves, the means are those of the variants found.
        for variant, location in enumerate(detector.locations_):
            members = X[detector.training_variants_ == variant]
            np.testing.assert_allclose(location, members.mean(axis=0))
    by_clustering, by_search = np.mean(agreements, axis=0)
    assert by_search > by_clustering + 0.3


def test_few_rounds_leave_a_consistent_state():
    X, _ = three_variants(200, 8, distance=3.0)
    detector = VariantMahalanobisDetector(3, max_iter=1, random_state=0).fit(X)
    assert detector.n_iter_ == 1
    for variant, location in enumerate(detector.locations_):
        members = X[detector.training_variants_ == variant]
        np.testing.assert_allclose(location, members.mean(axis=0))


def test_anomalies_between_variants_are_seen():
    X, labels = three_variants(300, 8)
    X_test, _ = three_variants(100, 8, seed=1)
    middle = np.stack([X[labels == label].mean(axis=0) for label in "abc"]).mean(axis=0)
    anomalous = middle + np.random.default_rng(2).normal(size=(50, 8))
    rows = np.vstack([X_test, anomalous])
    y = np.repeat([1, 0], [100, 50])
    by_variant = VariantMahalanobisDetector().fit(X, variants=labels)
    single = MahalanobisDetector().fit(X)
    assert roc_auc_score(y, by_variant.score_samples(rows)) > 0.99
    assert roc_auc_score(y, single.score_samples(rows)) < 0.6


def test_labels_pass_through_a_pipeline():
    X, labels = three_variants(120, 8)
    pipe = make_pipeline(StandardScaler(), VariantMahalanobisDetector())
    pipe.fit(X, variantmahalanobisdetector__variants=labels)
    assert list(pipe[-1].variants_) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_variants": 0}, "n_variants must be at least 1; got 0"),
        ({"n_variants": 2.0}, "n_variants must be an integer of at least 1; got 2.0"),
        ({"n_init": 0}, "n_init must be at least 1; got 0"),
        ({"max_iter": 0}, "max_iter must be at least 1; got 0"),
        ({"covariance": "full"}, "covariance must be one of.*got 'full'"),
        ({"fpr": 1}, r"fpr must be a number in \(0, 1\); got 1"),
        (
            {"threshold": "f"},
            "threshold must be one of .* 'chi2'; got 'f'",
        ),
        ({"n_variants": 40}, "n_variants=40.*n_samples=40, 40 of them different"),
    ],
    ids=str,
)
def test_bad_parameters_are_named(parameters, message):
    X, _ = three_variants(40, 8)
    with pytest.raises(ValueError, match=message):
        VariantMahalanobisDetector(**parameters).fit(X)


def test_variants_must_match_the_samples():
    X, labels = three_variants(40, 8)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        VariantMahalanobisDetector().fit(X, variants=labels[:-1])


def test_variants_of_identical_samples_have_no_spread():
    X = np.repeat([[0.0, 1.0], [5.0, 6.0]], 4, axis=0)
    with pytest.raises(ValueError, match="identical within their variant"):
        VariantMahalanobisDetector().fit(X, variants=np.repeat([0, 1], 4))
