"""What is public: names in one place each, all of them documented."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import skgaussad

REFERENCE = (Path(__file__).parents[1] / "docs" / "api.rst").read_text()


def public_names():
    """Yield the dotted name of all that is public."""
    yield from (f"skgaussad.{name}" for name in skgaussad.__all__)
    for module in pkgutil.iter_modules(skgaussad.__path__):
        if module.name.startswith("_") or module.name == "exceptions":
            continue
        package = importlib.import_module(f"skgaussad.{module.name}")
        for name in package.__all__:
            # What is at the top level is documented there.
            if name not in skgaussad.__all__:
                yield f"skgaussad.{module.name}.{name}"
    yield from (f"skgaussad.exceptions.{name}" for name in exceptions())


def exceptions():
    """Return the names of the public exceptions and warnings."""
    module = importlib.import_module("skgaussad.exceptions")
    return [name for name in vars(module) if name[0] != "_"]


def documented_names():
    """Return the dotted names in the reference."""
    names, module = set(), ""
    for line in REFERENCE.splitlines():
        found = re.fullmatch(r"\.\. (?:currentmodule|automodule):: (.+)", line)
        module = found[1] if found else module
        if re.fullmatch(r"   \w[\w.]*", line):
            names.add(f"{module}.{line.strip()}")
    return names


def test_the_reference_has_all_that_is_public_and_nothing_else():
    # Instances, which the text of their module describes.
    scorers = {
        "skgaussad.model_selection.auroc_scorer",
        "skgaussad.model_selection.neg_achieved_fpr_scorer",
    }
    assert documented_names() == set(public_names()) - scorers


@pytest.mark.parametrize("name", exceptions())
def test_exceptions_and_warnings_are_in_one_module(name):
    kind = getattr(importlib.import_module("skgaussad.exceptions"), name)
    assert issubclass(kind, Exception)
    assert kind.__module__ == "skgaussad.exceptions"
    for module in pkgutil.iter_modules(skgaussad.__path__):
        if module.ispkg and not module.name.startswith("_"):
            package = importlib.import_module(f"skgaussad.{module.name}")
            assert name not in package.__all__


def test_every_estimator_is_at_the_top_level():
    for package in ("detectors", "features", "decomposition"):
        names = importlib.import_module(f"skgaussad.{package}").__all__
        kinds = [name for name in names if name[0].isupper() and "Cache" not in name]
        assert set(kinds) <= set(skgaussad.__all__)
        for kind in kinds:
            home = importlib.import_module(f"skgaussad.{package}")
            assert getattr(skgaussad, kind) is getattr(home, kind)


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert skgaussad.__version__ == version("skgaussad")


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("calibration", "RateEstimate"),
        ("datasets", "list_categories"),
        ("metrics", "mean_and_sem"),
        ("metrics", "pro_curve"),
    ],
)
def test_helpers_are_private(package, name):
    assert name not in importlib.import_module(f"skgaussad.{package}").__all__


def test_helpers_of_the_cache_are_private():
    cache = importlib.import_module("skgaussad.features").FeatureCache
    assert {name for name in vars(cache) if name[0] != "_"} == {"clear", "info"}
