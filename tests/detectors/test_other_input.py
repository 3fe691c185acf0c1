"""Detectors of features that are given images or masked values say what to do."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skgaussad import (
    CellwiseMahalanobisDetector,
    ConformalDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    NegatedPCA,
    RobustDetector,
    make_detector,
)

rng = np.random.default_rng(0)
ARRAY = rng.integers(256, size=(6, 8, 8, 3), dtype=np.uint8)
IMAGES = {
    "array": ARRAY,
    "grey": ARRAY[..., 0],
    "list": list(ARRAY),
    "pictures": list(map(Image.fromarray, ARRAY)),
    "paths": ["a.png", "b.png"],
    "column": np.array(["a.png", "b.png"]),
    "Series": pd.Series(["a.png", "b.png"]),
}
DETECTORS = [
    MahalanobisDetector(),
    CellwiseMahalanobisDetector(),
    LevelEnsemble(),
    NegatedPCA(),
    ConformalDetector(MahalanobisDetector()),
    ConformalDetector(make_detector()),
    RobustDetector(MahalanobisDetector()),
]


@pytest.mark.parametrize("X", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: type(d).__name__)
def test_images_are_named(detector, X):
    name = type(detector).__name__
    message = rf"^{name} takes a matrix of features.*got (images|paths).*Put a Deep"
    with pytest.raises(ValueError, match=message):
        detector.fit(X)


@pytest.mark.parametrize("X", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize(
    "detector", [MahalanobisDetector(), ConformalDetector(MahalanobisDetector())]
)
def test_images_to_score_are_named(detector, X):
    detector.fit(rng.normal(size=(100, 192)))
    with pytest.raises(ValueError, match="takes a matrix of features.*got"):
        detector.predict(X)


@pytest.mark.parametrize("detector", DETECTORS[:5], ids=lambda d: type(d).__name__)
def test_masked_values_are_no_others(detector):
    X = rng.normal(size=(60, 4))
    masked = np.ma.masked_where(np.arange(240).reshape(60, 4) == 9, X)
    detector = clone(detector)
    if isinstance(detector, LevelEnsemble):
        detector.set_params(columns={"all": slice(0, 4)})
    if isinstance(detector, CellwiseMahalanobisDetector):
        detector.set_params(cells=2)
    with pytest.raises(ValueError, match=r"X\[2, 1\] is masked"):
        detector.fit(masked)
    detector.fit(np.ma.array(X))
    act = getattr(detector, "score_samples", None) or detector.transform
    with pytest.raises(ValueError, match=r"X\[2, 1\] is masked"):
        act(masked)


def test_what_the_message_says_works():
    X = rng.integers(256, size=(24, 32, 32, 3), dtype=np.uint8)
    transformer = DeepFeatureTransformer(
        "test_resnet", weights=None, image_size=32, levels=2
    )
    detector = ConformalDetector(MahalanobisDetector(), fpr=0.1)
    scores = make_pipeline(transformer, detector).fit(X).score_samples(X)
    assert scores.shape == (24,)
    pipe = make_detector(
        method="paper",
        detector=detector,
        backbone="test_resnet",
        weights=None,
        image_size=32,
        levels=2,
    )
    np.testing.assert_allclose(pipe.fit(X).score_samples(X), scores, rtol=1e-5)
