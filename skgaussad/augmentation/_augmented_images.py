"""Augmented copies of images, computed on access."""

import numpy as np

from ..features import LazyImages, as_image_sequence, check_items, decode_image


class AugmentedImages(LazyImages):
    """The images of several epochs, one epoch after another.

    Epoch 0 has the images themselves. Each later copy depends on the seed, its epoch
    and its position only, and not on the order, batch or process in which it is made.

    Parameters
    ----------
    X : sequence of n_images images
        As `as_image_sequence` accepts it. The items are checked, not decoded.
    augmentation : ImageAugmentation
    n_epochs : int
    seed : int
    max_value : int or None, default=None
        What is white in images of uint16.

    Raises
    ------
    InvalidImageError
        If an item of `X` is not an image, and on access if one cannot be decoded; names
        the position in `X`.
    """

    def __init__(self, X, augmentation, n_epochs, seed, max_value=None):
        self._images = as_image_sequence(X)
        check_items(self._images)
        self._augmentation = augmentation
        self._n_epochs = n_epochs
        self._seed = seed
        self._max_value = max_value

    def __len__(self):
        return self._n_epochs * len(self._images)

    def __getitem__(self, index):
        # A range checks the index, and counts negative ones from the end.
        epoch, position = divmod(range(len(self))[index], len(self._images))
        if epoch == 0:
            return self._images[position]
        pixels = decode_image(self._images, position, self._max_value)
        rng = np.random.default_rng([self._seed, epoch, position])
        return self._augmentation.apply(pixels, rng)
