"""What the documents promise of the project itself."""

import ast
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]


def read_yaml(path):
    yaml = pytest.importorskip("yaml", reason="needs PyYAML, which dask brings")
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def readme_commands():
    readme = (ROOT / "README.rst").read_text(encoding="utf-8")
    commands = re.findall(r"^    (python3 -m venv .*)$", readme, re.MULTILINE)
    assert len(commands) == 2, "the main job and the tests"
    return commands


def test_ci_runs_the_test_command_of_the_readme():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert readme_commands()[1] in lines


def test_public_ci_runs_the_same_script_and_the_test_command():
    jobs = read_yaml(".github/workflows/ci.yml")["jobs"]
    assert ".ci/run" in [step.get("run") for step in jobs["checks"]["steps"]]
    assert readme_commands()[1] in [step.get("run") for step in jobs["tests"]["steps"]]


def test_public_ci_tests_on_three_systems_with_the_lowest_and_newest_python():
    matrix = read_yaml(".github/workflows/ci.yml")["jobs"]["tests"]["strategy"][
        "matrix"
    ]
    assert [os.partition("-")[0] for os in matrix["os"]] == [
        "ubuntu",
        "macos",
        "windows",
    ]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lowest = re.search(r'^requires-python = ">=(.*)"$', project, re.MULTILINE)[1]
    classified = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert matrix["python"] == [lowest, max(classified, key=Version)]


@pytest.mark.parametrize(
    "path",
    [
        ".pre-commit-config.yaml",
        ".readthedocs.yaml",
        "CITATION.cff",
        *(p.relative_to(ROOT) for p in ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")),
    ],
    ids=str,
)
def test_yaml_files_parse(path):
    assert isinstance(read_yaml(path), dict)


def test_every_package_is_in_the_architecture():
    described = (ROOT / "docs" / "architecture.rst").read_text(encoding="utf-8")
    packages = [path.parent.name for path in ROOT.glob("skgaussad/*/__init__.py")]
    assert len(packages) > 10
    for name in packages:
        assert f"``{name}``" in described


def test_lowest_versions_are_the_lower_bounds():
    """Of all that the package and its extras need, but for those of development."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
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


def test_no_two_classes_have_one_name():
    found = {}
    for path in (ROOT / "skgaussad").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(path.name)
    assert {name: files for name, files in found.items() if len(files) > 1} == {}
