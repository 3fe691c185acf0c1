"""What counts as an image, how one is decoded, and what a bad one gets.

An *item* is one image as the user gave it: a path, a PIL image or a NumPy
array. `as_image_sequence` turns what an estimator receives as ``X`` into a
sequence of items, `check_items` looks at the items without decoding them,
`load_image` decodes and resizes one, `decode_image` decodes it as it is,
`identify_image` tells it from others and `read_image_size` measures it without
decoding a file.
A bad item raises `InvalidImageError`, which names its position in ``X``, what
was expected, what came and what to do about it.
"""

import hashlib
import io
import os
import stat
import time
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..exceptions import InvalidImageError
from ._damage import find_damage

_CHANNELS = (1, 3, 4)
_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")

_EXPECTED_X = (
    "Expected a list of images (paths, PIL images or NumPy arrays), a NumPy array of "
    "shape (n, H, W), (n, H, W, 1), (n, H, W, 3) or (n, H, W, 4), or a column of "
    "paths or images"
)

_DTYPE_REMEDIES = {
    "b": "convert it with .astype(np.uint8) * 255",
    "i": "if it has values 0..255 convert it with .astype(np.uint8), "
    "if it has values 0..65535 with .astype(np.uint16)",
    "c": "take its magnitude, np.abs(image), scaled to [0, 1]",
}
_DTYPE_REMEDIES["u"] = _DTYPE_REMEDIES["i"]

_EXIF_ORIENTATION = 0x0112

# Stamp and digest of files, by path, and how many of them to remember.
_known_files = {}
_MAX_KNOWN_FILES = 1_000_000
# Time stamps are only so fine: some file systems count in steps of two seconds.
_SETTLED_NS = 4_000_000_000


class _Problem(Exception):
    """What is wrong with an item, raised where its position is not known."""


class LazyImages(Sequence):
    """A sequence of items that makes each when it is asked for.

    A subclass checks what it makes them of when it is created, so `check_items` lets
    it pass without making any.
    """


def as_image_sequence(X):
    """Return ``X`` as a sequence of items, without decoding or copying images.

    Parameters
    ----------
    X : list, tuple, LazyImages, ndarray, Series or DataFrame
        The images, in one of these forms, where ``n`` is at least 1:

        - a list or tuple of items (paths as str or `os.PathLike`, PIL images,
          arrays), whose kinds and sizes may differ, or `LazyImages` that makes
          them;
        - a numeric array of shape (n, H, W), (n, H, W, 1), (n, H, W, 3) or
          (n, H, W, 4), which may be a memory map;
        - an array of str or object dtype of shape (n,) or (n, 1) that holds
          items;
        - a pandas or polars Series of items, or a DataFrame with one such
          column.

    Returns
    -------
    images : list, tuple, LazyImages or ndarray
        Has a length and, at each integer index, one item. Items are not checked
        one by one: see `check_items`.

    Raises
    ------
    TypeError
        If ``X`` is of another kind, such as a single path or PIL image, a
        generator, a set, a dict, a sparse matrix or a torch tensor.
    ValueError
        If ``X`` is empty, has several columns, or is an array of another shape:
        a feature matrix, a single image, or images with channels first. An array
        of shape (H, W, 3), with 1, 3 or 4 in the last place, is refused as well:
        it is far more likely one image than H images a few pixels wide.
    """
    if isinstance(X, (list, tuple, LazyImages)):
        images = X
    elif isinstance(X, np.ndarray):
        images = _sequence_from_array(X)
    elif hasattr(X, "to_numpy"):
        images = _sequence_from_table(X)
    else:
        raise TypeError(f"{_EXPECTED_X}, got {_describe(X)}; {_wrapping_remedy(X)}.")
    if len(images) == 0:
        raise ValueError(
            f"Found array with 0 sample(s) ({_describe(X)}) while a minimum of 1 is "
            "required; pass at least one image."
        )
    return images


def check_items(images):
    """Check that every item may be an image, without decoding any.

    The kind of each item is checked, the shape and dtype of each array, and that
    each path leads to a regular file that is not empty. What only decoding can
    tell, such as a truncated file or a value out of range, is left to
    `load_image`.

    Parameters
    ----------
    images : sequence
        Items, as returned by `as_image_sequence`.

    Raises
    ------
    InvalidImageError
        For the first bad item.
    """
    if isinstance(images, LazyImages):
        return
    for index in range(len(images)):
        item = images[index]
        try:
            _check_item(item)
        except _Problem as problem:
            raise InvalidImageError(index, _describe(item), str(problem)) from None


