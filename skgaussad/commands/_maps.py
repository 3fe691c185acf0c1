"""Anomaly maps as PNG files, one for each image."""

import os

from PIL import Image

from .._utils.atomic_write import replacing
from ..inspection import anomaly_maps, check_matplotlib, color_map, map_meaning
from ._outputs import check_output

# Few at once: maps are as large as their images.
_N_AT_ONCE = 4


class MapWriter:
    """Draws anomaly maps into a folder.

    Parameters
    ----------
    model : estimator
        With anomaly maps.
    folder : str
        Made if missing.
    base : str
        Absolute folder, below which the folders of images are kept.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    OSError
        If the folder cannot be made.
    """

    def __init__(self, model, folder, base):
        check_matplotlib("--maps")
        os.makedirs(folder, exist_ok=True)
        self._draw = getattr(model, "anomaly_maps", None)
        self._model = model
        self._meaning = map_meaning(model)
        self._folder = folder
        self._base = base

    def write(self, paths):
        """Draw the maps of some images, each to a file of its own.

        Parameters
        ----------
        paths : list of str

        Raises
        ------
        ValueError
            If the model has no maps, or an image cannot be used.
        """
        for start in range(0, len(paths), _N_AT_ONCE):
            some = paths[start : start + _N_AT_ONCE]
            maps = (
                anomaly_maps(self._model, some)
                if self._draw is None
                else self._draw(some)
            )
            for path, values in zip(some, maps, strict=True):
                target = os.path.join(self._folder, map_name(path, self._base))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                check_output(target)
                with replacing(target) as temporary:
                    Image.fromarray(color_map(values, self._meaning)).save(
                        temporary, "PNG"
                    )


def map_name(path, base):
    """Name the map of an image, so that no two images have the same.

    Parameters
    ----------
    path : str
    base : str
        Absolute folder.

    Returns
    -------
    name : str
        The path of the image from `base`, with ``.png`` appended, as there may be a
        ``1.jpg`` beside a ``1.png``. Each step up is a folder ``__``.
    """
    relative = os.path.relpath(os.path.abspath(path), base)
    parts = ["__" if part == os.pardir else part for part in relative.split(os.sep)]
    return f"{os.path.join(*parts)}.png"
