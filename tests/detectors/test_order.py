"""Whether the order of training samples says that neighbours are alike."""

import re
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from skgaussad import (
    CellwiseMahalanobisDetector,
    ConformalDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    MondrianDetector,
    NegatedPCA,
    PositionDetector,
    RobustDetector,
    TiledDetector,
    VariantMahalanobisDetector,
    make_detector,
)
from skgaussad.datasets import load_solar_cells
from skgaussad.detectors import _order
from skgaussad.exceptions import FalseAlarmRateWarning

OF_ORDER = "Fitted without the first or the last half of the training samples"
GROUPS_HELP = "groups=lots in fit, detector__groups=lots"
COLUMNS = {"a": slice(0, 6), "b": slice(6, 12)}
DETECTORS = {
    "mahalanobis": MahalanobisDetector(),
    "chi2": MahalanobisDetector(threshold="chi2", covariance="empirical"),
    "cellwise": CellwiseMahalanobisDetector(cells=4),
    "levels": LevelEnsemble(columns=COLUMNS),
    "levels of pipelines": LevelEnsemble(
        make_pipeline(NegatedPCA(2), MahalanobisDetector()), columns=COLUMNS
    ),
    "conformal": ConformalDetector(make_pipeline(StandardScaler(), OneClassSVM())),
    "variants": VariantMahalanobisDetector(2, random_state=0),
    "mondrian": MondrianDetector(),
    "robust": RobustDetector(),
}


def draw_lots(rng, n_lots=10, n_in_lot=20, effect=1.0):
    """Samples in the order of their lots, each with a mean of its own, and the lots."""
    lots = np.repeat(np.arange(n_lots), n_in_lot)
    means = effect * rng.normal(size=(n_lots, 12))
    return rng.normal(size=(len(lots), 12)) + means[lots], lots


