import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skgaussad import DeepFeatureTransformer, LevelEnsemble, MahalanobisDetector
from skgaussad.datasets import make_textures
from skgaussad.detectors import p_values

X = np.random.default_rng(0).normal(size=(100, 3)) * [1, 10, 100]
X_TEST = np.random.default_rng(1).normal(size=(50, 3)) * [2, 20, 200]


def test_p_values_are_one_more_than_the_count_of_distances_as_large():
    detector = MahalanobisDetector().fit(X)
    distances = -detector.score_samples(X_TEST)
    counts = (detector.calibration_distances_ >= distances[:, np.newaxis]).sum(axis=1)
    expected = (1 + counts) / (len(X) + 1)
    np.testing.assert_array_equal(p_values(detector, X_TEST), expected)
    assert len(np.unique(expected)) > 20


@pytest.mark.filterwarnings("ignore:Most features have the same")
@pytest.mark.parametrize(
    "wrap",
    [
        lambda detector: make_pipeline(detector),
        lambda detector: make_pipeline("passthrough", detector),
        lambda detector: make_pipeline(FunctionTransformer(), detector),
        lambda detector: make_pipeline(
            FunctionTransformer(lambda X: X - 5), make_pipeline(detector)
        ),
        lambda detector: make_pipeline(make_pipeline(StandardScaler(), detector)),
    ],
    ids=["alone", "passthrough", "stateless", "nested", "scaled"],
)
def test_pipelines_give_the_p_values_of_their_detector(wrap):
    """No step here changes empirical Mahalanobis distances."""
    detector = MahalanobisDetector("empirical")
    pipe = wrap(detector).fit(X)
    expected = MahalanobisDetector("empirical").fit(X).p_values(X_TEST)
    np.testing.assert_array_equal(p_values(pipe, X_TEST), expected)
    assert len(np.unique(expected)) > 20


@pytest.mark.filterwarnings("ignore:Most features have the same")
def test_a_step_that_changes_the_distances_counts():
    pipe = make_pipeline(StandardScaler(), MahalanobisDetector("isotropic")).fit(X)
    assert (p_values(pipe, X_TEST) != pipe[-1].p_values(X_TEST)).any()
    scaled = pipe[0].transform(X_TEST)
    np.testing.assert_array_equal(p_values(pipe, X_TEST), pipe[-1].p_values(scaled))


def test_images_and_names_of_columns_go_through_the_pipeline():
    images = make_textures(24, 0, size=64, random_state=0).images
    features = DeepFeatureTransformer(levels=[2, 3], image_size=64, device="cpu")
    features.set_output(transform="pandas")
    ensemble = LevelEnsemble(fpr=0.1, cv=3)
    pipe = Pipeline([("features", features), ("ensemble", ensemble)])
    pipe.fit(images[:18])
    expected = pipe["ensemble"].p_values(pipe["features"].transform(images[18:]))
    np.testing.assert_array_equal(p_values(pipe, images[18:]), expected)


def test_a_detector_without_p_values_is_named():
    pipe = make_pipeline(StandardScaler(), IsolationForest(n_estimators=2)).fit(X)
    with pytest.raises(TypeError, match="IsolationForest has no p_values.*Mahalanobis"):
        p_values(pipe, X_TEST)
