"""Images of which some may be unusable, for scoring that must not stop there."""

import numpy as np

from ..exceptions import InvalidImageError
from ._input import LazyImages


class ReplacedImages(LazyImages):
    """Images, with black ones in place of those that are invalid.

    Parameters
    ----------
    paths : list of str
    preprocessing : Preprocessing
        Of the transformer that they go to.

    Attributes
    ----------
    errors : dict of {int: str}
        By position, the problem of each image that was replaced so far.
    """

    def __init__(self, paths, preprocessing):
        self._paths = paths
        self._preprocessing = preprocessing
        self.errors = {}

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, index):
        try:
            return self._preprocessing.decode(self._paths, index)
        except InvalidImageError as error:
            self.errors[index] = error.problem
            return np.zeros((8, 8), dtype=np.uint8)
