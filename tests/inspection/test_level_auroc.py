import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgaussad import LevelEnsemble, MahalanobisDetector, make_detector
from skgaussad.datasets import load_solar_cells
from skgaussad.inspection import LevelAUROCDisplay

plt = pytest.importorskip("matplotlib.pyplot")

RNG = np.random.default_rng(0)
X, X_TEST = RNG.normal(size=(2, 90, 6))
X_TEST[60:, 2:4] *= 2
X_TEST[60:, 4:] *= 1.5
Y = np.repeat([1, -1], [60, 30])
COLUMNS = {"level2": slice(0, 2), "level3": slice(2, 4), "level5": slice(4, 6)}


@pytest.fixture(autouse=True)
def close_figures():
    with plt.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


@pytest.mark.filterwarnings("ignore:Most features have the same")
@pytest.mark.parametrize("aggregation", ["sum", "max"])
def test_points_are_the_auroc_of_detectors_of_their_own(aggregation):
    ensemble = LevelEnsemble(columns=COLUMNS, aggregation=aggregation)
    pipe = make_pipeline(StandardScaler(), ensemble).fit(X)
    display = LevelAUROCDisplay.from_estimator(pipe, X_TEST, Y)
    expected = [
        roc_auc_score(
            Y,
            make_pipeline(StandardScaler(), MahalanobisDetector())
            .fit(X[:, columns])
            .score_samples(X_TEST[:, columns]),
        )
        for columns in COLUMNS.values()
    ]
    assert list(display.roc_auc) == list(COLUMNS)
    np.testing.assert_allclose(list(display.roc_auc.values()), expected)
    np.testing.assert_allclose(display.line_.get_ydata(), 100 * np.array(expected))
    together = roc_auc_score(Y, pipe.score_samples(X_TEST))
    assert display.together_line_.get_ydata()[0] == pytest.approx(100 * together)
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    best = max(expected)
    assert texts[1:] == [
        f"{aggregation}: {100 * together:.1f} %",
        f"single, best level3: {100 * best:.1f} %",
    ]


def test_predictions_are_added():
    y_score = {"level1": [-1, -2, -3, -4], "level2": [-5, -1, -9, -1]}
    y = [1, 1, -1, -1]
    display = LevelAUROCDisplay.from_predictions(y, y_score)
    assert display.roc_auc == {"level1": 1, "level2": 0.625}
    assert display.roc_auc_together == 0.75 == roc_auc_score(y, [-6, -3, -12, -5])


def test_levels_are_named_by_their_numbers():
    ensemble = LevelEnsemble(columns=COLUMNS).fit(X)
    ax = LevelAUROCDisplay.from_estimator(ensemble, X_TEST, Y).ax_
    assert ax.get_xlabel() == "level"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2", "3", "5"]


def test_names_are_thinned_out():
    y_score = {f"level6_cell{number}": [1, 2] for number in range(60)}
    ax = LevelAUROCDisplay.from_predictions([1, -1], y_score).ax_
    assert ax.get_xlabel() == "group of features"
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == [f"level6_cell{number}" for number in range(0, 60, 3)]


def test_pipeline_from_images():
    cells = load_solar_cells("mono")
    good, bad = cells.paths[cells.labels == 1], cells.paths[cells.labels == -1]
    images, y = [*good[20:25], *bad[:5]], np.repeat([1, -1], 5)
    pipe = make_detector(method="paper", levels=[2, 6], image_size=64, fpr=0.1).fit(
        good[:20]
    )
    display = LevelAUROCDisplay.from_estimator(pipe, images, y)
    assert list(display.roc_auc) == ["level2", "level6"]
    expected = roc_auc_score(y, pipe.score_samples(images))
    assert display.roc_auc_together == pytest.approx(expected)


def test_what_has_no_levels():
    with pytest.raises(TypeError, match="a fitted LevelEnsemble.*got MahalanobisDet"):
        LevelAUROCDisplay.from_estimator(MahalanobisDetector().fit(X), X_TEST, Y)


@pytest.mark.parametrize(
    ("y_score", "message"),
    [
        ({}, "got dict without an entry"),
        ([[1, 2]], "must be a dict .*got list"),
        ({"a": [1, np.nan]}, r"y_score\['a'\] must hold finite scores"),
        ({"a": [1, 2], "b": [1, 2, 3]}, r"as many samples.*\{'a': 2, 'b': 3\}"),
    ],
)
def test_bad_scores(y_score, message):
    with pytest.raises(ValueError, match=message):
        LevelAUROCDisplay.from_predictions([1, -1], y_score)
