import shutil

import numpy as np
import pytest
from PIL import Image

from skgaussad import DeepFeatureTransformer
from skgaussad.datasets import make_textures

PICTURES = make_textures(5, 0, size=32, random_state=0).images


@pytest.fixture
def transformer():
    return DeepFeatureTransformer(
        "test_resnet", weights=None, image_size=32, levels=2, batch_size=2
    )


@pytest.fixture
def paths(tmp_path):
    """Five files; c.bmp has the pixels of a.png, and d.png its bytes."""
    for name, picture in zip("abe", PICTURES, strict=False):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    Image.fromarray(PICTURES[0]).save(tmp_path / "c.bmp")
    shutil.copy(tmp_path / "a.png", tmp_path / "d.png")
    return sorted(tmp_path.iterdir())


def test_files_with_equal_pixels_are_named(transformer, paths):
    expected = r"2 of 5 training images .*a\.png' = .*c\.bmp' = .*d\.png'\. They"
    with pytest.warns(UserWarning, match=expected):
        features = transformer.fit_transform(paths)
    np.testing.assert_array_equal(features, transformer.transform(paths))


def test_with_a_cache_equal_files_are_named(transformer, paths, tmp_path):
    transformer.set_params(cache=tmp_path / "cache")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"1 of 5 .*a\.png' = .*d\.png'\. They"):
            transformer.fit_transform(paths)


def test_images_in_memory_are_named_by_position(transformer):
    X = PICTURES[[0, 1, 2, 1, 0, 1, 3]]
    with pytest.warns(UserWarning, match=r"3 of 7 .*X\[0\] = X\[4\]; X\[1\] = "):
        transformer.fit_transform(X)


def test_different_images_are_no_copies(transformer):
    X = PICTURES.copy()
    X[1] = X[0]
    X[1, 0, 0, 0] ^= 1
    transformer.fit_transform(X)


def test_new_images_may_be_copies(transformer):
    transformer.fit(PICTURES).transform(PICTURES[[0, 0]])
