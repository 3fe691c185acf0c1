"""What the displays of a detector have in common."""

import sys

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgaussad import ConformalDetector, LevelEnsemble, MahalanobisDetector
from skgaussad.inspection import (
    AnomalyMapDisplay,
    CovarianceSpectrumDisplay,
    LevelAUROCDisplay,
    ScoreDistributionDisplay,
    WorkingPointDisplay,
)

plt = pytest.importorskip("matplotlib.pyplot")

OF_SCORES = (ScoreDistributionDisplay, WorkingPointDisplay)
NAMED = (*OF_SCORES, CovarianceSpectrumDisplay, LevelAUROCDisplay)
X, X_TEST = np.random.default_rng(0).normal(size=(2, 90, 3)) * [1, 10, 100]
X_TEST[60:] *= 2
Y = np.repeat([1, -1], [60, 30])


@pytest.fixture(autouse=True)
def close_figures():
    with plt.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def fitted_for(display):
    if display is LevelAUROCDisplay:
        return LevelEnsemble(columns={"level1": [0], "level2": [1, 2]}).fit(X)
    return MahalanobisDetector().fit(X)


class Wrapped(BaseEstimator):
    """Meta-estimator that has its threshold inside."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X):
        self.estimator_ = self.estimator.fit(X)
        return self

    def score_samples(self, X):
        return self.estimator_.score_samples(X)


def texts_of(display):
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    return [*legend, display.ax_.get_title()]


@pytest.mark.filterwarnings("ignore:Most features have the same")
@pytest.mark.parametrize("display", OF_SCORES)
@pytest.mark.parametrize(
    "estimator",
    [
        MahalanobisDetector(fpr=0.1),
        make_pipeline(
            StandardScaler(), make_pipeline(MahalanobisDetector("isotropic"))
        ),
        ConformalDetector(make_pipeline(PCA(2), MahalanobisDetector()), fpr=0.2),
        make_pipeline(StandardScaler(), IsolationForest(n_estimators=5)),
    ],
    ids=["detector", "pipeline", "conformal", "scikit-learn"],
)
def test_from_estimator_asks_for_what_the_estimator_does(display, estimator):
    estimator.fit(X)
    by_estimator = display.from_estimator(estimator, X_TEST, Y)
    scores = estimator.score_samples(X_TEST)
    threshold = float((estimator.decision_function(X_TEST) - scores)[0])
    flagged = estimator.predict(X_TEST) == -1
    if display is WorkingPointDisplay:
        expected = flagged[:60].mean(), flagged[60:].mean()
        assert by_estimator.achieved == pytest.approx(expected)
        rate = by_estimator.target_fpr
    else:
        np.testing.assert_allclose(by_estimator.distances, -scores)
        assert by_estimator.threshold == pytest.approx(threshold)
        rate = by_estimator.fpr
    inner = estimator[-1] if hasattr(estimator, "steps") else estimator
    inner = inner[-1] if hasattr(inner, "steps") else inner
    assert rate == getattr(inner, "fpr", None)
    assert by_estimator.name == type(inner).__name__


@pytest.mark.parametrize("display", OF_SCORES)
def test_threshold_inside_a_meta_estimator(display):
    detector = MahalanobisDetector(fpr=0.25).fit(X)
    drawn = display.from_estimator(Wrapped(detector).fit(X), X_TEST, Y)
    assert (drawn.name, "25 % false alarms" in " ".join(texts_of(drawn))) == (
        "MahalanobisDetector",
        True,
    )


@pytest.mark.parametrize("display", NAMED)
def test_axes_name_and_keywords(display):
    figure, ax = plt.subplots()
    drawn = display.from_estimator(
        fitted_for(display), X_TEST, Y, ax=ax, name="camera 1", alpha=0.25
    )
    assert (drawn.ax_, drawn.figure_) == (ax, figure)
    assert any("camera 1" in text for text in texts_of(drawn))
    assert ax.get_xlabel() and ax.get_ylabel()
    artist = drawn.artists_["normal"] if hasattr(drawn, "artists_") else drawn.line_
    assert artist.get_alpha() == 0.25

    again = drawn.plot(name="camera 2")
    assert again is drawn
    assert drawn.ax_ is not ax
    assert any("camera 2" in text for text in texts_of(drawn))
    assert not any("camera 1" in text for text in texts_of(drawn))


@pytest.mark.parametrize("display", [*NAMED, AnomalyMapDisplay])
def test_without_matplotlib(display, monkeypatch):
    """Before any work is done, so the detector need not be one."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    arguments = (X, Y) if display is not AnomalyMapDisplay else (X,)
    with pytest.raises(ImportError, match=rf"{display.__name__}\.from_estimator works"):
        display.from_estimator(BaseEstimator(), *arguments)
    if display is not CovarianceSpectrumDisplay:
        message = rf'{display.__name__}\.from_predictions.*install "skgaussad\[plot\]"'
        with pytest.raises(ImportError, match=message):
            display.from_predictions([1], [2.0])


@pytest.mark.parametrize("display", NAMED)
def test_not_fitted(display):
    with pytest.raises(NotFittedError):
        display.from_estimator(MahalanobisDetector(), X, Y)


@pytest.mark.parametrize("display", OF_SCORES)
@pytest.mark.parametrize(
    ("y_score", "message"),
    [
        ([1, np.inf], "y_score must hold finite scores"),
        ([], "at least one"),
        ([[1, 2]], "1d array"),
    ],
)
def test_bad_scores(display, y_score, message):
    with pytest.raises(ValueError, match=message):
        display.from_predictions([1, -1], y_score)


@pytest.mark.parametrize("display", OF_SCORES)
def test_what_has_no_scores(display):
    with pytest.raises(TypeError, match="StandardScaler has no score_samples"):
        display.from_estimator(StandardScaler().fit(X), X_TEST, Y)


@pytest.mark.parametrize("display", OF_SCORES)
def test_detector_without_a_threshold_yet(display):
    """After `partial_fit` there are scores, and `calibrate` sets the threshold."""
    detector = MahalanobisDetector().partial_fit(X)
    texts = texts_of(display.from_estimator(detector, X_TEST, Y))
    assert not any("%" in text and "AUROC" not in text for text in texts)
