import re

import numpy as np
import pytest
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skgaussad import DeepFeatureTransformer, MahalanobisDetector
from skgaussad.calibration import RateEstimate, fpr_bound
from skgaussad.datasets import make_textures
from skgaussad.reporting import calibration_report


class Flagger(BaseEstimator):
    """Flag the samples that say so themselves: counts are in the hands of the test."""

    def __init__(self, fpr=0.05):
        self.fpr = fpr

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.where(X[:, 0] > 0, -1, 1)


class CalibratedFlagger(Flagger):
    """The same with held-out distances, `n_exceeding` above the threshold."""

    def __init__(self, fpr=0.05, n_calibration=100, n_exceeding=4):
        super().__init__(fpr)
        self.n_calibration = n_calibration
        self.n_exceeding = n_exceeding

    @property
    def calibration_distances_(self):
        exceeds = np.arange(self.n_calibration) < self.n_exceeding
        return np.where(exceeds, np.inf, 0.1)

    def fpr_bound(self, confidence):
        return fpr_bound(self.n_exceeding, self.n_calibration, confidence)


def flags(n_flagged, n_samples):
    return (np.arange(n_samples) < n_flagged).astype(float)[:, np.newaxis]


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize(("n_flagged", "n"), [(0, 20), (12, 400), (7, 7), (1, 3)])
def test_interval_is_that_of_clopper_and_pearson(n_flagged, n, confidence):
    report = calibration_report(Flagger(), flags(n_flagged, n), confidence=confidence)
    estimate = report.overall
    assert (estimate.n_flagged, estimate.n_samples) == (n_flagged, n)
    assert estimate.rate == n_flagged / n
    tail = (1 - confidence) / 2
    if n_flagged:
        assert stats.binom.sf(n_flagged - 1, n, estimate.low) == pytest.approx(tail)
    else:
        assert estimate.low == 0
    if n_flagged < n:
        assert stats.binom.cdf(n_flagged, n, estimate.high) == pytest.approx(tail)
    else:
        assert estimate.high == 1


@pytest.mark.parametrize(
    ("n_flagged", "n_samples", "fpr", "sentence"),
    [
        (
            12,
            400,
            0.05,
            "12 of 400 normal images were flagged: 3.0 % (95 % interval 1.6 to 5.2 %), "
            "in line with the 5 % asked for.",
        ),
        (
            12,
            400,
            0.01,
            "12 of 400 normal images were flagged: 3.0 % (95 % interval 1.6 to 5.2 %), "
            "more than the 1 % asked for. These images differ from the training "
            "images: fit on images of both kinds.",
        ),
        (
            1,
            400,
            0.05,
            "1 of 400 normal images was flagged: 0.2 % (95 % interval 0.0 to 1.4 %), "
            "fewer than the 5 % asked for: a lower threshold would find more "
            "anomalies.",
        ),
        (
            0,
            20,
            0.05,
            "Too few normal images to tell: with none flagged among 20 the rate may be "
            "up to 16.8 %; it takes at least 72 to show that it is at most 5 %.",
        ),
        (
            0,
            71,
            0.05,
            "Too few normal images to tell: with none flagged among 71 the rate may be "
            "up to 5.1 %; it takes at least 72 to show that it is at most 5 %.",
        ),
    ],
)
def test_sentence_says_what_the_figures_mean(n_flagged, n_samples, fpr, sentence):
    report = calibration_report(Flagger(fpr), flags(n_flagged, n_samples))
    assert report.sentence == sentence
    unwrapped = " ".join(str(report).split())
    assert unwrapped.endswith(sentence)


def test_few_images_are_enough_to_see_far_too_many_false_alarms():
    report = calibration_report(Flagger(0.01), flags(5, 20))
    assert report.overall.comparison == "above"
    assert "more than the 1 % asked for" in report.sentence


def test_the_number_said_to_be_needed_is_the_least():
    least = [RateEstimate(0, n, 0.05).comparison for n in (71, 72)]
    assert least == ["around", "below"]


def test_advice_tells_few_training_images_from_other_images():
    """A threshold that 4 of 100 exceed may have up to 8.9 %, and 40 of 1000 5.2 %."""
    few = CalibratedFlagger(n_calibration=100, n_exceeding=4)
    report = calibration_report(few, flags(80, 1000))
    assert "from 100 training images may have a rate of up to 8.9 %" in report.advice
    # A rate of 10 % on these images may be one of 8.9 % on all.
    assert calibration_report(few, flags(100, 1000)).advice == report.advice
    assert "differ" in calibration_report(few, flags(120, 1000)).advice
    many = CalibratedFlagger(n_calibration=1000, n_exceeding=40)
    assert (
        "differ from the training" in calibration_report(many, flags(80, 1000)).advice
    )
    assert calibration_report(many, flags(50, 1000)).advice == ""
    assert calibration_report(many, flags(10, 1000)).advice == ""


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_advice_against_the_chi_square_distribution():
    """Log-normal samples: far more of them lie far out than the distribution has it."""
    rng = np.random.default_rng(0)
    X, X_test = rng.lognormal(size=(2, 500, 5))
    detector = MahalanobisDetector(threshold="chi2", fpr=0.01).fit(X)
    report = calibration_report(detector, X_test)
    assert report.overall.comparison == "above"
    assert "threshold='chi2'" in report.advice
    assert "try threshold='quantile'" in report.advice
    detector = MahalanobisDetector(threshold="quantile", fpr=0.01).fit(X)
    assert calibration_report(detector, X_test).overall.comparison == "around"


