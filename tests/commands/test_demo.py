import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.utils import Bunch

from skgaussad.commands import _demonstration
from skgaussad.commands._main import main


@pytest.fixture
def few_cells(monkeypatch):
    """The demo's data cut to forty functional and twenty defective cells."""
    load = _demonstration.load_solar_cells

    def load_few(cells):
        data = load(cells)
        chosen = np.concatenate(
            [
                np.flatnonzero(data.labels == 1)[:40],
                np.flatnonzero(data.labels == -1)[:20],
            ]
        )
        return Bunch(**{name: values[chosen] for name, values in data.items()})

    monkeypatch.setattr(_demonstration, "load_solar_cells", load_few)


def test_demo_prints_the_figures_and_draws_a_picture(few_cells, capsys, tmp_path):
    picture = tmp_path / "demo.png"
    assert main(["demo", "--fpr", "0.1", "--output", str(picture)]) == 0
    out, err = capsys.readouterr()
    assert "fit on 32 functional, score 8 other functional and 20 defective" in out
    rows = re.findall(r"^ +(\d) +([\d.]+) +([\d.]+) +([\d.]+)$", out, re.MULTILINE)
    table = np.array(rows, dtype=float)
    np.testing.assert_array_equal(table[:, 0], np.arange(1, 10))
    # AUROC of 8 x 20 pairs comes in steps of 1 / 160, half of it for ties.
    steps = table[:, 1:] / 100 * 320
    np.testing.assert_allclose(steps, np.round(steps), atol=0.2)
    assert table[6, 3] > 85
    assert "10.0 % of false alarms asked for" in out
    rates = re.findall(r"^ *(.+?) +([\d.]+) % +([\d.]+) %$", out, re.M)
    names = ["level 7, quantile", "level 7, chi2", "cells of level 6"]
    by_lot = ["left out by cell", "left out by module"]
    assert [name for name, *_ in rates] == names + by_lot
    assert re.search(r"The default detector, cells of level 6: AUROC \d+\.\d %", out)
    n_modules = len(np.unique(_demonstration.load_solar_cells("mono").modules))
    folds = f"{min(n_modules, 5)} folds of the {n_modules} modules: AUROC "
    assert re.search(folds + r"\d+\.\d %", out)
    by_module = np.array([rate for _, *rate in rates[3:]], dtype=float)
    counts = by_module / 100 * [40, 20]
    np.testing.assert_allclose(counts, np.round(counts), atol=0.03)
    counts = np.array([rate for _, *rate in rates[:3]], dtype=float) / 100 * [8, 20]
    np.testing.assert_allclose(counts, np.round(counts), atol=0.02)
    # Of all levels, and of the default detector.
    assert err.count("60/60") >= 2, "progress bars that reached the end"
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L"))
    assert pixels.shape == (1400, 1200)
    # Lower part: twelve images with maps, so far from blank.
    assert (pixels[560:] < 200).mean() > 0.3


def test_quiet_demo_shows_no_progress(few_cells, capsys, tmp_path):
    picture = tmp_path / "demo.png"
    assert main(["demo", "--quiet", "--output", str(picture)]) == 0
    assert "image/s" not in capsys.readouterr().err
    assert picture.is_file()


def test_demo_writes_a_report_of_its_working_point(few_cells, capsys, tmp_path):
    picture, report = tmp_path / "demo.png", tmp_path / "report.html"
    arguments = ["--fpr", "0.1", "--output", str(picture), "--report", str(report)]
    assert main(["demo", "--quiet", *arguments]) == 0
    out = capsys.readouterr().out
    assert f"Report: {report}" in out
    page = report.read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    found = re.search(r"  cells of level 6 +([\d.]+) % +([\d.]+) %", out)
    for name, rate in zip(
        ("False alarms", "Defects found"), found.groups(), strict=True
    ):
        row = re.search(rf'<th scope="row">{name}</th>\s*<td[^>]*>([\d.]+) %', page)
        assert row.group(1) == rate


@pytest.mark.parametrize("option", ["--output", "--report"])
def test_a_folder_that_is_not_there_ends_in_one_line_before_any_work(capsys, option):
    assert main(["demo", option, "no/such/folder/a"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(f"skgaussad: {option}: .*no folder 'no/such/folder'.*\n", err)


def test_a_rate_out_of_range_is_a_wrong_command_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["demo", "--fpr", "5"])
    assert stopped.value.code == 2
    assert "expected a number between 0 and 1, such as 0.01; got '5'" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("package", ["matplotlib.figure", "elpv_dataset"])
def test_missing_packages_are_named(package, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["demo", "--output", str(tmp_path / "a.png")]) == 1
    assert 'pip install "skgaussad[demo]"' in capsys.readouterr().err


def test_runs_as_a_module():
    process = subprocess.run(
        [sys.executable, "-m", "skgaussad", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"skgaussad \d+\.\d+\.\d+\S*\n", process.stdout)


def test_a_wrong_command_is_said_in_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["fly"])
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert "invalid choice: 'fly'" in err
    assert err.endswith("; see skgaussad --help\n")
    assert err.count("\n") == 1
