"""Eigenvalues and eigenvectors of a sample covariance, without forming it if n << D."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import linalg

_EPS = np.finfo(float).eps
# Matrices of products are accurate to eps relative to the largest eigenvalue: down to
# this share of it, eigenvalues keep nine digits and axes stay orthogonal to as many.
_NARROW = 1e-6
# Rows are short along axes with less than this share of the largest eigenvalue.
_SHORT = 1e-3
# Least share of the largest eigenvalue that is more than rounding errors.
_NOISE = 10 * _EPS
# Room for a floor that is a little lower without one of the rows.
_ROOM = 1.25
# Rows multiplied at a time, enough for the product to run at full speed.
_BLOCK_ROWS = 1024
# Up to this ratio n / D a wide spectrum is taken from the rows themselves. With more
# rows, each one weighs too little for the smallest eigenvalues to matter, and singular
# values would cost much more than the D x D matrix.
_FEW_ROWS = 3 / 2


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The sample covariance S = (1/n) Z'Z of centred rows Z, in its eigenbasis.

    The products of the rows are formed at once, the eigenbasis when it is first asked
    for: estimators need moments of S before they know how exact it has to be.

    Attributes
    ----------
    rows : ndarray of shape (n_samples, n_features)
        The centred rows.
    products : ndarray of shape (n_samples, n_samples) or (n_features, n_features)
        Z Z' or Z'Z, whichever is smaller.
    squared_norms : ndarray of shape (n_samples,)
        Squared Euclidean norm of each row of Z.
    floor : float, default=0
        What is going to be added to every eigenvalue, so that digits of eigenvalues far
        below it, and directions among their axes, do not matter.
    """

    rows: np.ndarray = field(repr=False)
    products: np.ndarray = field(repr=False)
    squared_norms: np.ndarray = field(repr=False)
    floor: float = 0.0

    @classmethod
    def of(cls, centred, squared_norms=None):
        """Prepare the decomposition of the sample covariance of centred rows.

        Of the n x n matrix of the rows' inner products and the D x D matrix the smaller
        one is decomposed, so that none of D x D is formed with n << D. They have the
        squares of the singular values; where these differ too much for that, and there
        are few rows, the rows are decomposed themselves.

        Parameters
        ----------
        centred : ndarray of shape (n_samples, n_features)
            Rows with mean zero, float64. They must not change afterwards.
        squared_norms : ndarray of shape (n_samples,) or None, default=None
            Squared Euclidean norm of each row, if known.

        Returns
        -------
        spectrum : Spectrum
        """
        n_samples, n_features = centred.shape
        # A product of a matrix with its own transpose costs half of one with another.
        if n_samples <= n_features:
            products = centred @ centred.T
        else:
            products = centred.T @ centred
        if squared_norms is None:
            squared_norms = np.einsum("ij,ij->i", centred, centred)
        return cls(centred, products, squared_norms)

    def above(self, floor):
        """Return the spectrum for use with a floor that is added to each eigenvalue.

        Parameters
        ----------
        floor : float
            Not negative; infinite where nothing of the eigenvalues will be left.

        Returns
        -------
        spectrum : Spectrum
        """
        return Spectrum(self.rows, self.products, self.squared_norms, floor)

    @property
    def n_samples(self):
        """Number of rows the covariance was taken over."""
        return self.rows.shape[0]

    @property
    def n_features(self):
        """Number of columns, D."""
        return self.rows.shape[1]

    @property
    def mean_variance(self):
        """The mean of the D variances, nu = tr(S) / D."""
        return self.squared_norms.sum() / self.rows.size

    @cached_property
    def squared_norm(self):
        """Squared Frobenius norm of S, the sum of its squared eigenvalues."""
        products = self.products.ravel()
        return products @ products / self.n_samples**2

    @property
    def eigenvalues(self):
        """Eigenvalues of S above rounding error, largest first, of shape (rank,)."""
        return self._parts.eigenvalues

    @property
    def rank(self):
        """Number of the eigenvalues.

        With a floor it may be min(n - 1, D) even where rows are dependent.
        """
        return self.eigenvalues.shape[0]

    @cached_property
    def row_vectors(self):
        """Left singular vectors U of Z, of shape (n_samples, rank).

        Z = sqrt(n) U diag(sqrt(eigenvalues)) axes.
        """
        if self._parts.row_vectors is not None:
            return self._parts.row_vectors
        return self.coordinates / self._scales

    @cached_property
    def coordinates(self):
        """The rows in the eigenbasis, Z axes', of shape (n_samples, rank)."""
        if self._parts.row_vectors is None:
            return self.rows @ self.axes.T
        coordinates = self._parts.row_vectors * self._scales
        if self._parts.from_products:
            # Vectors from a matrix of products are accurate to eps, so that they say
            # little of a row along an axis along which all rows are short, and nothing
            # where all are as short as rounding errors.
            relative = self.eigenvalues / self.eigenvalues[0]
            coordinates[:, relative < _SHORT] = 0.0
            short = (relative < _SHORT) & (relative > _NOISE)
            coordinates[:, short] = self.products @ (
                self._parts.row_vectors[:, short] / self._scales[short]
            )
        return coordinates

    def squared_norms_by_covariance(self):
        """Return z'Sz for each row z, ndarray of shape (n_samples,).

        It takes no decomposition.
        """
        if self.n_samples <= self.n_features:
            squared = np.einsum("ij,ij->i", self.products, self.products)
            return squared / self.n_samples
        squared = np.empty(self.n_samples)
        for start in range(0, self.n_samples, _BLOCK_ROWS):
            rows = self.rows[start : start + _BLOCK_ROWS]
            squared[start : start + _BLOCK_ROWS] = np.einsum(
                "ij,ij->i", rows @ self.products, rows
            )
        return squared / self.n_samples

    def coordinates_of_sum(self, factors, total):
        """Express a sum of multiples of the rows in the eigenbasis.

        Parameters
        ----------
        factors : ndarray of shape (n_samples,)
        total : ndarray of shape (n_features,)
            The sum of the rows times the factors.

        Returns
        -------
        coordinates : ndarray of shape (rank,)
        """
        if self._parts.row_vectors is None:
            return self.axes @ total
        # The axes may not have been formed yet.
        return factors @ self.coordinates

    def of_rows(self, rows):
        """Coordinates and row vectors of some rows.

        Parameters
        ----------
        rows : slice or ndarray of shape (n_rows,), dtype int

        Returns
        -------
        coordinates : ndarray of shape (n_rows, rank)
        row_vectors : ndarray of shape (n_rows, rank) or None
            None where they are the coordinates, divided by the lengths of all rows
            along each axis.
        """
        if self._parts.row_vectors is None:
            # Not of all rows at once: there are many.
            return self.rows[rows] @ self.axes.T, None
        return self.coordinates[rows], self._parts.row_vectors[rows]

    @property
    def _scales(self):
        return np.sqrt(self.n_samples * self.eigenvalues)

    @property
    def axes(self):
        """Unit eigenvectors of S, one a row, of shape (rank, n_features)."""
        return self._parts.axes.array

    @property
    def deferred_axes(self):
        """The axes, to be formed when they are first used."""
        return self._parts.axes

    @property
    def spans_rows(self):
        """Whether the row vectors and the ones span all there is, to rounding."""
        exact = self._parts.row_vectors is not None or self.least_floor == 0
        return exact and self.rank == self.n_samples - 1

    @property
    def least_floor(self):
        """Least floor that the eigenbasis is exact enough for."""
        return self._parts.least_floor

    @cached_property
    def _parts(self):
        if self.n_samples <= self.n_features:
            parts = _decompose_inner_products(self.products, self.rows)
        else:
            parts = _decompose_scatter(self.products, self.rows)
        if self.floor >= _ROOM * parts.least_floor:
            return parts
        if self.n_samples < _FEW_ROWS * self.n_features:
            return _decompose_rows(self.rows)
        return _refine(parts, self.rows)


