"""Copies among the training samples: held out together, counted once, and named."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline

from skgaussad import (
    AugmentedDetector,
    CellwiseMahalanobisDetector,
    ConformalDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    PositionDetector,
    RobustDetector,
    TiledDetector,
    VariantMahalanobisDetector,
)
from skgaussad.detectors._copies import join_groups
from skgaussad.exceptions import FalseAlarmRateWarning

N, D = 30, 40
rng = np.random.default_rng(0)
DISTINCT = rng.normal(size=(N, D)) * np.linspace(0.1, 3, D)
# Two, three and one of a kind.
ROWS = rng.permutation(np.r_[np.arange(N), np.arange(20), np.arange(5)])
X = DISTINCT[ROWS]
X_TEST = rng.normal(size=(50, D)) * np.linspace(0.1, 3, D)

# Their distances of a row are those of a fit to the rows that differ from it.
IN_CLOSED_FORM = {
    **{name: MahalanobisDetector(name) for name in ("ledoit_wolf", "oas", "diagonal")},
    "cells": CellwiseMahalanobisDetector(cells=4),
    "levels": LevelEnsemble(columns={"a": slice(0, 9), "b": slice(9, D)}),
}
BY_FOLDS = {
    "conformal": ConformalDetector(MahalanobisDetector()),
    "variants": VariantMahalanobisDetector(1),
    "folds": LevelEnsemble(columns={"a": slice(0, 9), "b": slice(9, D)}, cv=5),
}
ignore_warnings = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)


def fit(detector, X, **params):
    """Fit a clone; return what it warns of, too."""
    with pytest.warns(FalseAlarmRateWarning) as caught:
        fitted = clone(detector).fit(X, **params)
    return fitted, [str(warning.message) for warning in caught]


@pytest.mark.parametrize("name", IN_CLOSED_FORM)
def test_equal_rows_are_left_out_together(name):
    detector, _ = fit(IN_CLOSED_FORM[name], X)
    for row in (0, 7, 20):
        others = X[(X[row] != X).any(axis=1)]
        refitted, _ = fit(IN_CLOSED_FORM[name], others)
        expected = -refitted.score_samples(X[[row]])[0]
        assert detector.calibration_distances_[row] == pytest.approx(expected, 1e-11)


@pytest.mark.parametrize("name", [*IN_CLOSED_FORM, *BY_FOLDS])
def test_equal_rows_count_once(name):
    detector, messages = fit({**IN_CLOSED_FORM, **BY_FOLDS}[name], X)
    assert len(detector.calibration_distances_) == len(X)
    of_each = [detector.calibration_distances_[number == ROWS] for number in range(N)]
    for distances in of_each:
        np.testing.assert_allclose(distances, distances[0], rtol=1e-10)
    # The ceil((1 - fpr)(n + 1))-th smallest of different ones.
    distances = np.sort([distances[0] for distances in of_each])
    assert -detector.offset_ == pytest.approx(distances[int(np.ceil(0.95 * 31)) - 1])
    beyond = detector.p_values(100 * X_TEST[:1])
    np.testing.assert_allclose(beyond, 1 / (N + 1))
    assert any(message.startswith("25 of the 55") for message in messages)


def test_the_message_names_two_copies():
    _, messages = fit(MahalanobisDetector(), DISTINCT[[*range(20), 1, 2, 2]])
    assert "3 of the 23 training samples are copies" in messages[0]
    assert "others: X[20] = X[1], X[21] = X[2], X[22] = X[2]. " in messages[0]


def test_a_doubled_training_set_keeps_the_rate():
    """Each row's copy was among the others, and nearly all images were anomalous."""
    rates = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(60, 100))
        detector, _ = fit(MahalanobisDetector(), np.concatenate([rows, rows]))
        rates.append(np.mean(detector.predict(rng.normal(size=(500, 100))) == -1))
    assert 0.02 < np.mean(rates) < 0.07


@ignore_warnings
@pytest.mark.parametrize("name", ["ledoit_wolf", "cells", "conformal"])
def test_groups_that_share_copies_are_one(name):
    detectors = {**IN_CLOSED_FORM, **BY_FOLDS}
    # The last rows of a group are the first ones of the next, in two pairs of groups.
    rows = np.concatenate([np.arange(start, start + 6) for start in (0, 5, 11, 16, 22)])
    names = np.repeat(list("edcba"), 6)
    joined = np.repeat(["ed", "ed", "cb", "cb", "a"], 6)
    found = clone(detectors[name]).fit(DISTINCT[rows], groups=names)
    expected = clone(detectors[name]).fit(DISTINCT[rows], groups=joined)
    np.testing.assert_allclose(
        found.calibration_distances_, expected.calibration_distances_
    )
    assert found.fpr_bound() == expected.fpr_bound()


