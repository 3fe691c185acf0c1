"""A pipeline so small that scoring an image takes about a millisecond."""

import pytest
from sklearn.pipeline import Pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector


@pytest.fixture(scope="session")
def make_pipeline():
    """Make a pipeline with random weights for inputs of 32 x 32 pixels."""

    def make(**parameters):
        features = DeepFeatureTransformer(
            "test_resnet", weights=None, image_size=32, device="cpu"
        )
        detector = MahalanobisDetector(fpr=0.2)
        return Pipeline([("features", features), ("detector", detector)]).set_params(
            **parameters
        )

    return make


@pytest.fixture(scope="session")
def fitted(make_pipeline, images):
    """Fitted to seven pictures; not to be changed by tests."""
    return make_pipeline().fit(images)
