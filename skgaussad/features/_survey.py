"""Whether the training images are of one size and exposure."""

import os
from collections import Counter

import numpy as np
from PIL import Image

from ..exceptions import InvalidImageError
from ._decoding import read_image_size

# So many images at most are looked at, evenly over all.
_MOST = 200
_FEWEST = 10
_THUMBNAIL = 32
# Sides that differ by more show the part at another scale.
_OTHER_SIZE = 1.1
# A mean brightness so many times as far from the median as half of the images, and
# other than it by this factor.
_FAR = 8
_OTHER_BRIGHTNESS = 1.3
_N_NAMED = 3


def describe_odd_images(images):
    """Say which images are of other sizes, or much darker or brighter, than most.

    Parameters
    ----------
    images : sequence of items
        Only files are looked at.

    Returns
    -------
    sentences : list of str
        With some of them by their positions, ``X[i]``.
    """
    rows = [
        row
        for row in np.unique(np.linspace(0, len(images) - 1, _MOST).astype(int))
        if isinstance(images[row], str | os.PathLike)
    ]
    if len(rows) < _FEWEST:
        return []
    return [*_describe_sizes(images, rows), *_describe_brightness(images, rows)]


def _describe_sizes(images, rows):
    """Yield a sentence if some are of another size."""
    sizes = {}
    for row in rows:
        try:
            sizes[row] = read_image_size(images, row)
        except InvalidImageError:
            # Decoding says so.
            return
    (usual, _), *_ = Counter(sizes.values()).most_common()
    others = [
        row
        for row, size in sizes.items()
        if max(max(a / b, b / a) for a, b in zip(size, usual, strict=True))
        > _OTHER_SIZE
    ]
    if others:
        height, width = sizes[others[0]]
        yield (
            f"{len(others)} of {len(rows)} training images looked at have another size "
            f"than the commonest, {usual[1]} x {usual[0]} pixels: {_name(others)}, the "
            f"first {width} x {height}. All are resized to one, so that parts come in "
            "several scales. Take images of one camera and distance."
        )


def _describe_brightness(images, rows):
    """Yield a sentence if some are much darker or brighter."""
    means = []
    for row in rows:
        try:
            with Image.open(images[row]) as image:
                image.draft("L", (_THUMBNAIL, _THUMBNAIL))
                small = image.convert("L").resize((_THUMBNAIL, _THUMBNAIL))
        except (OSError, ValueError):
            return
        means.append(np.asarray(small, dtype=float).mean())
    means = np.array(means) + 1
    median = np.median(means)
    spread = np.median(np.abs(means - median))
    ratios = np.maximum(means / median, median / means)
    is_odd = (np.abs(means - median) > _FAR * spread) & (ratios > _OTHER_BRIGHTNESS)
    if is_odd.any():
        others = [row for row, odd in zip(rows, is_odd, strict=True) if odd]
        ratio = means[is_odd][0] / median
        yield (
            f"{len(others)} of {len(rows)} training images looked at are much darker "
            f"or brighter than most: {_name(others)}, the first {ratio:.2g} times as "
            "bright. Take images of one exposure, or leave these out."
        )


def _name(rows):
    named = ", ".join(f"X[{row}]" for row in rows[:_N_NAMED])
    return f"{named}, ..." if len(rows) > _N_NAMED else named
