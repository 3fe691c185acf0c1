"""Covariances in a form that scores fast: spectral and diagonal."""

from dataclasses import dataclass

import numpy as np

# Rows scored at a time, so that the memory for scoring does not grow with the rows.
_BLOCK_VALUES = 2**23


class _Covariance:
    """What both forms share: working through many rows a block at a time."""

    def mahalanobis(self, X, location):
        """Squared Mahalanobis distance of each row (square of the paper's eq. 2).

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
        location : ndarray of shape (n_features,)
            The mean to measure from.

        Returns
        -------
        squared_distances : ndarray of shape (n_samples,)
        """
        squared = np.empty(len(X))
        step = max(1, _BLOCK_VALUES // X.shape[1])
        for start in range(0, len(X), step):
            block = slice(start, start + step)
            squared[block] = self._squared_distances(X[block] - location)
        return squared


@dataclass(frozen=True)
class SpectralCovariance(_Covariance):
    """Variances along some axes, and one variance elsewhere.

    Attributes
    ----------
    axes : ndarray of shape (rank, n_features)
        Orthonormal rows.
    variances : ndarray of shape (rank,)
        Variance along each axis, positive.
    complement_variance : float or None
        Variance along every direction orthogonal to the axes; None if there is none.
    """

    axes: np.ndarray
    variances: np.ndarray
    complement_variance: float | None

    def _squared_distances(self, centred):
        coordinates = centred @ self.axes.T
        squared = (coordinates**2) @ (1 / self.variances)
        if self.complement_variance is not None:
            # The residual is formed, not taken as a difference of squared norms, which
            # cancels for rows close to the span of the axes.
            residual = centred - coordinates @ self.axes
            squared += (
                np.einsum("ij,ij->i", residual, residual) / self.complement_variance
            )
        return squared

    @property
    def log_determinant(self):
        """Logarithm of the determinant of the covariance."""
        log_determinant = np.log(self.variances).sum()
        if self.complement_variance is not None:
            n_directions = self.axes.shape[1] - self.axes.shape[0]
            log_determinant += n_directions * np.log(self.complement_variance)
        return log_determinant

    def matrix(self):
        """Covariance matrix, ndarray of shape (n_features, n_features)."""
        return self._assemble(self.variances, self.complement_variance)

    def precision(self):
        """Inverse covariance, ndarray of shape (n_features, n_features)."""
        complement = self.complement_variance
        return self._assemble(
            1 / self.variances, None if complement is None else 1 / complement
        )

    def _assemble(self, along_axes, elsewhere):
        elsewhere = 0.0 if elsewhere is None else elsewhere
        matrix = (self.axes.T * (along_axes - elsewhere)) @ self.axes
        matrix[np.diag_indices_from(matrix)] += elsewhere
        return matrix


@dataclass(frozen=True)
class DiagonalCovariance(_Covariance):
    """Independent features.

    Attributes
    ----------
    variances : ndarray of shape (n_features,)
        Variance of each feature, positive.
    """

    variances: np.ndarray

    def _squared_distances(self, centred):
        return (centred**2) @ (1 / self.variances)

    @property
    def log_determinant(self):
        """Logarithm of the determinant of the covariance."""
        return np.log(self.variances).sum()

    def matrix(self):
        """Covariance matrix, ndarray of shape (n_features, n_features)."""
        return np.diag(self.variances)

    def precision(self):
        """Inverse covariance, ndarray of shape (n_features, n_features)."""
        return np.diag(1 / self.variances)