def load_image(images, index, size, resample, crop_pct=None):
    """Decode one image, and resize it.

    Parameters
    ----------
    images : sequence
        Items, as returned by `as_image_sequence`.

    index : int
        Position of the item to load.

    size : tuple of int
        Height and width of the result, in pixels.

    resample : PIL.Image.Resampling
        Filter to resize with. All but `NEAREST` are widened when they shrink an
        image, so that they do not alias.

    crop_pct : float in (0, 1] or None, default=None
        If None, the whole image is resized to `size`, and its aspect ratio is
        not kept. Otherwise the aspect ratio is kept: the image is scaled until
        it just covers ``size / crop_pct``, rounded down, and a centre crop of
        `size` is cut out of it. For a square `size` these are the pixels of the
        usual evaluation transform of timm and torchvision, ``Resize`` and
        ``CenterCrop``.

    Returns
    -------
    pixels : ndarray of shape (height, width, 3), dtype float32
        C-contiguous RGB values in [0, 1].

    Raises
    ------
    InvalidImageError
        If the item is not an image, or cannot be decoded.

    Notes
    -----
    Values are scaled by their type, never by their range in one image: uint8 is
    divided by 255, uint16 by 65535, and floats must be in [0, 1] already. A grey
    image is repeated to three channels. Alpha is dropped, not blended with a
    background, and colour profiles are ignored.

    Images of 8 bits are resized in 8 bits by Pillow. 16-bit and float images keep
    their depth: they are resized as floats, and then clipped to [0, 1], since
    filters with negative lobes overshoot. Where they hold 8 bits only, as an image
    divided by 255 does, they are resized in 8 bits: a Gaussian of few images weighs
    the rounding heavily, and one picture must get one score. Pillow reads files
    with 16 bits per channel as such only if they are grey; of colour it reads the
    upper 8 bits.

    The orientation that EXIF data gives is applied. A file or PIL image with
    several frames (GIF, APNG, TIFF, WebP) is an error, unless it is an MPO, as
    phones write it, whose first frame is the photo.
    """
    bands = _at(images, index, _decode)
    return _stack([_resize(band, size, resample, crop_pct) for band in bands], size)


def load_identified_image(images, index, size, resample, crop_pct=None):
    """Do what `load_image` does, and tell which image it was.

    Parameters
    ----------
    images, index, size, resample, crop_pct
        As for `load_image`.

    Returns
    -------
    pixels : ndarray of shape (height, width, 3), dtype float32
        As of `load_image`.
    digest : bytes
        As of `identify_image`, of the very content that was decoded, even if the file
        has changed since.

    Raises
    ------
    InvalidImageError
        As `load_image`.
    """
    bands, digest = _at(images, index, _decode_and_identify)
    bands = [_resize(band, size, resample, crop_pct) for band in bands]
    return _stack(bands, size), digest


def identify_image(images, index):
    """Return a digest of the content of one image.

    Parameters
    ----------
    images : sequence
        Items, as returned by `as_image_sequence`.

    index : int
        Position of the item.

    Returns
    -------
    digest : bytes
        SHA-256 of the content of the file, or of the pixels of an image in memory.
        A file that this process has read before, and whose size and time stamps have
        not changed since, is not read again.

    Raises
    ------
    InvalidImageError
        If the item is not an image, or a file that cannot be read.
    """
    return _at(images, index, _identify)


def read_image_size(images, index):
    """Return the height and width of one image, as it is shown, without decoding it.

    Parameters
    ----------
    images : sequence
        Items, as returned by `as_image_sequence`.

    index : int
        Position of the item.

    Returns
    -------
    size : tuple of (int, int)
        In pixels.

    Raises
    ------
    InvalidImageError
        If the item is not an image.
    """
    return _at(images, index, _measure)


def decode_image(images, index):
    """Decode one image in its own size and depth.

    Parameters
    ----------
    images : sequence
        Items, as returned by `as_image_sequence`.

    index : int
        Position of the item to decode.

    Returns
    -------
    pixels : ndarray of shape (height, width, 1) or (height, width, 3)
        Grey or RGB values: uint8, or float32 in [0, 1] where the image holds more
        than 8 bits. Itself an item, of which `load_image` makes the same pixels.

    Raises
    ------
    InvalidImageError
        If the item is not an image, or cannot be decoded.
    """
    return np.dstack([np.asarray(band) for band in _at(images, index, _decode)])


