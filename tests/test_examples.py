import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PACKAGES = [
    path.parent.name for path in sorted((ROOT / "skgaussad").glob("*/__init__.py"))
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_without_a_warning(path, tmp_path):
    process = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip(), "an example shows something"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_class_has_an_example(package):
    module = importlib.import_module(f"skgaussad.{package}")
    examples = "".join(path.read_text() for path in EXAMPLES)
    for name in module.__all__:
        if inspect.isclass(getattr(module, name)):
            assert name in examples
