"""The cache of features on disk, shared by folds, candidates, runs and processes."""

import os
from pathlib import Path

from filelock import FileLock

from .._utils.validation import check_integer
from ._feature_store import FeatureStore

# Images are divided into stripes by their digest. A stripe is computed by one process
# at a time; others that wait for it then read its features from the cache.
N_STRIPES = 8


class FeatureCache:
    """A folder in which the features of images are cached.

    Given to :class:`~skgaussad.DeepFeatureTransformer`, it lets each image go through
    the network once, whatever the folds, candidates, runs and processes that need its
    features. That pass stores the features of all levels of the network.

    Parameters
    ----------
    folder : path
        Created, with its parents, when it is first used.

    max_bytes : int, default=2**31
        Size in bytes, at least 1, beyond which the least recently used features are
        deleted. Damaged files, which are renamed and kept, do not count.

    See Also
    --------
    skgaussad.DeepFeatureTransformer : Has the parameter ``cache``.

    Notes
    -----
    One vector is stored for each image, level and pooling. Its key consists of the
    content of the image (the bytes of its file, or its pixels in memory), the network
    and the SHA-256 of its weights, the level, pooling, preprocessing, precision and
    kind of device, and the versions of torch, timm and Pillow. Each vector has a
    checksum; a damaged one is computed again, with a
    :class:`~skgaussad.exceptions.FeatureCacheWarning`.

    The file is an SQLite database, which any number of processes of one machine may use
    at once and which stays intact when a process is killed. It holds no pickles. Do not
    put it on a network file system: SQLite's locks are not reliable there.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skgaussad import DeepFeatureTransformer
    >>> from skgaussad.features import FeatureCache
    >>> X = np.random.default_rng(0).integers(0, 256, (4, 50, 60, 3), dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = FeatureCache(folder)
    ...     first = DeepFeatureTransformer(levels=7, cache=cache).fit_transform(X)
    ...     # Level 6 is in the cache, too, as all levels are.
    ...     again = DeepFeatureTransformer(levels=6, cache=cache).fit_transform(X)
    ...     cache.info()["n_images"]
    4
    """

    def __init__(self, folder, *, max_bytes=2**31):
        check_integer("max_bytes", max_bytes, 1)
        self.folder = Path(folder)
        self.max_bytes = max_bytes

    def __repr__(self):
        """Return the call that makes it."""
        return f"FeatureCache({str(self.folder)!r}, max_bytes={self.max_bytes})"

    def info(self):
        """Return the numbers of vectors and images in the cache, and its size.

        Returns
        -------
        info : dict
            ``n_vectors`` (one for each image, level and pooling), ``n_images`` and
            ``n_bytes``, the size in use.
        """
        with open_store(self) as store:
            return dict(
                zip(("n_vectors", "n_images", "n_bytes"), store.count(), strict=True)
            )

    def clear(self):
        """Delete all features."""
        with open_store(self) as store:
            store.clear()


def open_store(cache):
    """Open the file of a cache, for use in a ``with`` statement."""
    cache.folder.mkdir(parents=True, exist_ok=True)
    # Files of another layout will have another number.
    return FeatureStore(cache.folder / "features-1.sqlite", cache.max_bytes)


def lock_stripe(cache, stripe):
    """Keep other processes and threads from computing a stripe, as a context manager.

    The operating system releases the lock of a process that dies.
    """
    return FileLock(cache.folder / f"stripe-{stripe}.lock")


def resolve_cache(cache):
    """Turn the parameter ``cache`` into a `FeatureCache` or None."""
    if cache is None or isinstance(cache, FeatureCache):
        return cache
    if isinstance(cache, str | os.PathLike):
        return FeatureCache(cache)
    raise ValueError(
        "cache must be the path of a folder, a FeatureCache or None for none; got "
        f"{cache!r}."
    )
