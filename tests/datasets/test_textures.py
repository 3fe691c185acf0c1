import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector
from skgaussad.datasets import make_textures


def test_rows():
    data = make_textures(3, 5, size=40, random_state=0)
    assert data.images.shape == (8, 40, 40, 3)
    assert data.images.dtype == np.uint8
    assert data.masks.shape == (8, 40, 40)
    assert data.masks.dtype == bool
    assert data.labels.tolist() == [1] * 3 + [-1] * 5
    kinds = ["scratch", "spot", "missing", "scratch", "spot"]
    assert data.defect_types.tolist() == ["good"] * 3 + kinds
    np.testing.assert_array_equal(data.masks.any(axis=(1, 2)), data.labels == -1)


@settings(max_examples=40, deadline=None)
@given(size=st.integers(32, 160), seed=st.integers(0, 2**32 - 1))
def test_the_mask_is_exactly_where_the_defect_is(size, seed):
    data = make_textures(1, 3, size=size, random_state=seed)
    clean = make_textures(4, 0, size=size, random_state=seed).images
    differ = (data.images != clean).any(axis=-1)
    assert not differ[~data.masks].any(), "nothing outside the mask changes"
    for image, texture, mask, changed in zip(
        data.images[1:], clean[1:], data.masks[1:], differ[1:], strict=True
    ):
        assert 0.002 < mask.mean() < 0.1, "the defect is local"
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1, "and in one piece"
        assert changed[mask].mean() > 0.95, "and fills its mask"
        change = np.abs(image[mask].astype(float) - texture[mask])
        assert change.mean() > 8, "and is to be seen"


def test_normal_textures_vary():
    images = make_textures(30, 0, size=64, random_state=0).images.astype(float)
    brightness = images.mean(axis=(1, 2, 3))
    assert 2 < brightness.std() < 15
    # The phase of the threads in both directions. Over two periods in the middle, where
    # angle and width matter little, pictures are as different as pixels of one are.
    middle = images[:, 24:40, 24:40].mean(axis=3)
    for axis in (1, 2):
        profiles = middle.mean(axis=axis)
        profiles -= profiles.mean(axis=1, keepdims=True)
        assert profiles.std(axis=0).mean() > 0.5 * profiles.std(axis=1).mean()
    # The noise: neighbours in one colour channel against the other.
    noise = np.diff(images[..., 0] - images[..., 1] / 0.9, axis=2).std()
    assert 5 < noise < 15
    assert images.min() > 0
    assert images.max() < 255


def test_pictures_depend_on_the_seed():
    first, again, other = (
        make_textures(2, 2, size=32, random_state=seed) for seed in (0, 0, 1)
    )
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
    assert (first.images != other.images).any(axis=(1, 2, 3)).all()
    generator = np.random.RandomState(0)
    drawn = make_textures(2, 2, size=32, random_state=generator)
    np.testing.assert_array_equal(drawn.images, first.images)
    assert len({image.tobytes() for image in first.images}) == 4


def test_the_detector_separates_them():
    data = make_textures(50, 20, random_state=0)
    pipe = make_pipeline(DeepFeatureTransformer(image_size=96), MahalanobisDetector())
    scores = pipe.fit(data.images[:30]).score_samples(data.images[30:])
    assert roc_auc_score(data.labels[30:], scores) > 0.9


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_normal": -1}, "n_normal must be at least 0; got -1"),
        ({"n_anomalous": 2.0}, "n_anomalous must be an integer .* got 2.0"),
        ({"size": 31}, "size must be at least 32; got 31"),
        ({"n_normal": 0, "n_anomalous": 0}, "both 0"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_textures(**parameters)
