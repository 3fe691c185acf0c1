"""What the detectors share that measure Mahalanobis distances."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._decisions import ThresholdMixin
from .._validation import check_choice, check_real
from ._threshold import chi2_threshold

_THRESHOLDS = ("chi2",)


class BaseMahalanobisDetector(ThresholdMixin, BaseEstimator):
    """Scores and threshold from the squared distances of a subclass.

    A subclass has the parameters ``covariance``, ``shrinkage``, ``threshold`` and
    ``fpr``, sets ``_covariance`` and calls `_set_threshold` in its fit, and defines
    ``mahalanobis``.
    """

    def _check_parameters(self, covariances):
        check_choice("covariance", self.covariance, covariances)
        check_choice("threshold", self.threshold, _THRESHOLDS)
        check_real("fpr", self.fpr, 0, 1)
        if self.covariance == "shrunk":
            check_real("shrinkage", self.shrinkage, 0, 1, closed="high")

    def _set_threshold(self, n_dof):
        self.n_dof_ = n_dof
        self.offset_ = -chi2_threshold(self.fpr, n_dof)

    @property
    def covariance_(self):
        """Estimated covariance, of shape (n_features, n_features)."""
        check_is_fitted(self)
        return self._covariance.matrix()

    @property
    def precision_(self):
        """Inverse of the estimated covariance, of shape (n_features, n_features)."""
        check_is_fitted(self)
        return self._covariance.precision()

    def score_samples(self, X):
        """Minus the Mahalanobis distance (not squared): higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Float64, <= 0.
        """
        return -np.sqrt(self.mahalanobis(X))
