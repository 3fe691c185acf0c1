"""Features from the cache; missing ones are computed once and stored in it."""

import os

import numpy as np

from ._cache import N_STRIPES, lock_stripe, open_store
from ._parts import slices_of

# Images that are looked up at a time.
_BLOCK = 1024


class CachedExtraction:
    """Features of images by way of a cache.

    Parameters
    ----------
    cache : FeatureCache
    parts : tuple of Part
        What is computed and stored for an image that is not in the cache.
    recipes : tuple of Recipe
        The cache key of each of the parts.
    wanted : tuple of Part
        Which of the parts to return.
    make_extractor : callable
        Makes the `Extractor` of the parts when it is first needed.
    preprocessing : Preprocessing
    """

    def __init__(self, cache, parts, recipes, wanted, make_extractor, preprocessing):
        self._cache = cache
        self._recipes = recipes
        self._slices = slices_of(parts)
        positions = [parts.index(part) for part in wanted]
        self._wanted_recipes = [recipes[position] for position in positions]
        self._wanted_slices = [self._slices[position] for position in positions]
        self._make_extractor = make_extractor
        self._extractor = None
        self._preprocessing = preprocessing

    def stream(self, images, rows, *, batch_size, num_workers):
        """Yield the features of images, in any order.

        Parameters
        ----------
        images : sequence of images
        rows : sequence of int
            Positions of the images to take.
        batch_size, num_workers : int
            As for `Extractor.stream`.

        Yields
        ------
        rows : list of int
            Some of the positions.
        features : ndarray of shape (len(rows), n_features)
            Float32.

        Raises
        ------
        InvalidImageError
            If an image cannot be used.
        FloatingPointError
            If a feature is not finite.
        """
        # Processes that work on the same images begin with different stripes.
        stripes = [(os.getpid() + i) % N_STRIPES for i in range(N_STRIPES)]
        with open_store(self._cache) as store:
            for start in range(0, len(rows), _BLOCK):
                missing = {}
                for row in rows[start : start + _BLOCK]:
                    digest = self._preprocessing.identify(images, row)
                    missing.setdefault(digest, []).append(row)
                yield from self._look_up(store, missing)
                for stripe in stripes:
                    striped = {
                        digest: rows_of_image
                        for digest, rows_of_image in missing.items()
                        if digest[0] % N_STRIPES == stripe
                    }
                    if striped:
                        with lock_stripe(self._cache, stripe):
                            # Another process may have computed them in the meantime.
                            yield from self._look_up(store, striped)
                            yield from self._compute(
                                store, images, striped, batch_size, num_workers
                            )

    def _look_up(self, store, missing):
        """Yield the features that are in the store, and remove them from `missing`."""
        found = [_recall(store, recipe, missing) for recipe in self._wanted_recipes]
        complete = [
            digest for digest in missing if all(digest in vectors for vectors in found)
        ]
        if complete:
            matrices = [
                np.stack([vectors[digest] for digest in complete]) for vectors in found
            ]
            rows, of_image = [], []
            for index, digest in enumerate(complete):
                copies = missing.pop(digest)
                rows += copies
                of_image += [index] * len(copies)
            yield rows, np.hstack(matrices)[of_image]

    def _compute(self, store, images, missing, batch_size, num_workers):
        """Compute, store and yield the features of the missing images."""
        digests = {}

        def load(images, row):
            # The file may have changed since it was looked up.
            pixels, digests[row] = self._preprocessing.load_identified(images, row)
            return pixels

        if self._extractor is None and missing:
            self._extractor = self._make_extractor()
        while missing:
            # Copies of an image are computed once.
            firsts = [rows[0] for rows in missing.values()]
            computed = {}
            for rows, features in self._extractor.stream(
                images,
                firsts,
                batch_size=batch_size,
                num_workers=num_workers,
                load=load,
            ):
                keys = [digests[row] for row in rows]
                store.put(
                    self._recipes, keys, [features[:, part] for part in self._slices]
                )
                features = np.hstack(
                    [features[:, part] for part in self._wanted_slices]
                )
                computed.update(zip(keys, features, strict=True))
                yield rows, features
            copies = {}
            for digest, (_, *others) in missing.items():
                if others and digest in computed:
                    yield others, np.stack([computed[digest]] * len(others))
                elif others:
                    copies[digest] = others
            missing = copies


# Vectors that this process has read, by recipe and image, since a grid search reads
# each many times; emptied when it exceeds this number of bytes.
_memory = {}
_MAX_MEMORY = 2**28


def _recall(store, recipe, images):
    """Return the vectors that are in memory or in the store."""
    memory = _memory.get(recipe, {})
    vectors = {image: memory[image] for image in images if image in memory}
    unknown = [image for image in images if image not in vectors]
    if unknown:
        read = store.get(recipe, unknown)
        vectors.update(read)
        if _bytes_in_memory() + 4 * recipe.width * len(read) > _MAX_MEMORY:
            _memory.clear()
        _memory.setdefault(recipe, {}).update(read)
    return vectors


def _bytes_in_memory():
    # Other threads add vectors meanwhile, so that none is looked at.
    return sum(
        4 * recipe.width * len(vectors) for recipe, vectors in [*_memory.items()]
    )
