import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from sklearn.base import clone

from skgaussad.augmentation import ImageAugmentation
from skgaussad.augmentation._image_augmentation import OPERATIONS
from skgaussad.augmentation._operations import blur, move
from skgaussad.exceptions import InvalidImageError

# Strong enough that each operation changes nearly any image.
STRONG = ImageAugmentation(
    rotation=90, scaling=0.3, translation=0.3, brightness=0.5, contrast=0.5, blur=0.1
)


@pytest.fixture(scope="module")
def picture():
    """Smooth RGB values with no symmetry, of 8 bits."""
    values = np.random.default_rng(0).random((24, 36, 3))
    values = ndimage.gaussian_filter(values, (2, 2, 0))
    values = 0.2 + 0.6 * (values - values.min()) / np.ptp(values)
    return np.rint(255 * values).astype(np.uint8)


def only(*names, **parameters):
    """Return an augmentation that always applies these operations and no others."""
    p = {name: float(name in names) for name in OPERATIONS}
    return clone(STRONG).set_params(p=p, **parameters)


def changed(augmentation, picture, seed=0):
    return augmentation.apply(picture, np.random.default_rng(seed))


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_changes_the_image_unless_it_is_excluded(name, picture):
    augmentation = only(name)
    assert (changed(augmentation, picture) != picture).any()
    others = dict.fromkeys(set(OPERATIONS) - {name}, 0.0)
    augmentation.set_params(p=others, exclude=(name,))
    np.testing.assert_array_equal(changed(augmentation, picture), picture)


def test_probability_of_an_excluded_operation_is_refused(picture):
    augmentation = ImageAugmentation(p={"blur": 0.2}, exclude=["noise", "blur"])
    with pytest.raises(
        ValueError, match=r"p\['blur'\]=0.2 has no effect with exclude="
    ):
        changed(augmentation, picture)
    augmentation.set_params(p={"blur": 0})
    assert "blur" not in augmentation.sample(np.random.default_rng(0))


