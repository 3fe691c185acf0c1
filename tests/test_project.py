"""What the documents promise of the project itself."""

import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

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


def test_lowest_versions_are_the_lower_bounds():
    """Of all that the package and its extras need, but for those of development."""
    text = (ROOT / "pyproject.toml").read_text()
    listed = text[text.index("\ndependencies = [") : text.index("\ntest = [")]
    bounds = {}
    for requirement in map(Requirement, re.findall(r'"([\w-]+(?:>=[^"]+)?)"', listed)):
        for specifier in requirement.specifier:
            bounds[requirement.name] = Version(specifier.version)
    lowest = {}
    for line in (ROOT / ".ci" / "lowest.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, version = line.split("==")
            lowest[name] = Version(version)
    assert len(bounds) > 15
    assert lowest == bounds
