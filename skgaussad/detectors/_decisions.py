"""From scores and a threshold to decisions, the same for every detector."""

from sklearn.base import OutlierMixin

from .._utils.array_api import namespace_of


class ThresholdMixin(OutlierMixin):
    """Outlier detector that decides by ``score_samples`` and ``offset_``."""

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
