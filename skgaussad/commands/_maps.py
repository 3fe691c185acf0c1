"""Anomaly maps as PNG files, one for each image."""

import hashlib
import os

from PIL import Image, PngImagePlugin

from .._utils.atomic_write import MAX_NAME_BYTES, remove_left, replacing
from ..detectors import find_max_value
from ..exceptions import InvalidImageError
from ..features import decode_image
from ..inspection import anomaly_maps, check_matplotlib, map_meaning, overlay_map
from ._streams import print_message

# The text in our PNG files by which they are known.
_MARK = ("Software", "skgaussad anomaly map")
# Bytes of a name that is too long which are kept before its digest.
_KEPT_BYTES = 150
# Few at once: maps are as large as their images.
_N_AT_ONCE = 4


class MapWriter:
    """Draws anomaly maps into a folder.

    Parameters
    ----------
    model : estimator
        With anomaly maps.
    folder : str
        Made with the first map if missing.
    base : str
        Absolute folder, below which the folders of images are kept.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    OSError
        If it is a file.
    """

    def __init__(self, model, folder, base):
        check_matplotlib("--maps")
        if os.path.lexists(folder) and not os.path.isdir(folder):
            raise NotADirectoryError(
                f"--maps must be a folder, and {folder!r} is a file; name another."
            )
        self.use(model)
        self._folder = folder
        self._base = base
        self._cleaned = set()

    def use(self, model):
        """Draw the maps of a model from now on."""
        self._model = model
        self._meaning = map_meaning(model)

    def check(self, path):
        """Raise unless the map of an image would replace a map at most.

        Parameters
        ----------
        path : str

        Returns
        -------
        target : str
            Where the map goes.

        Raises
        ------
        OSError
            If there is another file.
        """
        target = os.path.join(self._folder, map_name(path, self._base))
        if os.path.lexists(target) and not _is_map(target):
            raise FileExistsError(
                f"The map of {path!r} would replace {target!r}, which is no map; give "
                "--maps a folder of its own."
            )
        return target

    def write(self, paths, on_error="raise"):
        """Draw the maps of some images, each to a file of its own.

        Parameters
        ----------
        paths : list of str
        on_error : {"raise", "record"}, default="raise"
            "record" goes on at an image or a map with a problem, and prints it.

        Returns
        -------
        n_problems : int

        Raises
        ------
        ValueError
            If the model has no maps, or an image cannot be used and that is to raise.
        OSError
            If a map cannot be written, and that is to raise.
        """
        n_problems = 0
        for start in range(0, len(paths), _N_AT_ONCE):
            some = paths[start : start + _N_AT_ONCE]
            try:
                self._write_some(some)
            except (InvalidImageError, OSError) as error:
                if on_error == "raise":
                    raise
                if len(some) > 1:
                    n_problems += sum(self.write([path], on_error) for path in some)
                else:
                    problem = getattr(error, "problem", error)
                    print_message(f"{some[0]}: no map: {problem}")
                    n_problems += 1
        return n_problems

    def _write_some(self, paths):
        """Draw the maps of a few images."""
        maps = anomaly_maps(self._model, paths)
        text = PngImagePlugin.PngInfo()
        text.add_text(*_MARK)
        for path, values in zip(paths, maps, strict=True):
            target = self.check(path)
            folder = os.path.dirname(target)
            os.makedirs(folder, exist_ok=True)
            if folder not in self._cleaned:
                remove_left(folder)
                self._cleaned.add(folder)
            pixels = decode_image([path], 0, find_max_value(self._model))
            picture = Image.fromarray(overlay_map(pixels, values, self._meaning))
            with replacing(target, clean=False) as temporary:
                picture.save(temporary, "PNG", pnginfo=text)


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
        ``1.jpg`` beside a ``1.png``. Each step up is a folder ``__``, and one of that
        name gets another underscore. A name that would be too long is cut, and ends
        with a digest.
    """
    *folders, name = os.path.relpath(os.path.abspath(path), base).split(os.sep)
    parts = [_name_folder(folder) for folder in folders]
    if len(os.fsencode(name)) + len(".png") > MAX_NAME_BYTES:
        content = os.fsencode(name)
        digest = hashlib.sha256(content).hexdigest()[:32]
        name = f"{content[:_KEPT_BYTES].decode('utf-8', 'ignore')}-{digest}"
    return os.path.join(*parts, f"{name}.png")


def _name_folder(name):
    """Name the folder of maps for a folder of images, or for a step up."""
    if name == os.pardir:
        return "__"
    return f"{name}_" if len(name) > 1 and not name.strip("_") else name


def _is_map(path):
    """Tell whether a file is a map that was drawn here before."""
    if not os.path.isfile(path):
        return False
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return (_MARK[0], image.info.get(_MARK[0])) == _MARK
    except Exception:
        # A damaged file makes Pillow raise nearly anything.
        return False
