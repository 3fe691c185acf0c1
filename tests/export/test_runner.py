"""Tests that the runner needs nothing of ours, nor torch, and gives our verdicts."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.pipeline import make_pipeline

from skgaussad import MahalanobisDetector
from skgaussad.detectors import p_values
from skgaussad.export import to_onnx

RUNNER = Path(__file__).parents[2] / "examples" / "onnx_runner.py"
# What must not even be there. Prints what was imported all the same.
CODE = f"""if True:
    import runpy, sys
    FORBIDDEN = "skgaussad", "torch", "timm", "sklearn", "scipy", "pandas", "onnx"
    class Missing:
        def find_spec(name, path=None, target=None):
            if name in FORBIDDEN:
                raise ModuleNotFoundError(name)
    sys.meta_path.insert(0, Missing)
    runpy.run_path({str(RUNNER)!r}, run_name="__main__")
    print("imported:", *sorted(set(FORBIDDEN) & set(sys.modules)))
"""


def run_runner(*arguments):
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    *lines, imported = process.stdout.splitlines()
    assert imported == "imported:"
    return lines


def verdicts(lines):
    """Labels, distances and p-values as printed."""
    pattern = r"(?:.*): (normal|anomalous), distance ([\d.]+), p-value ([\d.]+).*"
    rows = [re.fullmatch(pattern, line).groups() for line in lines[1:]]
    labels = [1 if word == "normal" else -1 for word, _, _ in rows]
    return np.array(labels), *np.array([row[1:] for row in rows], dtype=float).T


@pytest.mark.slow
def test_runner_gives_our_verdicts_without_us(solar_cells):
    path, pipe, cells = solar_cells
    lines = run_runner(path, *cells)
    assert lines[0].startswith(f"threshold {-pipe[-1].offset_:.4f}")
    labels, distances, found = verdicts(lines)
    np.testing.assert_array_equal(labels, pipe.predict(cells))
    np.testing.assert_allclose(distances, -pipe.score_samples(cells), atol=2e-3)
    np.testing.assert_allclose(found, p_values(pipe, cells), atol=1e-4)
    assert all("most unusual at row" in line for line in lines[1:])


@pytest.mark.usefixtures("known_networks")
@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
def test_runner_resizes_where_the_file_does_not(tiny, images, tmp_path):
    paths = []
    for index, image in enumerate(images):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(image).save(paths[-1])
    pipe = make_pipeline(tiny, MahalanobisDetector("diagonal", fpr=0.2)).fit(images)
    to_onnx(pipe, tmp_path / "file.onnx", resize=False)
    _, distances, _ = verdicts(run_runner(tmp_path / "file.onnx", *paths))
    np.testing.assert_allclose(distances, -pipe.score_samples(images), atol=1e-3)


def test_runner_refuses_more_than_8_bits(solar_cells, tmp_path):
    path, *_ = solar_cells
    deep = np.random.default_rng(0).integers(0, 2**16, (40, 60), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    with pytest.raises(AssertionError, match="more than 8 bits"):
        run_runner(path, tmp_path / "deep.png")


def test_runner_says_how_to_use_it():
    assert any("onnx_runner.py model.onnx" in line for line in run_runner())
