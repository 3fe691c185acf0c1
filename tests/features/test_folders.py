"""Folders in the place of lists of images, and what training images have in common."""

import numpy as np
import pytest
from PIL import Image

from skgaussad import DeepFeatureTransformer, make_detector
from skgaussad.features import as_image_sequence, describe_odd_images

TINY = {"backbone": "test_resnet", "weights": None, "device": "cpu"}


def save(path, size=(48, 32), level=120, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 10, size=(*size[::-1], 3))
    Image.fromarray((level + noise).clip(0, 255).astype(np.uint8)).save(path)
    return str(path)


@pytest.fixture
def folder(tmp_path):
    for number in range(24):
        save(tmp_path / "good" / f"{number % 2}" / f"{number:02}.png", seed=number)
    return tmp_path / "good"


def test_a_folder_is_a_list_of_its_images(folder):
    paths = [
        *sorted(map(str, folder.glob("0/*"))),
        *sorted(map(str, folder.glob("1/*"))),
    ]
    for given in (folder, str(folder)):
        assert as_image_sequence(given) == paths
    transformer = DeepFeatureTransformer(levels=3, image_size=32, **TINY)
    np.testing.assert_array_equal(
        transformer.fit_transform(folder), transformer.transform(paths)
    )
    pipe = make_detector(levels=3, image_size=32, pooling=2, **TINY).fit(folder)
    assert pipe.training_samples_["name"].tolist() == paths
    np.testing.assert_array_equal(pipe.predict(folder), pipe.predict(paths))
    assert len(pipe.anomaly_maps(folder / "0")) == 12


def test_folders_without_images_or_with_labels_are_refused(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no images in .*empty"):
        as_image_sequence(tmp_path / "empty")
    with pytest.raises(TypeError, match="there is no such folder"):
        as_image_sequence(tmp_path / "none")
    save(folder / "bad" / "0.png")
    with pytest.raises(ValueError, match="labelled data set"):
        make_detector(levels=3, image_size=32, pooling=2, **TINY).fit(folder)


def test_odd_sizes_and_exposures_are_named(tmp_path):
    paths = [save(tmp_path / f"{n:02}.png", seed=n) for n in range(20)]
    assert describe_odd_images(paths) == []
    save(tmp_path / "04.png", size=(64, 32))
    save(tmp_path / "07.png", level=40)
    save(tmp_path / "09.jpg", level=230)
    (sizes, exposure) = describe_odd_images([*paths, str(tmp_path / "09.jpg")])
    assert "1 of 21 training images looked at have another size" in sizes
    assert "48 x 32 pixels: X[4], the first 64 x 32" in sizes
    assert "2 of 21 training images looked at are much darker" in exposure
    assert "X[7], X[20], the first 0.3" in exposure


def test_what_varies_by_itself_is_not_odd(tmp_path):
    rng = np.random.default_rng(1)
    paths = [
        save(tmp_path / f"{n:02}.png", (48 + n % 3, 32), rng.uniform(80, 170), n)
        for n in range(40)
    ]
    assert describe_odd_images(paths) == []
    assert describe_odd_images(paths[:5]) == [], "too few to tell"
    assert describe_odd_images(list(np.zeros((30, 8, 8, 3), dtype=np.uint8))) == [], (
        "no files"
    )


def test_fit_names_odd_images(folder):
    save(folder / "1" / "05.png", level=30)
    pipe = make_detector(levels=3, image_size=32, pooling=2, **TINY).fit(folder)
    (note,) = pipe.notes_
    assert f"much darker or brighter than most: {folder / '1' / '05.png'}" in note
    assert note in str(pipe.summary_)
