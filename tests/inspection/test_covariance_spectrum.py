import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

from skgaussad import LevelEnsemble, MahalanobisDetector, NegatedPCA
from skgaussad.inspection import CovarianceSpectrumDisplay

plt = pytest.importorskip("matplotlib.pyplot")
pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)

RNG = np.random.default_rng(0)
SCALES = 3.0 ** -np.arange(8)
X, X_TEST = RNG.normal(size=(2, 100, 8)) * SCALES
X_TEST[60:, 7] += 1
Y = np.repeat([1, -1], [60, 40])


@pytest.fixture(autouse=True)
def close_figures():
    with plt.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def labels_of(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


@pytest.mark.parametrize("n_samples", [100, 6])
def test_lines_are_the_eigenvalues_of_both_covariances(n_samples):
    detector = MahalanobisDetector().fit(X[:n_samples])
    display = CovarianceSpectrumDisplay.from_estimator(detector)
    fitted = np.linalg.eigvalsh(LedoitWolf().fit(X[:n_samples]).covariance_)[::-1]
    sample = np.linalg.eigvalsh(np.cov(X[:n_samples].T, bias=True))[::-1]
    rank = min(n_samples - 1, 8)
    numbers, variances = display.line_.get_data()
    np.testing.assert_allclose(variances[:rank], fitted[:rank], rtol=1e-9)
    np.testing.assert_allclose(numbers[:rank], np.arange(1, rank + 1))
    np.testing.assert_allclose(
        display.sample_line_.get_ydata(), sample[:rank], rtol=1e-6
    )
    if n_samples == 6:
        np.testing.assert_allclose(variances[rank:], fitted[-1], rtol=1e-9)
        assert display.sample_variances[-1] == 0
        assert display.n_directions[-1] == 3
        assert "rest: 3 directions without variance" in display.ax_.get_xlabel()


def test_signal_is_that_of_the_eigenvectors():
    detector = MahalanobisDetector().fit(X)
    display = CovarianceSpectrumDisplay.from_estimator(detector, X_TEST, Y, n_bars=8)
    eigenvalues, vectors = np.linalg.eigh(detector.covariance_)
    terms = ((X_TEST - X.mean(axis=0)) @ vectors)[:, ::-1] ** 2 / eigenvalues[::-1]
    farther = terms[60:].mean(axis=0) - terms[:60].mean(axis=0)
    squared = detector.mahalanobis(X_TEST)
    assert farther.sum() == pytest.approx(squared[60:].mean() - squared[:60].mean())
    np.testing.assert_allclose(display.signal, farther / farther.sum(), atol=1e-9)
    heights = [bar.get_height() for bar in display.bars_]
    np.testing.assert_allclose(heights, 100 * display.signal)
    assert np.argmax(display.signal) == 7


def test_bars_add_up_groups_of_components():
    detector = MahalanobisDetector().fit(X)
    display = CovarianceSpectrumDisplay.from_estimator(detector, X_TEST, Y, n_bars=3)
    signal = 100 * display.signal
    assert [bar.get_width() for bar in display.bars_] == [3, 3, 2]
    assert [bar.get_x() for bar in display.bars_] == [0.5, 3.5, 6.5]
    np.testing.assert_allclose(
        [bar.get_height() for bar in display.bars_],
        [signal[:3].sum(), signal[3:6].sum(), signal[6:].sum()],
    )


def test_directions_without_variance_have_a_bar():
    detector = MahalanobisDetector().fit(X[:6])
    display = CovarianceSpectrumDisplay.from_estimator(detector, X_TEST, Y, n_bars=20)
    assert len(display.bars_) == 6
    assert display.bars_[-1].get_height() == pytest.approx(100 * display.signal[-1])
    assert display.bars_[-1].get_x() == 5.5
    assert sum(display.signal) == pytest.approx(1)


@pytest.mark.parametrize("fraction", [0.5, 0.99])
def test_line_is_where_pca_would_cut(fraction):
    detector = MahalanobisDetector().fit(X)
    display = CovarianceSpectrumDisplay.from_estimator(
        detector, X_TEST, Y, variance_fraction=fraction
    )
    n_leading = PCA(n_components=fraction).fit(X).n_components_
    assert display.leading_line_.get_xdata()[0] == n_leading + 0.5
    of_signal = 100 * display.signal[:n_leading].sum()
    assert labels_of(display)[-1] == (
        f"left of it {100 * fraction:g} % of the variance,\n{of_signal:.1f} % of the "
        "signal"
    )


def test_group_of_an_ensemble():
    ensemble = LevelEnsemble(
        make_pipeline(NegatedPCA(3), MahalanobisDetector()),
        columns={"level1": slice(0, 3), "level2": slice(3, 8)},
    ).fit(X)
    display = CovarianceSpectrumDisplay.from_estimator(
        ensemble, X_TEST, Y, group="level2"
    )
    pipe = make_pipeline(NegatedPCA(3), MahalanobisDetector()).fit(X[:, 3:])
    single = CovarianceSpectrumDisplay.from_estimator(pipe, X_TEST[:, 3:], Y)
    np.testing.assert_allclose(display.variances, single.variances)
    # Of the squared distance, though the ensemble adds distances.
    np.testing.assert_allclose(display.signal, single.signal)
    assert display.ax_.get_title() == "level2"
    for group in (None, "level3"):
        with pytest.raises(ValueError, match="group must name .*'level1', 'level2'"):
            CovarianceSpectrumDisplay.from_estimator(ensemble, group=group)


def test_covariance_without_a_spectrum_of_the_samples():
    display = CovarianceSpectrumDisplay.from_estimator(
        MahalanobisDetector("diagonal").fit(X)
    )
    assert display.sample_line_ is None
    np.testing.assert_allclose(display.line_.get_ydata(), X.var(axis=0))
    assert display.bars_ is display.signal_ax_ is None


@pytest.mark.parametrize("n_samples", [100, 6])
def test_nothing_is_drawn_under_the_legend(n_samples):
    detector = MahalanobisDetector().fit(X[:n_samples])
    display = CovarianceSpectrumDisplay.from_estimator(detector, X_TEST, Y, n_bars=4)
    display.figure_.canvas.draw()
    legend = display.ax_.get_legend().get_window_extent()
    for ax, artists in (
        (display.ax_, [display.line_.get_ydata(), display.sample_line_.get_ydata()]),
        (display.signal_ax_, [[bar.get_height() for bar in display.bars_]]),
    ):
        bottom = ax.transData.inverted().transform(legend)[0, 1]
        assert bottom > max(max(values) for values in artists)


def test_signal_needs_both_kinds():
    detector = MahalanobisDetector().fit(X)
    for arguments, message in (
        ((X_TEST, None), "together.*y is None"),
        ((None, Y), "together.*X is None"),
        ((X_TEST, np.ones(100)), "all 100 labels are 1"),
        ((X_TEST, -Y), "no farther away than the normal ones"),
    ):
        with pytest.raises(ValueError, match=message):
            CovarianceSpectrumDisplay.from_estimator(detector, *arguments)
    for keywords, message in (
        ({"X": X_TEST, "y": Y, "n_bars": 0}, "n_bars must be at least 1"),
        ({"n_bars": 3}, "n_bars=3 has no effect without a signal"),
        ({"variance_fraction": 99}, r"variance_fraction must be a number in \(0, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            CovarianceSpectrumDisplay.from_estimator(detector, **keywords)