def warnings_of_order(detector, X, **fit):
    """What a fit says of the order."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FalseAlarmRateWarning)
        detector.fit(X, **fit)
    return [str(w.message) for w in caught if OF_ORDER in str(w.message)]


def told(message):
    """The share that a warning tells."""
    return float(re.search(r"calls (\S+) of that", message)[1])


@pytest.mark.parametrize("name", DETECTORS)
def test_lots_in_order_are_seen_and_shuffled_ones_are_not(name):
    rng = np.random.default_rng(0)
    X, lots = draw_lots(rng, effect=1.5)
    detector = clone(DETECTORS[name])
    (message,) = warnings_of_order(detector, X)
    assert told(message) > 0.1
    assert "instead of fpr=0.05" in message
    if name == "robust":
        assert "RobustDetector takes no groups" in message
    else:
        assert GROUPS_HELP in message
        assert "--lots" in message
    n_warned = sum(
        bool(warnings_of_order(detector, rng.permutation(X))) for _ in range(20)
    )
    assert n_warned <= 1
    # Given groups there is nothing to say.
    if name not in ("chi2", "robust"):
        assert not warnings_of_order(detector.set_params(fpr=0.2), X, groups=lots)


@pytest.mark.parametrize("n_lots", [2, 3, 6, 10, 30])
@pytest.mark.parametrize("shape", [(120, 12), (120, 200)], ids=["n > D", "n < D"])
def test_lots_of_any_length_are_seen(n_lots, shape):
    n_samples, n_features = shape
    rng = np.random.default_rng(n_lots)
    means = 2 * rng.normal(size=(n_lots, n_features))
    X = rng.normal(size=shape) + means[np.arange(n_samples) * n_lots // n_samples]
    assert warnings_of_order(MahalanobisDetector(), X)


@pytest.mark.parametrize("n_in_lot", [20, 700])
def test_of_many_samples_some_are_tried(n_in_lot):
    """Blocks of them, so that short lots show, too."""
    rng = np.random.default_rng(0)
    X, _ = draw_lots(rng, 2800 // n_in_lot, n_in_lot, effect=2)
    assert warnings_of_order(MahalanobisDetector(), X)
    assert not warnings_of_order(MahalanobisDetector(), rng.permutation(X))


def test_a_slow_trend_is_seen():
    rng = np.random.default_rng(1)
    trend = np.linspace(-2, 2, 200)[:, np.newaxis] * rng.normal(size=12)
    assert warnings_of_order(MahalanobisDetector(), trend + rng.normal(size=(200, 12)))


def test_an_order_by_category_or_variant_is_none():
    """But of lots in each category there is one."""
    X, categories = draw_lots(np.random.default_rng(2), 2, 60, effect=5)
    X = np.column_stack([X, np.zeros(len(X))])
    for shared in (False, True):
        detector = MondrianDetector(shared=shared)
        assert not warnings_of_order(detector, X, categories=categories)
    given = VariantMahalanobisDetector()
    assert not warnings_of_order(given, X, variants=categories)
    found = VariantMahalanobisDetector(2, random_state=0)
    assert not warnings_of_order(found, X)
    of_lots = X + np.repeat([0, 3, 0, 3], 30)[:, np.newaxis]
    for shared in (False, True):
        detector = MondrianDetector(shared=shared)
        assert warnings_of_order(detector, of_lots, categories=categories)
    assert warnings_of_order(given, of_lots, variants=categories)
    # Of a category with few samples, which is measured by the detector of all.
    few = np.where(np.arange(120) >= 110, 2, categories)
    assert not warnings_of_order(MondrianDetector(), X, categories=few)


def test_the_rate_is_that_of_fits_to_the_other_half():
    X, _ = draw_lots(np.random.default_rng(1))
    (message,) = warnings_of_order(MahalanobisDetector(), X)
    halves, n_alarms = np.split(X, 2), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FalseAlarmRateWarning)
        for half, other in (halves, halves[::-1]):
            n_alarms += np.sum(MahalanobisDetector().fit(half).predict(other) == -1)
    assert told(message) == float(f"{n_alarms / 200:.2g}")


@pytest.mark.parametrize("n_lots", [2, 3, 10])
def test_lots_are_seen_where_half_of_the_samples_are_too_few(n_lots):
    rng = np.random.default_rng(3)
    means = 4 * rng.normal(size=(n_lots, 35))
    X = rng.normal(size=(60, 35)) + means[np.arange(60) * n_lots // 60]
    of_few = MahalanobisDetector(covariance="empirical")
    ensemble = LevelEnsemble(of_few, columns={"a": slice(0, 2), "b": slice(2, 35)})
    categories = np.zeros(60, dtype=int)
    for detector, fit in (
        (of_few, {}),
        (ensemble, {}),
        (MondrianDetector(of_few), {"categories": categories}),
        (RobustDetector(of_few), {}),
    ):
        (message,) = warnings_of_order(detector, X, **fit)
        assert (
            f"a MahalanobisDetector, since {type(detector).__name__} fails" in message
        )
        assert not warnings_of_order(detector, rng.permutation(X), **fit)


class FailsOnFew(MahalanobisDetector):
    """Fails in its own way where the samples are few."""

    def fit(self, X, y=None):
        if len(X) < 100:
            raise RuntimeError("the solver has given up")
        return super().fit(X)


@pytest.mark.parametrize(
    "detector",
    [
        FailsOnFew(),
        ConformalDetector(FailsOnFew(), cv=3),
        LevelEnsemble(FailsOnFew(), columns=COLUMNS),
        MondrianDetector(FailsOnFew()),
        RobustDetector(FailsOnFew()),
    ],
    ids=lambda detector: type(detector).__name__,
)
def test_a_detector_that_fails_on_few_samples_is_fitted(detector):
    rng = np.random.default_rng(8)
    assert warnings_of_order(detector, draw_lots(rng, effect=2)[0][:180])
    assert not warnings_of_order(detector, rng.normal(size=(180, 12)))


@pytest.mark.parametrize("of_lots", [False, True])
def test_folds_of_ones_own_are_kept(of_lots):
    """They fit all samples, and not half of them."""
    rng = np.random.default_rng(9)
    X, lots = draw_lots(rng, effect=2)
    folds = lots if of_lots else rng.integers(0, 5, size=len(X))
    test = [np.flatnonzero(folds == number) for number in np.unique(folds)]
    as_list = [(np.setdiff1d(np.arange(len(X)), rows), rows) for rows in test]
    for cv in (PredefinedSplit(folds), as_list):
        for detector in (
            ConformalDetector(MahalanobisDetector(), cv=cv),
            LevelEnsemble(columns=COLUMNS, cv=cv),
            VariantMahalanobisDetector(1, cv=cv),
        ):
            messages = warnings_of_order(detector, X)
            # A threshold by so few lots may or may not hold for others.
            assert messages or of_lots
            assert not any("since" in message for message in messages)


def test_calibrate_looks_at_the_order_too():
    rng = np.random.default_rng(10)
    X, _ = draw_lots(rng, effect=2)
    detector = MahalanobisDetector()
    for start in range(0, 200, 50):
        detector.partial_fit(X[start : start + 50])
    with pytest.warns(FalseAlarmRateWarning, match=OF_ORDER) as caught:
        detector.calibrate(X)
    assert caught[0].filename == __file__
    detector.calibrate(rng.permutation(X))


class Counted(MahalanobisDetector):
    """Counts its fits."""

    n_fits = 0

    def fit(self, X, y=None):
        type(self).n_fits += 1
        return super().fit(X)


@pytest.mark.parametrize(
    ("wrap", "n_expected"),
    [
        (lambda inner: inner, 1),
        (lambda inner: ConformalDetector(inner, cv=5), 6),
        (lambda inner: MondrianDetector(ConformalDetector(inner, cv=5)), 6),
        (lambda inner: ConformalDetector(ConformalDetector(inner, cv=5), cv=3), 24),
        (lambda inner: LevelEnsemble(inner, columns=COLUMNS, cv=2), 6),
        (lambda inner: RobustDetector(ConformalDetector(inner, cv=5)), 6),
    ],
)
def test_only_the_outermost_detector_looks(wrap, n_expected):
    """And two trials: three times the fits that the detector itself takes."""
    X = np.random.default_rng(11).normal(size=(60, 12))
    Counted.n_fits = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FalseAlarmRateWarning)
        wrap(Counted()).fit(X)
    assert Counted.n_fits == 3 * n_expected


def test_what_cannot_be_looked_at_is_said():
    """Images have no features that another detector could take."""
    rng = np.random.default_rng(4)
    images = rng.integers(0, 255, size=(40, 32, 32, 3), dtype=np.uint8)
    transformer = DeepFeatureTransformer(
        "test_resnet", weights=None, device="cpu", image_size=(32, 32), levels=2
    )
    detector = PositionDetector(transformer, positions="each", covariance="empirical")
    with pytest.warns(FalseAlarmRateWarning, match="was not looked at.*half of"):
        detector.fit(images)


def test_independent_samples_are_silent():
    rng = np.random.default_rng(2)
    n_warned = 0
    for n_samples in (20, 60, 200):
        for n_features in (5, 100):
            for _ in range(20):
                X = rng.standard_t(4, size=(n_samples, n_features))
                n_warned += len(warnings_of_order(MahalanobisDetector(), X))
    assert n_warned <= 6, "in 95 of 100"


def test_lots_with_copies_of_any_number_are_seen():
    rng = np.random.default_rng(12)
    X, _ = draw_lots(rng, effect=2.0)
    X = np.repeat(X, rng.integers(1, 5, size=len(X)), axis=0)
    assert warnings_of_order(MahalanobisDetector(), X)


@pytest.mark.parametrize("name", DETECTORS)
def test_the_warning_points_to_the_call_of_every_detector(name):
    X, _ = draw_lots(np.random.default_rng(0), effect=1.5)
    with pytest.warns(FalseAlarmRateWarning, match=OF_ORDER) as caught:
        clone(DETECTORS[name]).fit(X)
    (of_order,) = [each for each in caught if OF_ORDER in str(each.message)]
    assert of_order.filename == __file__


def test_copies_side_by_side_are_no_lots():
    X = np.repeat(np.random.default_rng(3).normal(size=(60, 12)), 3, axis=0)
    assert not warnings_of_order(MahalanobisDetector(fpr=0.1), X)


def test_the_warning_points_to_the_call():
    X, _ = draw_lots(np.random.default_rng(5))
    with pytest.warns(FalseAlarmRateWarning, match=OF_ORDER) as caught:
        MahalanobisDetector().fit(X)
    assert caught[0].filename == __file__


def test_solar_cells_in_file_order():
    cells = load_solar_cells("mono")
    paths = cells.paths[cells.labels == 1]
    pipe = make_detector(image_size=96, pooling=6)
    with pytest.warns(FalseAlarmRateWarning, match=OF_ORDER):
        pipe.fit(paths)
    pipe.fit(np.random.default_rng(0).permutation(paths))


def test_images_in_order_are_seen_by_tiles_and_positions():
    """Images of two lots, one brighter than the other."""
    rng = np.random.default_rng(4)
    images = rng.integers(0, 100, size=(40, 32, 32, 3), dtype=np.uint8)
    images[20:] += 100
    transformer = DeepFeatureTransformer(
        "test_resnet", weights=None, device="cpu", image_size=(32, 32), levels=2
    )
    tiled = TiledDetector(make_pipeline(transformer, MahalanobisDetector()))
    in_folds = TiledDetector(make_pipeline(transformer, MahalanobisDetector()), cv=4)
    own_folds = clone(in_folds).set_params(cv=PredefinedSplit(np.arange(40) % 5))
    shared = PositionDetector(transformer)
    each = PositionDetector(transformer, positions="each")
    for detector in (tiled, in_folds, own_folds, shared, each):
        assert warnings_of_order(clone(detector), images)
        assert not warnings_of_order(detector, rng.permutation(images))


def test_copies_far_apart_do_not_hide_lots():
    """Were one left out and the other not, each sample would look normal."""
    X, _ = draw_lots(np.random.default_rng(6), effect=2.0)
    (message,) = warnings_of_order(MahalanobisDetector(), np.vstack([X, X]))
    assert told(message) > 0.5


@pytest.mark.parametrize("kind", ["binary", "counts", "rounded"])
def test_values_that_repeat_are_no_order(kind):
    """Common samples come first in any order."""
    n_warned = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X = {
            "binary": lambda rng: rng.random((600, 8)) < 0.2,
            "counts": lambda rng: rng.poisson(0.3, (600, 6)),
            "rounded": lambda rng: rng.normal(size=(600, 4)).round(),
        }[kind](rng)
        n_warned += bool(warnings_of_order(MahalanobisDetector(fpr=0.2), X * 1.0))
    assert n_warned <= 1


def test_the_random_state_of_the_process_is_left_alone(monkeypatch):
    X = np.random.default_rng(0).normal(size=(60, 5))
    detector = ConformalDetector(IsolationForest(n_estimators=3), cv=2)
    before = np.random.get_state()  # noqa: NPY002
    draws = []
    for fewest in (20, 100):
        np.random.seed(0)  # noqa: NPY002
        with monkeypatch.context() as patch:
            patch.setattr(_order, "_FEWEST", fewest)
            detector.fit(X)
        draws.append(np.random.random())  # noqa: NPY002
    np.random.set_state(before)  # noqa: NPY002
    assert draws[0] == draws[1]


def test_a_copy_in_the_other_half_does_not_end_the_check():
    X, _ = draw_lots(np.random.default_rng(7), effect=2.0)
    X[150] = X[10]
    assert warnings_of_order(MahalanobisDetector(), X)