class DeferredAxes:
    """Axes that are combinations of rows, combined when they are first used.

    A fit that measures no rows but its own can do without the axes, which are the most
    expensive part of it with n << D.

    Parameters
    ----------
    coefficients : ndarray of shape (n_axes, n_samples) or None
        None where the rows are the axes themselves.
    rows : ndarray of shape (n_samples, n_features)
    """

    def __init__(self, coefficients, rows):
        n_axes = len(rows if coefficients is None else coefficients)
        self.shape = (n_axes, rows.shape[1])
        self._terms = coefficients, rows

    @property
    def array(self):
        """The axes, one a row, ndarray of shape (n_axes, n_features)."""
        # Threads may ask at the same time: the terms are read and replaced together.
        coefficients, rows = self._terms
        if coefficients is None:
            return rows
        axes = coefficients @ rows
        self._terms = None, axes
        return axes

    def __getstate__(self):
        """Keep training rows out of pickles."""
        return {"shape": self.shape, "_terms": (None, self.array)}


@dataclass(frozen=True, eq=False)
class _Parts:
    """What a way of decomposing finds.

    Attributes
    ----------
    eigenvalues, row_vectors, least_floor
        As in `Spectrum`; without `row_vectors` the rows are to be projected.
    axes : DeferredAxes
    from_products : bool
        Whether the row vectors are eigenvectors of the matrix of products.
    """

    eigenvalues: np.ndarray
    axes: DeferredAxes
    row_vectors: np.ndarray | None = None
    least_floor: float = 0.0
    from_products: bool = False


