import numpy as np
import pytest
from sklearn.metrics import RocCurveDisplay, roc_auc_score, roc_curve

from skgaussad import MahalanobisDetector
from skgaussad.inspection import WorkingPointDisplay
from skgaussad.metrics import achieved_fpr

plt = pytest.importorskip("matplotlib.pyplot")

X, X_TEST = np.random.default_rng(0).normal(size=(2, 90, 3))
X_TEST[60:] *= 2
Y = np.repeat([1, -1], [60, 30])


@pytest.fixture(autouse=True)
def close_figures():
    with plt.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


@pytest.fixture
def detector():
    return MahalanobisDetector(fpr=0.2).fit(X)


def test_curve_is_that_of_scikit_learn(detector):
    display = WorkingPointDisplay.from_estimator(detector, X_TEST, Y)
    scores = detector.score_samples(X_TEST)
    expected = roc_curve(Y == -1, -scores, drop_intermediate=False)
    np.testing.assert_allclose(display.line_.get_data(), expected[:2])
    assert display.roc_auc == pytest.approx(roc_auc_score(Y, scores))
    other = RocCurveDisplay.from_predictions(Y == -1, -scores)
    assert display.roc_auc == pytest.approx(other.roc_auc)


def test_point_is_what_the_detector_does(detector):
    display = WorkingPointDisplay.from_estimator(detector, X_TEST, Y)
    flagged = detector.predict(X_TEST) == -1
    expected = achieved_fpr(Y, detector.predict(X_TEST)), flagged[60:].mean()
    assert display.achieved == pytest.approx(expected)
    np.testing.assert_allclose(np.ravel(display.point_.get_data()), expected)
    # On the curve.
    curve = np.column_stack(display.line_.get_data())
    assert np.isclose(curve, expected).all(axis=1).any()
    assert display.target_line_.get_xdata()[0] == 0.2
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts[1] == "20 % false alarms asked for"
    assert texts[2] == f"MahalanobisDetector, AUROC {100 * display.roc_auc:.1f} %"
    assert texts[3].startswith(f"working point: {100 * expected[0]:.1f} % false")
    assert f"{100 * expected[1]:.1f} % of the anomalous" in texts[3]


def test_scores_alone():
    display = WorkingPointDisplay.from_predictions([1, -1, 1], [1, 2, 3])
    assert display.achieved is display.point_ is display.target_line_ is None
    assert display.roc_auc == 0.5
    assert len(display.ax_.lines) == 2


@pytest.mark.parametrize("label", [1, -1])
def test_samples_of_one_kind(label):
    with pytest.raises(
        ValueError, match=f"normal samples .*; all 2 labels are {label}"
    ):
        WorkingPointDisplay.from_predictions([label, label], [1, 2])
