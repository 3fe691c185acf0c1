"""Pictures of a woven texture, with and without defects."""

import numpy as np
from scipy import ndimage
from sklearn.utils import Bunch, check_random_state

from .._utils.validation import check_integer

_PERIOD = 8  # pixels a thread and its gap
_TINT = np.array([1.0, 0.9, 0.75])


def make_textures(n_normal=50, n_anomalous=20, *, size=128, random_state=None):
    """Generate pictures of a woven texture, some of them with a defect.

    The normal ones differ in the position, width and angle of the threads, in
    brightness and its slope over the picture, and in noise. A defect is local, and its
    mask is exact: outside of it the picture is what it would be without.

    Parameters
    ----------
    n_normal : int, default=50
        Number of pictures without a defect.

    n_anomalous : int, default=20
        Number of pictures with one.

    size : int, default=128
        Height and width in pixels, at least 32.

    random_state : int, RandomState instance or None, default=None
        Seed of the pictures.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        One entry a picture, the normal ones first:

        images : ndarray of shape (n_images, size, size, 3), dtype uint8
            The pictures.
        labels : ndarray of shape (n_images,)
            +1 for normal, -1 for anomalous.
        masks : ndarray of shape (n_images, size, size), dtype bool
            Where the defects are.
        defect_types : ndarray of shape (n_images,), dtype str
            ``"good"``, or in turn ``"scratch"`` (a bright line), ``"spot"`` (a dark
            stain) and ``"missing"`` (threads are missing).

    Raises
    ------
    ValueError
        If a parameter is out of its range, or no pictures are asked for.

    Notes
    -----
    The threads of a row depend on the seed and the row only. With the same seed,
    ``make_textures(n_normal + n_anomalous, 0)`` gives the same pictures, all of them
    without a defect.

    Examples
    --------
    >>> from skgaussad.datasets import make_textures
    >>> data = make_textures(2, 3, random_state=0)
    >>> data.images.shape
    (5, 128, 128, 3)
    >>> data.defect_types
    array(['good', 'good', 'scratch', 'spot', 'missing'], dtype='<U7')
    """
    check_integer("n_normal", n_normal, 0)
    check_integer("n_anomalous", n_anomalous, 0)
    check_integer("size", size, 32)
    n_images = n_normal + n_anomalous
    if n_images == 0:
        raise ValueError(
            "n_normal and n_anomalous are both 0; ask for at least one picture."
        )
    seed = check_random_state(random_state).randint(2**31)
    kinds = list(_DEFECTS)
    defect_types = ["good"] * n_normal
    defect_types += [kinds[i % len(kinds)] for i in range(n_anomalous)]
    images = np.empty((n_images, size, size, 3), dtype=np.uint8)
    masks = np.zeros((n_images, size, size), dtype=bool)
    for row, kind in enumerate(defect_types):
        rng = np.random.default_rng([seed, row])
        texture = _weave(size, rng)
        if kind != "good":
            texture, masks[row] = _DEFECTS[kind](texture, rng)
        images[row] = np.rint(texture.clip(0, 255))
    return Bunch(
        images=images,
        labels=np.repeat([1, -1], [n_normal, n_anomalous]),
        masks=masks,
        defect_types=np.array(defect_types),
    )


def _weave(size, rng):
    """Draw a texture without a defect, as floats nearly all between 40 and 200."""
    along, across = _rotated_grid(size, rng.normal(scale=0.02))
    period = _PERIOD * rng.normal(1, 0.01)
    u = 2 * np.pi * (along / period + rng.random())
    v = 2 * np.pi * (across / period + rng.random())
    # Warp and weft take turns to lie on top.
    threads = np.sin(u) * np.sin(v) + 0.4 * np.sin(u / 2) + 0.4 * np.sin(v / 2)
    slope = (rng.normal(scale=6, size=2) * np.stack([along, across], -1)).sum(-1) / size
    values = 120 * rng.normal(1, 0.05) + 30 * threads + slope
    noise = rng.normal(scale=4, size=(size, size, 3))
    return values[..., np.newaxis] * _TINT + noise


def _scratch(texture, rng):
    """Brighten a slightly bent line; return the texture and the mask."""
    size = len(texture)
    along, across = _rotated_grid(
        size, rng.uniform(0, np.pi), rng.uniform(-0.2, 0.2, 2)
    )
    bend = rng.uniform(-0.5, 0.5) * across**2 / size
    half_length, half_width = size * rng.uniform(0.2, 0.35), rng.uniform(1, 2)
    mask = (np.abs(across) < half_length) & (np.abs(along - bend) < half_width)
    return texture + 70 * mask[..., np.newaxis], mask


def _spot(texture, rng):
    """Darken a stain of irregular outline; return the texture and the mask."""
    mask = _blot(len(texture), rng, 0.06, 0.1)
    return texture * np.where(mask, 0.5, 1)[..., np.newaxis], mask


def _missing(texture, rng):
    """Replace threads by their ground; return the texture and the mask."""
    mask = _blot(len(texture), rng, 0.08, 0.13)
    ground = ndimage.gaussian_filter(texture, (_PERIOD, _PERIOD, 0))
    ground += rng.normal(scale=4, size=texture.shape) - 25
    return np.where(mask[..., np.newaxis], ground, texture), mask


_DEFECTS = {"scratch": _scratch, "spot": _spot, "missing": _missing}


def _rotated_grid(size, angle, centre=(0, 0)):
    """Return rotated pixel coordinates; the centre in sizes from the middle."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    y, x = y - centre[0] * size, x - centre[1] * size
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _blot(size, rng, low, high):
    """Return the mask of a blot, its radius drawn as a fraction of the size."""
    x, y = _rotated_grid(size, 0, rng.uniform(-0.3, 0.3, 2))
    radius = size * rng.uniform(low, high)
    lobes = rng.integers(2, 6)
    wave = 1 + 0.2 * np.sin(lobes * np.arctan2(y, x) + rng.uniform(0, 2 * np.pi))
    return np.hypot(x, y) < radius * wave
