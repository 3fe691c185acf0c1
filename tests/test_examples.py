import importlib
import inspect
import re
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import sklearn
from PIL import Image

from skgaussad.datasets import make_textures

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PACKAGES = [
    path.parent.name for path in sorted((ROOT / "skgaussad").glob("[!_]*/__init__.py"))
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.slow
def test_example_runs_without_a_warning(path, tmp_path, monkeypatch, capsys):
    if "__main__" in path.read_text():
        # Its processes import it.
        process = subprocess.run(
            [sys.executable, "-W", "error", str(path)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        shown = process.stdout
    else:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(path)])
        with sklearn.config_context():
            runpy.run_path(str(path), run_name="__main__")
        plt.close("all")
        shown = capsys.readouterr().out
    assert shown.strip(), "an example shows something"


@pytest.mark.slow
def test_own_folder_takes_two_folders(tmp_path):
    """As in docs/start.rst, which a newcomer follows."""
    textures = make_textures(20, 3, size=64, random_state=0)
    for name, chosen in {"good": slice(20), "new": slice(19, None)}.items():
        (tmp_path / name).mkdir()
        for index, image in enumerate(textures.images[chosen]):
            Image.fromarray(image).save(tmp_path / name / f"{name}{index}.png")
    process = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "own_folder.py"), "good", "new"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert lines[0].startswith("20 normal images")
    assert lines[-2].endswith("new0.png"), "the normal one is the least anomalous"
    flagged = sorted(line.split()[2] for line in lines if line.endswith("flagged"))
    assert flagged == ["new1.png", "new2.png", "new3.png"]
    assert (tmp_path / "own_folder.png").exists()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_has_a_picture_in_the_gallery(path):
    """Its own, or one that docs/_extensions/thumbnails.py draws."""
    text = path.read_text(encoding="utf-8")
    named = re.search(r'^# sphinx_gallery_thumbnail_path = "(.*)"$', text, re.M)
    assert (".savefig(" in text) != (named is not None)
    if named:
        assert named[1] == f"generated/thumbnails/{path.stem}.png"
        thumbnails = ROOT / "docs" / "_extensions" / "thumbnails.py"
        assert f"def {path.stem}(ax):" in thumbnails.read_text(encoding="utf-8")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_class_has_an_example(package):
    module = importlib.import_module(f"skgaussad.{package}")
    examples = "".join(path.read_text() for path in EXAMPLES)
    for name in module.__all__:
        if inspect.isclass(getattr(module, name)):
            assert name in examples
