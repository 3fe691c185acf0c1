"""Weights in files of their own while estimators are saved or loaded."""

import contextlib
import hashlib
from contextvars import ContextVar

import numpy as np
import safetensors.numpy

_store = ContextVar("store", default=None)


class WeightStore:
    """Collects the weights of backbones as safetensors files, or reads them from such.

    Within :meth:`in_use`, the state of a `Backbone` holds a key instead of its weights:
    the SHA-256 of the file with the weights.

    Parameters
    ----------
    read : callable or None, default=None
        For loading: returns the content of the file with a given key.
    fetch : bool, default=False
        For loading: whether a network whose weights are in no file may be of any size,
        and timm may download its weights.

    Attributes
    ----------
    fetch : bool
    files : dict of {str: bytes}
        From saving: the content of each file by its key.
    """

    def __init__(self, read=None, *, fetch=False):
        self.fetch = fetch
        self.files = {}
        self._read = read
        self._keys = {}
        self._arrays = {}

    @contextlib.contextmanager
    def in_use(self):
        """Make the backbones that this thread saves or loads use this store."""
        token = _store.set(self)
        try:
            yield self
        finally:
            _store.reset(token)

    def put(self, owner, arrays):
        """Add the weights of a backbone, and return their key, equal for equal weights.

        The weights of an owner are written once, however often its state is requested.
        """
        if owner not in self._keys:
            # Safetensors ignores strides, and writes the memory of an array as it is.
            arrays = {name: np.asarray(a, order="C") for name, a in arrays.items()}
            content = safetensors.numpy.save(arrays)
            key = hashlib.sha256(content).hexdigest()
            self._keys[owner] = key
            self.files[key] = content
        return self._keys[owner]

    def get(self, key):
        """Return the weights of a key by name, the same arrays at each call."""
        if key not in self._arrays:
            arrays = safetensors.numpy.load(self._read(key))
            # Safetensors returns them in no particular order.
            self._arrays[key] = dict(sorted(arrays.items()))
        return self._arrays[key]


def weight_store_in_use():
    """Return the store that backbones must use in this context, or None."""
    return _store.get()
