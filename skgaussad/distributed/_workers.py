"""Functions that workers run: load a model once, compute features."""

import pickle
import threading

import numpy as np

from ..exceptions import InvalidImageError

# Models loaded by this process, by SHA-256, and how many to keep: enough for a fit and
# a scoring at the same time.
_loaded = {}
_MAX_LOADED = 2
_lock = threading.Lock()


def load(model):
    """Load a model, or return the one that this process has loaded before.

    Parameters
    ----------
    model : tuple (str, list of bytes)
        The SHA-256 of a pickle, and its pieces.

    Returns
    -------
    model : object
        Shared by the threads of the process; not to be changed.
    """
    digest, pieces = model
    with _lock:
        if digest not in _loaded:
            _loaded[digest] = pickle.loads(b"".join(pieces))
            while len(_loaded) > _MAX_LOADED:
                del _loaded[next(iter(_loaded))]
        return _loaded[digest]


def unpack(images):
    """Load the images of a partition from the pieces of a pickle."""
    return pickle.loads(b"".join(images))


def extract(model, images, start):
    """Compute the features of a partition.

    Parameters
    ----------
    model : tuple (str, list of bytes)
        Of a DeepFeatureTransformer, see `load`.
    images : list of bytes
        See `unpack`.
    start : int
        Position of the first of the images in the whole ``X``.

    Returns
    -------
    features : ndarray of shape (n_images, n_features), or InvalidImageError
        Float32. An image that cannot be used is returned as the error, not raised, for
        what is raised is tried again.
    """
    transformer = load(model)
    try:
        with_names = transform(transformer, unpack(images), start)
    except InvalidImageError as error:
        return error
    # It may be a data frame.
    return np.asarray(with_names)


def transform(transformer, images, start):
    """Transform a partition, with positions in the whole ``X`` where it fails.

    Parameters
    ----------
    transformer : DeepFeatureTransformer or Pipeline
    images : sequence of images
    start : int
        Position of the first of the images in the whole ``X``.

    Returns
    -------
    features : ndarray of shape (n_images, n_features), or data frame

    Raises
    ------
    InvalidImageError
        If an image cannot be used.
    FloatingPointError
        If a feature is not finite.
    """
    try:
        return transformer.transform(images)
    except InvalidImageError as error:
        raise InvalidImageError(
            start + error.index, error.item, error.problem
        ) from None
    except FloatingPointError as error:
        raise FloatingPointError(
            f"In the partition of X that starts at position {start}: {error}"
        ) from None


def find_invalid(features):
    """Return the InvalidImageError in place of features, or None, on the worker."""
    return features if isinstance(features, InvalidImageError) else None


def require_features(features):
    """Raise the InvalidImageError that stands in place of features.

    As where a file has vanished when the features of a lost worker are computed again.
    """
    if isinstance(features, InvalidImageError):
        raise features
    return features
