"""Sphinx configuration."""

import os
import sys
from importlib.metadata import version as package_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

from gallery import draws

EXAMPLES = Path(__file__).parents[1] / "examples"

project = "skgaussad"
author = "The skgaussad developers"
project_copyright = f"2026, {author}"
release = version = package_version("skgaussad")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "offline",
    "thumbnails",
]
html_math_renderer = "mathml"
# The prompts of Python and of the shell are not copied, nor is what these print.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
autosummary_generate = True
numpydoc_show_class_members = False
templates_path = ["_templates"]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_title = f"skgaussad {release}"
html_static_path = ["_static"]
html_css_files = ["width.css", "phone.css"]
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
}
# The menu of versions, for a site that has several. It is off until there is one: the
# variable is where the site has its list, such as /versions.json, see CONTRIBUTING.rst.
if _versions := os.environ.get("SKGAUSSAD_DOCS_VERSIONS"):
    html_theme_options |= {
        "switcher": {
            "json_url": _versions,
            "version_match": "dev" if "dev" in release else release,
        },
        "check_switcher": False,  # which would look the address up
        "navbar_end": ["version-switcher", "theme-switcher", "navbar-icon-links"],
    }
# Pages that have none below them.
html_sidebars = {
    page: []
    for page in (
        "start",
        "cheat_sheet",
        "backbones",
        "comparison",
        "architecture",
        "citing",
        "contributing",
        "changelog",
    )
}

# A reference to something of this package that is not there is an error. What other
# projects have is not looked up, so that the build needs no network.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(numpy|scipy|sklearn|torch|pandas|matplotlib|dask|joblib)\..*"),
    # numpydoc makes references of fitted attributes that are properties.
    (r"py:obj", r"[a-z_]+_"),
    (r"py:meth", r"set_output"),
    # What reports hold, described there.
    (r"py:class", r"skgaussad\.calibration\._rate_estimate\.RateEstimate"),
]

# Of the examples, those that leave a picture are run, for the picture: they take
# seconds. The others, slow ones and one that starts a cluster among them, are shown
# with their code and a picture by thumbnails.py; the tests run all of them.
_drawing = [path.stem for path in EXAMPLES.glob("*.py") if draws(path)]
sphinx_gallery_conf = {
    "examples_dirs": str(EXAMPLES),
    "gallery_dirs": "auto_examples",
    "filename_pattern": rf"/({'|'.join(sorted(_drawing))})\.py$",
    "within_subsection_order": "gallery.PicturesFirst",
    "abort_on_example_error": True,
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skgaussad",),
    "reference_url": {"skgaussad": None},
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,  # whose page loads scripts of another host
}

# Outside links are looked up by ``sphinx -b linkcheck``, see CONTRIBUTING.rst.
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_anchors = False
