import numpy as np
import pytest
from scipy.stats import ecdf

from skgaussad import MahalanobisDetector
from skgaussad.inspection import ScoreDistributionDisplay

plt = pytest.importorskip("matplotlib.pyplot")

RNG = np.random.default_rng(0)
DISTANCES = np.concatenate([RNG.gamma(9, size=80), RNG.gamma(20, size=40)])
Y = np.repeat([1, -1], [80, 40])
TYPES = np.repeat(["normal", "crack", "hole"], [80, 25, 15])


@pytest.fixture(autouse=True)
def close_figures():
    with plt.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def labels_of(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_histograms_are_those_of_numpy_in_percent():
    display = ScoreDistributionDisplay.from_predictions(Y, -DISTANCES, bins=12)
    edges = np.histogram_bin_edges(DISTANCES, 12)
    assert list(display.artists_) == ["normal", "anomalous"]
    for label, artist in zip((1, -1), display.artists_.values(), strict=True):
        counts, _ = np.histogram(DISTANCES[label == Y], edges)
        drawn = artist.get_data()
        np.testing.assert_allclose(drawn.values, 100 * counts / counts.sum())
        np.testing.assert_allclose(drawn.edges, edges)


def test_ecdf_is_that_of_scipy_by_type():
    display = ScoreDistributionDisplay.from_predictions(
        Y, -DISTANCES, defect_types=TYPES, kind="ecdf"
    )
    assert list(display.artists_) == ["normal", "crack", "hole"]
    for of_kind, line in display.artists_.items():
        expected = ecdf(DISTANCES[of_kind == TYPES]).cdf
        x, fraction = line.get_data()
        np.testing.assert_allclose(x[1:], expected.quantiles)
        np.testing.assert_allclose(fraction[1:], expected.probabilities)


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
        f"60 normal, {100 * flagged[:60].mean():.1f} % false alarms",
        f"30 anomalous, {100 * flagged[60:].mean():.1f} % found",
        f"threshold {threshold:.4g}, for 10 % false alarms",
    ]
    assert display.ax_.get_title() == "MahalanobisDetector"


def test_distance_at_the_threshold_is_not_flagged():
    display = ScoreDistributionDisplay.from_predictions(
        np.ones(4), [-1, -2, -3, -4], offset=-3
    )
    assert labels_of(display) == ["4 normal, 25.0 % false alarms", "threshold 3"]


def test_without_a_threshold():
    display = ScoreDistributionDisplay.from_predictions(Y, -DISTANCES)
    assert display.threshold_line_ is None
    assert labels_of(display) == ["80 normal", "40 anomalous"]


def test_types_differ_in_color_and_line():
    types = [f"type {number}" for number in range(20)]
    display = ScoreDistributionDisplay.from_predictions(
        np.full(20, -1), np.arange(20.0), defect_types=types, kind="ecdf"
    )
    styles = {
        (line.get_color(), line.get_linestyle()) for line in display.artists_.values()
    }
    assert len(styles) == 20


def test_types_of_normal_samples_are_not_used():
    display = ScoreDistributionDisplay.from_predictions(
        [1, 1, -1], [1, 2, 3], defect_types=["", "hole", "hole"]
    )
    assert labels_of(display) == ["2 normal", "1 hole"]


@pytest.mark.parametrize("n_types", [1, 6])
def test_nothing_is_drawn_under_the_legend(n_types):
    types = np.arange(120) % n_types
    display = ScoreDistributionDisplay.from_predictions(
        Y, -DISTANCES, defect_types=types, offset=-20, fpr=0.05
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
        ({"offset": np.nan}, "offset must be a number"),
        ({"fpr": 5}, r"fpr must be a number in \(0, 1\); got 5"),
        ({"y_true": [1, 0]}, r"y_true must hold \+1 for normal and -1"),
        ({"y_true": [1, 1, 1]}, "inconsistent numbers of samples"),
        ({"y_true": [1, -1], "defect_types": ["a"]}, "inconsistent numbers of samples"),
        *[
            (
                {"y_true": [1, -1], "defect_types": [name, name]},
                f"an anomalous sample .* {name!r}, at position 1",
            )
            for name in ("good", "normal")
        ],
        ({"fpr": 0.05}, r"fpr=0\.05 has no effect without offset"),
        ({"y_true": None, "defect_types": ["a", "b"]}, "no effect without labels"),
        ({"kind": "ecdf", "bins": 9}, "bins=9 has no effect with kind='ecdf'"),
    ],
)
def test_bad_keywords(keywords, message):
    with pytest.raises(ValueError, match=message):
        ScoreDistributionDisplay.from_predictions(
            **{"y_true": [1, -1], "y_score": [1.0, 2.0], **keywords}
        )


def test_samples_without_labels_are_neither_false_alarms_nor_found():
    display = ScoreDistributionDisplay.from_predictions(
        None, [-1.0, -2.0, -3.0, -9.0], offset=-4.0
    )
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts[0] == "4 unlabelled, 25.0 % flagged"
    assert display.artists_["unlabelled"].get_fill()
