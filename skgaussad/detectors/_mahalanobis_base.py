"""What the detectors share that measure Mahalanobis distances."""

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._utils.array_api import namespace_of
from .._utils.validation import check_choice, check_real
from ..covariance import COVARIANCES
from ._decisions import ThresholdMixin


class BaseMahalanobisDetector(ThresholdMixin, BaseEstimator):
    """Scores and threshold from the squared distances of a subclass.

    A subclass has the parameters ``covariance`` and ``shrinkage``, sets ``_gaussian``
    and ``offset_`` in its fit, and defines ``mahalanobis``.
    """

    def _check_covariance(self):
        """Judge the parameters of the covariance."""
        check_choice("covariance", self.covariance, COVARIANCES)
        if self.covariance == "shrunk":
            check_real("shrinkage", self.shrinkage, 0, 1, closed="high")

    @property
    def covariance_(self):
        """Estimated covariance, of shape (n_features, n_features)."""
        check_is_fitted(self)
        return self._gaussian.matrix()

    @property
    def precision_(self):
        """Inverse of the estimated covariance, of shape (n_features, n_features)."""
        check_is_fitted(self)
        return self._gaussian.precision()

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
        squared = self.mahalanobis(X)
        return -namespace_of(squared).sqrt(squared)
