"""What all detectors have in common: the contract, in the order of its use."""

import inspect
import warnings

import numpy as np
from scipy.stats import false_discovery_control
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from .._utils.array_api import like, namespace_of, to_host
from .._utils.validation import check_choice, check_real
from ..calibration import (
    GeneralizedParetoTail,
    HeldOutDistances,
    fpr_bound,
    warn_of_contradiction,
)
from ..exceptions import FalseAlarmRateWarning

# The rules that need nothing but held-out distances.
RULES = ("quantile", "tail")
# Parameters that say where the threshold lies. The distances do not depend on them.
_WORKING_POINT = ("threshold", "fpr", "confidence")
# A sample as many times as far out as the next is named. Of Gaussian samples of 50 or
# more features none was in 400 training sets of ten or more; fewer tell nothing.
_FAR_BEYOND = 1.5
_FEWEST = 10


class BaseDetector(OutlierMixin, BaseEstimator):
    """Outlier detector whose threshold comes from held-out distances.

    Each training sample is measured by a model that has not seen it, or its group. From
    these distances come the threshold, p-values and a bound on the false-positive rate.

    A subclass has the parameters ``threshold`` (the rule), ``fpr`` and ``confidence``,
    and defines ``score_samples``. Its ``fit`` calls, in this order,
    `_check_working_point`, `_warn_of_anomalies`, `_discard_threshold`, `_set_held_out`
    and `_set_threshold`.
    """

    # Groups may be meant for a splitter only; ``set_fit_request(groups=True)`` asks for
    # them.
    __metadata_request__fit = {"groups": False}  # noqa: RUF012

    # Parameters that the scores depend on, and the threshold with them.
    _scoring_parameters = ()
    _not_calibrated = "There is no threshold. Call fit."

    # -- Fit ---------------------------------------------------------------------------

    def _check_working_point(self, groups=None, rules=RULES):
        """Check the parameters of the working point, and whether they go together."""
        check_choice("threshold", self.threshold, rules)
        check_real("fpr", self.fpr, 0, 1)
        if self.threshold != "quantile" and groups is not None:
            raise ValueError(
                f"groups have no effect with threshold={self.threshold!r}, which takes "
                "samples for independent. Use threshold='quantile', for the rate in a "
                "new group, or fit without groups."
            )
        if self.confidence is None:
            return
        check_real("confidence", self.confidence, 0, 1)
        if self.threshold != "quantile" or groups is not None:
            came = f"threshold={self.threshold!r}" if groups is None else "groups"
            raise ValueError(
                f"confidence needs threshold='quantile' without groups; got {came}. "
                "Set confidence=None for the rate on average over training sets."
            )

    def _check_inner(self, estimator):
        """Raise where a detector inside has a working point, which plays no part."""
        nested = estimator.get_params().values()
        for part in (estimator, *(part for part in nested if hasattr(part, "fit"))):
            names = set(_WORKING_POINT)
            if type(part).__module__.startswith("sklearn."):
                # It sets the threshold alone there, too.
                names.add("contamination")
            for name, parameter in inspect.signature(type(part)).parameters.items():
                value = getattr(part, name, parameter.default)
                if name not in names or value == parameter.default:
                    continue
                own = name if name in _WORKING_POINT else "fpr"
                raise ValueError(
                    f"{name}={value!r} of the inner {type(part).__name__} has no "
                    f"effect: the threshold is that of the {type(self).__name__}. "
                    f"Set {own} there, and leave {name}={parameter.default!r} inside."
                )

    @staticmethod
    def _warn_of_anomalies(y):
        """Warn where labels say that training samples are anomalous."""
        y = np.asarray(y)
        n_anomalous = np.count_nonzero(y == -1)
        if n_anomalous:
            warnings.warn(
                f"y marks {n_anomalous} of {y.size} training samples as anomalous "
                "(-1), and fit takes all of them for normal. Fit on X[y == 1]; in a "
                "cross-validation or search use cv=NormalKFold() of "
                "skgaussad.model_selection, which trains on normal samples only, and "
                "refit=False.",
                UserWarning,
                stacklevel=3,
            )

    def _set_held_out(self, distances, groups=None, copies=None, folds=None):
        """Keep the held-out distances, with a distribution of their tail if asked.

        With `folds`, numbers of the folds that were held out, new samples are to be
        measured by ``_held_out.join_folds``.
        """
        self._copies = copies if groups is None else None
        self._held_out_distances = self._hold_distances(
            distances, groups, self._copies, folds
        )
        self._fitted_scoring = _values_of(self, self._scoring_parameters)

    def _hold_distances(self, distances, groups, copies, folds=None):
        """Return held-out distances, of equal samples one, with what the rule needs."""
        if copies is not None:
            first = np.unique(copies, return_index=True)[1]
            distances = distances[first]
            folds = None if folds is None else folds[first]
        tail = None
        if self.threshold == "tail":
            tail = GeneralizedParetoTail.fit(distances)
        return HeldOutDistances(distances, groups, tail, folds)

    def _set_threshold(self):
        """Set ``offset_``; warn where the held-out distances do not bear it out."""
        parametric = self._parametric_threshold()
        if parametric is not None:
            warn_of_contradiction(
                parametric, self.fpr, self.threshold, self._held_out.distances
            )
            self.offset_ = -parametric
            return
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

    def _discard_threshold(self):
        """Drop what held for other training samples."""
        for name in ("_held_out_distances", "_copies", "_offset"):
            vars(self).pop(name, None)

    def _parametric_threshold(self):
        """Threshold by a distribution of Gaussian samples, or None by held-out ones."""
        return None

    def _find_lone_sample(self):
        """Find a training sample that alone sets the threshold, far beyond the next.

        Returns
        -------
        lone : tuple of (int, float, float) or None
            Its number, the threshold, and the next smaller distance.
        """
        distances, threshold = self.calibration_distances_, -self.offset_
        setting = np.flatnonzero(distances == threshold)
        below = distances[distances < threshold]
        if len(setting) == 0 or len(below) < _FEWEST - 1:
            return None
        following = float(below.max())
        if threshold < _FAR_BEYOND * following:
            return None
        return int(setting[0]), threshold, following

    def _calibrated(self, name):
        """Return what is set with the threshold, or raise if it is not set."""
        check_is_fitted(self)
        if name not in vars(self):
            raise NotFittedError(self._not_calibrated)
        return vars(self)[name]

    @property
    def _held_out(self):
        """The held-out distances, with what they tell of rates."""
        held_out = self._calibrated("_held_out_distances")
        check_unchanged(self, self._fitted_scoring)
        return held_out

    @property
    def calibration_distances_(self):
        """Held-out distance of each training sample, of shape (n_samples,)."""
        distances = self._held_out.distances
        return distances if self._copies is None else distances[self._copies]

    @property
    def offset_(self):
        """Minus the threshold on the distance."""
        offset = self._calibrated("_offset")
        check_unchanged(self, self._fitted_working_point)
        return offset

    @offset_.setter
    def offset_(self, offset):
        self._offset = offset
        self._fitted_working_point = working_point_of(self)

    # -- Score, decide -----------------------------------------------------------------

    def decision_function(self, X):
        """Score relative to the threshold: negative for anomalies.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or sequence of images
            As ``score_samples`` takes it.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Tell normal samples from anomalies.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or sequence of images
            As ``score_samples`` takes it.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            +1 for normal, -1 for anomalous.
        """
        decision = self.decision_function(X)
        xp = namespace_of(decision)
        normal = xp.ones_like(decision, dtype=xp.int64)
        return xp.where(decision >= 0, normal, -normal)

    # -- P-values, batches, bound ------------------------------------------------------

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
            those below 1 / (n + 1) come from the fitted distribution, without that
            guarantee.

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
        """Decide on a batch at once, with a limit on the fraction of false discoveries.

        The procedure of Benjamini and Hochberg on the p-values. The fraction of normal
        samples among those called anomalous, taken as 0 in a batch where none is,
        averages at most `fdr` over batches and training sets. The threshold adapts:
        with many anomalies it is lower than for single samples, with none hardly any
        sample is called anomalous.

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
        fewer will do, and the limit then rests on its distribution.

        The limit is no promise for those batches in which some sample is called
        anomalous. Simulated with 1,000 training samples, one clear anomaly among 100
        samples and ``fdr=0.05``, 9 % of the batches had such a sample, and in these
        half of them were normal; with five anomalies all were found in all batches, and
        4 % of what was called anomalous was normal.

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
            Fraction of training sets, in (0, 1), in which the rate is at most the
            bound.

        Returns
        -------
        bound : float
            In (0, 1]; see :func:`~skgaussad.calibration.fpr_bound`, with the number of
            held-out distances of training samples above the threshold. Where groups
            were held out these are what is counted: each by the fraction of its samples
            above the threshold, and the sum rounded up.
        """
        held_out = self._held_out
        n_exceeding = held_out.n_exceeding(-self.offset_)
        return fpr_bound(n_exceeding, held_out.n_units, confidence)


def working_point_of(detector):
    """Return the parameters that say where the threshold of a detector lies."""
    return _values_of(
        detector, (*_WORKING_POINT, *getattr(detector, "_scoring_parameters", ()))
    )


def _values_of(detector, names):
    """Return those of some parameters that a detector has."""
    return {name: getattr(detector, name) for name in names if hasattr(detector, name)}


def check_unchanged(detector, fitted):
    """Raise where the working point of a detector is not the fitted one any more."""
    for name, value in fitted.items():
        if getattr(detector, name, value) != value:
            raise ValueError(
                f"{name} was set to {getattr(detector, name)!r} after the threshold "
                f"had been set with {name}={value!r}, and the two do not go together. "
                "Call fit again, or set it back."
            )
