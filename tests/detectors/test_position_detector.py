"""Tests of Gaussians over the positions of feature maps."""

import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

from skgaussad import DeepFeatureTransformer, PositionDetector
from skgaussad.datasets import load_mvtec
from skgaussad.exceptions import FalseAlarmRateWarning
from skgaussad.metrics import pixel_roc_auc

few_images = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)


def make_detector(positions="shared", levels=3, **settings):
    transformer = DeepFeatureTransformer(
        "test_resnet",
        levels=levels,
        weights=None,
        device="cpu",
        image_size=(64, 32),
        batch_size=4,
    )
    return PositionDetector(transformer, positions=positions, **settings)


@pytest.fixture(scope="module")
def normal():
    return np.random.default_rng(0).integers(0, 256, (21, 40, 60), dtype=np.uint8)


@pytest.fixture(scope="module")
def tested():
    return np.random.default_rng(1).integers(60, 140, (5, 40, 60), dtype=np.uint8)


def feature_maps(detector, X):
    stream = detector.transformer_._stream_with_maps(X)
    maps = np.concatenate([maps[3].numpy() for _, _, maps in stream])
    return np.moveaxis(maps, 1, -1).astype(np.float64)


def distances_to(X, others):
    """Of rows to the Gaussian of others, by scikit-learn."""
    return np.sqrt(LedoitWolf().fit(others).mahalanobis(X))


@few_images
@pytest.mark.parametrize("positions", ["shared", "each"])
def test_distances_are_those_of_scikit_learn(normal, tested, positions):
    detector = make_detector(positions).fit(normal)
    trained, measured = feature_maps(detector, normal), feature_maps(detector, tested)
    n, height, width, channels = measured.shape
    assert (height, width) != (width, height)
    expected = np.empty((n, height, width))
    for row, column in np.ndindex(height, width):
        others = trained[:, row, column]
        if positions == "shared":
            others = trained.reshape(-1, channels)
        expected[:, row, column] = distances_to(measured[:, row, column], others)
    found = detector.position_distances(tested)
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    np.testing.assert_allclose(
        detector.score_samples(tested), -expected.max(axis=(1, 2)), rtol=1e-7
    )


@few_images
@pytest.mark.parametrize("positions", ["shared", "each"])
def test_threshold_is_of_images_left_out(normal, positions):
    """Image by image, by a fit to the others."""
    detector = make_detector(positions, fpr=0.1).fit(normal)
    distances = []
    for i in range(len(normal)):
        others = make_detector(positions).fit(np.delete(normal, i, axis=0))
        distances.append(others.position_distances(normal[i : i + 1]).max())
    np.testing.assert_allclose(detector.calibration_distances_, distances, rtol=1e-5)
    # ceil(0.9 * 22) = 20
    assert detector.offset_ == -np.sort(detector.calibration_distances_)[19]
    assert detector.p_values(normal[:2]).max() <= 1


@few_images
@pytest.mark.parametrize("covariance", ["oas", "diagonal", "isotropic"])
def test_covariances(normal, tested, covariance):
    detector = make_detector(covariance=covariance).fit(normal)
    assert detector.detectors_[0].covariance == covariance
    assert (detector.position_distances(tested) > 0).all()


@few_images
def test_map_is_one_at_the_threshold(normal, tested):
    detector = make_detector().fit(normal)
    distances = detector.position_distances(tested)
    maps = detector.anomaly_maps(tested)
    assert [m.shape for m in maps] == [(40, 60)] * 5
    assert {m.dtype for m in maps} == {np.dtype(np.float32)}
    # Interpolated to the image and back, the mean stays.
    means = [m.mean() for m in detector.anomaly_maps(tested, size=(64, 32))]
    expected = distances.mean(axis=(1, 2)) / -detector.offset_
    np.testing.assert_allclose(means, expected, rtol=0.03)


@few_images
def test_what_cannot_be_fitted(normal):
    with pytest.raises(ValueError, match="positions must be one of"):
        make_detector("all").fit(normal)
    with pytest.raises(ValueError, match="threshold must be one of"):
        make_detector(threshold="chi2").fit(normal)
    with pytest.raises(ValueError, match="must take one level.*got levels 2, 3"):
        make_detector(levels=[2, 3]).fit(normal)
    with pytest.raises(ValueError, match="a minimum of 2 is required"):
        make_detector().fit(normal[:1])
    with pytest.raises(NotFittedError):
        make_detector().score_samples(normal)


def test_too_few_images_are_warned_of(normal):
    with pytest.warns(FalseAlarmRateWarning, match="0.01"):
        make_detector(fpr=0.01).fit(normal)


@few_images
@pytest.mark.parametrize("positions", ["shared", "each"])
def test_copies(normal, tested, tmp_path, positions):
    detector = make_detector(positions).fit(normal)
    joblib.dump(detector, tmp_path / "detector")
    loaded = joblib.load(tmp_path / "detector")
    expected = detector.score_samples(tested)
    np.testing.assert_array_equal(loaded.score_samples(tested), expected)
    again = clone(detector).fit(normal)
    np.testing.assert_allclose(again.score_samples(tested), expected, rtol=1e-5)


@few_images
@pytest.mark.parametrize(
    ("positions", "pixels_at_least"), [("shared", 0.94), ("each", 0.75)]
)
@pytest.mark.slow
def test_broken_cookies(test_data, positions, pixels_at_least):
    root = test_data / "data" / "cookies"
    train, test = (load_mvtec(root, split=split) for split in ("train", "test"))
    detector = PositionDetector(DeepFeatureTransformer(levels=6), positions=positions)
    maps = detector.fit(train.paths).anomaly_maps(test.paths)
    masks = [
        np.zeros(m.shape, dtype=bool) if path is None else np.asarray(Image.open(path))
        for m, path in zip(maps, test.mask_paths, strict=True)
    ]
    masks = [mask > 0 for mask in masks]
    assert pixel_roc_auc(masks, maps) >= pixels_at_least
    scores = [-m.max() for m in maps]
    assert roc_auc_score(test.labels, scores) > 0.95