def _floor_for(eigenvalues):
    """Least floor that eigenvalues of products, largest first, are exact enough for."""
    floor = _NARROW * eigenvalues[0]
    return 0.0 if eigenvalues[-1] > floor else floor


def _decompose_inner_products(products, rows):
    """Decompose by the n x n matrix."""
    n_samples = len(rows)
    # The rows are orthogonal to the ones. A reflection that turns these into the first
    # unit vector leaves n - 1 rows z_i - gamma z_1, and vectors that are orthogonal to
    # the ones however small their eigenvalues are.
    gamma = 1 / (np.sqrt(n_samples) + 1)
    first = gamma * (products[0, 1:] - gamma / 2 * products[0, 0])
    reflected = products[1:, 1:] - first
    reflected -= first[:, np.newaxis]
    eigenvalues, vectors = np.linalg.eigh(reflected)
    eigenvalues, vectors = eigenvalues[::-1] / n_samples, vectors[:, ::-1]
    eigenvalues = np.maximum(eigenvalues, _EPS * eigenvalues[0])
    row_vectors = np.empty((n_samples, n_samples - 1))
    means = vectors.sum(axis=0) / np.sqrt(n_samples)
    row_vectors[0] = -means
    np.subtract(vectors, gamma * means, out=row_vectors[1:])
    coefficients = (row_vectors / np.sqrt(n_samples * eigenvalues)).T
    return _Parts(
        eigenvalues,
        DeferredAxes(coefficients, rows),
        row_vectors,
        _floor_for(eigenvalues),
        from_products=True,
    )


def _decompose_scatter(products, rows):
    """Decompose by the D x D matrix."""
    n_samples = len(rows)
    eigenvalues, vectors = np.linalg.eigh(products / n_samples)
    eigenvalues = np.maximum(eigenvalues[::-1], _EPS * eigenvalues[-1])
    # One memory order, so that a pickled copy rounds as the original does.
    axes = DeferredAxes(None, np.ascontiguousarray(vectors.T[::-1]))
    return _Parts(eigenvalues, axes, least_floor=_floor_for(eigenvalues))


def _decompose_rows(rows):
    """Decompose by singular values."""
    n_samples, n_features = rows.shape
    row_vectors, singular_values, axes = linalg.svd(
        rows, full_matrices=False, check_finite=False
    )
    eigenvalues = singular_values**2 / n_samples
    # Singular values are accurate to eps relative to the largest, so their squares are
    # meaningful down to eps squared.
    rank = _rank(eigenvalues, (_EPS * n_features) ** 2)
    axes = DeferredAxes(None, np.ascontiguousarray(axes[:rank]))
    return _Parts(eigenvalues[:rank], axes, row_vectors[:, :rank])


def _refine(parts, rows):
    """Replace eigenvalues of the D x D matrix by the variances along its axes.

    These keep their digits where eigenvalues, which are accurate to eps relative to the
    largest, have lost them.
    """
    n_samples, n_features = rows.shape
    axes = parts.axes.array[: _rank(parts.eigenvalues, _EPS * n_features)]
    row_vectors = rows @ axes.T
    squared_lengths = np.einsum("ik,ik->k", row_vectors, row_vectors)
    row_vectors /= np.sqrt(squared_lengths)
    order = np.argsort(-squared_lengths, kind="stable")
    return _Parts(
        squared_lengths[order] / n_samples,
        DeferredAxes(None, axes[order]),
        row_vectors[:, order],
    )


def _rank(eigenvalues, floor):
    """Count the eigenvalues, largest first, above a share of the largest."""
    return np.count_nonzero(eigenvalues > floor * eigenvalues[0])
