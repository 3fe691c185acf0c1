"""Decisions by a score and a threshold."""

from sklearn.base import OutlierMixin


class ThresholdMixin(OutlierMixin):
    """Outlier detector that decides by ``score_samples`` and ``offset_``."""

    def decision_function(self, X):
        """Score relative to the threshold: negative for anomalies.

        Parameters
        ----------
        X : sequence of n_images images

        Returns
        -------
        decision : ndarray of shape (n_images,)
            ``score_samples(X) - offset_``.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Tell normal images from anomalies.

        Parameters
        ----------
        X : sequence of n_images images

        Returns
        -------
        labels : ndarray of shape (n_images,)
            +1 for normal, -1 for anomalous.
        """
        return 2 * (self.decision_function(X) >= 0).astype(int) - 1
