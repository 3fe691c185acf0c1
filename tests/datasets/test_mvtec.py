from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skgaussad.datasets import load_mvtec, read_mask


def add(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def root(tmp_path):
    """Two categories; files are not written in the order of their names."""
    add(
        tmp_path,
        "screw/train/good/001.png",
        "screw/train/good/000.png",
        "screw/test/scratch/000.png",
        "screw/test/good/002.png",
        "screw/test/good/001.png",
        "screw/test/bent/000.png",
        "screw/test/bent/010.png",
        "screw/ground_truth/bent/010_mask.png",
        "screw/ground_truth/bent/000_mask.png",
        "screw/ground_truth/scratch/000_mask.png",
        "screw/license.txt",
        "metal_nut/train/good/000.png",
        "metal_nut/test/good/000.png",
        "readme.txt",
        "scripts/convert.py",
    )
    return tmp_path


def relative(paths, root):
    return [
        None if path is None else Path(path).relative_to(root).as_posix()
        for path in paths
    ]


def test_rows(root):
    data = load_mvtec(root, "screw")
    assert relative(data.paths, root / "screw") == [
        "train/good/000.png",
        "train/good/001.png",
        "test/bent/000.png",
        "test/bent/010.png",
        "test/good/001.png",
        "test/good/002.png",
        "test/scratch/000.png",
    ]
    assert data.labels.tolist() == [1, 1, -1, -1, 1, 1, -1]
    assert data.defect_types.tolist() == (
        ["good", "good", "bent", "bent", "good", "good", "scratch"]
    )
    assert relative(data.mask_paths, root / "screw") == [
        None,
        None,
        "ground_truth/bent/000_mask.png",
        "ground_truth/bent/010_mask.png",
        None,
        None,
        "ground_truth/scratch/000_mask.png",
    ]
    assert data.is_train.tolist() == [True] * 2 + [False] * 5
    assert data.paths.dtype.kind == data.defect_types.dtype.kind == "U"
    assert data.mask_paths.dtype == object
    assert data.is_train.dtype == bool


@pytest.mark.parametrize("split, part", [("train", slice(2)), ("test", slice(2, None))])
def test_split(split, part, root):
    whole, data = load_mvtec(root, "screw"), load_mvtec(root, "screw", split=split)
    assert set(data) == set(whole)
    for key in whole:
        np.testing.assert_array_equal(data[key], whole[key][part])
        assert data[key].dtype.kind == whole[key].dtype.kind


def test_a_category_by_itself(root):
    single, among = load_mvtec(root / "screw"), load_mvtec(str(root), "screw")
    for key in among:
        np.testing.assert_array_equal(single[key], among[key])


def test_extensions_of_either_case_and_nothing_else(root):
    good = root / "metal_nut" / "train" / "good"
    names = ["1.JPG", "2.jpeg", "3.bmp", "4.Tif", "5.tiff", "6.webp", "7.PNG"]
    add(good, *names, "8.txt", "Thumbs.db", ".9.png", "more/10.png")
    (good / "folder.png").mkdir()
    paths = load_mvtec(root, "metal_nut", split="train").paths
    assert relative(paths, good) == ["000.png", *names]


def test_hidden_folders_are_no_types(root):
    add(root, "screw/test/.thumbnails/000.png")
    assert set(load_mvtec(root, "screw").defect_types) == {"bent", "good", "scratch"}


def test_layout_of_visa(tmp_path):
    """Masks have the names of their images, and another extension."""
    add(
        tmp_path,
        "pcb1/train/good/0005.JPG",
        "pcb1/test/good/0000.JPG",
        "pcb1/test/bad/000.JPG",
        "pcb1/test/bad/001.JPG",
        "pcb1/ground_truth/bad/001.png",
        "pcb1/ground_truth/bad/000.png",
    )
    data = load_mvtec(tmp_path, "pcb1", split="test")
    assert relative(data.mask_paths, tmp_path / "pcb1" / "ground_truth") == [
        "bad/000.png",
        "bad/001.png",
        None,
    ]


def test_masks_are_optional_as_a_whole(tmp_path):
    add(tmp_path, "train/good/0.png", "test/bad/0.png")
    data = load_mvtec(tmp_path)
    assert data.mask_paths.tolist() == [None, None]
    assert data.labels.tolist() == [1, -1]


@pytest.mark.parametrize(
    "lacking", ["ground_truth/bent/010_mask.png", "ground_truth/scratch"]
)
def test_a_missing_mask(lacking, root):
    path = root / "screw" / lacking
    if path.is_dir():
        (path / "000_mask.png").unlink()
        path.rmdir()
        image, mask = "scratch.000.png", "000_mask"
    else:
        path.unlink()
        image, mask = "bent.010.png", "010_mask"
    message = f"image '.*test.{image}' has no mask {mask}.*remove the image"
    with pytest.raises(FileNotFoundError, match=message):
        load_mvtec(root, "screw")
    load_mvtec(root, "screw", split="train")


def test_missing_root(root):
    with pytest.raises(
        FileNotFoundError, match="root must be a folder.*does not exist"
    ):
        load_mvtec(root / "mvtec")
    with pytest.raises(FileNotFoundError, match="root must be a folder.*is a file"):
        load_mvtec(root / "readme.txt")


def test_unknown_category(root):
    with pytest.raises(ValueError) as caught:
        load_mvtec(root, "METALNUT")
    message = str(caught.value)
    # The folder scripts holds no training images.
    assert "no category 'METALNUT'; found: 'metal_nut', 'screw'." in message
    assert message.endswith("Did you mean 'metal_nut'?")
    with pytest.raises(ValueError, match="no category 'x'; found: .*'screw'.$"):
        load_mvtec(root, "x")
    with pytest.raises(ValueError, match="no folder 'train'.*'metal_nut', 'screw'"):
        load_mvtec(root)
    with pytest.raises(ValueError, match="found: none.*give category=None"):
        load_mvtec(root / "screw", "screw")


def test_a_folder_that_is_no_category(root):
    with pytest.raises(FileNotFoundError, match="no folder '.*scripts.train.good'"):
        load_mvtec(root, "scripts")
    with pytest.raises(FileNotFoundError, match="no folder '.*scripts.test'"):
        load_mvtec(root, "scripts", split="test")


def test_folders_without_images(root):
    (root / "screw" / "test" / "dent").mkdir()
    with pytest.raises(ValueError, match="no images in the folder '.*test.dent'"):
        load_mvtec(root, "screw")
    (root / "metal_nut" / "train" / "good" / "000.png").unlink()
    with pytest.raises(ValueError, match="no images in the folder '.*train.good'"):
        load_mvtec(root, "metal_nut")
    (root / "metal_nut" / "test" / "good" / "000.png").unlink()
    (root / "metal_nut" / "test" / "good").rmdir()
    with pytest.raises(FileNotFoundError, match="test' holds no folders"):
        load_mvtec(root, "metal_nut", split="test")


def test_unknown_split(root):
    with pytest.raises(ValueError, match="split must be one of .*got 'val'"):
        load_mvtec(root, "screw", split="val")


def test_cookies(test_data):
    """31 training images, 14 good and 32 broken ones to test, each with a mask."""
    data = load_mvtec(test_data / "data" / "cookies")
    test = ~data.is_train
    assert data.is_train.sum() == 31
    assert (data.labels[data.is_train] == 1).all()
    assert (data.labels[test] == 1).sum() == 14
    assert (data.defect_types[test] == "broken").sum() == 32
    np.testing.assert_array_equal(data.labels == 1, data.defect_types == "good")
    for path, mask_path, label in zip(
        data.paths, data.mask_paths, data.labels, strict=True
    ):
        assert (mask_path is None) == (label == 1)
        if mask_path is not None:
            assert Path(mask_path).stem == f"{Path(path).stem}_mask"
            with Image.open(path) as image, Image.open(mask_path) as mask:
                assert image.size == mask.size
                assert np.asarray(mask).any()
    categories = load_mvtec(test_data / "data", "cookies")
    np.testing.assert_array_equal(categories.paths, data.paths)


def draw(path, *pixels):
    """Write a mask of 4 x 3 pixels."""
    mask = np.zeros((3, 4), dtype=np.uint8)
    for row, column in pixels:
        mask[row, column] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


@pytest.fixture
def loco(tmp_path):
    add(
        tmp_path,
        "box/train/good/000.png",
        "box/validation/good/000.png",
        "box/validation/good/001.png",
        "box/test/good/000.png",
        "box/test/logical_anomalies/000.png",
        "box/test/logical_anomalies/001.png",
        "box/test/structural_anomalies/000.png",
    )
    masks = tmp_path / "box" / "ground_truth"
    draw(masks / "logical_anomalies/000/000.png", (0, 0))
    draw(masks / "logical_anomalies/000/001.png", (0, 0), (2, 3))
    draw(masks / "logical_anomalies/001/000.png", (1, 1))
    draw(masks / "structural_anomalies/000/000.png", (1, 2))
    return tmp_path


def test_layout_of_mvtec_loco(loco):
    data = load_mvtec(loco, "box", split="test")
    assert data.defect_types.tolist() == [
        "good",
        "logical_anomalies",
        "logical_anomalies",
        "structural_anomalies",
    ]
    assert data.labels.tolist() == [1, -1, -1, -1]
    masks = [read_mask(path, (3, 4)) for path in data.mask_paths]
    assert [mask.sum() for mask in masks] == [0, 2, 1, 1]
    assert masks[1][0, 0]
    assert masks[1][2, 3]
    assert relative(load_mvtec(loco, "box", split="validation").paths, loco) == [
        "box/validation/good/000.png",
        "box/validation/good/001.png",
    ]
    assert load_mvtec(loco, "box").is_train.tolist() == [True] + [False] * 4


def test_images_of_mvtec_loco_without_masks(loco):
    for mask in (loco / "box/ground_truth/logical_anomalies/000").iterdir():
        mask.unlink()
    with pytest.raises(ValueError, match="no images in the folder '.*anomalies.000'"):
        load_mvtec(loco, "box")
    (loco / "box/ground_truth/logical_anomalies/000").rmdir()
    with pytest.raises(FileNotFoundError, match="nor a folder 000 of masks"):
        load_mvtec(loco, "box")


def test_a_mask_of_another_size_is_named(loco):
    path = str(loco / "box/ground_truth/logical_anomalies/001/000.png")
    with pytest.raises(ValueError, match=r"mask '.*000.png' has .* \(3, 4\).*\(4, 3\)"):
        read_mask(path, (4, 3))
