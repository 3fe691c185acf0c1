"""The order of the examples in the gallery."""

from pathlib import Path

# Where to begin.
FIRST = "first_hour.py"


def draws(path):
    """Tell whether an example leaves a picture."""
    return ".savefig(" in Path(path).read_text(encoding="utf-8")


class PicturesFirst:
    """Sort the first steps first, then those with pictures, and short ones before long.

    Sphinx keeps its settings on disk, and so wants the name of a class in a module.
    """

    def __init__(self, src_dir):
        self.src_dir = src_dir

    def __call__(self, filename):
        """Return what to sort an example by."""
        path = Path(self.src_dir, filename)
        return filename != FIRST, not draws(path), path.stat().st_size
