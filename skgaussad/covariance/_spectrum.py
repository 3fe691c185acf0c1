"""Eigenvalues and eigenvectors of a sample covariance, without forming it if n << D."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

# The ratio n / D from which the decomposition of the D x D matrix is the cheaper one.
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

        With clearly fewer rows than columns the singular value decomposition of the
        rows is taken, which costs n^2 D instead of D^3 and never forms a D x D matrix.

        Parameters
        ----------
        centred : ndarray of shape (n_samples, n_features)
            Rows with mean zero, float64.

        Returns
        -------
        spectrum : Spectrum
        """
        n_samples, n_features = centred.shape
        squared_norms = np.einsum("ij,ij->i", centred, centred)
        if n_samples < _SVD_BELOW * n_features:
            row_vectors, singular_values, axes = linalg.svd(
                centred, full_matrices=False, check_finite=False
            )
            eigenvalues = singular_values**2 / n_samples
            # Singular values are accurate to eps relative to the largest, so their
            # squares are meaningful down to eps squared.
            floor = (np.finfo(float).eps * n_features) ** 2
        else:
            scatter = centred.T @ centred
            scatter /= n_samples
            eigenvalues, vectors = linalg.eigh(
                scatter, overwrite_a=True, check_finite=False, driver="evd"
            )
            eigenvalues, axes = eigenvalues[::-1], vectors.T[::-1]
            row_vectors = None
            floor = np.finfo(float).eps * n_features
        rank = np.count_nonzero(eigenvalues > floor * eigenvalues[0])
        # One memory order, so that a pickled copy rounds as the original does.
        return cls(
            np.ascontiguousarray(eigenvalues[:rank]),
            np.ascontiguousarray(axes[:rank]),
            squared_norms,
            None if row_vectors is None else row_vectors[:, :rank],
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
