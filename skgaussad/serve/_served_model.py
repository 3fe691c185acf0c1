"""The model in use, and the one that takes its place when its file is replaced."""

import hashlib
import logging
import threading
from functools import cached_property

import numpy as np

from .._utils.file_stamp import stamp_of
from ..calibration import fpr_bound
from ..detectors import find_part
from ..persistence import Scorer, model_info

logger = logging.getLogger("uvicorn.error")
# Seconds from one look at the model file to the next.
_INTERVAL = 1.0
_CONFIDENCE = 0.95
_RATES = (0.001, 0.002, 0.005, *(n / 100 for n in range(1, 31)))


class ServedModel(Scorer):
    """A model as its file was at one time.

    Attributes
    ----------
    version : str
        The beginning of the SHA-256 of its file.
    facts : dict
        As of `model_info`.
    """

    def __init__(self, path):
        super().__init__(path)
        with open(path, "rb") as file:
            self.version = hashlib.sha256(file.read()).hexdigest()[:12]
        self.facts = model_info(path)
        self.held_out = self._held_out
        # Builds the network, so that the first image does not wait for it.
        self.model.score_samples([np.zeros((8, 8), dtype=np.uint8)])

    @cached_property
    def samples(self):
        """What the detector is fitted to, as `training_samples_`, or None.

        Once: each time it is compared with the moments of the Gaussian.
        """
        return getattr(self.model, "training_samples_", None)

    def working_point(self, fpr):
        """Return threshold and bound of a false-alarm rate, None for the model's own.

        Returns
        -------
        point : dict
            With ``"fpr"``, ``"threshold"``, ``"bound"``, or None, and ``"supported"``.
        """
        threshold, bound, is_supported = self.threshold, None, True
        if self.held_out is not None:
            if fpr is not None:
                threshold = float(self.held_out.threshold(fpr))
            n_exceeding = self.held_out.n_exceeding(threshold)
            bound = float(fpr_bound(n_exceeding, self.held_out.n_units, _CONFIDENCE))
            asked = self.fpr if fpr is None else fpr
            is_supported = asked is None or bool(self.held_out.supports(asked))
        return {
            "fpr": self.fpr if fpr is None else fpr,
            "threshold": threshold,
            "bound": bound,
            "supported": is_supported,
        }

    def working_points(self, *others):
        """Return those of all rates that are offered, in rising order."""
        if self.held_out is None:
            return []
        rates = {*_RATES, *(rate for rate in (self.fpr, *others) if rate is not None)}
        # The model's own may be by another rule, such as a confidence.
        return [
            self.working_point(None if rate == self.fpr else rate)
            for rate in sorted(rates)
        ]

    def held_out_distances(self):
        """Return the held-out distance of each training image, or None."""
        part = find_part(self.model, "calibration_distances_")
        return None if part is None else np.asarray(part.calibration_distances_)


class ModelHolder:
    """Holds the model, and goes over to the new one when its file is replaced.

    Parameters
    ----------
    path : str

    Attributes
    ----------
    path : str
    current : ServedModel
        The old one serves until the new one is ready.
    """

    def __init__(self, path):
        self.path = path
        self._stamp = stamp_of(path)
        self.current = ServedModel(path)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self):
        """Begin to look at the file."""
        self._thread.start()

    def stop(self):
        """Look no more."""
        self._stopped.set()
        self._thread.join()

    def refresh(self):
        """Read the file now, if it has changed."""
        with self._lock:
            stamp = stamp_of(self.path)
            if stamp is None or stamp == self._stamp:
                return
            # A file may be written bit by bit: tried again when it has changed.
            self._stamp = stamp
            try:
                self.current = ServedModel(self.path)
            except (OSError, ValueError) as error:
                logger.warning("The model of before is kept: %s", error)
            else:
                logger.info("Model %s is in use.", self.current.version)

    def _watch(self):
        while not self._stopped.wait(_INTERVAL):
            self.refresh()
