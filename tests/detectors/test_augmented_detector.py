import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image
from sklearn import config_context
from sklearn.base import BaseEstimator, OutlierMixin, clone, is_outlier_detector
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from skgaussad import (
    AugmentedDetector,
    DeepFeatureTransformer,
    MahalanobisDetector,
    RobustDetector,
)
from skgaussad.augmentation import ImageAugmentation
from skgaussad.augmentation._augmented_images import AugmentedImages
from skgaussad.datasets import make_textures
from skgaussad.exceptions import FalseAlarmRateWarning, InvalidImageError
from skgaussad.model_selection import NormalKFold, auroc_scorer

# A dozen images support no rate worth the name.
pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)


class Recorder(OutlierMixin, BaseEstimator):
    """Keeps what it is given."""

    def fit(self, X, y=None):
        self.X_ = X
        self.offset_ = -1.0
        return self

    def score_samples(self, X):
        self.scored_ = X
        return np.arange(-2.0, len(X) - 2)


@pytest.fixture(scope="module")
def textures():
    return make_textures(12, 4, size=48, random_state=0)


@pytest.fixture(scope="module")
def normal(textures):
    return textures.images[textures.labels == 1]


@pytest.fixture
def pipe():
    transformer = DeepFeatureTransformer(
        "test_resnet", levels=[2, 4], weights=None, image_size=48, device="cpu"
    )
    return Pipeline([("features", transformer), ("detector", MahalanobisDetector())])


def copies(X, **parameters):
    """Return the images that the estimator is fitted on."""
    return AugmentedDetector(Recorder(), **parameters).fit(X).estimator_.X_


def test_epoch_0_are_the_originals_and_the_others_differ(normal):
    images = copies(normal, n_epochs=4)
    assert len(images) == 4 * len(normal)
    epochs = np.array(images).reshape(4, *normal.shape)
    np.testing.assert_array_equal(epochs[0], normal)
    # Two epochs agree where no operation was drawn, or flips only: hardly ever.
    for first in range(4):
        for second in range(first):
            same = (epochs[first] == epochs[second]).all(axis=(1, 2, 3))
            assert same.mean() < 0.2
    n_different = len({image.tobytes() for image in epochs.reshape(len(images), -1)})
    assert n_different > 0.9 * len(images)


def test_items_of_epoch_0_are_not_even_decoded(tmp_path, normal):
    paths = [str(tmp_path / f"{i}.png") for i in range(2)]
    for path, image in zip(paths, normal, strict=False):
        Image.fromarray(image).save(path)
    images = copies(paths, n_epochs=2)
    assert [images[0], images[1]] == paths
    np.testing.assert_array_equal(images[2], copies(normal[:2], n_epochs=2)[2])


def test_a_copy_depends_on_seed_epoch_and_position_only(normal):
    few = copies(normal[:5], n_epochs=2, random_state=3)
    many = copies(normal, n_epochs=9, random_state=3)
    # Backwards, so that no state is carried from one to the next.
    for position in reversed(range(5)):
        np.testing.assert_array_equal(few[5 + position], many[12 + position])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(many))[-1], many[107])
    other = copies(normal, n_epochs=2, random_state=4)
    differ = [(other[12 + i] != many[12 + i]).any() for i in range(12)]
    assert np.mean(differ) > 0.8


def test_images_are_a_sequence(normal):
    images = copies(normal, n_epochs=2)
    np.testing.assert_array_equal(images[-1], images[23])
    for index in (24, -25):
        with pytest.raises(IndexError):
            images[index]


def test_depth_survives():
    deep = np.random.default_rng(0).integers(0, 65536, (3, 9, 8, 3), dtype=np.uint16)
    images = copies(deep, n_epochs=2)
    assert images[0].dtype == np.uint16
    assert images[3].dtype == np.float32
    levels = images[3] * np.float32(255)
    assert np.abs(levels - np.rint(levels)).max() > 0.1


