"""What the documents promise of the project itself."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_ci_runs_the_test_command_of_the_readme():
    readme = (ROOT / "README.rst").read_text()
    commands = re.findall(r"^    (python3 -m venv .*)$", readme, re.MULTILINE)
    assert len(commands) == 2, "the main job and the tests"
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()


def test_every_folder_of_the_package_is_in_the_architecture():
    described = (ROOT / "docs" / "architecture.rst").read_text()
    for path in (ROOT / "skgaussad").glob("*/__init__.py"):
        assert f"``skgaussad/{path.parent.name}``" in described
