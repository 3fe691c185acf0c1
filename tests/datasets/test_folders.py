from pathlib import Path

import pytest
from PIL import Image

from skgaussad.datasets import load_folders


@pytest.fixture
def folders(tmp_path):
    for name in ("ok/2.png", "ok/10.JPG", "ok/notes.txt", "ok/old/0.png", "nok/1.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "sorted" / "here").mkdir(parents=True)
    return tmp_path


def test_normal_images_come_first(folders):
    data = load_folders(folders / "ok", str(folders / "nok"))
    expected = [folders / "ok" / "10.JPG", folders / "ok" / "2.png"]
    expected.append(folders / "nok" / "1.png")
    assert data.paths.tolist() == list(map(str, expected))
    assert data.labels.tolist() == [1, 1, -1]


def test_normal_images_only(folders):
    data = load_folders(folders / "ok")
    assert len(data.paths) == 2
    assert data.labels.tolist() == [1, 1]


@pytest.mark.parametrize("name", ["normal", "anomalous"])
def test_missing_folder(name, folders):
    given = {"normal": folders / "ok", "anomalous": folders / "nok"}
    given[name] = folders / "lost"
    with pytest.raises(FileNotFoundError, match=f"{name} must be a folder, .*lost'"):
        load_folders(**given)


def test_folder_without_images(folders):
    with pytest.raises(ValueError, match="no images in .*sorted'.*not in the folders"):
        load_folders(folders / "sorted")
    with pytest.raises(ValueError, match=r"no images in .*here'\.$"):
        load_folders(folders / "ok", folders / "sorted" / "here")


def test_files_that_cannot_be_read_are_counted_and_named(folders):
    for name in ("a.heic", "b.eps", "noise", "Thumbs.db", "labels.csv"):
        (folders / "ok" / name).write_bytes(b"\0" * 20)
    image = Image.new("L", (8, 8))
    for name, kind in {"3.JFIF": "JPEG", "4.jp2": "JPEG2000", "5.PPM": "PPM"}.items():
        image.save(folders / "ok" / name, kind)
    for name in ("6", "7.dat"):
        image.save(folders / "ok" / name, "PNG")
    with pytest.warns(UserWarning, match="3 files .*'a.heic', 'b.eps', 'noise':"):
        data = load_folders(folders / "ok")
    names = ["10.JPG", "2.png", "3.JFIF", "4.jp2", "5.PPM", "6", "7.dat"]
    assert [Path(path).name for path in data.paths] == names


def test_a_folder_of_unreadable_files_says_so(folders):
    (folders / "sorted" / "here" / "a.heic").touch()
    with pytest.raises(ValueError, match=r"no images in .*1 file cannot be .*a.heic"):
        load_folders(folders / "sorted" / "here")


def test_masks_beside_normal_images_are_refused(folders):
    for name in ("1.png", "1_GT.png"):
        (folders / "ok" / name).touch()
    with pytest.raises(ValueError, match=r"1_GT.png' is called as the mask of .*1.png"):
        load_folders(folders / "ok")


def test_a_file_has_one_label(folders):
    (folders / "ok" / "3.png").symlink_to(folders / "nok" / "1.png")
    with pytest.raises(ValueError, match=r"normal and the anomalous .*3.png.*1.png"):
        load_folders(folders / "ok", folders / "nok")
