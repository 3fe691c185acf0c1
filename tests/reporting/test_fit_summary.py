"""What a fit has learned, in sentences."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.svm import OneClassSVM

from skgaussad import ConformalDetector, DetectorPipeline, MahalanobisDetector
from skgaussad.exceptions import FalseAlarmRateWarning
from skgaussad.reporting import fit_summary

IGNORED = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)


def draw(n_samples=60, n_far=0):
    X = np.random.default_rng(0).normal(size=(n_samples, 8))
    X[5 : 5 + n_far] *= 6
    return X


def test_what_it_says_is_true():
    detector = MahalanobisDetector().fit(draw())
    summary = fit_summary(detector)
    assert (summary.n_images, summary.n_lots, summary.n_needed) == (60, None, 19)
    assert summary.threshold == -detector.offset_
    assert summary.bound == detector.fpr_bound(0.95)
    assert summary.rate == summary.fpr == 0.05
    assert summary.apart == ()
    told = str(summary)
    assert "60 images were learned by MahalanobisDetector." in told
    assert f"distance above {summary.threshold:.4g} are flagged" in told
    assert "Up to 5 % of good images may be flagged, which takes 19 images" in told
    assert f"at most {100 * summary.bound:.1f} % of good images like these" in told


@IGNORED
def test_too_few_images_support_another_rate():
    summary = fit_summary(MahalanobisDetector(fpr=0.01).fit(draw(31)))
    assert summary.n_needed == 99
    assert summary.rate == 1 / 32
    told = str(summary)
    assert "1 % of good images were to be flagged at most, which takes 99" in told
    assert "These support 3.1 %, and the threshold is set for that." in told


@IGNORED
@pytest.mark.parametrize("n_far", [1, 2])
def test_images_that_stand_apart_are_named(n_far):
    X = draw(31, n_far)
    detector = MahalanobisDetector().fit(X)
    names = [f"{n:02}.png" for n in range(31)]
    summary = fit_summary(detector, names=names)
    assert {name for name, _ in summary.apart} == set(names[5 : 5 + n_far])
    others = np.delete(detector.calibration_distances_, range(5, 5 + n_far))
    assert summary.following == others.max()
    assert summary.sets_threshold
    assert summary.supported_without == (n_far + 1) / 32
    told = str(summary)
    assert "05.png (" in told
    assert f"ask for a rate of {np.ceil(1000 * (n_far + 1) / 32) / 1000:g} or" in told
    # The rate that it proposes has a threshold that they do not set.
    again = MahalanobisDetector(fpr=summary.supported_without).fit(X)
    assert -again.offset_ == summary.following
    assert not fit_summary(again).sets_threshold
    # Nor do they after they were left out.
    left = fit_summary(MahalanobisDetector().fit(np.delete(X, range(5, 7), axis=0)))
    assert not left.apart


def test_independent_samples_seldom_stand_apart():
    n_apart = 0
    for seed in range(40):
        X = np.random.default_rng(seed).normal(size=(60, 20))
        n_apart += bool(fit_summary(MahalanobisDetector().fit(X)).apart)
    assert n_apart <= 6


@IGNORED
def test_lots_and_warnings_are_told():
    X = draw(120) + np.repeat(3 * np.random.default_rng(1).normal(size=(6, 8)), 20, 0)
    pipe = DetectorPipeline([("detector", MahalanobisDetector(fpr=0.5))])
    with pytest.warns(FalseAlarmRateWarning, match="first or the last half"):
        pipe.fit(X)
    assert any(
        "Warning: Fitted without the first" in s for s in pipe.summary_.sentences()
    )
    pipe.fit(X, detector__groups=np.repeat(np.arange(6), 20))
    summary = pipe.summary_
    assert summary.n_lots == 6
    assert "120 images of 6 lots were learned" in str(summary)
    assert "good images of a new lot are flagged" in str(summary)


@IGNORED
def test_a_page_of_a_notebook_has_all_of_it_and_no_markup_of_names():
    names = [f"<b>{n}" for n in range(31)]
    summary = fit_summary(MahalanobisDetector().fit(draw(31, 1)), names=names)
    page = summary._repr_html_()
    assert page.count("<p>") == len(summary.sentences()) == str(summary).count("\n") + 1
    assert "&lt;b&gt;5" in page
    assert "<b>" not in page


def test_other_detectors_have_one_too():
    X = draw()
    conformal = make_pipeline(ConformalDetector(OneClassSVM())).fit(X)
    assert fit_summary(conformal).detector == "ConformalDetector"
    plain = fit_summary(OneClassSVM().fit(X))
    assert plain.bound is None
    assert "Images were learned by OneClassSVM." in str(plain)
    with pytest.raises(ValueError, match="2 names for 60 training images"):
        fit_summary(MahalanobisDetector().fit(X), names=["a", "b"])
