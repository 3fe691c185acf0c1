"""Features kept per image, shared by folds, candidates, runs and processes."""

import os
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from .._utils.validation import check_integer
from ._feature_store import FeatureStore

# Images of different stripes can be computed by different processes at once; those of
# one stripe are computed by one, and read by the others.
N_STRIPES = 8


class FeatureCache:
    """A folder that keeps the features of images.

    Given to :class:`DeepFeatureTransformer`, it lets each image go through the network
    once, whatever the folds, candidates, runs and processes that ask for its features:
    that one pass keeps all levels of the network.

    Parameters
    ----------
    folder : path
        Made, with its parents, when it is first used.

    max_bytes : int, default=2**31
        Size in bytes beyond which the features that were used longest ago are thrown
        out. Files that are set aside for being damaged do not count.

    See Also
    --------
    DeepFeatureTransformer : Has the parameter ``cache``.

    Notes
    -----
    A vector is kept for each image, level and pooling. It is found again by the content
    of the image (the bytes of its file, or its pixels in memory), the network and the
    SHA-256 of its weights, the level, pooling, preprocessing, precision and kind of
    device, and the versions of torch, timm and Pillow. Each has a checksum, and a
    damaged one is computed anew, with a :class:`FeatureCacheWarning`.

    The store is an SQLite file, which any number of processes of one machine may use
    at once, and which a kill at any moment leaves whole. Nothing in it is a pickle. Do
    not put it on a network file system: SQLite's locks are not reliable there.

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
    ...     # Found in the cache, though level 6 was not asked for before.
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
        """Count what is in the cache.

        Returns
        -------
        info : dict
            ``n_vectors`` (of one level and pooling each), ``n_images`` and
            ``n_bytes``, the size in use.
        """
        with self.open() as store:
            return dict(
                zip(("n_vectors", "n_images", "n_bytes"), store.count(), strict=True)
            )

    def clear(self):
        """Throw out all features."""
        with self.open() as store:
            store.clear()

    def open(self):
        """Open the store of this folder, for use in a ``with`` statement.

        Returns
        -------
        store : FeatureStore
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        # A newer layout would have another name.
        return FeatureStore(self.folder / "features-1.sqlite", self.max_bytes)

    @contextmanager
    def lock(self, stripe):
        """Keep other processes and threads from computing the images of a stripe.

        The operating system ends the lock with the process.

        Parameters
        ----------
        stripe : int
            From 0 to ``N_STRIPES - 1``.
        """
        with FileLock(self.folder / f"stripe-{stripe}.lock"):
            yield


def resolve_cache(cache):
    """Turn the parameter ``cache`` into a cache.

    Parameters
    ----------
    cache : FeatureCache, path or None

    Returns
    -------
    cache : FeatureCache or None

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if cache is None or isinstance(cache, FeatureCache):
        return cache
    if isinstance(cache, str | os.PathLike):
        return FeatureCache(cache)
    raise ValueError(
        "cache must be the path of a folder, a FeatureCache or None for none; got "
        f"{cache!r}."
    )
