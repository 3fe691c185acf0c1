"""Labels of lots, products and variants, wherever they come in."""

import numpy as np
import pandas as pd
import pytest

from skgaussad import (
    AugmentedDetector,
    ConformalDetector,
    DetectorPipeline,
    LevelEnsemble,
    MahalanobisDetector,
    MondrianDetector,
    VariantMahalanobisDetector,
)
from skgaussad._utils.labels import number_labels
from skgaussad.calibration import ConformalMonitor
from skgaussad.reporting import calibration_report

X = np.random.default_rng(0).normal(size=(60, 4))
NAMES = np.tile(["a", "b", "c"], 20)


def with_one(missing):
    labels = NAMES.astype(object)
    labels[7] = missing
    return labels


MISSING = {
    "None": with_one(None),
    "NaN among text": with_one(np.nan),
    "NaN in a list": with_one(np.nan).tolist(),
    "NaN among numbers": np.where(np.arange(60) == 7, np.nan, 1.0),
    "NA": pd.Series(with_one(pd.NA), dtype="string"),
    "NaT": pd.Series(pd.date_range("2026-01-01", periods=60)).where(
        np.arange(60) != 7, pd.NaT
    ),
    "masked": np.ma.array(NAMES, mask=np.arange(60) == 7),
    "masked numbers": np.ma.array(np.arange(60) % 3, mask=np.arange(60) == 7),
    "masked in a list": with_one(np.ma.masked).tolist(),
    "empty": with_one(""),
    "blank": np.where(np.arange(60) == 7, " ", NAMES),
    "category": pd.Series(pd.Categorical(with_one(None))),
}


def update(groups):
    steps = [("detector", MahalanobisDetector(fpr=0.5))]
    pipe = DetectorPipeline(steps).fit(X, detector__groups=NAMES)
    pipe.update(X + 1, groups=groups)


TAKERS = {
    "groups": [
        lambda labels: MahalanobisDetector().fit(X, groups=labels),
        lambda labels: LevelEnsemble(columns={"a": [0, 1]}).fit(X, groups=labels),
        lambda labels: ConformalDetector(MahalanobisDetector()).fit(X, groups=labels),
        lambda labels: AugmentedDetector(MahalanobisDetector()).fit(
            np.zeros((60, 8, 8, 3), dtype=np.uint8), groups=labels
        ),
        lambda labels: ConformalMonitor().fit(X[:, 0] ** 2, groups=labels),
        lambda labels: calibration_report(
            MahalanobisDetector().fit(X), X, groups=labels
        ),
        update,
    ],
    "categories": [
        lambda labels: MondrianDetector().fit(X, categories=labels),
        lambda labels: (
            MondrianDetector().fit(X, categories=NAMES).predict(X, categories=labels)
        ),
    ],
    "variants": [lambda labels: VariantMahalanobisDetector().fit(X, variants=labels)],
}


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize(
    ("name", "number"),
    [
        (name, number)
        for name, takers in TAKERS.items()
        for number in range(len(takers))
    ],
)
def test_a_missing_label_is_named(name, number, kind):
    with pytest.raises(ValueError, match=rf"{name}\[7\] is missing"):
        TAKERS[name][number](MISSING[kind])


@pytest.mark.parametrize("name", TAKERS)
def test_labels_of_another_number_are_refused(name):
    for take in TAKERS[name]:
        with pytest.raises(ValueError, match=r"inconsistent numbers|one for each of"):
            take(NAMES[:-1])


def test_labels_that_cannot_be_sorted_are_refused():
    labels = NAMES.astype(object)
    labels[3] = 5
    with pytest.raises(ValueError, match="one type that can be sorted; got int, str"):
        number_labels("groups", labels, X)
    names, numbers = number_labels("groups", NAMES, X)
    np.testing.assert_array_equal(names[numbers], NAMES)
