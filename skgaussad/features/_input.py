"""Which kinds of input count as images, their checks and error messages.

An *item* is one image as the user gave it: a path, a PIL image or a NumPy array.
`as_image_sequence` turns ``X`` into a sequence of items, and `check_items` checks these
without decoding any. A bad item raises `InvalidImageError`, which names its position in
``X``, what was expected, what came and what to do about it.
"""

import os
import stat
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..exceptions import InvalidImageError

_SEVERAL_CHANNELS = (3, 4)
_CHANNELS = (1, *_SEVERAL_CHANNELS)
_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")

_EXPECTED_X = (
    "Expected a folder, a list of images (paths, PIL images or NumPy arrays), a NumPy "
    "array of shape (n, H, W), (n, H, W, 1), (n, H, W, 3) or (n, H, W, 4), or a column "
    "of paths or images"
)

_DTYPE_REMEDIES = {
    "b": "convert it with .astype(np.uint8) * 255",
    "i": "if it has values 0..255 convert it with .astype(np.uint8), "
    "if it has values 0..65535 with .astype(np.uint16)",
    "c": "take its magnitude, np.abs(image), scaled to [0, 1]",
}
_DTYPE_REMEDIES["u"] = _DTYPE_REMEDIES["i"]


class ItemError(Exception):
    """An item is not a usable image; raised where its position is not known."""


class LazyImages(Sequence):
    """A sequence that computes its items on access, such as tiles or augmented images.

    Subclasses check their inputs when they are created; `check_items` skips them.
    """


def as_image_sequence(X):
    """Return ``X`` as a sequence of items, without decoding or copying images.

    Parameters
    ----------
    X : str, path, list, tuple, LazyImages, ndarray, Series or DataFrame
        The images, in one of these forms, where ``n`` is at least 1:

        - a folder, of which all images at any depth are taken, sorted;
        - a list or tuple of items (paths as str or `os.PathLike`, PIL images,
          arrays), whose kinds and sizes may differ, or `LazyImages`;
        - a numeric array of shape (n, H, W), (n, H, W, 1), (n, H, W, 3) or
          (n, H, W, 4), which may be a memory map;
        - an array of str or object dtype of shape (n,) or (n, 1) that holds
          items;
        - a pandas or polars Series of items, or a DataFrame with one such
          column.

    Returns
    -------
    images : list, tuple, LazyImages or ndarray
        One item at each index. Items are not checked one by one: see `check_items`.

    Raises
    ------
    TypeError
        If ``X`` is of another kind, such as a single path or PIL image, a
        generator, a set, a dict, a sparse matrix or a torch tensor.
    ValueError
        If ``X`` is empty, has several columns, or is an array of another shape:
        a feature matrix, a single image, also as a list of its rows, or images with
        channels first. An array of
        shape (H, W, 1), (H, W, 3) or (H, W, 4) counts as a single image, not as H
        images 1, 3 or 4 pixels wide, and one of shape (3, H, W) as a single image with
        channels first, not as 3 grey images; of shape (4, H, W) it is 4 grey images.
    """
    if isinstance(X, str | os.PathLike) and os.path.isdir(X):
        # It decodes files without an extension, which checks items.
        from ._folders import list_folder

        images = list_folder(X)
    elif isinstance(X, (list, tuple, LazyImages)):
        images = X
        if not isinstance(X, LazyImages):
            _check_no_rows(X)
    elif isinstance(X, np.ndarray):
        images = _sequence_from_array(X)
    elif hasattr(X, "to_numpy"):
        images = _sequence_from_table(X)
    else:
        raise TypeError(f"{_EXPECTED_X}, got {describe(X)}; {_wrapping_remedy(X)}.")
    if len(images) == 0:
        raise ValueError(
            f"Found array with 0 sample(s) ({describe(X)}) while a minimum of 1 is "
            "required; pass at least one image."
        )
    return images


