"""Whether the order of training samples says that neighbours are alike."""

import warnings

import numpy as np
import pytest

from skgaussad import (
    CellwiseMahalanobisDetector,
    LevelEnsemble,
    MahalanobisDetector,
    make_detector,
)
from skgaussad.datasets import load_solar_cells
from skgaussad.exceptions import FalseAlarmRateWarning

OF_ORDER = "left out a tenth at a time, in their order"
DETECTORS = {
    "mahalanobis": MahalanobisDetector(),
    "cellwise": CellwiseMahalanobisDetector(cells=4),
    "levels": LevelEnsemble(columns={"a": slice(0, 6), "b": slice(6, 12)}),
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


@pytest.mark.parametrize("name", DETECTORS)
def test_lots_in_order_are_seen_and_shuffled_ones_are_not(name):
    rng = np.random.default_rng(0)
    X, lots = draw_lots(rng)
    detector = DETECTORS[name]
    (message,) = warnings_of_order(detector, X)
    beyond = float(message.split()[0])
    assert beyond > 0.1
    assert "threshold for fpr=0.05" in message
    assert "groups=lots in fit, detector__groups=lots" in message
    assert "--lots" in message
    n_warned = sum(
        bool(warnings_of_order(detector, rng.permutation(X))) for _ in range(20)
    )
    assert n_warned <= 1
    # Given groups there is nothing to say.
    assert not warnings_of_order(detector.set_params(fpr=0.2), X, groups=lots)
    detector.set_params(fpr=0.05)


def test_the_rate_is_that_of_fits_without_a_tenth():
    rng = np.random.default_rng(1)
    X, _ = draw_lots(rng)
    (message,) = warnings_of_order(detector := MahalanobisDetector(), X)
    beyond = 0
    for part in np.array_split(np.arange(200), 10):
        rest = MahalanobisDetector().fit(rng.permutation(np.delete(X, part, 0)))
        beyond += np.count_nonzero(rest.score_samples(X[part]) < detector.offset_)
    assert message.startswith(f"{beyond / 200:.2g} of the training samples")


def test_independent_samples_are_silent():
    rng = np.random.default_rng(2)
    n_warned = 0
    for n_samples in (20, 60, 200):
        for n_features in (5, 100):
            for _ in range(20):
                X = rng.standard_t(4, size=(n_samples, n_features))
                n_warned += len(warnings_of_order(MahalanobisDetector(), X))
    assert n_warned <= 6, "in 95 of 100"


def test_copies_side_by_side_are_no_lots():
    X = np.repeat(np.random.default_rng(3).normal(size=(60, 12)), 3, axis=0)
    assert not warnings_of_order(MahalanobisDetector(fpr=0.1), X)


@pytest.mark.parametrize(
    "rule", [{"threshold": "chi2"}, {"threshold": "f", "covariance": "empirical"}]
)
def test_a_threshold_by_a_distribution_is_not_judged(rule):
    X, _ = draw_lots(np.random.default_rng(4))
    assert not warnings_of_order(MahalanobisDetector(**rule), X)


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


def test_copies_far_apart_do_not_hide_lots():
    """Were one left out and the other not, each sample would look normal."""
    X, _ = draw_lots(np.random.default_rng(6), effect=2.0)
    (message,) = warnings_of_order(MahalanobisDetector(), np.vstack([X, X]))
    assert float(message.split()[0]) > 0.5
