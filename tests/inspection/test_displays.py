"""What the three displays have in common."""

import sys

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgaussad import MahalanobisDetector
from skgaussad.inspection import (
    ChiSquareQQDisplay,
    FalsePositiveRateDisplay,
    PValueDisplay,
)

plt = pytest.importorskip("matplotlib.pyplot")

DISPLAYS = (ChiSquareQQDisplay, FalsePositiveRateDisplay, PValueDisplay)
X, X_TEST = np.random.default_rng(0).normal(size=(2, 120, 3)) * [1, 10, 100]


@pytest.fixture(autouse=True)
def close_figures():
    with plt.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def predictions(display, detector, X):
    """Arguments of ``from_predictions`` that a detector's results are."""
    if display is ChiSquareQQDisplay:
        return (detector.mahalanobis(X),), {"n_dof": detector.n_dof_}
    keywords = {"n_calibration": len(detector.calibration_distances_)}
    if display is PValueDisplay:
        keywords["y_true"] = None
    return (), {"p_values": detector.p_values(X), **keywords}


def draw(display, values, **keywords):
    """Draw predictions, without labels where a display takes some."""
    if display is ChiSquareQQDisplay:
        return display.from_predictions(values, n_dof=1)
    arguments = (None, values) if display is PValueDisplay else (values,)
    return display.from_predictions(*arguments, **keywords)


def data_of(display):
    """All that was drawn, as numbers."""
    lines = [line.get_xydata() for line in display.ax_.lines]
    bars = [[bar.get_x(), bar.get_height()] for bar in display.ax_.patches]
    bands = [band.get_paths()[0].vertices for band in display.ax_.collections]
    return np.vstack([*lines, *bands, np.reshape(bars, (-1, 2))])


@pytest.mark.filterwarnings("ignore:Most features have the same")
@pytest.mark.parametrize("display", DISPLAYS)
def test_from_estimator_draws_the_same_as_from_predictions(display):
    """Through a pipeline whose steps count: isotropic distances feel the scales."""
    pipe = make_pipeline(
        StandardScaler(), make_pipeline(MahalanobisDetector("isotropic"))
    ).fit(X)
    by_estimator = display.from_estimator(pipe, X_TEST)
    arguments, keywords = predictions(display, pipe[-1][-1], pipe[0].transform(X_TEST))
    by_predictions = display.from_predictions(*arguments, **keywords)
    np.testing.assert_allclose(data_of(by_estimator), data_of(by_predictions))
    assert by_estimator.name == "MahalanobisDetector"
    assert by_predictions.name is None


@pytest.mark.parametrize("display", DISPLAYS)
def test_axes_name_and_keywords(display):
    detector = MahalanobisDetector().fit(X)
    figure, ax = plt.subplots()
    drawn = display.from_estimator(
        detector, X_TEST, ax=ax, name="camera 1", color="tab:green"
    )
    assert (drawn.ax_, drawn.figure_) == (ax, figure)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any("camera 1" in text for text in [*texts, ax.get_title()])
    assert any("120" in text and "samples" in text for text in texts)
    assert any("95 % band" in text for text in texts)
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    artist = drawn.bars_[1][0] if display is PValueDisplay else drawn.line_
    color = artist.get_facecolor() if display is PValueDisplay else artist.get_color()
    np.testing.assert_allclose(
        plt.matplotlib.colors.to_rgb(color), plt.matplotlib.colors.to_rgb("tab:green")
    )

    again = drawn.plot(name="camera 2", confidence=0.5)
    assert again is drawn
    assert drawn.ax_ is not ax
    texts = [text.get_text() for text in drawn.ax_.get_legend().get_texts()]
    assert any("camera 2" in text for text in [*texts, drawn.ax_.get_title()])
    assert any("50 % band" in text for text in texts)


@pytest.mark.parametrize("display", DISPLAYS)
def test_without_matplotlib(display, monkeypatch):
    """Before any work is done, so the detector need not be one."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    calls = {
        "from_estimator": lambda: display.from_estimator(BaseEstimator(), X),
        "from_predictions": lambda: draw(display, [2.0]),
    }
    for method, call in calls.items():
        message = rf'{display.__name__}\.{method} works.*install "skgaussad\[plot\]"'
        with pytest.raises(ImportError, match=message):
            call()


@pytest.mark.parametrize("display", DISPLAYS)
def test_a_detector_without_what_is_drawn_is_named(display):
    pipe = make_pipeline(StandardScaler(), IsolationForest(n_estimators=2)).fit(X)
    with pytest.raises(TypeError, match="IsolationForest has no.*MahalanobisDetector"):
        display.from_estimator(pipe, X_TEST)


@pytest.mark.parametrize("display", [FalsePositiveRateDisplay, PValueDisplay])
@pytest.mark.parametrize(
    ("p_values", "message"),
    [
        ([], "p_values is empty"),
        ([0.5, 0.0], r"p_values must be in \(0, 1\]; got 0 at position 1"),
        ([1.5, 0.5], r"p_values must be in \(0, 1\]; got 1.5 at position 0"),
        ([0.1, np.nan], r"p_values must be in \(0, 1\]; got nan at position 1"),
        ([[0.1, 0.2]], "1d array"),
    ],
)
def test_bad_p_values(display, p_values, message):
    with pytest.raises(ValueError, match=message):
        draw(display, p_values)


@pytest.mark.parametrize("display", [FalsePositiveRateDisplay, PValueDisplay])
def test_bad_keywords(display):
    with pytest.raises(ValueError, match=r"confidence must be a number in \(0, 1\)"):
        draw(display, [0.5], confidence=95)
    with pytest.raises(ValueError, match="n_calibration must be at least 1; got 0"):
        draw(display, [0.5], n_calibration=0)
