"""A fit without the training samples that look anomalous themselves."""

import warnings

import numpy as np
from scipy.stats import false_discovery_control
from sklearn.base import MetaEstimatorMixin
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from .._utils.validation import check_integer, check_real
from ._apart import p_values_of_bulk
from ._base import BaseDetector
from ._copies import find_copies
from ._hold_out import fit_clone, take_rows, validate_named
from ._learned_steps import warn_of_learned_steps
from ._mahalanobis import MahalanobisDetector
from ._order import warn_of_order


class RobustDetector(MetaEstimatorMixin, BaseDetector):
    """Find anomalies among the training samples, and fit without them.

    A detector is fitted, each training sample is measured without having been in the
    fit, and those too far out for the distribution of the bulk are left out of the next
    fit, until the same ones are found again. What it leaves out is listed for a person
    to look at.

    Parameters
    ----------
    estimator : outlier detector or None, default=None
        A detector with ``calibration_distances_``, such as
        :class:`~skgaussad.MahalanobisDetector` (taken for None) or
        :class:`~skgaussad.LevelEnsemble`.

    alpha : float, default=0.1
        False discovery rate among the suspects, in (0, 1), as far as the distribution
        of the bulk holds: higher values find more anomalies and suspect more normal
        samples.

    max_contamination : float, default=0.3
        Largest fraction of the training samples to suspect, in (0, 0.5).

    threshold : {"quantile", "tail"}, default="quantile"
        How `fpr` becomes a distance, as in
        :class:`~skgaussad.MahalanobisDetector`.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1).

    confidence : float or None, default=None
        With ``threshold="quantile"``, a number in (0, 1) keeps `fpr` in that
        fraction of training sets, None on average over them.

    max_iter : int, default=20
        Most fits.

    Attributes
    ----------
    estimator_ : outlier detector
        Fitted to the samples that are not suspected.

    support_ : ndarray of shape (n_samples,), dtype bool
        Which training samples it was fitted to.

    suspects_ : ndarray of shape (n_suspects,), dtype int
        The others, to recheck: their positions, the most suspicious first.

    training_p_values_ : ndarray of shape (n_samples,)
        Of the training samples by the distribution of the bulk, in [0, 1].

    calibration_distances_ : ndarray of shape (n_samples,)
        Held-out distance of each training sample, suspects included.

    n_iter_ : int
        Number of fits.

    offset_ : float
        Minus the threshold on the distance.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen in `fit`, if all are strings.

    See Also
    --------
    sklearn.covariance.MinCovDet : A robust covariance for n >> D.

    Notes
    -----
    The distribution of the bulk is log-normal, by the median and the lower quartile of
    the held-out distances, and the suspects are chosen by the procedure of Benjamini
    and Hochberg on its p-values. Distances of good images have heavier tails than that,
    so that some good images are among the suspects, and an anomaly like the good images
    is not. Anomalies that are all alike hide one another: in simulations, clusters of a
    twentieth of the samples were often missed, and larger ones nearly always.

    The threshold counts suspects as normal samples until a person has looked at them:
    it takes the held-out distances of all. So the false-positive rate is about kept
    where all training samples are normal. Good images that are taken for suspects
    leave the Gaussian without them: of 30 and 60 solar cells the rate for 5 % was up to
    1.7 points higher than that of a plain fit (5.8 % and 4.1 %, mono, n = 60); of 100
    and more up to 0.7 points. Where they are not, the threshold is too high; leave the
    confirmed anomalies out of `X` and fit again.

    References
    ----------
    .. [1] O. Rippel, P. Mertens, E. König and D. Merhof, "Gaussian anomaly detection by
       modeling the distribution of normal data in pretrained deep features", IEEE
       Transactions on Instrumentation and Measurement 70 (2021).
    .. [2] Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate",
       Journal of the Royal Statistical Society B 57 (1995), 289-300.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import RobustDetector
    >>> X = np.random.default_rng(0).normal(size=(100, 5))
    >>> X[[7, 30]] += 6
    >>> detector = RobustDetector().fit(X)
    >>> np.sort(detector.suspects_)
    array([ 7, 30])
    """

    # Fit takes no groups.
    __metadata_request__fit = {"groups": UNUSED}  # noqa: RUF012

    def __init__(
        self,
        estimator=None,
        *,
        alpha=0.1,
        max_contamination=0.3,
        threshold="quantile",
        fpr=0.05,
        confidence=None,
        max_iter=20,
    ):
        self.estimator = estimator
        self.alpha = alpha
        self.max_contamination = max_contamination
        self.threshold = threshold
        self.fpr = fpr
        self.confidence = confidence
        self.max_iter = max_iter

    def fit(self, X, y=None):
        """Find suspects, and fit the detector to the other samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of samples most of which are normal.
        y : array-like of shape (n_samples,) or None, default=None
            Ignored, with a warning where it holds -1.

        Returns
        -------
        self : RobustDetector

        Raises
        ------
        ValueError
            If a parameter is out of its range, or the detector cannot be fitted.
        TypeError
            If the detector has no held-out distances.

        Warns
        -----
        UserWarning
            If more than `max_contamination` of the samples look anomalous.
        FalseAlarmRateWarning
            If the samples are too few for `fpr`.
        """
        self._check_working_point()
        estimator = MahalanobisDetector() if self.estimator is None else self.estimator
        self._check_inner(estimator)
        self._warn_of_anomalies(y)
        check_real("alpha", self.alpha, 0, 1)
        check_real("max_contamination", self.max_contamination, 0, 0.5)
        check_integer("max_iter", self.max_iter, 1)
        X = validate_named(self, X, ensure_min_samples=2)
        copies = find_copies(X)
        self._discard_threshold()
        most = int(self.max_contamination * len(X))
        support, seen = np.ones(len(X), dtype=bool), set()
        for n_iter in range(1, self.max_iter + 1):
            self.n_iter_, self.support_ = n_iter, support
            self.estimator_, distances = _measure(estimator, X, support)
            self.training_p_values_ = p_values_of_bulk(distances)
            adjusted = false_discovery_control(self.training_p_values_)
            n_found = np.count_nonzero(adjusted <= self.alpha)
            support = np.ones(len(X), dtype=bool)
            support[np.argsort(-distances, kind="stable")[: min(n_found, most)]] = False
            seen.add(self.support_.tobytes())
            # The same suspects, or those of a round before, end the search.
            if support.tobytes() in seen:
                break
        if n_found > most:
            warnings.warn(
                f"{n_found} of the {len(X)} training samples look anomalous, more than "
                f"max_contamination={self.max_contamination:g} allows; the {most} most "
                "suspicious were left out. Look at these, and consider that there may "
                "be several kinds of normal samples.",
                UserWarning,
                stacklevel=2,
            )
        suspects = np.flatnonzero(~self.support_)
        order = np.argsort(-distances[suspects], kind="stable")
        self.suspects_ = suspects[order]
        self._set_held_out(distances, copies=copies)
        self._set_threshold()
        warn_of_learned_steps(self, X)
        if copies is not None:
            copies = np.unique(copies[self.support_], return_inverse=True)[1]
        warn_of_order(self, take_rows(X, self.support_), copies)
        return self

    def score_samples(self, X):
        """Score of the detector: higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        return self.estimator_.score_samples(validate_named(self, X, reset=False))


def _measure(estimator, X, support):
    """Fit to some samples; return the detector and held-out distances of all."""
    fitted = fit_clone(estimator, take_rows(X, support))
    if not hasattr(fitted, "calibration_distances_"):
        raise TypeError(
            f"estimator={estimator!r} has no calibration_distances_. Take a "
            "MahalanobisDetector or a LevelEnsemble, or put a ConformalDetector "
            "around it."
        )
    distances = np.empty(len(X))
    distances[support] = fitted.calibration_distances_
    if not support.all():
        distances[~support] = -fitted.score_samples(take_rows(X, ~support))
    return fitted, distances
