"""Covariances in a form that scores fast: spectral and diagonal."""

from dataclasses import dataclass, field

import numpy as np

from .._utils.array_api import like, namespace_of
from ._spectrum import DeferredAxes

# Rows scored at a time, so that the memory for scoring does not grow with the rows.
_BLOCK_VALUES = 2**23


class _Covariance:
    """What both forms share: working through many rows a block at a time.

    A subclass gives arrays with `_terms` that its `_squared_distances` works with.
    """

    def mahalanobis(self, X, location):
        """Squared Mahalanobis distance of each row (square of the paper's eq. 2).

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Of any array namespace, in the dtype to compute in.
        location : ndarray of shape (n_features,)
            The mean to measure from.

        Returns
        -------
        squared_distances : array of shape (n_samples,)
            In the namespace, dtype and device of `X`.
        """
        location, *terms = (
            like(array, X, X.dtype) for array in (location, *self._terms())
        )
        n_samples, n_features = X.shape
        squared = namespace_of(X).empty_like(X[:, 0])
        step = max(1, _BLOCK_VALUES // n_features)
        for start in range(0, n_samples, step):
            block = slice(start, min(start + step, n_samples))
            squared[block] = self._squared_distances(X[block, :] - location, *terms)
        return squared


@dataclass(frozen=True, eq=False)
class SpectralCovariance(_Covariance):
    """Variances along some axes, and one variance elsewhere.

    Attributes
    ----------
    deferred_axes : DeferredAxes
        Orthonormal rows. Where a variance is close to `complement_variance`, rounding
        may have left its axis less than orthogonal to the others.
    variances : ndarray of shape (rank,)
        Variance along each axis, positive, and not below `complement_variance`.
    complement_variance : float or None
        Variance along every direction orthogonal to the axes; None if there is none.
    """

    deferred_axes: DeferredAxes = field(repr=False)
    variances: np.ndarray
    complement_variance: float | None

    @property
    def axes(self):
        """The axes, ndarray of shape (rank, n_features)."""
        return self.deferred_axes.array

    def _terms(self):
        """Axes and weights of `_squared_distances`.

        With all coordinates y of a row z taken out of it, what is left has the variance
        of the complement. With y_k (1 - sqrt(complement / variance_k)) taken out, all
        of it has: that is for variances close to the complement's, where so little is
        taken out that axes need not be exact. Neither is a difference of squared norms,
        which cancels for rows close to the span of the axes.
        """
        if self.complement_variance is None:
            return self.axes, 1 / self.variances
        ratios = self.complement_variance / self.variances
        apart = ratios < 1 / 2
        along = np.where(apart, 1 / self.variances, 0.0)
        taken = np.where(apart, 1.0, 1 - np.sqrt(ratios))
        elsewhere = np.full(self.axes.shape[1], 1 / self.complement_variance)
        return self.axes, along, taken, elsewhere

    @staticmethod
    def _squared_distances(centred, axes, along, taken=None, elsewhere=None):
        coordinates = centred @ axes.T
        squared = coordinates**2 @ along
        if taken is not None:
            centred -= (coordinates * taken) @ axes
            squared += centred**2 @ elsewhere
        return squared

    def solve(self, centred):
        """Multiply the inverse of the covariance by vectors.

        Parameters
        ----------
        centred : ndarray of shape (n_samples, n_features)

        Returns
        -------
        solved : ndarray of shape (n_samples, n_features)
        """
        axes, along, *rest = self._terms()
        coordinates = centred @ axes.T
        solved = (coordinates * along) @ axes
        if rest:
            taken, elsewhere = rest
            left = centred - (coordinates * taken) @ axes
            solved += (left - ((left @ axes.T) * taken) @ axes) * elsewhere
        return solved

    @property
    def log_determinant(self):
        """Logarithm of the determinant of the covariance."""
        log_determinant = np.log(self.variances).sum()
        if self.complement_variance is not None:
            rank, n_features = self.deferred_axes.shape
            n_directions = n_features - rank
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

    def _terms(self):
        """Weights of `_squared_distances`."""
        return (1 / self.variances,)

    @staticmethod
    def _squared_distances(centred, weights):
        return centred**2 @ weights

    def solve(self, centred):
        """Multiply the inverse of the covariance by vectors.

        Parameters
        ----------
        centred : ndarray of shape (n_samples, n_features)

        Returns
        -------
        solved : ndarray of shape (n_samples, n_features)
        """
        return centred / self.variances

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
