import numpy as np
import pytest

from skgaussad import MahalanobisDetector
from skgaussad.inspection import FalsePositiveRateDisplay

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close_figures():
    with plt.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def step(line, target):
    """Height of a line of steps at `target`."""
    x, y = line.get_data()
    assert line.get_drawstyle() == "steps-post"
    return y[np.flatnonzero(x <= target)[-1]]


def test_the_curve_is_the_share_of_p_values_up_to_the_target():
    p_values = np.random.default_rng(0).integers(1, 41, size=200) / 40
    display = FalsePositiveRateDisplay.from_predictions(p_values)
    for target in (0.05, 0.07, 0.1, 0.5, 0.99, 1):
        assert step(display.line_, target) == np.mean(p_values <= target)
    np.testing.assert_array_equal(display.target_fpr, np.unique(p_values))


def test_the_curve_gives_the_rate_that_detectors_have():
    X, X_test = np.random.default_rng(1).normal(size=(2, 150, 3))
    detector = MahalanobisDetector().fit(X)
    display = FalsePositiveRateDisplay.from_estimator(detector, X_test)
    assert (display.n_samples, display.n_calibration) == (150, 150)
    for fpr in (0.02, 0.1, 0.3):
        labels = MahalanobisDetector(fpr=fpr).fit(X).predict(X_test)
        assert step(display.line_, fpr) == pytest.approx(np.mean(labels == -1))


def test_axes_are_logarithmic_in_percent_and_show_all():
    p_values = np.array([0.003, 0.2, 0.2, 0.9])
    display = FalsePositiveRateDisplay.from_predictions(p_values)
    ax = display.ax_
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlim()[0] < 0.003
    assert ax.get_xlim()[1] == 1
    assert ax.xaxis.get_major_formatter()(0.01, None) == "1 %"
    x, y = display.identity_.get_data()
    np.testing.assert_array_equal(x, y)
    assert display.line_.get_xydata()[-1].tolist() == [1, 1]


def band_at(display, target):
    """Lower and upper end of the band at the point nearest to `target`."""
    vertices = display.band_.get_paths()[0].vertices
    x = vertices[np.argmin(np.abs(np.log(vertices[:, 0] / target))), 0]
    heights = vertices[np.isclose(vertices[:, 0], x), 1]
    return heights.min(), heights.max()


def test_band_is_wider_for_few_training_samples():
    p_values = np.arange(1, 1001) / 1000
    widths = []
    for n_calibration in (50, 500, None):
        display = FalsePositiveRateDisplay.from_predictions(
            p_values, n_calibration=n_calibration
        )
        low, high = band_at(display, 0.1)
        assert low < 0.1 < high
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 2 * widths[2]


def test_one_sample():
    display = FalsePositiveRateDisplay.from_predictions([1.0])
    assert display.line_.get_xydata()[-1].tolist() == [1, 1]
    assert display.ax_.get_xlim()[0] < 1
