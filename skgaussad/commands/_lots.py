"""The lots that the paths of images tell of."""

import os
import posixpath
import re
from collections import Counter

from ._inputs import common_folder

_BY_FOLDER = "folder"
# So many of the lots are named.
_N_NAMED = 3


def find_lots(where, paths, sources, n_skipped=0):
    """Find the lot of each image in its path.

    Parameters
    ----------
    where : str or None
        ``"folder"``, or a regular expression whose first group, or all of it, is the
        lot.
    paths : list of str
    sources : list of str
        What names the images. Only what is below the folder that these have in common
        tells lots.
    n_skipped : int, default=0
        How many folders below that tell no lots, such as those of types of defects.

    Returns
    -------
    lots : list of str or None
        None without `where`.

    Raises
    ------
    ValueError
        If the expression is none, it is not found in a path, or all images are of one
        lot.
    """
    if where is None:
        return None
    root = common_folder(sources)
    below = [os.path.relpath(path, root).split(os.sep) for path in paths]
    below = ["/".join(parts[n_skipped:]) for parts in below]
    if where == _BY_FOLDER:
        lots = [posixpath.dirname(path) or "." for path in below]
    else:
        lots = [_search(where, path) for path in below]
    if len(set(lots)) < 2:
        raise ValueError(
            f"--lots {where} puts all {len(paths)} images into one lot, {lots[0]!r}, "
            "and telling lots apart takes at least two. Give --lots folder for "
            "images in a folder for each lot, a regular expression that tells lots "
            "apart, such as --lots '(\\d+)_', or no --lots."
        )
    return lots


def _search(expression, path):
    """Find the lot in a path."""
    try:
        found = re.search(expression, path)
    except re.error as error:
        raise ValueError(
            f"--lots takes folder or a regular expression; {expression!r} is none: "
            f"{error}."
        ) from None
    lot = None if found is None else found[1 if found.re.groups else 0]
    if not lot:
        raise ValueError(
            f"--lots {expression!r} finds no lot in {path!r}. Write an expression that "
            "is found in the path of each image, its first group the lot."
        )
    return lot


def describe(lots):
    """Say how many lots there are, and of which sizes."""
    sizes = Counter(lots)
    few, many = min(sizes.values()), max(sizes.values())
    each = f"{few}" if few == many else f"{few} to {many}"
    named = ", ".join(list(sizes)[:_N_NAMED])
    more = ", ..." if len(sizes) > _N_NAMED else ""
    return f"{len(sizes)} lots ({named}{more}) of {each} each"
