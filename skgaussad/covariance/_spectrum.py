"""Eigenvalues and eigenvectors of a sample covariance, without forming it if n << D.

The eigenvectors of S = (1/n) Z'Z are the right singular vectors of the centred rows Z.
An eigendecomposition of the smaller one of the Gram matrix Z Z' (n x n) and the scatter
matrix Z'Z (D x D) gives them in a fraction of the time of a singular value
decomposition, but in either matrix singular values are squared: singular vectors from
the Gram matrix lose accuracy along axes with small singular values. That is harmless
where a floor is going to be added to all eigenvalues, as shrinkage does, and the floor
is well above those that are inaccurate. Elsewhere the rows themselves are decomposed.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

_EPS = np.finfo(float).eps
# Eigenvalues of a matrix of products, which are accurate to eps relative to the largest
# one, keep nine digits down to this fraction of it.
_PRECISE = 1e-5
# The same for squares of singular values, and twelve digits of the singular vectors.
_PRECISE_SVD = 1e-12
# Eigenvalues of a matrix of products below this fraction of the largest are rounding.
_ROUNDING = 10 * _EPS
# Least ratio of the floor to `least_floor`: it may be a little lower without a sample.
_MARGIN = 1.25


def product_matrix(rows):
    """Z Z' or Z'Z, whichever is smaller."""
    return rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A sample covariance S in its eigenbasis.

    Attributes
    ----------
    eigenvalues : ndarray of shape (rank,)
        Largest first, without those that are zero to rounding.
    axes : ndarray of shape (rank, n_features)
        Unit eigenvectors, one a row. Those of eigenvalues far below the floor may be
        less than orthonormal.
    least_floor : float
        Least floor that the eigenbasis is accurate enough for.
    is_precise : bool
        Whether all axes, also the last one, are accurate to nine digits.
    """

    eigenvalues: np.ndarray
    axes: np.ndarray
    least_floor: float
    is_precise: bool

    @classmethod
    def of_rows(cls, rows, floor=0.0, products=None, n_distinct=None):
        """Decompose the sample covariance of centred rows.

        Parameters
        ----------
        rows : ndarray of shape (n_samples, n_features)
            With mean zero, float64.
        floor : float, default=0.0
            What is going to be added to every eigenvalue; infinite where nothing of
            the eigenvalues will be left.
        products : ndarray or None, default=None
            The `product_matrix` of the rows, if known.
        n_distinct : int or None, default=None
            Number of different rows; None if all differ.

        Returns
        -------
        spectrum : Spectrum
        row_vectors : ndarray of shape (n_samples, rank) or None
            Left singular vectors U of Z, accurate to nine digits, where they are a
            by-product: Z = U diag(n eigenvalues)^(1/2) axes.
        """
        n_samples, n_features = rows.shape
        products = product_matrix(rows) if products is None else products
        eigenvalues, vectors = np.linalg.eigh(products / n_samples)
        # Of n rows around their mean one eigenvalue of the Gram matrix is zero.
        rank = min((n_distinct or n_samples) - 1, n_features)
        eigenvalues, vectors = eigenvalues[::-1][:rank], vectors[:, ::-1][:, :rank]
        is_precise = bool(eigenvalues[-1] > _PRECISE * eigenvalues[0])
        least_floor = 0.0 if is_precise else _PRECISE * eigenvalues[0]
        if floor < _MARGIN * least_floor:
            return cls._by_singular_values(rows)
        kept = eigenvalues > _ROUNDING * eigenvalues[0]
        eigenvalues, vectors = eigenvalues[kept], vectors[:, kept]
        if n_samples > n_features:
            # One memory order, so that a pickled copy rounds as the original does.
            axes, row_vectors = np.ascontiguousarray(vectors.T), None
        else:
            axes = (vectors / np.sqrt(n_samples * eigenvalues)).T @ rows
            row_vectors = vectors if is_precise else None
        return cls(eigenvalues, axes, least_floor, is_precise), row_vectors

    @classmethod
    def _by_singular_values(cls, rows):
        """Decompose the rows themselves."""
        n_samples, n_features = rows.shape
        is_tall = n_samples > n_features
        if is_tall:
            rows = linalg.qr(rows, mode="r", check_finite=False)[0][:n_features]
        row_vectors, singular_values, axes = linalg.svd(
            rows, full_matrices=False, check_finite=False
        )
        # Singular values are accurate to eps relative to the largest.
        kept = singular_values > _EPS * n_features * singular_values[0]
        eigenvalues = singular_values[kept] ** 2 / n_samples
        is_precise = bool(eigenvalues[-1] > _PRECISE_SVD * eigenvalues[0])
        spectrum = cls(eigenvalues, np.ascontiguousarray(axes[kept]), 0.0, is_precise)
        return spectrum, None if is_tall else row_vectors[:, kept]

    @classmethod
    def of_scatter(cls, scatter, n_samples):
        """Decompose the sample covariance that a scatter matrix n S gives."""
        eigenvalues, vectors = np.linalg.eigh(scatter / n_samples)
        eigenvalues, axes = eigenvalues[::-1], vectors.T[::-1]
        rank = min(count_distinct_from_zero(eigenvalues, len(scatter)), n_samples - 1)
        is_precise = bool(eigenvalues[rank - 1] > _PRECISE * eigenvalues[0])
        axes = np.ascontiguousarray(axes[:rank])
        return cls(eigenvalues[:rank], axes, 0.0, is_precise)

    @property
    def rank(self):
        """Number of the eigenvalues."""
        return len(self.eigenvalues)

    def matrix(self):
        """S, ndarray of shape (n_features, n_features)."""
        return (self.axes.T * self.eigenvalues) @ self.axes


def count_distinct_from_zero(eigenvalues, n_features):
    """Count the eigenvalues, largest first, above rounding errors of a D x D matrix."""
    return np.count_nonzero(eigenvalues > _EPS * n_features * eigenvalues[0])
