import io
import os
import re
import shutil
import sys

import pytest
from PIL import Image

from skgaussad.commands._inputs import (
    common_folder,
    count_images,
    list_images,
    list_normal,
)
from skgaussad.commands._maps import map_name
from skgaussad.features import walk_images

FILES = [
    "a.png",
    "b/c d.JPG",
    "b/deep/er/ü€.tif",
    "b/notes.txt",
    "b/.hidden.png",
    ".cache/x.png",
    "z.png",
]
IMAGES = ["a.png", "z.png", "b/c d.JPG", "b/deep/er/ü€.tif"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Empty files, in the working folder; listing does not open them."""
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_gives_images_at_any_depth_in_order(folder):
    found = list(list_images([str(folder)]))
    assert found == [str(folder / name) for name in IMAGES]
    assert count_images([str(folder), "a.png"]) == len(IMAGES) + 1


def test_links_in_a_circle_end_and_give_each_image_once(folder):
    (folder / "b" / "up").symlink_to(folder)
    (folder / "b" / "deep" / "here").symlink_to(".")
    assert list(list_images([str(folder)])) == [str(folder / name) for name in IMAGES]
    found = list(list_images(["./**/*.*"]))
    assert sorted(map(os.path.normpath, found)) == sorted(IMAGES)


def test_a_folder_taken_away_meanwhile_is_passed_over(folder):
    found = walk_images(str(folder))
    assert next(found) == str(folder / "a.png")
    shutil.rmtree(folder / "b")
    assert list(found) == [str(folder / "z.png")]
    with pytest.raises(FileNotFoundError):
        list(walk_images(str(folder / "b")))


def test_a_link_to_nowhere_is_listed_for_it_to_be_noticed(folder):
    (folder / "b" / "gone.png").symlink_to("nowhere.png")
    assert str(folder / "b" / "gone.png") in list(list_images([str(folder)]))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png", "z.png"]),
        ("[ab].png", ["a.png"]),
        ("b/**/*.tif", ["b/deep/er/ü€.tif"]),
        ("**/*", IMAGES),
        ("b/**", IMAGES[2:]),
        ("*/c*", ["b/c d.JPG"]),
    ],
)
def test_patterns(folder, pattern, expected):
    found = [os.path.normpath(path) for path in list_images([pattern])]
    assert sorted(found) == sorted(expected)


def test_a_file_with_the_name_of_a_pattern_is_that_file(folder):
    (folder / "[ab].png").touch()
    assert list(list_images(["[ab].png"])) == ["[ab].png"]


def test_a_list_on_standard_input(folder, monkeypatch):
    content = "b/c d.JPG\r\n\nmissing ü.png\n".encode() + b"not-utf8-\xff.png"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert count_images(["-"]) is None
    expected = ["b/c d.JPG", "missing ü.png", os.fsdecode(b"not-utf8-\xff.png")]
    assert list(list_images(["-"])) == expected


@pytest.mark.parametrize("source", ["empty", "no*match.png"])
def test_a_source_without_images_is_an_error(folder, source):
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=re.escape(repr(source))):
        list(list_images([source]))


@pytest.mark.parametrize("source", [".", "./**/*", "*/*"])
def test_the_folder_of_maps_is_left_out(folder, source):
    (folder / "maps").mkdir()
    (folder / "maps" / "a.png").touch()
    found = list(list_images([source], exclude="maps"))
    assert found
    assert not any("maps" in path for path in found)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["b"], "b"),
        (["b/c d.JPG"], "b"),
        (["b/deep", "b/c d.JPG"], "b"),
        (["b/**/*.tif"], "b"),
        (["b/d*/er/*.tif"], "b"),
        (["b", "-"], ""),
    ],
)
def test_common_folder(folder, sources, expected):
    assert common_folder(sources) == os.path.normpath(folder / expected)


def test_names_of_maps_tell_all_images_apart(folder):
    base = str(folder / "b")
    paths = ["b/1.png", "b/1.jpg", "b/x/1.png", "1.png", "../1.png", "/1.png"]
    names = [map_name(path, base) for path in paths]
    assert names[:5] == [
        "1.png.png",
        "1.jpg.png",
        os.path.join("x", "1.png.png"),
        os.path.join("__", "1.png.png"),
        os.path.join("__", "__", "1.png.png"),
    ]
    assert len(set(names)) == len(names)
    assert not any(".." in name.split(os.sep) for name in names)


def test_files_that_are_no_images_are_counted_and_named(folder):
    for name in ("a.heic", "b/x.dng", "b/noise", "b/Thumbs.db", "b/t.json"):
        (folder / name).write_bytes(b"\0" * 20)
    Image.new("L", (8, 8)).save(folder / "b" / "photo", "PNG")
    for source in (str(folder), "./**/*"):
        with pytest.warns(UserWarning, match=r"3 files .*a.heic.*noise.*x.dng") as seen:
            found = list(list_images([source]))
        assert len(seen) == 1
        names = sorted(os.path.relpath(path, folder) for path in found)
        assert names == sorted([*IMAGES, "b/photo"])
    with pytest.raises(FileNotFoundError, match=r"No image matches.*1 file .*a.heic"):
        list(list_images(["a.he*"]))


def test_links_to_themselves_are_listed_for_them_to_be_noticed(folder):
    (folder / "b" / "loop.png").symlink_to("loop.png")
    (folder / "b" / "loops").symlink_to("loops")
    with pytest.warns(UserWarning, match="1 file .*loops"):
        found = list(list_images([str(folder)]))
    assert sorted(found) == sorted(
        [str(folder / name) for name in IMAGES] + [str(folder / "b" / "loop.png")]
    )


@pytest.mark.parametrize("source", ["b", "b/**/*"])
def test_folders_that_cannot_be_read_are_listed(folder, source, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("er"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert sorted(list_images([source])) == ["b/c d.JPG", "b/deep/er"]


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


LABELLED = {
    "MVTec AD": ["train/good/0.png", "test/good/0.png", "test/cut/0.png"],
    "its test images": ["good/0.png", "scratch/0.png"],
    "its categories": ["nut/train/good/0.png", "nut/test/good/0.png"],
    "MVTec LOCO AD": [
        "train/good/0.png",
        "validation/good/0.png",
        "ground_truth/logical_anomalies/0/0.png",
    ],
    "MVTec 3D AD": ["train/good/rgb/0.png", "train/good/gt/0.png"],
    "MVTec AD 2": ["train/good/0.png", "test_public/bad/0.png"],
    "VisA": ["Data/Images/Normal/0.JPG", "Data/Images/Anomaly/0.JPG"],
    "VisA with masks": ["Data/Images/Normal/0.JPG", "Data/Masks/Anomaly/0.png"],
    "BTAD": ["train/ok/0.png", "test/ko/0.png"],
    "DAGM": ["Train/0576.PNG", "Train/Label/0576_label.PNG"],
    "KolektorSDD": ["kos01/Part0.jpg", "kos01/Part0_label.bmp"],
    "KolektorSDD2": ["10301.png", "10301_GT.png"],
    "masks that begin so": ["1.png", "mask_1.png"],
    "Real-IAD": ["OK/S1/0.jpg", "NG/BX/S1/0.jpg"],
    "two folders": ["good/0.png", "bad/0.png"],
    "negated": ["lot/ok/0.png", "lot/notOK/0.png"],
    "sorted out": ["lot/1.png", "lot/rejected/2.png"],
}


@pytest.mark.parametrize("names", LABELLED.values(), ids=LABELLED)
def test_the_root_of_a_labelled_data_set_is_not_fitted_to(tmp_path, monkeypatch, names):
    root = tmp_path / "data"
    make(root, *names)
    paths = [str(root / name) for name in names]
    for sources in ([str(root)], [f"{root}/**/*.*"], paths):
        with pytest.raises(ValueError, match="looks like a labelled data set"):
            list_normal(sources)
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(paths).encode()))
    )
    with pytest.raises(ValueError, match="looks like a labelled data set"):
        list_normal(["-"])


def test_what_to_give_instead_is_said(tmp_path):
    make(tmp_path, "nut/train/good/0.png", "nut/test/good/0.png", "nut/test/cut/0.png")
    instead = str(tmp_path / "nut" / "train" / "good")
    with pytest.raises(ValueError, match=re.escape(f"such as {instead!r}. If")):
        list_normal([str(tmp_path)])
    assert len(list_normal([instead])) == 1
    # By naming the folders, one can insist.
    folders = [str(tmp_path / "nut" / "test" / name) for name in ("good", "cut")]
    assert len(list_normal(folders)) == 2


@pytest.mark.parametrize(
    "names",
    [
        ["train/good/0.png"],
        ["lot1/0.png", "lot2/0.png", "0.png"],
        ["good/lot1/0.png", "good/lot2/0.png"],
        ["ok_left/0.png", "ok_right/0.png"],
        ["defect-free/0.png", "good/0.png"],
        ["latest/0.png", "contest/0.png", "default/0.png"],
        ["1.png", "2_top.png", "label.png", "mask.png"],
        ["line n/0.png", "line m/0.png"],
    ],
)
def test_folders_of_normal_images_are_fitted_to(tmp_path, names):
    # What is above the folder does not count.
    make(tmp_path / "test" / "bad", *names)
    assert len(list_normal([str(tmp_path / "test" / "bad")])) == len(names)


def test_a_file_counts_once_whatever_it_is_called(folder):
    os.symlink("a.png", folder / "link.png")
    os.link(folder / "a.png", folder / "hard.png")
    os.symlink("b", folder / "c")
    sources = ["a.png", "b/../a.png", str(folder), "*.png", "c/c d.JPG", "a.png"]
    with pytest.warns(UserWarning, match=r"10 of the 14 paths .*'a.png'"):
        found = list_normal(sources)
    assert len(found) == len(IMAGES)
    assert found[0] == "a.png"
    assert sorted(map(os.path.realpath, found)) == sorted(
        os.path.realpath(folder / name) for name in IMAGES
    )


def test_missing_files_are_kept_once_for_them_to_be_noticed(folder):
    with pytest.warns(UserWarning, match="1 of the 3 paths"):
        assert list_normal(["no.png", "./no.png", "a.png"]) == ["no.png", "a.png"]


def test_names_of_maps_that_would_be_too_long(folder):
    base = str(folder)
    paths = [f"{'x' * 251}.{end}" for end in ("png", "jpg", "bmp")]
    paths += ["ü" * 125 + ".png", os.fsdecode(b"\xff" * 251) + ".png"]
    names = [map_name(path, base) for path in paths]
    assert len(set(names)) == len(names)
    assert all(len(os.fsencode(name)) <= 255 for name in names)
    assert map_name("x" * 251, base) == "x" * 251 + ".png"
    names = [map_name(path, str(folder / "b")) for path in ("b/__/a.png", "a.png")]
    assert len(set(names)) == 2
