"""Sphinx configuration."""

from importlib.metadata import version as package_version

project = "skgaussad"
author = "The skgaussad developers"
project_copyright = f"2026, {author}"
release = version = package_version("skgaussad")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
autosummary_generate = True
numpydoc_show_class_members = False
templates_path = ["_templates"]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_prev_next": False}
