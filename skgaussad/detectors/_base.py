"""What a detector offers that knows held-out distances of its training samples."""

import warnings

import numpy as np
from scipy.stats import false_discovery_control
from sklearn.utils.validation import check_is_fitted

from .._utils.array_api import like, to_host
from .._utils.validation import check_choice, check_real
from ..calibration import GeneralizedParetoTail, HeldOutDistances, fpr_bound
from ..exceptions import FalseAlarmRateWarning
from ._decisions import ThresholdMixin
from ._groups import number_groups

# Those that need nothing but held-out distances.
HELD_OUT_THRESHOLDS = ("quantile", "leave_one_group_out", "tail")


class CalibratedMixin(ThresholdMixin):
    """Outlier detector with p-values and rates from held-out distances.

    A subclass has the parameters ``threshold``, ``fpr`` and ``confidence``, and calls
    `_set_held_out` and `_set_held_out_threshold` in its fit.
    """

    @property
    def calibration_distances_(self):
        """Held-out distance of each training sample, of shape (n_samples,)."""
        check_is_fitted(self)
        return self._held_out.distances

    def _check_working_point(self, thresholds, groups):
        """Judge ``threshold``, ``fpr``, ``confidence`` and the presence of groups."""
        check_choice("threshold", self.threshold, thresholds)
        check_real("fpr", self.fpr, 0, 1)
        if self.threshold == "leave_one_group_out" and groups is None:
            raise ValueError(
                "threshold='leave_one_group_out' needs the group of each training "
                "sample: fit(X, groups=groups), or in a pipeline whose detector is "
                "named 'detector', fit(X, detector__groups=groups)."
            )
        if self.confidence is None:
            return
        check_real("confidence", self.confidence, 0, 1)
        if self.threshold != "quantile":
            raise ValueError(
                "confidence needs threshold='quantile'; got "
                f"threshold={self.threshold!r}. Set confidence=None for the rate on "
                "average over training sets."
            )

    def _groups_to_hold_out(self, groups, X):
        """Return the groups as numbers, or None where single samples are held out."""
        if groups is not None:
            groups = number_groups(groups, X)
        return groups if self.threshold == "leave_one_group_out" else None

    def _set_held_out(self, distances, groups=None):
        """Keep the held-out distances, with a law for their tail if asked for."""
        tail = None
        if self.threshold == "tail":
            tail = GeneralizedParetoTail.fit(distances)
        self._held_out = HeldOutDistances(distances, groups, tail)

    def _set_held_out_threshold(self):
        """Set ``offset_`` by the held-out distances; warn where they are too few."""
        doubt = self._held_out.doubt(self.fpr, self.confidence)
        if doubt is not None:
            warnings.warn(doubt, FalseAlarmRateWarning, stacklevel=3)
        threshold = self._held_out.threshold(self.fpr, self.confidence)
        if not np.isfinite(threshold):
            distances = self._held_out.distances
            raise ValueError(
                f"There is no finite threshold for fpr={self.fpr:g}: for "
                f"{np.isinf(distances).sum()} of the {len(distances)} training samples "
                "the others do not determine a Gaussian, so that the distance to it is "
                "infinite. Give more, and different, samples, or set a threshold that "
                "does not need them, such as threshold='chi2' of MahalanobisDetector."
            )
        self.offset_ = -threshold

    def p_values(self, X):
        """Conformal p-values: how unusual samples are among normal ones.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            In (0, 1], (1 + number of held-out distances >= the sample's) / (n + 1). If
            normal samples are exchangeable, which independent ones are, one has a
            p-value of at most a with a probability of at most a [1]_, up to what one
            training sample does to the model: see Notes. With ``threshold="tail"``
            those below 1 / (n + 1) come from the fitted law, without that guarantee.

        Notes
        -----
        For the guarantee to be exact, a training sample would have to be measured by
        the model of all others and the new sample. It is measured by that of the
        others, so by a model of one sample (or fold, or group) less than the model that
        `X` is measured by. This makes the p-values a little too large rather than too
        small; ``benchmarks/calibration.py`` measures what is left of it.

        References
        ----------
        .. [1] V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a Random
           World", Springer 2005.
        """
        scores = self.score_samples(X)
        p_values = self._held_out.p_values(-to_host(scores))
        return like(p_values, scores, scores.dtype)

    def predict_batch(self, X, *, fdr=0.05):
        """Decide on a batch at once, with a limit on the share of false discoveries.

        The procedure of Benjamini and Hochberg on the p-values. Of the samples called
        anomalous, a share of at most `fdr` is normal on average over batches. The
        threshold adapts: with many anomalies it is lower than for single samples, with
        none hardly any sample is called anomalous.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        fdr : float, default=0.05
            Acceptable false discovery rate, in (0, 1).

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            +1 for normal, -1 for anomalous samples.

        Notes
        -----
        No p-value is below 1 / (n + 1) with n training samples, unless it comes from
        ``threshold="tail"``. A batch of m samples of which k are anomalous needs about
        m / (k fdr) training samples, or none can be called anomalous. With the tail
        fewer will do, and the limit then rests on its law.

        References
        ----------
        .. [1] Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate",
           Journal of the Royal Statistical Society B 57 (1995), 289-300.
        .. [2] S. Bates, E. Candès, L. Lei, Y. Romano and M. Sesia, "Testing for
           outliers with conformal p-values", Annals of Statistics 51 (2023), 149-178.
        """
        check_real("fdr", fdr, 0, 1)
        p_values = self.p_values(X)
        adjusted = false_discovery_control(to_host(p_values))
        return like(np.where(adjusted <= fdr, -1, 1), p_values)

    def fpr_bound(self, confidence=0.95):
        """Upper bound on the false-positive rate of ``predict``.

        Parameters
        ----------
        confidence : float, default=0.95
            Share of training sets, in (0, 1), in which the rate is at most the bound.

        Returns
        -------
        bound : float
            In (0, 1]; see :func:`~skgaussad.calibration.fpr_bound`, with the number of
            held-out distances of training samples above the threshold.
        """
        distances = self.calibration_distances_
        n_exceeding = np.count_nonzero(distances > -self.offset_)
        return fpr_bound(n_exceeding, len(distances), confidence)