def _sequence_from_array(X):
    """Return the array as a sequence of items, or raise if it has another shape."""
    kind = X.dtype.kind
    if kind in "OUT":
        if X.ndim == 2 and X.shape[1] == 1:
            return X[:, 0]
        if X.ndim != 1:
            raise ValueError(
                f"Expected an array of paths or images of shape (n,) or (n, 1), got "
                f"{_describe(X)}; pass one path or image per row, or a list of images."
            )
        return X
    if kind not in "biufc":
        raise TypeError(
            f"{_EXPECTED_X}, got {_describe(X)}; pass pixel values as a numeric array, "
            "or paths as str."
        )
    problem = f"{_EXPECTED_X}, got {_describe(X)}"
    if X.ndim == 2:
        raise ValueError(
            f"{problem}: one grey image, or a matrix of features. For one image pass "
            "X[np.newaxis]; features are not images."
        )
    if X.ndim not in (3, 4):
        raise ValueError(f"{problem}; reshape it so that X[i] is one image.")
    if X.ndim == 3 and X.shape[2] in _CHANNELS:
        raise ValueError(
            f"{problem}, which looks like one image with {X.shape[2]} channel(s). For "
            "one image pass X[np.newaxis]; for grey images this narrow pass "
            "X[..., np.newaxis]."
        )
    if X.ndim == 4 and X.shape[3] not in _CHANNELS:
        if X.shape[1] in _CHANNELS:
            raise ValueError(
                f"{problem}, which looks like channels first; pass "
                "np.moveaxis(X, 1, -1), which puts channels last."
            )
        raise ValueError(
            f"{problem}, which has {X.shape[3]} channels; keep 1 (grey), 3 (RGB) or "
            "4 (RGBA) of them."
        )
    return X


def _sequence_from_table(X):
    """Return a Series, or the only column of a DataFrame, as a sequence of items."""
    shape = getattr(X, "shape", ())
    if len(shape) == 2 and shape[1] != 1:
        raise ValueError(
            f"Expected one column of paths or images, got {_describe(X)} with "
            f"{shape[1]} columns; select the one with the images, as in X['path']."
        )
    return _sequence_from_array(X.to_numpy())


def _wrapping_remedy(X):
    """Return how to pass an ``X`` that is not of an accepted kind."""
    if isinstance(X, (str, os.PathLike, Image.Image)):
        return "wrap it in a list, [X]"
    if isinstance(X, bytes):
        return "pass a list of paths as str (see os.fsdecode)"
    if isinstance(X, dict):
        return "pass list(X.values())"
    if isinstance(X, (set, frozenset)):
        return "it has no order: pass sorted(X)"
    if hasattr(X, "permute"):
        return (
            "if it is a tensor of shape (n, 3, H, W) pass "
            "X.permute(0, 2, 3, 1).numpy(), which puts channels last"
        )
    if hasattr(X, "tocsr"):
        return "a sparse matrix holds features, and images must be dense arrays"
    if hasattr(X, "__iter__"):
        return "pass list(X)"
    return "pass a list of images"


def _describe(item):
    """Return a short description of an object, for a message."""
    if isinstance(item, (str, os.PathLike)):
        path = os.fspath(item)
        # str() strips subclasses, such as np.str_, whose repr is longer.
        return repr(str(path) if isinstance(path, str) else path)
    if isinstance(item, Image.Image):
        return f"PIL image of mode {item.mode}, size {item.width} x {item.height}"
    if isinstance(item, np.ndarray):
        return f"array of shape {item.shape}, dtype {item.dtype}"
    return type(item).__name__


def _check_item(item):
    """Raise a problem unless the item may be an image."""
    if isinstance(item, np.ndarray):
        _check_array(item)
    elif isinstance(item, (str, os.PathLike)):
        _check_path(item)
    elif not isinstance(item, Image.Image):
        remedy = "convert it to one of these"
        if isinstance(item, bytes):
            remedy = (
                "use os.fsdecode for a path, or PIL.Image.open(io.BytesIO(item)) for "
                "the content of a file"
            )
        elif hasattr(item, "permute"):
            remedy = "pass item.permute(1, 2, 0).numpy(), which puts channels last"
        raise _Problem(
            "expected a path (str or os.PathLike), a PIL image or a NumPy array, got "
            f"{type(item).__name__}; {remedy}."
        )


