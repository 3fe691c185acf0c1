import pytest

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
    with pytest.raises(ValueError, match=r"no images in .*here'.*\.webp\.$"):
        load_folders(folders / "ok", folders / "sorted" / "here")
