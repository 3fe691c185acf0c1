"""A working point for each category."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import OneClassSVM
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgaussad import (
    CellwiseMahalanobisDetector,
    ConformalDetector,
    DetectorPipeline,
    LevelEnsemble,
    MahalanobisDetector,
    MondrianDetector,
    load,
    make_detector,
    save,
)
from skgaussad.calibration import ConformalMonitor, fpr_bound
from skgaussad.datasets import make_textures
from skgaussad.exceptions import FalseAlarmRateWarning
from skgaussad.inspection import anomaly_maps

SCALES = {"bolt": 1.0, "nut": 4.0, "washer": 9.0}


def draw(rng, sizes, n_features=4):
    """Samples of products, of another spread and place each, in random order."""
    products = np.repeat(list(sizes), list(sizes.values()))
    products = rng.permutation(products)
    scale = np.array([SCALES[product] for product in products])[:, np.newaxis]
    return scale * (rng.standard_t(5, size=(len(products), n_features)) + 3), products


@parametrize_with_checks([MondrianDetector(), MondrianDetector(shared=True)])
@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("shared", [False, True])
def test_the_rate_holds_in_each_category(shared):
    rng = np.random.default_rng(0)
    rates, of_one = {name: [] for name in SCALES}, {name: [] for name in SCALES}
    for _ in range(30):
        X, products = draw(rng, dict.fromkeys(SCALES, 60))
        X_new, new = draw(rng, dict.fromkeys(SCALES, 100))
        detector = MondrianDetector(shared=shared, fpr=0.1)
        detector.fit(X, categories=products)
        flagged = detector.predict(X_new, categories=new) == -1
        single = MahalanobisDetector(fpr=0.1).fit(X).predict(X_new) == -1
        for name in SCALES:
            rates[name].append(flagged[new == name].mean())
            of_one[name].append(single[new == name].mean())
    for name, found in rates.items():
        assert abs(np.mean(found) - 0.1) < 3 * stats.sem(found) + 1 / 61, name
    assert np.mean(of_one["washer"]) > 0.2
    assert np.mean(of_one["bolt"]) < 0.02


def test_each_category_has_the_detector_of_its_samples():
    rng = np.random.default_rng(1)
    X, products = draw(rng, {"bolt": 50, "nut": 80})
    X_new, new = draw(rng, {"bolt": 20, "nut": 20})
    detector = MondrianDetector(fpr=0.1).fit(X, categories=products)
    for number, name in enumerate(("bolt", "nut")):
        own = MahalanobisDetector(fpr=0.1).fit(X[products == name])
        rows = X_new[new == name]
        categories = [name] * 20
        assert detector.categories_[number] == name
        assert detector.thresholds_[number] == -own.offset_
        np.testing.assert_allclose(
            detector.score_samples(rows, categories=categories),
            own.score_samples(rows) / -own.offset_,
        )
        np.testing.assert_array_equal(
            detector.predict(rows, categories=categories), own.predict(rows)
        )
        np.testing.assert_allclose(
            detector.p_values(rows, categories=categories), own.p_values(rows)
        )
        np.testing.assert_allclose(
            detector.calibration_distances_[products == name],
            own.calibration_distances_ / -own.offset_,
        )
    bounds = [
        MahalanobisDetector(fpr=0.1).fit(X[products == name]).fpr_bound()
        for name in ("bolt", "nut")
    ]
    assert detector.fpr_bound() == max(bounds)
    np.testing.assert_array_equal(
        detector.predict(X_new, categories=new) == -1,
        detector.p_values(X_new, categories=new) <= 0.1,
    )


def test_fit_predict_takes_categories():
    X, products = draw(np.random.default_rng(1), {"bolt": 50, "nut": 60})
    detector = MondrianDetector()
    labels = detector.fit_predict(X, categories=products)
    np.testing.assert_array_equal(labels, detector.predict(X, categories=products))


def test_a_shared_detector_has_thresholds_by_category():
    rng = np.random.default_rng(2)
    X, products = draw(rng, {"bolt": 50, "nut": 80})
    detector = MondrianDetector(shared=True, fpr=0.1).fit(X, categories=products)
    of_all = MahalanobisDetector().fit(X)
    for number, name in enumerate(("bolt", "nut")):
        distances = np.sort(of_all.calibration_distances_[products == name])
        rank = int(np.ceil(0.9 * (len(distances) + 1) - 1e-9))
        assert detector.thresholds_[number] == distances[rank - 1]


@pytest.mark.parametrize("shared", [False, True])
def test_too_few_of_a_category_take_the_threshold_of_all(shared):
    rng = np.random.default_rng(3)
    X, products = draw(rng, {"bolt": 50, "nut": 80, "washer": 8})
    detector = MondrianDetector(shared=shared)
    with pytest.warns(
        FalseAlarmRateWarning, match=r"takes at least 19 samples .*: washer \(8\)\."
    ) as caught:
        detector.fit(X, categories=products)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    of_all = MahalanobisDetector().fit(X)
    assert detector.thresholds_[2] == -of_all.offset_
    washers = X[products == "washer"]
    np.testing.assert_array_equal(
        detector.predict(washers, categories=["washer"] * 8), of_all.predict(washers)
    )
    np.testing.assert_allclose(
        detector.p_values(washers, categories=["washer"] * 8), of_all.p_values(washers)
    )


def test_lots_are_left_out_within_categories():
    rng = np.random.default_rng(4)
    X, products = draw(rng, {"bolt": 120, "nut": 120})
    lots = rng.integers(0, 12, 240)
    detector = MondrianDetector(fpr=0.3).fit(X, categories=products, groups=lots)
    own = products == "nut"
    direct = MahalanobisDetector(fpr=0.3).fit(X[own], groups=lots[own])
    assert detector.thresholds_[1] == -direct.offset_
    with pytest.warns(FalseAlarmRateWarning, match="takes at least 39 groups"):
        MondrianDetector().fit(X, categories=products, groups=lots)


def test_copies_count_once_in_a_category():
    X, _ = draw(np.random.default_rng(5), {"bolt": 40})
    twice, products = np.vstack([X, X[:20]]), ["a"] * 20 + ["b"] * 20 + ["a"] * 20
    with (
        pytest.warns(FalseAlarmRateWarning, match="copies of others"),
        pytest.warns(FalseAlarmRateWarning, match=r"takes at least 19.*: c \(5\)\."),
    ):
        detector = MondrianDetector(shared=True, fpr=0.05).fit(
            np.vstack([twice, twice[:5]]), categories=[*products, *["c"] * 5]
        )
    far = [[1e6] * 4]
    assert detector.p_values(far, categories=["a"]) == pytest.approx(1 / 21)


@pytest.mark.parametrize("shared", [False, True])
def test_copies_count_once_in_a_monitor(shared):
    X, _ = draw(np.random.default_rng(5), {"bolt": 80})
    # Ten of one category are copies in it, and ten in the other.
    X = np.vstack([X, X[:20]])
    categories = ["a"] * 40 + ["b"] * 40 + ["a"] * 10 + ["b"] * 10
    with pytest.warns(FalseAlarmRateWarning, match="20 of the 100 .* are copies"):
        detector = MondrianDetector(shared=shared).fit(X, categories=categories)
    # One distance a sample, of which those of the ten in its own category are equal.
    distances = detector.calibration_distances_
    assert distances.shape == (100,)
    np.testing.assert_allclose(distances[80:90], distances[:10])
    assert np.all(distances[90:] != distances[10:20])
    assert len(ConformalMonitor(random_state=0).fit(detector)._distances) == 90


def test_copies_do_not_make_up_for_samples_of_a_category():
    X, _ = draw(np.random.default_rng(7), {"bolt": 60})
    X, categories = np.vstack([X[:10], X]), ["a"] * 20 + ["b"] * 50
    with (
        pytest.warns(FalseAlarmRateWarning, match="copies of others"),
        pytest.warns(FalseAlarmRateWarning, match=r"fewer of: a \(10\)\."),
    ):
        detector = MondrianDetector(shared=True).fit(X, categories=categories)
    assert detector.thresholds_[0] == -detector.estimators_[0].offset_


def test_a_monitor_takes_the_lots_of_categories():
    rng = np.random.default_rng(6)
    X, products = draw(rng, {"bolt": 240, "nut": 240})
    lots = rng.integers(0, 12, 480)
    detector = MondrianDetector(fpr=0.3).fit(X, categories=products, groups=lots)
    means = [detector.calibration_distances_[lots == lot].mean() for lot in range(12)]
    monitor = ConformalMonitor(random_state=0).fit(detector)
    np.testing.assert_allclose(monitor._distances, np.sort(means))
    new, products = draw(rng, {"bolt": 20, "nut": 20})
    distances = -detector.score_samples(new, categories=products)
    assert not monitor.update_lot(distances)
    with pytest.raises(ValueError, match="fitted on lots"):
        monitor.update_distances(distances)


@pytest.mark.parametrize(
    "inner",
    [
        CellwiseMahalanobisDetector(cells=2),
        LevelEnsemble(columns={"a": [0, 1], "b": [2, 3]}),
        ConformalDetector(MahalanobisDetector("diagonal")),
    ],
    ids=lambda inner: type(inner).__name__,
)
def test_any_detector_with_held_out_distances(inner):
    rng = np.random.default_rng(6)
    X, products = draw(rng, {"bolt": 50, "nut": 60})
    detector = MondrianDetector(inner, fpr=0.1).fit(X, categories=products)
    own = clone(inner).set_params(fpr=0.1).fit(X[products == "nut"])
    X_new, _ = draw(rng, {"nut": 40})
    np.testing.assert_array_equal(
        detector.predict(X_new, categories=["nut"] * 40), own.predict(X_new)
    )


def test_errors_name_the_category():
    X, products = draw(np.random.default_rng(7), {"bolt": 50, "nut": 60})
    detector = MondrianDetector().fit(X, categories=products)
    unknown = r"categories\[1\] is 'screw'.*'bolt', 'nut'"
    with pytest.raises(ValueError, match=unknown):
        detector.predict(X[:2], categories=["nut", "screw"])
    with pytest.raises(ValueError, match="categories are missing"):
        detector.predict(X[:2])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        detector.predict(X[:2], categories=["nut"])
    with pytest.raises(ValueError, match="fitted without"):
        MondrianDetector().fit(X).predict(X[:2], categories=["nut"] * 2)
    with pytest.raises(ValueError, match="categories must hold one for each sample"):
        detector.predict(X, categories="nut")
    with pytest.raises(ValueError, match="shared must be True or False; got 'yes'"):
        MondrianDetector(shared="yes").fit(X)
    with pytest.raises(ValueError, match="fpr=0.2 of the inner MahalanobisDetector"):
        MondrianDetector(MahalanobisDetector(fpr=0.2)).fit(X)
    with pytest.raises(ValueError, match="OneClassSVM has none"):
        MondrianDetector(OneClassSVM()).fit(X)
    with pytest.raises(ValueError, match="threshold of category 'bolt' is -"):
        MondrianDetector(ConformalDetector(OneClassSVM())).fit(X, categories=products)
    detector.set_params(fpr=0.2)
    with pytest.raises(ValueError, match="fpr was set to 0.2 after"):
        detector.predict(X, categories=products)


def test_numbers_are_categories_too():
    X, products = draw(np.random.default_rng(8), {"bolt": 50, "nut": 60})
    numbers = (products == "nut").astype(int)
    by_number = MondrianDetector().fit(X, categories=numbers)
    by_name = MondrianDetector().fit(X, categories=pd.Series(products))
    np.testing.assert_array_equal(
        by_number.predict(X, categories=numbers),
        by_name.predict(X, categories=products),
    )


def test_pipelines_pass_categories(tmp_path):
    X, products = draw(np.random.default_rng(9), {"bolt": 50, "nut": 60})
    steps = [("same", FunctionTransformer()), ("detector", MondrianDetector())]
    direct = MondrianDetector().fit(X, categories=products)
    plain = Pipeline(steps).fit(X, detector__categories=products)
    np.testing.assert_array_equal(
        plain.predict(X, categories=products), direct.predict(X, categories=products)
    )
    pipe = DetectorPipeline(steps).fit(X, detector__categories=products)
    for method in ("predict", "score_samples", "decision_function", "p_values"):
        np.testing.assert_array_equal(
            getattr(pipe, method)(X, categories=products),
            getattr(direct, method)(X, categories=products),
        )
    np.testing.assert_array_equal(
        pipe.predict_batch(X, categories=products, fdr=0.1),
        direct.predict_batch(X, categories=products, fdr=0.1),
    )
    save(direct, tmp_path / "model.skgaussad")
    again = load(tmp_path / "model.skgaussad")
    np.testing.assert_array_equal(
        again.p_values(X, categories=products), direct.p_values(X, categories=products)
    )


def test_images_of_two_products():
    images = make_textures(60, 4, size=64, random_state=0).images
    images = np.concatenate([images[:60], 255 - images[:60]])
    products = np.repeat(["dark", "light"], 60)
    pipe = make_detector(
        detector=MondrianDetector(CellwiseMahalanobisDetector(), fpr=0.1),
        backbone="test_resnet",
        weights=None,
        image_size=64,
        levels=2,
        pooling=2,
    ).fit(list(images), detector__categories=products)
    flagged = pipe.predict(list(images), categories=products) == -1
    assert flagged.mean() < 0.2
    assert np.all(pipe.predict(list(images[:60]), categories=["light"] * 60) == -1)
    with pytest.raises(ValueError, match="MondrianDetector"):
        anomaly_maps(pipe, list(images[:1]))


def test_bounds_are_those_of_the_worst_category():
    X, products = draw(np.random.default_rng(10), {"bolt": 40, "nut": 400})
    detector = MondrianDetector(shared=True, fpr=0.1).fit(X, categories=products)
    above = detector.calibration_distances_[products == "bolt"] > 1
    assert detector.fpr_bound() == fpr_bound(int(above.sum()), 40, 0.95)
