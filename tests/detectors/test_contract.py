"""What holds for every detector: one working point, one walk, no silence."""

import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import OneClassSVM

from skgaussad import (
    AugmentedDetector,
    CellwiseMahalanobisDetector,
    ConformalDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    NegatedPCA,
    PositionDetector,
    RobustDetector,
    TiledDetector,
    VariantMahalanobisDetector,
)
from skgaussad.calibration import fpr_bound, required_samples
from skgaussad.detectors import (
    find_decider,
    find_part,
    find_threshold,
    find_transformer,
    innermost,
    p_values,
)
from skgaussad.exceptions import FalseAlarmRateWarning
from skgaussad.inspection import anomaly_maps
from skgaussad.model_selection import NormalKFold, auroc_scorer
from skgaussad.reporting import calibration_report

RATE = "mahalanobisdetector__fpr"
COLUMNS = {"a": slice(0, 2), "b": slice(2, 5)}
X = np.random.default_rng(0).normal(size=(60, 5))
X_TEST = np.random.default_rng(1).normal(size=(12, 5))


def network(**settings):
    return DeepFeatureTransformer(
        "test_resnet", levels=2, weights=None, image_size=32, device="cpu", **settings
    )


def tiles(**settings):
    return TiledDetector(make_pipeline(network(), MahalanobisDetector(**settings)))


ON_FEATURES = {
    "mahalanobis": MahalanobisDetector(),
    "cellwise": CellwiseMahalanobisDetector(cells=5),
    "variants": VariantMahalanobisDetector(random_state=0),
    "levels": LevelEnsemble(columns=COLUMNS),
    "conformal": ConformalDetector(MahalanobisDetector()),
    "robust": RobustDetector(),
}


def make(name):
    """Return a detector of features, not fitted."""
    return clone(ON_FEATURES[name])


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (24, 32, 32), dtype=np.uint8)


# -- One working point ---------------------------------------------------------------


@pytest.mark.parametrize("name", ON_FEATURES)
def test_threshold_p_values_and_bound_agree(name):
    detector = make(name).fit(X)
    distances = detector.calibration_distances_
    assert distances.shape == (60,)
    # The rule of the quantile.
    assert -detector.offset_ == np.sort(distances)[int(np.ceil(0.95 * 61)) - 1]
    scores = detector.score_samples(X_TEST)
    expected = [(1 + np.sum(distances >= -score)) / 61 for score in scores]
    np.testing.assert_allclose(detector.p_values(X_TEST), expected)
    assert detector.fpr_bound() > 0.05
    tail = detector.set_params(threshold="tail").fit(X)
    assert tail.p_values(X_TEST + 50).max() < 1 / 61


@pytest.mark.parametrize(
    "make_outer",
    [
        lambda **point: LevelEnsemble(MahalanobisDetector(**point), columns=COLUMNS),
        lambda **point: LevelEnsemble(
            make_pipeline(NegatedPCA(1), MahalanobisDetector(**point)), columns=COLUMNS
        ),
        lambda **point: ConformalDetector(MahalanobisDetector(**point)),
        lambda **point: RobustDetector(CellwiseMahalanobisDetector(cells=5, **point)),
        lambda **point: ConformalDetector(
            make_pipeline(Normalizer(), Pipeline([("d", MahalanobisDetector(**point))]))
        ),
        lambda **point: ConformalDetector(RobustDetector(**point)),
        lambda **point: RobustDetector(MahalanobisDetector(**point)),
        lambda **point: RobustDetector(LevelEnsemble(columns=COLUMNS, **point)),
        lambda **point: RobustDetector(
            ConformalDetector(IsolationForest(n_estimators=3), **point)
        ),
    ],
)
@pytest.mark.parametrize(
    "point", [{"fpr": 0.01}, {"threshold": "tail"}, {"confidence": 0.9}], ids=str
)
def test_a_working_point_inside_of_another_is_refused(make_outer, point):
    (name,) = point
    with pytest.raises(ValueError, match=rf"{name}=.* of the inner \w+ has no effect"):
        make_outer(**point).fit(X)
    make_outer().fit(X)


def test_a_working_point_in_tiles_is_refused(pictures):
    with pytest.raises(ValueError, match="fpr=0.01 of the inner Mahalanobis"):
        tiles(fpr=0.01).fit(pictures)


