"""Eigenvalues and eigenvectors of a sample covariance, without forming it if n << D."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

# Matrices of products are accurate to eps relative to the largest eigenvalue: down to
# this share of it, eigenvalues keep nine digits and axes stay orthogonal to as many.
_NARROW = 1e-6
# Up to this ratio n / D a wide spectrum is taken from the rows themselves. With more
# rows, each one weighs too little for the smallest eigenvalues to matter, and singular
# values would cost much more than the D x D matrix.
_FEW_ROWS = 3 / 2


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
    row_vectors : ndarray of shape (n_samples, rank)
        Left singular vectors U of Z: Z = sqrt(n) U diag(sqrt(eigenvalues)) axes.
    """

    eigenvalues: np.ndarray
    axes: np.ndarray
    squared_norms: np.ndarray
    row_vectors: np.ndarray

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

        Of the n x n matrix of the rows' inner products and the D x D matrix the smaller
        one is decomposed, so that none of D x D is formed with n << D. They have the
        squares of the singular values; where these differ too much for that, and there
        are few rows, the rows are decomposed themselves.

        Parameters
        ----------
        centred : ndarray of shape (n_samples, n_features)
            Rows with mean zero, float64.

        Returns
        -------
        spectrum : Spectrum
        """
        n_samples, n_features = centred.shape
        if n_samples <= n_features:
            parts = _decompose_inner_products(centred)
        else:
            parts = _decompose_scatter(centred)
        if n_samples < _FEW_ROWS * n_features and not _is_narrow(parts[0]):
            parts = _decompose_rows(centred)
        eigenvalues, axes, row_vectors = parts
        return cls(
            eigenvalues, axes, np.einsum("ij,ij->i", centred, centred), row_vectors
        )


def _is_narrow(eigenvalues):
    """Whether eigenvalues, largest first, are near enough to keep their digits."""
    return len(eigenvalues) > 0 and eigenvalues[-1] > _NARROW * eigenvalues[0]


def _decompose_inner_products(centred):
    """Return eigenvalues, axes and row vectors, to be used if they are narrow."""
    n_samples = len(centred)
    eigenvalues, vectors = linalg.eigh(
        centred @ centred.T, overwrite_a=True, check_finite=False, driver="evd"
    )
    # The least is that of the ones, zero for centred rows.
    eigenvalues, vectors = eigenvalues[:0:-1], vectors[:, :0:-1]
    axes = None
    if _is_narrow(eigenvalues):
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
    """Return eigenvalues, axes and row vectors by the D x D matrix."""
    n_samples, n_features = centred.shape
    scatter = centred.T @ centred
    scatter /= n_samples
    eigenvalues, vectors = linalg.eigh(
        scatter, overwrite_a=True, check_finite=False, driver="evd"
    )
    rank = _rank(eigenvalues[::-1], np.finfo(float).eps * n_features)
    # One memory order, so that a pickled copy rounds as the original does.
    axes = np.ascontiguousarray(vectors.T[::-1][:rank])
    # The variances along the axes keep their digits where eigenvalues, which are
    # accurate to eps relative to the largest, have lost them.
    row_vectors = centred @ axes.T
    squared_lengths = np.einsum("ik,ik->k", row_vectors, row_vectors)
    row_vectors /= np.sqrt(squared_lengths)
    order = np.argsort(-squared_lengths, kind="stable")
    return squared_lengths[order] / n_samples, axes[order], row_vectors[:, order]


def _rank(eigenvalues, floor):
    """Count the eigenvalues, largest first, above a share of the largest."""
    return np.count_nonzero(eigenvalues > floor * eigenvalues[0])
