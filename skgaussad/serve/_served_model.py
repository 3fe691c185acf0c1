"""A model as it is served: scores, facts, and what other rates come to."""

import copy
import warnings

import numpy as np

from ..calibration import fpr_bound
from ..detectors import find_decider, find_part, find_transformer
from ..exceptions import FalseAlarmRateWarning
from ..persistence import Scorer

_CONFIDENCE = 0.95
_RATES = (0.001, 0.002, 0.005, *(n / 100 for n in range(1, 31)))


class ServedModel(Scorer):
    """A model as its file was at one time.

    Attributes
    ----------
    samples : dict or None
        What the detector is fitted to, as `training_samples_`.
    held_out_distances : ndarray of shape (n_images,) or None
        The held-out distance of each training image.
    """

    def _read(self):
        """Read the model, and get it ready."""
        super()._read()
        self._at_rate = None
        # Once: each time they are compared with the moments of the Gaussian.
        self.samples = getattr(self.model, "training_samples_", None)
        part = find_part(self.model, "calibration_distances_")
        self.held_out_distances = (
            None if part is None else np.asarray(part.calibration_distances_)
        )
        # Builds the network, so that the first image does not wait for it.
        self.model.score_samples([np.zeros((8, 8), dtype=np.uint8)])

    @property
    def has_lots(self):
        """Whether whole lots were held out."""
        return self.held_out is not None and self.held_out.groups is not None

    def reference(self):
        """Return what new distances, or means of lots, are compared with.

        Returns
        -------
        distances : ndarray of shape (n_images,) or (n_lots,), or None
        least : float
            Number of images that a lot needs for its mean to be compared; 0 where there
            are no lots.
        """
        if self.held_out is None or not np.isfinite(self.held_out.distances).all():
            return None, 0
        if not self.has_lots:
            return self.held_out.distances, 0
        sizes = np.bincount(self.held_out.groups)
        means = np.bincount(self.held_out.groups, self.held_out.distances) / sizes
        return means, float(sizes.min() / 2)

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

    def at_rate(self, fpr):
        """Return the model as it decides by a false-alarm rate, None for its own."""
        if fpr is None:
            return self.model
        if self._at_rate is None or self._at_rate[0] != fpr:
            # What is large and stays as it is is shared.
            shared = (
                find_transformer(self.model)._backbone,
                getattr(self.model, "_training", None),
            )
            model = copy.deepcopy(self.model, {id(each): each for each in shared})
            decider = find_decider(model)
            decider.fpr = fpr
            with warnings.catch_warnings():
                # The page says which rates the images support.
                warnings.simplefilter("ignore", FalseAlarmRateWarning)
                decider._set_threshold()
            self._at_rate = fpr, model
        return self._at_rate[1]

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