def check_items(images):
    """Check all items without decoding them.

    Checked are the kind of each item, the shape and dtype of each array, and that each
    path leads to a regular file that is not empty. Truncated files or values out of
    range are found on decoding only.

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
            check_item(item)
        except ItemError as error:
            raise InvalidImageError(index, describe(item), str(error)) from None


def _sequence_from_array(X):
    """Return the array as a sequence of items, or raise if it has another shape."""
    kind = X.dtype.kind
    if kind in "OUT":
        if X.ndim == 2 and X.shape[1] == 1:
            return X[:, 0]
        if X.ndim != 1:
            raise ValueError(
                f"Expected an array of paths or images of shape (n,) or (n, 1), got "
                f"{describe(X)}; pass one path or image per row, or a list of images."
            )
        return X
    if kind not in "biufc":
        raise TypeError(
            f"{_EXPECTED_X}, got {describe(X)}; pass pixel values as a numeric array, "
            "or paths as str."
        )
    problem = f"{_EXPECTED_X}, got {describe(X)}"
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
    if X.ndim == 3 and X.shape[0] == 3:
        raise ValueError(
            f"{problem}, which may be one image with channels first or 3 grey images. "
            "For one image pass np.moveaxis(X, 0, -1)[np.newaxis]; for grey images "
            "pass X[..., np.newaxis]."
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


def _check_no_rows(X):
    """Raise if a list holds the rows of one image with colour."""
    first = X[0] if len(X) > 1 else None
    if (
        isinstance(first, np.ndarray)
        and first.ndim == 2
        and first.shape[1] in _SEVERAL_CHANNELS
        and all(isinstance(x, np.ndarray) and x.shape == first.shape for x in X)
    ):
        raise ValueError(
            f"{_EXPECTED_X}, got a list of {len(X)} arrays of shape {first.shape}, "
            "which look like the rows of one image. For one image pass [image]; for "
            "grey images this narrow give each the shape (H, W, 1)."
        )


def _sequence_from_table(X):
    """Return a Series, or the only column of a DataFrame, as a sequence of items."""
    shape = getattr(X, "shape", ())
    if len(shape) == 2 and shape[1] != 1:
        raise ValueError(
            f"Expected one column of paths or images, got {describe(X)} with "
            f"{shape[1]} columns; select the one with the images, as in X['path']."
        )
    return _sequence_from_array(X.to_numpy())


def _wrapping_remedy(X):
    """Say how to pass an ``X`` of a kind that is not accepted."""
    if isinstance(X, (str, os.PathLike)):
        return "there is no such folder; wrap a single path in a list, [X]"
    if isinstance(X, Image.Image):
        return "wrap it in a list, [X]"
    if isinstance(X, bytes):
        return "pass a list of paths as str (see os.fsdecode)"
    if isinstance(X, dict):
        return "pass list(X.values())"
    if isinstance(X, (set, frozenset)):
        return "it has no order: pass sorted(X)"
    if hasattr(X, "permute"):
        if len(X.shape) == 3 and X.shape[0] in _CHANNELS:
            return (
                "if it is a tensor of shape (3, H, W) pass "
                "X.permute(1, 2, 0).numpy()[np.newaxis], which puts channels last"
            )
        return (
            "if it is a tensor of shape (n, 3, H, W) pass "
            "X.permute(0, 2, 3, 1).numpy(), which puts channels last"
        )
    if hasattr(X, "tocsr"):
        return "a sparse matrix holds features, and images must be dense arrays"
    if hasattr(X, "__iter__"):
        return "pass list(X)"
    return "pass a list of images"


def describe(item):
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


def check_item(item):
    """Raise `ItemError` unless the item may be an image."""
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
        raise ItemError(
            "expected a path (str or os.PathLike), a PIL image or a NumPy array, got "
            f"{type(item).__name__}; {remedy}."
        )


def _check_array(array):
    """Raise unless dtype and shape are those of an image."""
    if array.dtype.name not in _DTYPES:
        remedy = _DTYPE_REMEDIES.get(
            array.dtype.kind, "convert it with .astype(np.float32)"
        )
        raise ItemError(
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
        raise ItemError(
            "expected shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got "
            f"{shape}; {remedy}."
        )
    check_not_empty(*shape[:2])


def check_not_empty(height, width):
    """Raise if there are no pixels."""
    if height == 0 or width == 0:
        raise ItemError(
            f"expected at least one pixel, got an empty image of height {height} and "
            f"width {width}; leave it out."
        )


def _check_path(path):
    """Raise unless the path leads to a regular file with content."""
    if isinstance(os.fspath(path), bytes):
        raise ItemError("expected a path of str, got bytes; use os.fsdecode.")
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ItemError("the file does not exist; check the path.") from None
    except (OSError, ValueError) as error:
        raise ItemError(
            f"the file cannot be reached ({error}); check the path and its rights."
        ) from None
    if stat.S_ISDIR(status.st_mode):
        if not os.access(path, os.R_OK | os.X_OK):
            raise ItemError("the folder may not be read (permission denied).")
        raise ItemError(
            "expected a file, got a directory; pass the paths of the files in it."
        )
    if not stat.S_ISREG(status.st_mode):
        raise ItemError(
            "expected a regular file, got a pipe, socket or device; save it to a file."
        )
    if status.st_size == 0:
        raise ItemError(
            "expected an image file, got an empty file (0 bytes); replace it or leave "
            "it out."
        )
