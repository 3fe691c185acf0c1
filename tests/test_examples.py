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