@settings(max_examples=60, deadline=None)
@given(
    exclude=st.sets(st.sampled_from(OPERATIONS)),
    p=st.one_of(
        st.floats(0, 1),
        st.dictionaries(st.sampled_from(OPERATIONS), st.floats(0, 1)),
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_excluded_operation_ever_applies(exclude, p, seed, picture):
    """Neither is one drawn, nor does the image show it: the rest makes the same."""
    if isinstance(p, dict):
        p = {name: value for name, value in p.items() if name not in exclude}
    augmentation = clone(STRONG).set_params(p=p, exclude=tuple(exclude))
    applied = augmentation.sample(np.random.default_rng(seed))
    assert not exclude & set(applied)
    np.testing.assert_array_equal(
        changed(augmentation, picture, seed), changed(only(*applied), picture, seed)
    )


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    channels=st.sampled_from([(), (1,), (3,)]),
    depth=st.sampled_from(["uint8", "uint16", "float32", "float64"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_size_and_depth_are_kept(height, width, channels, depth, seed):
    """And the same seed gives the same image."""
    rng = np.random.default_rng(seed)
    image = rng.random((height, width, *channels))
    # Between two values of 8 bits: a deep image that holds 8 bits only becomes uint8.
    image.flat[0] = 100.5 / 255
    if depth.startswith("u"):
        image = image * np.iinfo(depth).max
    image = image.astype(depth)
    original = image.copy()
    result = changed(STRONG, image, seed)
    assert result.shape == (height, width, *(channels or (1,)))
    assert result.dtype == (np.uint8 if depth == "uint8" else np.float32)
    assert result.min() >= 0
    assert result.dtype == np.uint8 or result.max() <= 1
    np.testing.assert_array_equal(changed(STRONG, image, seed), result)
    np.testing.assert_array_equal(image, original)


def test_sixteen_bits_survive():
    """A picture whose values differ by less than 1/255 does not become flat."""
    image = np.arange(30000, 30000 + 15 * 16, dtype=np.uint16).reshape(15, 16)
    result = changed(only("vertical_flip"), image)
    np.testing.assert_array_equal(np.rint(result[..., 0] * 65535), image[::-1])
    assert len(np.unique(changed(only("rotation"), image))) > 100


def test_flips(picture):
    np.testing.assert_array_equal(
        changed(only("horizontal_flip"), picture), picture[:, ::-1]
    )
    np.testing.assert_array_equal(
        changed(only("vertical_flip"), picture), picture[::-1]
    )


def test_brightness_contrast_and_noise(picture):
    values = picture / 255
    augmentation = only("brightness", brightness=0.1)
    factor = augmentation.sample(np.random.default_rng(0))["brightness"]
    np.testing.assert_allclose(
        changed(augmentation, picture), picture * factor, atol=0.51
    )
    augmentation = only("contrast", contrast=0.1)
    factor = augmentation.sample(np.random.default_rng(0))["contrast"]
    # Its mean is that of luminance, with the weights of ITU-R 601.
    mean = (values @ [0.299, 0.587, 0.114]).mean()
    expected = 255 * (mean + factor * (values - mean))
    np.testing.assert_allclose(changed(augmentation, picture), expected, atol=0.6)
    augmentation = only("noise", noise=0.05)
    grey = np.full((200, 200, 3), 0.5001, dtype=np.float32)
    sigma = augmentation.sample(np.random.default_rng(0))["noise"]
    noise = changed(augmentation, grey) - grey
    assert noise.std() == pytest.approx(sigma, rel=0.02)
    assert abs(noise.mean()) < 4 * sigma / np.sqrt(noise.size)


def test_blur_is_the_gaussian_filter_of_scipy(picture):
    values = np.moveaxis(picture, -1, 0) / np.float32(255)
    expected = ndimage.gaussian_filter(
        values, (0, 1.7, 1.7), mode="mirror", radius=(0, 6, 6)
    )
    result = blur(torch.from_numpy(values.copy()), 1.7)
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("sigma", [0, 1e-30, 0.05])
def test_a_blur_narrower_than_a_pixel_changes_nothing(sigma, picture):
    image = torch.from_numpy(np.moveaxis(picture, -1, 0) / np.float32(255))
    torch.testing.assert_close(blur(image, sigma), image, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3)])
def test_a_blur_wider_than_the_image(shape):
    image = torch.linspace(0.2, 0.8, shape[0] * shape[1]).reshape(1, *shape)
    result = blur(image, 9)
    assert result.shape == image.shape
    assert result.min() >= image.min() - 1e-6
    assert result.max() <= image.max() + 1e-6


@settings(max_examples=50, deadline=None)
@given(
    angle=st.floats(-180, 180),
    scale=st.floats(0.3, 2),
    right=st.floats(-1, 1),
    down=st.floats(-1, 1),
)
def test_moving_is_an_interpolation_with_reflected_borders(
    angle, scale, right, down, picture
):
    """As SciPy computes it from the coordinates before rotation, scale and shift."""
    values = picture[:, :, 0] / np.float32(255)
    height, width = values.shape
    y, x = np.mgrid[:height, :width]
    x = x - (width - 1) / 2 - right * width
    y = y - (height - 1) / 2 - down * height
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    # The y axis points downwards, and the angle is counterclockwise on the screen.
    before = [
        (x * sin + y * cos) / scale + (height - 1) / 2,
        (x * cos - y * sin) / scale + (width - 1) / 2,
    ]
    expected = ndimage.map_coordinates(values, before, order=1, mode="reflect")
    result = move(torch.from_numpy(values[np.newaxis]), angle, scale, (right, down))
    np.testing.assert_allclose(result[0], expected, atol=1e-4)


def test_results_are_images_to_apply_operations_to():
    """White ones too, of which rounding must make no value above 1."""
    white = np.ones((5, 12), dtype=np.float32)
    # Not held in 8 bits, so that it stays a float image.
    white[0, 0] = 0.5001
    augmentation = only("rotation", "scaling", "translation", "blur")
    for seed in range(200):
        result = changed(augmentation, white, seed)
        assert result.max() <= 1
        changed(augmentation, result, seed)


def test_there_are_no_black_corners():
    """Of a bright picture every pixel stays bright, however it is moved."""
    bright = np.random.default_rng(0).integers(200, 256, (30, 90), dtype=np.uint8)
    augmentation = only("rotation", "scaling", "translation", rotation=180)
    assert min(changed(augmentation, bright, seed).min() for seed in range(30)) >= 200


def test_the_probability_is_the_share_of_images():
    augmentation = ImageAugmentation(p={"rotation": 0.2, "blur": 0, "noise": 1})
    rng = np.random.default_rng(0)
    drawn = [augmentation.sample(rng) for _ in range(2000)]
    shares = {name: np.mean([name in d for d in drawn]) for name in OPERATIONS}
    expected = dict.fromkeys(OPERATIONS, 0.5) | augmentation.p
    assert shares == pytest.approx(expected, abs=0.04)
    angles = [d["rotation"] for d in drawn if "rotation" in d]
    assert -10 <= min(angles) < -9
    assert 9 < max(angles) <= 10


def test_an_exclusion_leaves_the_other_operations_as_they_are():
    every, some = ImageAugmentation(p=1), ImageAugmentation(p=1, exclude="rotation")
    amounts = every.sample(np.random.default_rng(3))
    assert list(amounts) == list(OPERATIONS), "in the order in which they apply"
    del amounts["rotation"]
    assert some.sample(np.random.default_rng(3)) == amounts


def test_a_path_and_a_picture_of_pil_are_images_too(picture, tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(picture).save(path)
    expected = changed(STRONG, picture)
    np.testing.assert_array_equal(changed(STRONG, path), expected)
    np.testing.assert_array_equal(changed(STRONG, Image.fromarray(picture)), expected)
    with pytest.raises(InvalidImageError, match="got int64"):
        changed(STRONG, picture.astype(np.int64))


def test_clone_and_pickle(picture):
    for twin in (clone(STRONG), pickle.loads(pickle.dumps(STRONG))):
        assert twin.get_params() == STRONG.get_params()
        np.testing.assert_array_equal(changed(twin, picture), changed(STRONG, picture))


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"rotation": 181}, r"rotation must be a number in \[0, 180\]; got 181"),
        ({"scaling": 1}, r"scaling must be a number in \[0, 1\); got 1"),
        ({"translation": -0.1}, r"translation must be .* got -0.1"),
        ({"brightness": 2}, r"brightness must be .* got 2"),
        ({"contrast": "much"}, r"contrast must be .* got 'much'"),
        ({"blur": 3}, r"blur must be .* got 3"),
        ({"noise": None}, r"noise must be .* got None"),
        ({"p": 1.5}, r"^p must be a number in \[0, 1\]; got 1.5"),
        ({"p": {"blur": -1}}, r"p\['blur'\] must be a number in \[0, 1\]; got -1"),
        ({"p": {"flip": 1}}, r"p must name operations among horizontal_flip, .*'flip'"),
        ({"exclude": "flip"}, r"exclude must name operations among .*'flip'"),
        ({"exclude": ["blur", "flip"]}, r"exclude must name .*'flip'"),
    ],
)
def test_parameters_are_judged_when_used(parameters, message, picture):
    augmentation = ImageAugmentation(**parameters)
    rng = np.random.default_rng(0)
    for use in (
        augmentation.check,
        lambda: augmentation.sample(rng),
        lambda: augmentation.apply(picture, rng),
    ):
        with pytest.raises(ValueError, match=message):
            use()