def _check_array(array):
    """Raise a problem unless dtype and shape are those of an image."""
    if array.dtype.name not in _DTYPES:
        remedy = _DTYPE_REMEDIES.get(
            array.dtype.kind, "convert it with .astype(np.float32)"
        )
        raise _Problem(
            "expected dtype uint8, uint16, float16, float32 or float64 (floats in "
            f"[0, 1]), got {array.dtype}; {remedy}."
        )
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in _CHANNELS):
        remedy = "pass one image per item"
        if array.ndim == 3 and shape[0] in _CHANNELS:
            remedy = (
                "channels seem to come first: pass np.moveaxis(image, 0, -1), which "
                "puts them last"
            )
        raise _Problem(
            "expected shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got "
            f"{shape}; {remedy}."
        )
    _check_not_empty(*shape[:2])


def _check_not_empty(height, width):
    """Raise a problem if there are no pixels."""
    if height == 0 or width == 0:
        raise _Problem(
            f"expected at least one pixel, got an empty image of height {height} and "
            f"width {width}; leave it out."
        )


def _check_path(path):
    """Raise a problem unless the path leads to a regular file with content."""
    if isinstance(os.fspath(path), bytes):
        raise _Problem("expected a path of str, got bytes; use os.fsdecode.")
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        raise _Problem(_why_not_a_file(path))
    if status.st_size == 0:
        raise _Problem(
            "expected an image file, got an empty file (0 bytes); replace it or leave "
            "it out."
        )


def _why_not_a_file(path):
    """Return why a path does not lead to a regular file."""
    if os.path.isdir(path):
        return "expected a file, got a directory; pass the paths of the files in it."
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "the file does not exist; check the path."
    except (OSError, ValueError) as error:
        return f"the file cannot be reached ({error}); check the path and its rights."
    return "expected a regular file, got a pipe, socket or device; save it to a file."


def _explain(error):
    """Return the problem that an error in decoding stands for."""
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"expected at most twice PIL.Image.MAX_IMAGE_PIXELS = "
            f"{Image.MAX_IMAGE_PIXELS} pixels ({error}); shrink the image, or raise "
            "that limit if you trust the file."
        )
    if isinstance(error, Image.DecompressionBombWarning):
        return (
            f"expected at most PIL.Image.MAX_IMAGE_PIXELS = {Image.MAX_IMAGE_PIXELS} "
            f"pixels where warnings are errors ({error}); shrink the image, or raise "
            "that limit if you trust the file."
        )
    if isinstance(error, PermissionError):
        return "the file may not be read (permission denied); check its rights."
    # What the operating system reports, unlike Pillow, has a number.
    if isinstance(error, OSError) and error.errno is not None:
        return (
            f"the file cannot be read ({error}); check that it is still there, and the "
            "disk or network it is on."
        )
    if isinstance(error, UnidentifiedImageError):
        return (
            "expected an image in a format that Pillow reads, such as PNG, JPEG or "
            "TIFF, got a file that it cannot identify; convert it or leave it out."
        )
    return (
        f"expected an intact image, but decoding failed with {error!r}; it is "
        "truncated, damaged or closed: replace it or leave it out."
    )


def _at(images, index, work):
    """Do some work on the item at a position, and say which one it is if it fails."""
    item = images[index]
    try:
        return work(item)
    except _Problem as problem:
        raise InvalidImageError(index, _describe(item), str(problem)) from None
    except Exception as error:
        # A damaged file makes Pillow raise nearly anything: OSError, ValueError,
        # SyntaxError, IndexError, struct.error, zlib.error, MemoryError.
        raise InvalidImageError(index, _describe(item), _explain(error)) from error


def _decode(item):
    """Return the bands of an item; see `_bands_from_array`."""
    _check_item(item)
    if isinstance(item, np.ndarray):
        return _bands_from_array(item)
    if isinstance(item, Image.Image):
        _select_only_frame(item)
        # Copied in either case, since the image is the user's. Pillow turns TIFF
        # images as it loads them, and Pillow 10.0 would turn them once more.
        if item.format == "TIFF":
            return _bands_from_pil(item.copy())
        return _bands_from_pil(ImageOps.exif_transpose(item))
    return _decode_file(_read_file(item))


