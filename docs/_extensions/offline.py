"""A warning where a built page loads something from another host."""

import re
from pathlib import Path

from sphinx.util import logging

# Links to other sites are none of these.
LOADED = re.compile(r"""(?:\ssrc=|<link\s[^>]*href=)["']((?:https?:)?//[^"']+)""")


def warn_of_other_hosts(app, exception):
    """Look at all pages, once they are written."""
    if exception is None and app.builder.format == "html":
        for page in sorted(Path(app.outdir).rglob("*.html")):
            for address in LOADED.findall(page.read_text(encoding="utf-8")):
                name = page.relative_to(app.outdir)
                logging.getLogger(__name__).warning("%s loads %s", name, address)


def setup(app):
    """Register the check."""
    app.connect("build-finished", warn_of_other_hosts)
    return {"parallel_read_safe": True}
