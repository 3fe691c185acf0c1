"""Copies among the images of a fit."""

import hashlib
import os
import warnings

from ._input import LazyImages, describe

_N_NAMED = 5


def record_digests(load, digests):
    """Return a function that loads an image as `load`, and adds its digest by row."""

    def load_and_record(images, row):
        pixels = load(images, row)
        digests[row] = hashlib.blake2b(pixels, digest_size=16).digest()
        return pixels

    return load_and_record


def warn_of_copies(images, digests):
    """Name images that have the digests of others.

    Not among images that are computed, such as tiles, which may well be alike.
    """
    if isinstance(images, LazyImages):
        return
    groups = {}
    for row in sorted(digests):
        groups.setdefault(digests[row], []).append(row)
    groups = [rows for rows in groups.values() if len(rows) > 1]
    if groups:
        named = "; ".join(
            " = ".join(_name(images, row) for row in rows[:_N_NAMED])
            for rows in groups[:_N_NAMED]
        )
        n_copies = sum(len(rows) - 1 for rows in groups)
        warnings.warn(
            f"{n_copies} of {len(images)} training images are copies of others: "
            f"{named}{'; ...' if len(groups) > _N_NAMED else ''}. They tell nothing "
            "new, and false-alarm rates hold for images that were taken one by one: "
            "leave them out.",
            stacklevel=4,
        )


def _name(images, row):
    """Name an image by its path, or else by its position."""
    item = images[row]
    return describe(item) if isinstance(item, str | os.PathLike) else f"X[{row}]"