def _decode_file(content):
    """Return the bands of an image file."""
    damage = find_damage(content)
    if damage is not None:
        raise _Problem(
            f"expected an intact image, but {damage}; replace it or leave it out."
        )
    # Given a path, Pillow maps some files into memory, and since version 11 garbles
    # a TIFF image that it also has to turn. It does not of bytes.
    with Image.open(io.BytesIO(content)) as image:
        _select_only_frame(image)
        if image.format == "PNG" and image.mode == "P" and image.palette is None:
            # Pillow would take the indices for shades of grey.
            raise _Problem(
                "expected an intact image, but it has no palette (PLTE) where one is "
                "needed; replace it or leave it out."
            )
        # Not left to exif_transpose, which in Pillow 10 loads only what it turns.
        image.load()
        if image.format != "TIFF":
            ImageOps.exif_transpose(image, in_place=True)
        return _bands_from_pil(image)


def _measure(item):
    """Return the height and width of an item."""
    _check_item(item)
    if isinstance(item, np.ndarray):
        return item.shape[:2]
    if isinstance(item, Image.Image):
        return _shown_size(item)
    with Image.open(item) as image:
        return _shown_size(image)


def _shown_size(image):
    # The orientations that exchange the sides.
    is_turned = image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
    return (image.width, image.height) if is_turned else (image.height, image.width)


def _read_file(path):
    with open(path, "rb") as file:
        return file.read()


def _decode_and_identify(item):
    """Return the bands of an item, and its digest."""
    _check_item(item)
    if isinstance(item, (str, os.PathLike)):
        content = _read_file(item)
        return _decode_file(content), _digest_of_file(content)
    bands = _decode(item)
    return bands, _digest_of_bands(bands)


def _identify(item):
    """Return the digest of an item."""
    if not isinstance(item, (str, os.PathLike)):
        _check_item(item)
        return _digest_of_bands(_decode(item))
    known = _known_files.get(item)
    if known is not None and known[0] == _stamp(item):
        return known[1]
    _check_item(item)
    stamp = _stamp(item)
    digest = _digest_of_file(_read_file(item))
    # A file that is still being written may change without its stamp changing.
    if stamp == _stamp(item) and time.time_ns() - stamp[0] > _SETTLED_NS:
        if len(_known_files) >= _MAX_KNOWN_FILES:
            _known_files.clear()
        _known_files[item] = stamp, digest
    return digest


def _stamp(path):
    """Return what changes with a file or its path, the last change's time first."""
    status = os.stat(path)
    return (
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_size,
        status.st_ino,
        status.st_dev,
    )


def _digest_of_file(content):
    return hashlib.sha256(content).digest()


def _digest_of_bands(bands):
    digest = hashlib.sha256()
    for band in bands:
        digest.update(f"{band.mode} {band.size}\n".encode())
        digest.update(band.tobytes())
    return digest.digest()


def _select_only_frame(image):
    """Raise a problem if there is no telling which frame is the image."""
    if image.format == "MPO":
        image.seek(0)
        return
    n_frames = getattr(image, "n_frames", 1)
    if n_frames > 1:
        raise _Problem(
            f"expected one image, got {n_frames} frames ({image.format}); split them "
            "into one image each."
        )


def _bands_from_pil(image):
    """Return the bands of a PIL image, which it may change; see `_bands_from_array`."""
    _check_not_empty(image.height, image.width)
    # Alpha is dropped, and converting a transparent palette would warn.
    image.info.pop("transparency", None)
    if image.mode == "F" or image.mode.startswith("I;16"):
        return _bands_from_array(np.asarray(image))
    if image.mode == "I":
        return _bands_from_array(_to_uint16(np.asarray(image)))
    if image.mode in ("L", "RGB"):
        return [image]
    return [image.convert("L" if image.mode in ("1", "LA") else "RGB")]


def _to_uint16(values):
    """Return integers as uint16, or raise a problem if they do not fit."""
    low, high = values.min(), values.max()
    if low < 0 or high > 65535:
        raise _Problem(
            "expected integers in 0..65535 (16 bits) in a PIL image of mode I, got "
            f"values in {low}..{high}; rescale them."
        )
    return values.astype(np.uint16)