def test_groups_are_counted_each_and_the_deviating_one_is_marked():
    X = np.vstack([flags(30, 100), flags(4, 100), flags(0, 150)])
    groups = np.repeat(["C", "A", "B"], [100, 100, 150])
    order = np.random.default_rng(0).permutation(350)
    report = calibration_report(Flagger(), X[order], groups=groups[order])
    assert list(report.groups) == ["A", "B", "C"]
    counts = {
        label: (estimate.n_flagged, estimate.n_samples)
        for label, estimate in report.groups.items()
    }
    assert counts == {"A": (4, 100), "B": (0, 150), "C": (30, 100)}
    assert report.deviating_groups == ["B", "C"]
    assert report.sentence.endswith(
        "Groups above the target: 'C' (30.0 %). Groups below the target: 'B' (0.0 %)."
    )
    lines = {
        line.split()[1]: line for line in str(report).splitlines() if "group " in line
    }
    assert lines["C"].endswith("above")
    assert lines["B"].endswith("below")
    assert re.search(r"100 +4 +4.0 +[\d.]+ to [\d.]+$", lines["A"])
    assert "the 3 groups hold jointly (Bonferroni)" in " ".join(str(report).split())


def test_intervals_of_groups_hold_together():
    """Of many sets of 10 groups without a difference, few have a group marked."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 200)
    n_sets, n_marked = 100, 0
    for _ in range(n_sets):
        X = (rng.uniform(size=(2000, 1)) < 0.05).astype(float)
        report = calibration_report(Flagger(), X, groups=groups)
        n_marked += bool(report.deviating_groups)
    assert report.groups[0].confidence == pytest.approx(1 - 0.05 / 10)
    assert n_marked <= stats.binom.ppf(0.999, n_sets, 0.05)


def test_other_targets_are_those_that_the_p_values_can_tell():
    rng = np.random.default_rng(0)
    # P-values are whole percents, so that some are equal to a target.
    X, X_test = rng.normal(size=(99, 3)), rng.normal(size=(2000, 3))
    detector = MahalanobisDetector(fpr=0.1).fit(X)
    report = calibration_report(detector, X_test)
    p_values = detector.p_values(X_test)
    assert [estimate.target for estimate in report.other_targets] == [
        0.01,
        0.02,
        0.05,
        0.2,
    ]
    for estimate in report.other_targets:
        assert estimate.n_flagged == (p_values <= estimate.target).sum()
        assert (p_values == estimate.target).any()
    # The detector's own rate is the same by its threshold and by its p-values.
    assert report.overall.n_flagged == (p_values <= 0.1).sum()
    assert calibration_report(Flagger(), flags(1, 9)).other_targets == ()


def test_held_out_groups_limit_what_p_values_can_tell():
    """Of 100 samples in 25 groups no p-value is below 1 / 26."""
    rng = np.random.default_rng(0)
    detector = MahalanobisDetector(fpr=0.1)
    detector.fit(rng.normal(size=(100, 3)), groups=np.arange(100) % 25)
    report = calibration_report(detector, rng.normal(size=(200, 3)))
    assert [estimate.target for estimate in report.other_targets] == [0.05, 0.2]


def test_frame_has_a_row_for_each_estimate():
    rng = np.random.default_rng(0)
    X, X_test = rng.normal(size=(60, 3)), rng.normal(size=(200, 3))
    groups = np.arange(200) % 2
    report = calibration_report(MahalanobisDetector().fit(X), X_test, groups=groups)
    frame = report.to_frame()
    scopes = ["overall", "group", "group"] + ["other target"] * 3
    assert frame["scope"].tolist() == scopes
    assert frame["group"].tolist()[1:3] == [0, 1]
    assert frame["group"].isna().tolist() == [True, False, False, True, True, True]
    estimates = [report.overall, *report.groups.values(), *report.other_targets]
    for name in ("target", "n_samples", "rate", "low", "high", "comparison"):
        assert frame[name].tolist() == [getattr(item, name) for item in estimates]


def test_pipelines_of_images():
    images = make_textures(40, 0, size=64, random_state=0).images
    pipe = make_pipeline(
        FunctionTransformer(),
        make_pipeline(
            DeepFeatureTransformer(levels=3, image_size=64, device="cpu"),
            MahalanobisDetector(fpr=0.1),
        ),
    ).fit(images[:25])
    report = calibration_report(pipe, images[25:], groups=["a"] * 5 + ["b"] * 10)
    flagged = pipe.predict(images[25:]) == -1
    assert report.overall.n_flagged == flagged.sum()
    assert report.groups["b"].n_flagged == flagged[5:].sum()
    assert report.overall.target == 0.1


@pytest.mark.parametrize(
    ("X", "groups", "message"),
    [
        ([], None, "X is empty; give normal images"),
        (flags(1, 3), ["a", "b"], r"inconsistent numbers of samples: \[3, 2\]"),
        (flags(1, 3), [["a", "b"]] * 3, "1d array"),
        (flags(1, 3), ["a", None, 1], r"groups\[1\] is missing: None"),
    ],
)
def test_bad_input(X, groups, message):
    with pytest.raises(ValueError, match=message):
        calibration_report(Flagger(), X, groups=groups)
    with pytest.raises(ValueError, match=r"confidence must be a number.*got 95"):
        calibration_report(Flagger(), flags(1, 3), confidence=95)


def test_a_detector_without_a_target_is_named():
    forest = IsolationForest(n_estimators=2).fit(flags(1, 3))
    with pytest.raises(TypeError, match="IsolationForest has no fpr"):
        calibration_report(forest, flags(1, 3))
