"""Weights kept apart from the estimators that hold them, while these are saved."""

import contextlib
import hashlib
from contextvars import ContextVar

import numpy as np
import safetensors.numpy

_store = ContextVar("store", default=None)


class WeightStore:
    """Files of weights, each known by the SHA-256 of its content.

    Within :meth:`in_use`, the state of a backbone has the key of its weights in place
    of the weights.

    Parameters
    ----------
    read : callable or None, default=None
        Maps a key to the content of its file, for keys that were not put here.

    Attributes
    ----------
    files : dict of {str: bytes}
        Content of the safetensors file of each key.
    """

    def __init__(self, read=None):
        self.files = {}
        self._read = read
        self._keys = {}
        self._arrays = {}

    @contextlib.contextmanager
    def in_use(self):
        """Have backbones of this thread give their weights here, and take them."""
        token = _store.set(self)
        try:
            yield self
        finally:
            _store.reset(token)

    def put(self, owner, arrays):
        """Keep the weights of a backbone.

        Parameters
        ----------
        owner : Backbone
            Its state may be asked for several times.
        arrays : dict of {str: ndarray}

        Returns
        -------
        key : str
            The same for equal weights.
        """
        if owner not in self._keys:
            # Safetensors writes the memory of an array whatever its strides.
            arrays = {name: np.asarray(a, order="C") for name, a in arrays.items()}
            content = safetensors.numpy.save(arrays)
            key = hashlib.sha256(content).hexdigest()
            self._keys[owner] = key
            self.files[key] = content
        return self._keys[owner]

    def get(self, key):
        """Return the weights of a key, the same arrays at each call.

        Parameters
        ----------
        key : str

        Returns
        -------
        arrays : dict of {str: ndarray}
        """
        if key not in self._arrays:
            arrays = safetensors.numpy.load(self._read(key))
            # Safetensors gives them in any order.
            self._arrays[key] = dict(sorted(arrays.items()))
        return self._arrays[key]


def weight_store_in_use():
    """Return the store that backbones are to use, or None for none."""
    return _store.get()
