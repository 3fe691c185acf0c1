"""Lots of images, told by their paths."""

import os
import re
import shutil

import numpy as np
import pytest

from skgaussad import persistence
from skgaussad.commands._lots import describe, find_lots

FEW = "ignore:fpr=.*groups:skgaussad.exceptions.FalseAlarmRateWarning"


@pytest.fixture
def days(parts, tmp_path):
    """The forty images in a folder a day, and named by their camera."""
    for index, name in enumerate(sorted(os.listdir(parts / "good"))):
        folder = tmp_path / "line_7" / f"2026-11-{20 + index // 8}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(parts / "good" / name, folder / f"cam{index % 4}_{name}")
    return tmp_path / "line_7"


@pytest.mark.parametrize(
    ("where", "n_lots", "each"), [("folder", 5, 8), (r"cam(\d)_", 4, 10)]
)
@pytest.mark.filterwarnings(FEW)
def test_fit_holds_out_whole_lots(run, days, tiny_options, where, n_lots, each):
    model = days.parent / "model.skgaussad"
    options = ("--levels", "4", "--quiet", "--fpr", "0.3", "--lots", where)
    status, out, _ = run("fit", days, *tiny_options, *options, "-o", model)
    assert status == 0
    assert f"40 images of {n_lots} lots were learned" in out
    assert f"Lots: {n_lots} lots (" in out
    assert f") of {each} each" in out
    assert "of good images of a new lot" in out
    pipeline = persistence.load(model)
    assert np.array_equal(
        np.bincount(pipeline[-1]._held_out.groups), np.full(n_lots, each)
    )


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("line_(7)", "finds no lot in '2026-11-20/cam0_00.png'"),
        (r"\.(png)", "puts all 40 images into one lot, 'png'"),
        ("cam(", "takes folder or a regular expression; 'cam(' is none"),
        ("(x?)", "finds no lot in"),
    ],
)
def test_lots_that_paths_do_not_tell(run, days, tiny_options, where, message):
    model = days.parent / "model.skgaussad"
    status, _, err = run("fit", days, *tiny_options, "--lots", where, "-o", model)
    assert status == 1
    assert message in err
    assert not model.exists()


def test_lots_are_folders_below_what_the_images_have_in_common(tmp_path):
    paths = [tmp_path / name for name in ("a/1.png", "b/c/1.png", "2.png")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    paths = list(map(str, paths))
    assert find_lots("folder", paths, [str(tmp_path)]) == ["a", "b/c", "."]
    assert find_lots(None, paths, [str(tmp_path)]) is None
    sources = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert find_lots("folder", paths[:2], sources) == ["a", "b/c"]


def test_lots_are_described():
    assert describe(["b", "a", "a"]) == "2 lots (b, a) of 1 to 2 each"
    assert describe(list("abcd")) == "4 lots (a, b, c, ...) of 1 each"


@pytest.mark.parametrize("layout", ["", "test"])
def test_report_counts_by_the_lots_below_the_types(run, parts, model, tmp_path, layout):
    """Neither the folder of a type nor its name tells a lot."""
    photos = tmp_path / "photos"
    for kind in ("good", "cut_7"):
        source = parts / "new" / kind.removesuffix("_7")
        for index, name in enumerate(sorted(os.listdir(source))):
            folder = photos / layout / kind / f"day_{index % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, folder)
    page = tmp_path / "report.html"
    for where, lots in (("folder", ["day_0", "day_1"]), (r"_(\d)", ["0", "1"])):
        options = ("--lots", where, "--quiet", "-o", page)
        status, _, err = run("report", model, photos, *options)
        assert status == 0, err
        table = page.read_text("utf-8").split("<h2>By lot</h2>")[1].split("</table>")[0]
        assert re.findall('<th scope="row">(.*?)</th>', table) == lots
    before = page.read_bytes()
    status, _, err = run("report", model, photos, "--lots", "day", "-o", page)
    assert status == 1
    assert "into one lot, 'day'" in err
    assert page.read_bytes() == before