@ignore_warnings
def test_groups_that_all_share_copies():
    with pytest.raises(ValueError, match="all 2 hang together by samples"):
        MahalanobisDetector().fit(X[[0, 1, 2, 1]], groups=[0, 0, 1, 1])


def test_chains_of_groups_are_joined():
    groups = np.array([0, 0, 1, 1, 2, 2, 3])
    copies = np.array([0, 1, 1, 2, 2, 3, 4])
    np.testing.assert_array_equal(join_groups(groups, copies), [0, 0, 0, 0, 0, 0, 1])


@ignore_warnings
@pytest.mark.filterwarnings("ignore:The groups parameter is ignored by KFold")
def test_folds_that_divide_copies_are_refused():
    detector = ConformalDetector(MahalanobisDetector(), cv=KFold(5))
    with pytest.raises(ValueError, match="copies of a sample together, as GroupKFold"):
        detector.fit(X)
    clone(detector).set_params(cv=GroupKFold(5)).fit(X)


@ignore_warnings
def test_calibrate_finds_copies():
    detector = MahalanobisDetector().partial_fit(X[:20]).partial_fit(X[20:])
    expected = MahalanobisDetector().fit(X)
    found = detector.calibrate(X).calibration_distances_
    np.testing.assert_allclose(found, expected.calibration_distances_, rtol=1e-9)
    assert detector.fpr_bound() == expected.fpr_bound()


@ignore_warnings
def test_a_robust_fit_counts_copies_once():
    detector = RobustDetector().fit(X)
    assert detector.fpr_bound() == MahalanobisDetector().fit(X).fpr_bound()


IMAGES = np.random.default_rng(0).integers(0, 256, (21, 40, 40), dtype=np.uint8)
COPIED = np.r_[np.arange(21), np.arange(10)]


def make_transformer(**settings):
    return DeepFeatureTransformer(
        "test_resnet", weights=None, device="cpu", image_size=(32, 32), **settings
    )


OF_IMAGES = {
    "shared": PositionDetector(make_transformer(levels=3)),
    "each": PositionDetector(make_transformer(levels=3), positions="each"),
    "tiles": TiledDetector(
        make_pipeline(make_transformer(levels=2), MahalanobisDetector())
    ),
    "tiles by folds": TiledDetector(
        make_pipeline(
            make_transformer(levels=2), ConformalDetector(MahalanobisDetector())
        )
    ),
}


@pytest.mark.slow
@ignore_warnings
@pytest.mark.parametrize("name", OF_IMAGES)
def test_equal_images_are_left_out_together(name):
    detector, messages = fit(OF_IMAGES[name], IMAGES[COPIED])
    assert any("others: X[21] = X[0]" in message for message in messages)
    for row in (3, 15):
        others = clone(OF_IMAGES[name]).fit(IMAGES[COPIED[row != COPIED]])
        expected = -others.score_samples(IMAGES[[row]])[0]
        distances = detector.calibration_distances_[row == COPIED]
        np.testing.assert_allclose(distances, expected, rtol=1e-6)
    assert detector._held_out.n_units == 21


def test_blank_parts_of_different_images_are_no_copies():
    """Equal features at a position, or of a level, do not make images equal."""
    blank = X.copy()
    blank[:, :9] = 1.0
    blank = np.delete(blank, np.unique(ROWS, return_index=True)[1][:25], axis=0)
    blank = blank[np.sort(np.unique(blank, axis=0, return_index=True)[1])]
    detector = LevelEnsemble(columns={"a": slice(0, 12), "b": slice(9, D)}, fpr=0.1)
    detector.fit(blank)
    half_blank = blank.copy()
    half_blank[::2, :12] = 1.0
    detector.fit(half_blank)
    assert detector._held_out.n_units == len(blank)


@pytest.mark.slow
@ignore_warnings
def test_augmented_copies_of_equal_images_are_left_out_together():
    pipe = make_pipeline(make_transformer(levels=2), MahalanobisDetector(fpr=0.2))
    detector = AugmentedDetector(pipe, n_epochs=2, random_state=0).fit(IMAGES[COPIED])
    assert detector._held_out.n_units == 21
