import numpy as np
import pytest
from scipy.stats import ecdf

from skgaussad import MahalanobisDetector
from skgaussad.inspection import ScoreDistributionDisplay

plt = pytest.importorskip("matplotlib.pyplot")

RNG = np.random.default_rng(0)
DISTANCES = np.concatenate([RNG.gamma(9, size=80), RNG.gamma(20, size=40)])
Y = np.repeat([1, -1], [80, 40])
TYPES = np.repeat(["good", "crack", "hole"], [80, 25, 15])


@pytest.fixture(autouse=True)
def close_figures():
    with plt.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def labels_of(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_histograms_are_those_of_numpy_in_percent():
    display = ScoreDistributionDisplay.from_predictions(DISTANCES, Y, bins=12)
    edges = np.histogram_bin_edges(DISTANCES, 12)
    assert list(display.artists_) == ["good", "anomalous"]
    for label, artist in zip((1, -1), display.artists_.values(), strict=True):
        counts, _ = np.histogram(DISTANCES[label == Y], edges)
        drawn = artist.get_data()
        np.testing.assert_allclose(drawn.values, 100 * counts / counts.sum())
        np.testing.assert_allclose(drawn.edges, edges)


def test_ecdf_is_that_of_scipy_by_type():
    display = ScoreDistributionDisplay.from_predictions(
        DISTANCES, Y, defect_types=TYPES, kind="ecdf"
    )
    assert list(display.artists_) == ["good", "crack", "hole"]
    for of_kind, line in display.artists_.items():
        expected = ecdf(DISTANCES[of_kind == TYPES]).cdf
        x, share = line.get_data()
        np.testing.assert_allclose(x[1:], expected.quantiles)
        np.testing.assert_allclose(share[1:], expected.probabilities)


def test_rates_in_the_legend_are_those_of_the_detector():
    X, X_test = RNG.normal(size=(2, 90, 3))
    X_test[60:] *= 3
    y = np.repeat([1, -1], [60, 30])
    detector = MahalanobisDetector(fpr=0.1).fit(X)
    display = ScoreDistributionDisplay.from_estimator(detector, X_test, y)
    flagged = detector.predict(X_test) == -1
    threshold = -detector.offset_
    assert display.threshold_line_.get_xdata()[0] == threshold
    assert labels_of(display) == [
        f"60 good, {100 * flagged[:60].mean():.1f} % false alarms",
        f"30 anomalous, {100 * flagged[60:].mean():.1f} % found",
        f"threshold {threshold:.4g}, for 10 % false alarms",
    ]
    assert display.ax_.get_title() == "MahalanobisDetector"


def test_distance_at_the_threshold_is_not_flagged():
    display = ScoreDistributionDisplay.from_predictions([1, 2, 3, 4], threshold=3)
    assert labels_of(display) == ["4 good, 25.0 % false alarms", "threshold 3"]


def test_without_a_threshold():
    display = ScoreDistributionDisplay.from_predictions(DISTANCES, Y)
    assert display.threshold_line_ is None
    assert labels_of(display) == ["80 good", "40 anomalous"]


def test_types_differ_in_color_and_line():
    types = [f"type {number}" for number in range(20)]
    display = ScoreDistributionDisplay.from_predictions(
        np.arange(20.0), np.full(20, -1), defect_types=types, kind="ecdf"
    )
    styles = {
        (line.get_color(), line.get_linestyle()) for line in display.artists_.values()
    }
    assert len(styles) == 20


def test_types_of_good_samples_play_no_part():
    display = ScoreDistributionDisplay.from_predictions(
        [1, 2, 3], [1, 1, -1], defect_types=["", "hole", "hole"]
    )
    assert labels_of(display) == ["2 good", "1 hole"]


@pytest.mark.parametrize("n_types", [1, 6])
def test_nothing_is_drawn_under_the_legend(n_types):
    types = np.arange(120) % n_types
    display = ScoreDistributionDisplay.from_predictions(
        DISTANCES, Y, defect_types=types, threshold=20, fpr=0.05
    )
    display.figure_.canvas.draw()
    legend = display.ax_.get_legend().get_window_extent()
    bottom = display.ax_.transData.inverted().transform(legend)[0, 1]
    heights = [artist.get_data().values for artist in display.artists_.values()]
    assert bottom > np.max(heights)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"kind": "bars"}, "kind must be one of 'histogram', 'ecdf'; got 'bars'"),
        ({"threshold": np.nan}, "threshold must be a number"),
        ({"fpr": 5}, r"fpr must be a number in \(0, 1\); got 5"),
        ({"y": [1, 0]}, r"y must hold \+1 for normal and -1"),
        ({"y": [1, 1, 1]}, "inconsistent numbers of samples"),
        ({"y": [1, -1], "defect_types": ["a"]}, "inconsistent numbers of samples"),
        (
            {"y": [1, -1], "defect_types": ["good", "good"]},
            "an anomalous sample .* 'good', at position 1",
        ),
    ],
)
def test_bad_keywords(keywords, message):
    with pytest.raises(ValueError, match=message):
        ScoreDistributionDisplay.from_predictions([1.0, 2.0], **keywords)


def test_samples_without_labels_are_neither_false_alarms_nor_found():
    display = ScoreDistributionDisplay(
        distances=np.array([1.0, 2.0, 3.0, 9.0]),
        kinds=np.full(4, "unlabelled"),
        threshold=4.0,
    ).plot()
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts[0] == "4 unlabelled, 25.0 % flagged"
    assert display.artists_["unlabelled"].get_fill()
