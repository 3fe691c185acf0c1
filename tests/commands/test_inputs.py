import io
import os
import re
import shutil
import sys

import pytest

from skgaussad.commands._inputs import (
    common_folder,
    count_images,
    list_images,
    walk_images,
)
from skgaussad.commands._maps import map_name

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