@pytest.mark.parametrize(
    "inner", [IsolationForest(contamination=0.1), EllipticEnvelope(contamination=0.2)]
)
def test_a_rate_of_scikit_learn_inside_is_refused(inner):
    message = r"contamination=0.\d of the inner \w+ has no effect.*Set fpr there"
    with pytest.raises(ValueError, match=message):
        ConformalDetector(inner).fit(X)


@pytest.mark.parametrize("name", ON_FEATURES)
@pytest.mark.parametrize(
    "changed", [{"fpr": 0.2}, {"threshold": "tail"}, {"confidence": 0.9}], ids=str
)
def test_a_working_point_changed_after_the_fit_is_refused(name, changed):
    detector = make(name).fit(X)
    before = detector.offset_, detector.get_params(deep=False)
    detector.set_params(**changed)
    (parameter,) = changed
    for ask in (detector.predict, lambda X: calibration_report(detector, X)):
        with pytest.raises(ValueError, match=f"{parameter} was set to .* Call fit"):
            ask(X_TEST)
    detector.set_params(**{parameter: before[1][parameter]})
    assert detector.offset_ == before[0]


def test_a_working_point_changed_around_copies_is_refused(pictures):
    pipe = make_pipeline(network(), MahalanobisDetector(fpr=0.2))
    detector = AugmentedDetector(pipe, n_epochs=2).fit(pictures)
    detector.set_params(estimator__mahalanobisdetector__fpr=0.3)
    with pytest.raises(ValueError, match=r"fpr was set to 0.3 after .*fpr=0.2"):
        detector.predict(pictures)
    with pytest.raises(ValueError, match="groups have no effect on RobustDetector"):
        AugmentedDetector(make_pipeline(network(), RobustDetector())).fit(
            pictures, groups=np.arange(24) % 3
        )
    lots = AugmentedDetector(pipe, n_epochs=2).fit(pictures, groups=np.arange(24) % 6)
    assert lots.p_values(pictures[:1] // 9) == pytest.approx(1 / 7), "six lots"


@pytest.mark.parametrize(
    ("detector", "changed"),
    [
        (LevelEnsemble(columns=COLUMNS), {"aggregation": "max"}),
        (LevelEnsemble(columns=COLUMNS, aggregation="top"), {"top_fraction": 1.0}),
        (CellwiseMahalanobisDetector(cells=5), {"top_fraction": 1.0}),
    ],
    ids=str,
)
def test_scores_that_changed_after_the_fit_are_refused(detector, changed):
    detector.fit(X).set_params(**changed)
    for ask in (detector.predict, detector.p_values):
        with pytest.raises(ValueError, match=r"was set to .* do not go together"):
            ask(X_TEST)


def test_tiles_laid_otherwise_after_the_fit_are_refused(pictures):
    detector = tiles().set_params(tile_size=20).fit(pictures)
    detector.set_params(overlap=0.5)
    with pytest.raises(
        ValueError, match=r"overlap was set to 0.5 .* do not go together"
    ):
        detector.predict(pictures[:2])


@pytest.mark.parametrize(
    "inner",
    [
        GridSearchCV(MahalanobisDetector(fpr=0.1), {}, scoring="roc_auc"),
        FrozenEstimator(RobustDetector(fpr=0.1).fit(X)),
        RobustDetector(fpr=0.1).fit(X),
    ],
    ids=["search", "frozen", "fitted"],
)
def test_a_rate_inside_is_found_wherever_it_is(inner):
    with pytest.raises(ValueError, match="fpr=0.1 of the inner"):
        ConformalDetector(inner).fit(X)


def test_a_detector_fitted_elsewhere_gets_a_threshold():
    """Split conformal prediction: the samples were not in its fit."""
    frozen = FrozenEstimator(MahalanobisDetector().fit(X))
    detector = ConformalDetector(frozen, fpr=0.1)
    with pytest.warns(FalseAlarmRateWarning, match=r"copies .*: X\[1\] = X\[0\]"):
        detector.fit(X_TEST[:0:-1].repeat(2, axis=0))
    np.testing.assert_allclose(
        detector.calibration_distances_,
        -frozen.score_samples(X_TEST[:0:-1].repeat(2, axis=0)),
    )


@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
@pytest.mark.parametrize("name", ON_FEATURES)
def test_a_fit_that_fails_leaves_no_threshold(name):
    detector = make(name).fit(X)
    detector.set_params(threshold="tail")
    with pytest.raises(ValueError, match="threshold='tail' needs"):
        detector.fit(3 * X[:18] + 1)
    detector.set_params(threshold="quantile")
    with pytest.raises(NotFittedError, match="There is no threshold"):
        detector.predict(X_TEST)


def test_calibrate_takes_the_covariance_that_was_set():
    detector = MahalanobisDetector("shrunk").fit(X).set_params(shrinkage=0.9)
    expected = MahalanobisDetector("shrunk", shrinkage=0.9).fit(X)
    assert detector.calibrate(X).offset_ == pytest.approx(expected.offset_)
    np.testing.assert_allclose(
        detector.score_samples(X_TEST), expected.score_samples(X_TEST)
    )


def test_the_bound_counts_groups():
    rng = np.random.default_rng(0)
    lots = np.repeat(np.arange(20), 30)
    rows = rng.normal(size=(600, 5)) + 3 * rng.normal(size=(20, 5))[lots]
    detector = MahalanobisDetector(fpr=0.3).fit(rows, groups=lots)
    above = detector.calibration_distances_ > -detector.offset_
    of_lots = sum(above[lots == lot].mean() for lot in range(20))
    expected = fpr_bound(int(np.ceil(of_lots)), 20)
    assert detector.fpr_bound() == pytest.approx(expected)
    assert detector.fpr_bound() > 0.4, "of six lots of twenty, not of 160 rows of 600"


@pytest.mark.parametrize("threshold", ["tail", "chi2"])
def test_groups_without_effect_are_refused(threshold):
    for kind in (MahalanobisDetector, VariantMahalanobisDetector):
        with pytest.raises(ValueError, match="groups have no effect with threshold="):
            kind(threshold=threshold).fit(X, groups=np.arange(60) % 6)
    with pytest.raises(ValueError, match=r"groups\[0\] is missing: None"):
        MahalanobisDetector().fit(X, groups=[None] * 60)
    grouped = MahalanobisDetector(fpr=0.3).fit(X, groups=np.arange(60) % 6)
    with pytest.raises(ValueError, match="fitted with groups"):
        MahalanobisDetector().fit(X).merge(grouped)


def test_parameters_without_effect_are_refused():
    for covariance in ("ledoit_wolf", "oas", "empirical", "diagonal", "isotropic"):
        for kind in (MahalanobisDetector, VariantMahalanobisDetector):
            with pytest.raises(ValueError, match="shrinkage=0.2 has no effect with"):
                kind(covariance=covariance, shrinkage=0.2).fit(X)
    assert MahalanobisDetector("shrunk").fit(X).shrinkage_ == 0.1


def test_pooling_of_a_position_detector_is_refused(pictures):
    with pytest.raises(ValueError, match="pooling='max' of transformer has no effect"):
        PositionDetector(network(pooling="max")).fit(pictures)


@pytest.mark.parametrize("name", [n for n in ON_FEATURES if n != "robust"])
def test_groups_are_used_whenever_they_are_given(name):
    """Each lot has a mean of its own, so that a new one lies farther out."""
    rng = np.random.default_rng(0)
    lots = np.repeat(np.arange(20), 6)
    X_lots = rng.normal(size=(120, 5)) + 3 * rng.normal(size=(20, 5))[lots]
    order = rng.permutation(120)
    X_lots, lots = X_lots[order], lots[order]
    detector = make(name).set_params(fpr=0.2).fit(X_lots, groups=lots)
    by_lot = detector.calibration_distances_
    assert np.mean(by_lot > detector.fit(X_lots).calibration_distances_) > 0.7
    detector.fit(X_lots, groups=lots)
    assert detector.p_values(X_lots[:1] + 99) == pytest.approx(1 / 21), "lots count"
    for point in ({"threshold": "tail"}, {"confidence": 0.5}):
        detector.set_params(**point)
        with pytest.raises(ValueError, match="groups"):
            detector.fit(X_lots, groups=lots)
        detector.set_params(threshold="quantile", confidence=None)


@pytest.mark.parametrize("kind", [MahalanobisDetector, VariantMahalanobisDetector])
def test_contradicted_chi_square_is_warned_of(kind):
    heavy = np.random.default_rng(0).standard_t(2, size=(300, 10))
    with pytest.warns(FalseAlarmRateWarning, match="threshold='chi2' promises") as seen:
        kind(threshold="chi2", fpr=0.01).fit(heavy)
    assert seen[0].filename == __file__


def test_variants_keep_their_rate():
    """Of heavy tails, where chi-square gives several times the rate."""
    rng = np.random.default_rng(0)
    rates = {"quantile": [], "chi2": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FalseAlarmRateWarning)
        for _ in range(20):
            rows = rng.standard_t(3, size=(500, 20))
            rows += 30 * rng.integers(2, size=(500, 1))
            for threshold, achieved in rates.items():
                detector = VariantMahalanobisDetector(
                    threshold=threshold, random_state=0, n_init=1
                ).fit(rows[:200])
                achieved.append(np.mean(detector.predict(rows[200:]) == -1))
    flagged = np.array(rates["quantile"])
    assert flagged.mean() < 0.05 + 3 * flagged.std() / np.sqrt(20)
    assert np.mean(rates["chi2"]) > 0.1


# -- Labels --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ON_FEATURES)
def test_anomalies_among_the_training_samples_are_warned_of(name):
    y = np.repeat([1, -1], [50, 10])
    with pytest.warns(UserWarning, match=r"y marks 10 of 60.*NormalKFold") as seen:
        make(name).fit(X, y)
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(name).fit(X, np.ones(60))
        make(name).fit(X, np.arange(60))


@pytest.mark.parametrize(
    "detector",
    [
        PositionDetector(network()),
        tiles(),
        AugmentedDetector(make_pipeline(network(), MahalanobisDetector()), n_epochs=1),
    ],
    ids=lambda detector: type(detector).__name__,
)
def test_anomalous_images_are_warned_of(detector, pictures):
    y = np.repeat([1, -1], [20, 4])
    with pytest.warns(UserWarning, match=r"y marks 4 of 24 training samples"):
        detector.fit(pictures, y)


def test_a_search_says_which_splitter_to_use():
    y = np.repeat([1, -1], [50, 10])
    rows = X + 9 * (y[:, np.newaxis] == -1)
    detector = MahalanobisDetector()
    with pytest.warns(UserWarning, match=r"cv=NormalKFold\(\)"):
        cross_val_score(
            detector,
            rows,
            y,
            scoring=auroc_scorer,
            cv=KFold(2, shuffle=True, random_state=0),
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cross_val_score(detector, rows, y, scoring=auroc_scorer, cv=NormalKFold(2))


def test_a_search_without_scoring_is_an_error():
    """A log-likelihood would compare densities of different spaces."""
    search = GridSearchCV(MahalanobisDetector(), {"fpr": [0.05]})
    with pytest.raises(TypeError, match="scoring"):
        search.fit(X)


# -- One walk ------------------------------------------------------------------------


def fitted_search(detector):
    return GridSearchCV(
        detector,
        {"memory": [None]} if isinstance(detector, Pipeline) else {},
        scoring=lambda estimator, X, y=None: 0.0,
        # Half of them would be too few to be scaled by.
        cv=[(np.arange(60), np.arange(60))],
    ).fit(X)


def wrapped():
    pipe = make_pipeline(Normalizer(), MahalanobisDetector(fpr=0.1))
    return {
        "pipeline": make_pipeline(Normalizer(), pipe).fit(X),
        "search": fitted_search(pipe),
        "search in a pipeline": make_pipeline(Normalizer(), fitted_search(pipe)).fit(X),
        "frozen": make_pipeline(Normalizer(), FrozenEstimator(pipe.fit(X))).fit(X),
        "robust": RobustDetector(fpr=0.1).fit(X),
        "conformal": make_pipeline(
            Normalizer(),
            ConformalDetector(
                clone(pipe).set_params(mahalanobisdetector__fpr=0.05), fpr=0.1
            ),
        ).fit(X),
    }


@pytest.mark.parametrize("name", wrapped())
def test_every_wrapping_is_opened_for_all_alike(name):
    estimator = wrapped()[name]
    decider = find_decider(estimator)
    assert decider.fpr == 0.1
    scores = estimator.score_samples(X_TEST)
    expected = decider._held_out.p_values(-scores)
    np.testing.assert_array_equal(p_values(estimator, X_TEST), expected)
    report = calibration_report(estimator, X_TEST)
    assert report.overall.n_flagged == np.sum(estimator.predict(X_TEST) == -1)
    assert report.overall.target == 0.1
    assert hasattr(innermost(estimator)[1], "mahalanobis")


@pytest.mark.filterwarnings("ignore:Most features have the same")
@pytest.mark.filterwarnings("ignore:All features have the same standard deviation")
def test_steps_are_opened_too(pictures):
    plain = make_pipeline(network(), StandardScaler(), MahalanobisDetector(fpr=0.2))
    plain.fit(pictures)
    (expected,) = anomaly_maps(plain, pictures[:1])
    features = make_pipeline(FrozenEstimator(plain[0]), StandardScaler())
    nested = make_pipeline(features, MahalanobisDetector(fpr=0.2)).fit(pictures)
    twice = FrozenEstimator(FrozenEstimator(nested))
    for estimator in (nested, twice):
        assert find_transformer(estimator).levels_ == (2,)
        np.testing.assert_allclose(anomaly_maps(estimator, pictures[:1])[0], expected)
        np.testing.assert_allclose(
            p_values(estimator, pictures), p_values(plain, pictures)
        )


def test_the_threshold_of_scikit_learn_is_a_number():
    detector = OneClassSVM().fit(X)
    assert find_threshold(detector) == pytest.approx(-detector.offset_[0])


def test_a_report_without_p_values():
    detector = MahalanobisDetector(threshold="chi2").partial_fit(X)
    report = calibration_report(detector, X_TEST)
    assert report.overall.n_flagged == np.sum(detector.predict(X_TEST) == -1)
    assert report.other_targets == ()


@pytest.mark.filterwarnings("ignore:Fitted without the first or the last half")
def test_copies_around_a_search_are_warned_of(pictures):
    pipe = make_pipeline(network(), MahalanobisDetector(fpr=0.2))
    search = GridSearchCV(pipe, {}, scoring=lambda e, X, y=None: 0.0, cv=2)
    with pytest.warns(FalseAlarmRateWarning, match="holds out one copy"):
        AugmentedDetector(search, n_epochs=2).fit(pictures)
    confident = pipe.set_params(mahalanobisdetector__confidence=0.5)
    with pytest.raises(ValueError, match="all copies of an image count as one"):
        AugmentedDetector(confident, n_epochs=2).fit(pictures)


def test_copies_reach_the_detector_with_metadata_routing(pictures):
    pipe = make_pipeline(network(), MahalanobisDetector(fpr=0.2))
    expected = AugmentedDetector(pipe, n_epochs=2).fit(pictures).offset_
    with config_context(enable_metadata_routing=True):
        assert AugmentedDetector(pipe, n_epochs=2).fit(pictures).offset_ == expected


@pytest.mark.parametrize("wrap", ["augmented", "search", "search of augmented"])
def test_images_go_through_the_same_walk(pictures, wrap):
    pipe = make_pipeline(network(), MahalanobisDetector(fpr=0.2))
    augmented = AugmentedDetector(pipe, n_epochs=2)
    estimator = {
        "augmented": augmented,
        "search": GridSearchCV(pipe, {}, scoring=lambda e, X, y=None: 0.0, cv=2),
        "search of augmented": GridSearchCV(
            augmented, {}, scoring=lambda e, X, y=None: 0.0, cv=2
        ),
    }[wrap].fit(pictures)
    p = p_values(estimator, pictures[:4])
    if wrap != "search":
        fitted = find_part(estimator, "n_epochs")
        np.testing.assert_array_equal(fitted.p_values(pictures[:4]), p)
        assert fitted.fpr_bound() >= 0.2
    assert find_transformer(estimator).levels_ == (2,)
    assert find_decider(estimator).fpr == 0.2
    assert calibration_report(estimator, pictures[:4]).overall.n_samples == 4
    assert [m.shape for m in anomaly_maps(estimator, pictures[:1])] == [(32, 32)]


def test_a_forest_is_not_opened():
    """Its estimator_ is a tree, by which alone it does not score."""
    forest = IsolationForest(n_estimators=2).fit(X)
    assert innermost(forest)[1] is forest
    with pytest.raises(TypeError, match="IsolationForest has no p_values"):
        p_values(forest, X)


def test_supported_rates_are_not_warned_of():
    assert required_samples(0.05) < 60
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ON_FEATURES:
            make(name).fit(X)