def test_copies_are_made_one_at_a_time(pipe, normal, monkeypatch):
    """Once each, in the order of the epochs, after a look at the first."""
    made = []
    make = AugmentedImages.__getitem__

    def record(self, index):
        made.append(index)
        return make(self, index)

    monkeypatch.setattr(AugmentedImages, "__getitem__", record)
    AugmentedDetector(pipe, n_epochs=3).fit(normal)
    assert made == [0, *range(36)]


def test_one_epoch_is_no_augmentation(pipe, normal, textures):
    plain = clone(pipe).fit(normal)
    detector = AugmentedDetector(pipe, n_epochs=1).fit(normal)
    for method in ("score_samples", "decision_function", "predict"):
        np.testing.assert_array_equal(
            getattr(detector, method)(textures.images),
            getattr(plain, method)(textures.images),
        )
    assert detector.offset_ == plain["detector"].offset_


@pytest.mark.parametrize("nested", [False, True], ids=["pipeline", "nested"])
def test_all_copies_of_an_image_are_left_out_together(pipe, normal, nested):
    pipe.set_params(detector__fpr=0.2)
    wrapped = Pipeline([("inner", pipe)]) if nested else pipe
    augmented = AugmentedDetector(wrapped, n_epochs=3).fit(normal)
    fitted = augmented.estimator_[-1] if nested else augmented.estimator_
    X = pipe[:-1].fit_transform(copies(normal, n_epochs=3))
    n_images = len(normal)
    expected = np.empty(len(X))
    for image in range(n_images):
        out = np.arange(len(X)) % n_images == image
        detector = MahalanobisDetector().fit(X[~out])
        expected[out] = -detector.score_samples(X[out])
    distances = fitted["detector"].calibration_distances_
    np.testing.assert_allclose(distances, expected, rtol=1e-6)
    single = clone(pipe).fit(copies(normal, n_epochs=3))[-1].calibration_distances_
    assert np.median(single) < np.median(distances), "its copies are close"


def test_groups_reach_the_detector_with_metadata_routing(pipe, normal):
    pipe.set_params(detector__fpr=0.2)
    direct = AugmentedDetector(pipe, n_epochs=2).fit(normal).offset_
    with config_context(enable_metadata_routing=True):
        pipe["detector"].set_fit_request(groups=True)
        assert AugmentedDetector(pipe, n_epochs=2).fit(normal).offset_ == direct


def test_leaving_out_single_copies_is_warned_of(pipe, normal):
    pipe.set_params(detector=RobustDetector(fpr=0.2))
    with pytest.warns(FalseAlarmRateWarning, match="holds out one copy of an") as seen:
        AugmentedDetector(pipe, n_epochs=2).fit(normal)
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AugmentedDetector(pipe, n_epochs=1).fit(normal)


def test_it_is_the_estimator_fitted_on_all_copies(pipe, normal, textures):
    augmentation = ImageAugmentation(rotation=3, exclude="blur")
    images = list(copies(normal, n_epochs=3, augmentation=augmentation))
    expected = clone(pipe).fit(images).score_samples(textures.images)
    detector = AugmentedDetector(pipe, n_epochs=3, augmentation=augmentation).fit(
        normal
    )
    np.testing.assert_allclose(
        detector.score_samples(textures.images), expected, rtol=1e-5
    )
    np.testing.assert_array_equal(
        detector.predict(textures.images),
        np.where(detector.decision_function(textures.images) >= 0, 1, -1),
    )
    np.testing.assert_array_equal(
        detector.decision_function(textures.images),
        detector.score_samples(textures.images) - detector.offset_,
    )
    assert not hasattr(pipe["features"], "levels_"), "fitted is a clone"


def test_images_to_predict_are_never_augmented(normal):
    detector = AugmentedDetector(Recorder(), n_epochs=5).fit(normal)
    detector.score_samples(normal)
    assert detector.estimator_.scored_ is normal