def _bands_from_array(array):
    """Return an image as PIL images that can be resized one by one.

    Parameters
    ----------
    array : ndarray of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        Pixels, of one of the dtypes in `_DTYPES`.

    Returns
    -------
    bands : list of PIL.Image.Image
        Of 8 bits, one image of mode L or RGB. Of more, one image of mode F with
        values in [0, 1] per channel: one if grey, else three.
    """
    channels = np.atleast_3d(array)[:, :, :3]
    if array.dtype == np.uint8:
        return _bands_of_eight_bits(channels)
    # float64 values that exceed float32 become infinite, and are then refused.
    with np.errstate(over="ignore"):
        values = channels.astype(np.float32)
    if array.dtype.kind == "u":
        values /= 65535
    else:
        _check_unit_range(values)
    eight_bits = np.rint(values * 255)
    rounding = 0.07 if array.dtype == np.float16 else 1e-4
    if np.abs(values * 255 - eight_bits).max() <= rounding:
        return _bands_of_eight_bits(eight_bits.astype(np.uint8))
    return [Image.fromarray(values[:, :, c]) for c in range(values.shape[2])]


def _bands_of_eight_bits(channels):
    """Return an array of shape (H, W, 1 or 3), dtype uint8, as one PIL image."""
    grey = channels.shape[2] == 1
    return [Image.fromarray(channels[:, :, 0] if grey else channels)]


def _check_unit_range(values):
    """Raise a problem unless all values are in [0, 1]."""
    low, high = values.min(), values.max()
    # Also false for NaN, which min and max pass on.
    if low >= 0 and high <= 1:
        return
    n_nan, n_inf = np.isnan(values).sum(), np.isinf(values).sum()
    if n_nan or n_inf:
        raise _Problem(
            f"expected finite floats in [0, 1], got {n_nan} NaN and {n_inf} infinite "
            f"of {values.size} values; replace them."
        )
    remedy = "rescale them to [0, 1], without standardising them"
    if low >= 0 and high <= 255:
        remedy = (
            "divide them by 255 if they range up to 255, or use np.clip(image, 0, 1) "
            "if they just overshoot"
        )
    raise _Problem(
        f"expected floats in [0, 1], got minimum {low!s} and maximum {high!s}; "
        f"{remedy}."
    )


def place_crop(image_size, size, crop_pct):
    """Tell how an image is scaled, and where the centre crop lies in that.

    Parameters
    ----------
    image_size : tuple of (int, int)
        Width and height of the image.

    size : tuple of (int, int)
        Height and width of the crop.

    crop_pct : float in (0, 1]

    Returns
    -------
    corner : tuple of (int, int)
        Left and upper edge of the crop in the scaled image.

    scaled : tuple of (int, int)
        Width and height of the scaled image.
    """
    height, width = size
    scaled = _covering_size(image_size, int(height / crop_pct), int(width / crop_pct))
    return (round((scaled[0] - width) / 2), round((scaled[1] - height) / 2)), scaled


def _resize(image, size, resample, crop_pct):
    """Return a PIL image resized to (height, width), as `load_image` describes."""
    height, width = size
    corner, scaled = (0, 0), (width, height)
    if crop_pct is not None:
        corner, scaled = place_crop(image.size, size, crop_pct)
    if image.size != scaled:
        image = image.resize(scaled, resample)
    if scaled != (width, height):
        left, top = corner
        image = image.crop((left, top, left + width, top + height))
    return image


def _covering_size(image_size, height, width):
    """Return the smallest (width, height) in the ratio of the image that covers."""
    image_width, image_height = image_size
    if image_height * width >= image_width * height:
        return width, image_height * width // image_width
    return image_width * height // image_height, height


def _stack(bands, size):
    """Return bands of (height, width) as float32 RGB values in [0, 1]."""
    pixels = np.empty((*size, 3), dtype=np.float32)
    if bands[0].mode == "F":
        # One grey band is broadcast to three channels.
        pixels[...] = np.dstack([np.asarray(band) for band in bands])
        return np.clip(pixels, 0, 1, out=pixels)
    # Pillow repeats a grey band much faster than NumPy.
    pixels[...] = np.asarray(bands[0].convert("RGB"))
    pixels /= 255
    return pixels
