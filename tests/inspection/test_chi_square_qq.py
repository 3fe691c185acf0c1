import numpy as np
import pytest
from scipy import stats

from skgaussad import MahalanobisDetector
from skgaussad.inspection import ChiSquareQQDisplay

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close_figures():
    with plt.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def test_points_are_sorted_squared_distances_over_quantiles():
    squared = np.random.default_rng(0).uniform(0, 20, size=50)
    display = ChiSquareQQDisplay.from_predictions(squared, n_dof=7)
    x, y = display.line_.get_data()
    np.testing.assert_array_equal(y, np.sort(squared))
    np.testing.assert_allclose(stats.chi2.cdf(x, 7), (np.arange(50) + 0.5) / 50)
    x, y = display.identity_.get_data()
    np.testing.assert_array_equal(x, y)
    assert "7 degrees of freedom" in display.ax_.get_xlabel()


def test_squared_distances_of_gaussian_samples_follow_the_law():
    X, X_test = np.random.default_rng(0).normal(size=(2, 5000, 4))
    X[:, 1] = X_test[:, 1] = 3
    detector = MahalanobisDetector("diagonal").fit(X)
    display = ChiSquareQQDisplay.from_estimator(detector, X_test)
    assert display.n_dof == 3
    x, y = display.line_.get_data()
    middle = slice(50, -50)
    np.testing.assert_allclose(y[middle], x[middle], rtol=0.15)


def test_band_holds_each_point_with_its_confidence():
    n_samples, n_dof, confidence = 40, 5, 0.8
    squared = stats.chi2.rvs(n_dof, size=(3000, n_samples), random_state=0)
    display = ChiSquareQQDisplay.from_predictions(
        squared[0], n_dof=n_dof, confidence=confidence
    )
    vertices = display.band_.get_paths()[0].vertices
    ordered = np.sort(squared, axis=1)
    for rank in (0, 20, 39):
        x = display.line_.get_xdata()[rank]
        heights = vertices[np.isclose(vertices[:, 0], x), 1]
        inside = (ordered[:, rank] >= heights.min()) & (
            ordered[:, rank] <= heights.max()
        )
        assert inside.mean() == pytest.approx(confidence, abs=0.03)


@pytest.mark.parametrize(
    ("squared", "n_dof", "message"),
    [
        ([], 2, "squared_distances must be finite and not negative"),
        ([1, np.inf], 2, "squared_distances must be finite and not negative"),
        ([1, -1], 2, "squared_distances must be finite and not negative"),
        ([1, 2], 0, r"n_dof must be a number in \(0, inf\); got 0"),
    ],
)
def test_bad_input(squared, n_dof, message):
    with pytest.raises(ValueError, match=message):
        ChiSquareQQDisplay.from_predictions(squared, n_dof=n_dof)
