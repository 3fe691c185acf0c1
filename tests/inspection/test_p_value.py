import numpy as np
import pytest
from scipy import stats

from skgaussad import MahalanobisDetector
from skgaussad.inspection import PValueDisplay

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close_figures():
    with plt.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def heights(display, label):
    return np.array([bar.get_height() for bar in display.bars_[label]])


def test_bars_are_fractions_of_each_kind_and_hold_their_upper_edge():
    p_values = [0.05, 0.05, 0.06, 0.3, 1.0, 0.01, 0.1]
    y = [1, 1, 1, 1, 1, -1, -1]
    display = PValueDisplay.from_predictions(y, p_values, n_bins=20)
    normal, anomalous = np.zeros((2, 20))
    normal[[0, 1, 5, 19]] = 40, 20, 20, 20
    anomalous[[0, 1]] = 50, 50
    np.testing.assert_allclose(heights(display, 1), normal)
    np.testing.assert_allclose(heights(display, -1), anomalous)
    lefts = [bar.get_x() for bar in display.bars_[1]]
    np.testing.assert_allclose(lefts, np.arange(20) / 20)
    assert display.uniform_line_.get_ydata()[0] == 5


def test_the_first_bar_is_the_fraction_of_flagged_samples():
    X, X_test = np.random.default_rng(1).normal(size=(2, 150, 3))
    X_test[75:] *= 3
    y = np.repeat([1, -1], 75)
    detector = MahalanobisDetector(fpr=0.1).fit(X)
    display = PValueDisplay.from_estimator(detector, X_test, y, n_bins=10)
    flagged = detector.predict(X_test) == -1
    for label in (1, -1):
        expected = 100 * flagged[y == label].mean()
        assert heights(display, label)[0] == pytest.approx(expected)
    assert display.ax_.get_title() == "MahalanobisDetector"


def test_band_is_binomial_and_of_the_normal_samples():
    p_values = np.random.default_rng(0).uniform(size=500)
    y = np.repeat([1, -1], [300, 200])
    display = PValueDisplay.from_predictions(y, p_values, n_bins=10, confidence=0.9)
    vertices = display.band_.get_paths()[0].vertices
    expected = 100 * np.array(stats.binom.interval(0.9, 300, 0.1)) / 300
    np.testing.assert_allclose(np.unique(vertices[:, 1]), expected)
    assert (vertices[:, 0].min(), vertices[:, 0].max()) == (0, 1)


def test_band_knows_how_many_of_few_p_values_each_bar_can_hold():
    """Of 1/15 to 15/15 the three bars hold 5 each, of 1/16 to 16/16 the last has 6."""
    p_values = np.full(10, 1.0)
    even, uneven = (
        PValueDisplay.from_predictions(None, p_values, n_calibration=n, n_bins=3)
        .band_.get_paths()[0]
        .vertices
        for n in (14, 15)
    )
    assert len(np.unique(even[:, 1])) == 2
    high = 100 * stats.betabinom.ppf(0.975, 10, 6, 10) / 10
    assert uneven[:, 1].max() == high > even[:, 1].max()


@pytest.mark.parametrize("label", [1, -1])
def test_samples_of_one_kind(label):
    display = PValueDisplay.from_predictions([label, label], [0.2, 0.9])
    assert list(display.bars_) == [label]
    assert (display.band_ is None) == (label == -1)


def test_nothing_is_drawn_under_the_legend():
    p_values = np.random.default_rng(0).uniform(size=500)
    display = PValueDisplay.from_predictions(None, p_values)
    display.figure_.canvas.draw()
    legend = display.ax_.get_legend().get_window_extent()
    bottom = display.ax_.transData.inverted().transform(legend)[0, 1]
    assert bottom > display.ax_.dataLim.ymax


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, 0], r"y_true must hold \+1 for normal and -1"),
        ([1, 1, 1], "inconsistent numbers of samples"),
    ],
)
def test_bad_labels(y, message):
    with pytest.raises(ValueError, match=message):
        PValueDisplay.from_predictions(y, [0.1, 0.2])


def test_bad_number_of_bins():
    with pytest.raises(ValueError, match="n_bins must be at least 1; got 0"):
        PValueDisplay.from_predictions(None, [0.1, 0.2], n_bins=0)