def test_batches_do_not_matter(pipe, normal, textures):
    scores = [
        AugmentedDetector(pipe, n_epochs=2)
        .set_params(estimator__features__batch_size=size, **workers)
        .fit(normal)
        .score_samples(textures.images)
        for size, workers in (
            (1, {"estimator__features__num_workers": 0}),
            (7, {"estimator__features__num_workers": 3}),
        )
    ]
    np.testing.assert_allclose(*scores, rtol=1e-4)


def test_cross_validation_and_grid_search(pipe, normal, textures):
    detector = AugmentedDetector(pipe, n_epochs=2)
    X, y = textures.images, textures.labels
    folds = NormalKFold(2)
    scores = cross_val_score(detector, X, y, cv=folds, scoring=auroc_scorer)
    expected = [
        auroc_scorer(clone(detector).fit(X[train]), X[test], y[test])
        for train, test in folds.split(X, y)
    ]
    np.testing.assert_array_equal(scores, expected)
    search = GridSearchCV(
        detector,
        {
            "n_epochs": [1, 3],
            "estimator__detector__fpr": [0.05, 0.2],
            "augmentation": [ImageAugmentation(exclude="rotation")],
        },
        scoring=lambda estimator, X, y=None: estimator.offset_,
        cv=KFold(2),
    ).fit(normal)
    offsets = search.cv_results_["mean_test_score"]
    assert len(offsets) == 4
    assert search.best_params_["estimator__detector__fpr"] == 0.2


def test_contract(pipe, normal):
    detector = AugmentedDetector(pipe, augmentation=ImageAugmentation())
    assert is_outlier_detector(detector)
    assert get_tags(detector).input_tags == get_tags(pipe["features"]).input_tags
    params = detector.get_params()
    assert params["estimator__detector__fpr"] == 0.05
    assert params["augmentation__exclude"] == ()
    for method in ("predict", "score_samples", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(detector, method)(normal)
    assert not hasattr(detector, "offset_")
    detector.set_params(n_epochs=2).fit(normal)
    twin = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(twin.predict(normal), detector.predict(normal))
    np.testing.assert_array_equal(
        clone(detector).fit_predict(normal), detector.predict(normal)
    )


def test_methods_are_those_of_the_estimator(normal):
    detector = AugmentedDetector(Recorder(), n_epochs=1).fit(normal)
    assert detector.offset_ == -1
    np.testing.assert_array_equal(detector.predict(normal)[:3], [-1, 1, 1])
    for method in ("p_values", "predict_batch", "fpr_bound"):
        assert not hasattr(detector, method)
    with pytest.raises(AttributeError, match="has no calibration_distances"):
        _ = detector.calibration_distances_


def test_a_bad_image_is_named_by_its_position_in_X(tmp_path, pipe, normal):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no image")
    with pytest.raises(InvalidImageError, match=r"^X\[2\] \(.*damaged.png'\)"):
        AugmentedDetector(pipe, n_epochs=3).fit([*normal[:2], str(damaged)])
    # The features of epoch 0 could come from elsewhere.
    images = copies([*normal[:2], str(damaged)], n_epochs=3)
    with pytest.raises(InvalidImageError, match=r"^X\[2\] \(.*damaged.png'\)"):
        images[8]
    with pytest.raises(InvalidImageError, match=r"^X\[1\] \('missing.png'\)"):
        copies([normal[0], "missing.png"])
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        copies([])


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_epochs": 0}, "n_epochs must be at least 1; got 0"),
        ({"n_epochs": 2.5}, "n_epochs must be an integer of at least 1; got 2.5"),
        (
            {"augmentation": "flip"},
            "augmentation must be an ImageAugmentation or None; got 'flip'",
        ),
        ({"augmentation": ImageAugmentation(p=2)}, "p must be a number"),
    ],
)
def test_parameters_are_judged_before_any_image_is_made(parameters, message, normal):
    with pytest.raises(ValueError, match=message):
        copies(normal, **parameters)


def test_torch_is_loaded_when_an_image_is_changed_and_not_before():
    code = "import sys, skgaussad; skgaussad.AugmentedDetector(None); "
    code += "print({'torch', 'torchvision'} & set(sys.modules))"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "set()"
