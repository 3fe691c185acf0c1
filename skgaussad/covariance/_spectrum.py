"""Eigenvalues and eigenvectors of a sample covariance, without forming it if n << D."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

# Inner products are accurate to eps relative to the largest eigenvalue: down to this
# share of it, eigenvalues keep nine digits and axes stay orthogonal to as many.
_GRAM_ABOVE = 1e-6
# The ratio n / D from which the decomposition of the D x D matrix is cheaper than that
# of the rows.
_SVD_BELOW = 2 / 3


@dataclass(frozen=True)
class Spectrum:
    """The sample covariance S = (1/n) Z'Z of centred rows Z, in its eigenbasis.

    Attributes
    ----------
    eigenvalues : ndarray of shape (rank,)
        The eigenvalues of S above rounding error, largest first.
    axes : ndarray of shape (rank, n_features)
        The matching unit eigenvectors, one a row.
    squared_norms : ndarray of shape (n_samples,)
        Squared Euclidean norm of each row of Z.
    row_vectors : ndarray of shape (n_samples, rank) or None
        Left singular vectors U of Z, where the decomposition gave them:
        Z = sqrt(n) U diag(sqrt(eigenvalues)) axes.
    """

    eigenvalues: np.ndarray
    axes: np.ndarray
    squared_norms: np.ndarray
    row_vectors: np.ndarray | None

    @property
    def n_samples(self):
        """Number of rows the covariance was taken over."""
        return self.squared_norms.shape[0]

    @property
    def n_features(self):
        """Number of columns, D."""
        return self.axes.shape[1]

    @property
    def rank(self):
        """Numerical rank of S."""
        return self.eigenvalues.shape[0]

    @property
    def mean_variance(self):
        """The mean of the D variances, nu = tr(S) / D."""
        return self.squared_norms.mean() / self.n_features

    @classmethod
    def of(cls, centred):
        """Decompose the sample covariance of centred rows.

        With fewer rows than columns the n x n matrix of the rows' inner products is
        decomposed, which costs n^2 D instead of D^3 and never forms a D x D matrix. It
        has the squares of the singular values, so where these differ too much for that,
        the rows are decomposed themselves.

        Parameters
        ----------
        centred : ndarray of shape (n_samples, n_features)
            Rows with mean zero, float64.

        Returns
        -------
        spectrum : Spectrum
        """
        n_samples, n_features = centred.shape
        parts = None
        if n_samples <= n_features:
            parts = _decompose_inner_products(centred)
        if parts is None:
            if n_samples < _SVD_BELOW * n_features:
                parts = _decompose_rows(centred)
            else:
                parts = _decompose_scatter(centred)
        eigenvalues, axes, row_vectors = parts
        return cls(
            eigenvalues, axes, np.einsum("ij,ij->i", centred, centred), row_vectors
        )

    def row_vectors_of(self, centred):
        """Left singular vectors of the rows that were decomposed.

        Parameters
        ----------
        centred : ndarray of shape (n_samples, n_features)
            The rows given to `of`.

        Returns
        -------
        row_vectors : ndarray of shape (n_samples, rank)
        """
        if self.row_vectors is not None:
            return self.row_vectors
        scales = np.sqrt(self.n_samples * self.eigenvalues)
        return (centred @ self.axes.T) / scales


def _decompose_inner_products(centred):
    """Return eigenvalues, axes and row vectors, or None if they would be inaccurate."""
    n_samples = len(centred)
    eigenvalues, vectors = linalg.eigh(
        centred @ centred.T, overwrite_a=True, check_finite=False, driver="evd"
    )
    # The least is that of the ones, zero for centred rows.
    eigenvalues, vectors = eigenvalues[:0:-1], vectors[:, :0:-1]
    if len(eigenvalues) == 0 or eigenvalues[-1] <= _GRAM_ABOVE * eigenvalues[0]:
        return None
    axes = vectors.T @ centred
    axes /= np.sqrt(eigenvalues)[:, np.newaxis]
    return eigenvalues / n_samples, axes, vectors


def _decompose_rows(centred):
    """Return eigenvalues, axes and row vectors by singular values."""
    n_samples, n_features = centred.shape
    row_vectors, singular_values, axes = linalg.svd(
        centred, full_matrices=False, check_finite=False
    )
    eigenvalues = singular_values**2 / n_samples
    # Singular values are accurate to eps relative to the largest, so their squares are
    # meaningful down to eps squared.
    rank = _rank(eigenvalues, (np.finfo(float).eps * n_features) ** 2)
    return eigenvalues[:rank], axes[:rank], row_vectors[:, :rank]


def _decompose_scatter(centred):
    """Return eigenvalues and axes by the D x D matrix, and no row vectors."""
    n_samples, n_features = centred.shape
    scatter = centred.T @ centred
    scatter /= n_samples
    eigenvalues, vectors = linalg.eigh(
        scatter, overwrite_a=True, check_finite=False, driver="evd"
    )
    eigenvalues, axes = eigenvalues[::-1], vectors.T[::-1]
    rank = _rank(eigenvalues, np.finfo(float).eps * n_features)
    # One memory order, so that a pickled copy rounds as the original does.
    return (
        np.ascontiguousarray(eigenvalues[:rank]),
        np.ascontiguousarray(axes[:rank]),
        None,
    )


def _rank(eigenvalues, floor):
    """Count the eigenvalues, largest first, above a share of the largest."""
    return np.count_nonzero(eigenvalues > floor * eigenvalues[0])
