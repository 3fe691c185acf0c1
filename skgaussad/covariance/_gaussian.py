"""A Gaussian: from samples, or from their moments, to Mahalanobis distances."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .._utils.array_api import like, namespace_of
from ._moments import Moments, TooFewSamplesError, centre
from ._shrinkage import DIAGONAL_COVARIANCES, choose_shrinkage
from ._spectrum import Spectrum, count_distinct_from_zero, product_matrix

# Values scored at a time, so that the memory for scoring does not grow with the rows.
_BLOCK_VALUES = 2**23


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean and covariance of samples.

    With correlations the covariance is C = (1 - rho) S + rho nu I, with variances
    (1 - rho) w_k + rho nu along the eigenvectors of the sample covariance S and rho nu
    along all that is orthogonal to these.

    Attributes
    ----------
    moments : Moments
        Of the samples.
    covariance : {"ledoit_wolf", "oas", "shrunk", "empirical", "diagonal", "isotropic"}
        How the covariance is estimated.
    intensity : float
        The shrinkage intensity for ``"shrunk"``.
    shrinkage : float
        The shrinkage intensity rho in use.
    """

    moments: Moments
    covariance: str
    intensity: float
    shrinkage: float

    @classmethod
    def fit(cls, X, covariance, intensity=None, *, n_distinct=None):
        """Fit to samples.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            At least two rows, float64, finite.
        covariance, intensity
            See the attributes.
        n_distinct : int or None, default=None
            Number of different rows; None if all differ.

        Returns
        -------
        gaussian : Gaussian
        row_vectors : ndarray of shape (n_samples, rank) or None
            Left singular vectors of the centred rows, where they are a by-product.

        Raises
        ------
        TooFewSamplesError
            If the samples are equal, or the covariance is singular.
        ValueError
            If the variances are not finite, positive float64.
        """
        if covariance in DIAGONAL_COVARIANCES:
            moments = Moments.of(X, diagonal=True)
            return cls.from_moments(moments, covariance, intensity), None
        rows, placed = centre(X)
        norms = np.einsum("ij,ij->i", rows, rows)
        moments = Moments(
            **placed, scatter=None, cubic=norms @ rows, fourth=float(norms @ norms)
        )
        # Raises where the samples have no spread, or one that is too large or small.
        _ = moments.squared_unit
        products = product_matrix(rows)
        squared_norm = products.ravel() @ products.ravel()
        shrinkage = _shrinkage_of(
            moments, norms.sum(), squared_norm, covariance, intensity
        )
        # C is (1 - rho) times S plus this on the diagonal.
        floor = np.inf
        if shrinkage < 1:
            floor = shrinkage / (1 - shrinkage) * norms.sum() / rows.size
        spectrum, row_vectors = Spectrum.of_rows(rows, floor, products, n_distinct)
        moments = replace(moments, scatter=spectrum)
        return cls(moments, covariance, intensity, shrinkage), row_vectors

    @classmethod
    def from_moments(cls, moments, covariance, intensity=None):
        """Fit to samples of which only the moments are at hand.

        The covariance is decomposed when it is first used, so that samples added bit by
        bit do not pay for it each time; at once where its rank has to be known.

        Parameters
        ----------
        moments : Moments
            Of the diagonal alone for ``"diagonal"`` and ``"isotropic"``.
        covariance, intensity
            See the attributes.

        Returns
        -------
        gaussian : Gaussian

        Raises
        ------
        TooFewSamplesError
            If the samples are equal or fewer than two, or the covariance is singular.
        ValueError
            If the variances are not finite, positive float64.
        """
        if moments.n_samples < 2:
            raise TooFewSamplesError(
                "There is a single training sample so far, and a Gaussian needs at "
                "least two. Add samples with partial_fit."
            )
        # Raises where the samples have no spread, or one that is too large or small.
        _ = moments.squared_unit
        if covariance in DIAGONAL_COVARIANCES:
            return cls(moments, covariance, intensity, float(covariance == "isotropic"))
        shrinkage = _shrinkage_of(
            moments, moments.trace, moments.squared_norm, covariance, intensity
        )
        return cls(moments, covariance, intensity, shrinkage)

    def __post_init__(self):
        """Raise if the covariance is singular."""
        if not self.is_diagonal and self.shrinkage == 0:
            eigenvalues = self.spectrum.eigenvalues
            rank = count_distinct_from_zero(eigenvalues, self.n_features)
            _check_rank(rank, self.moments, self.covariance)

    @property
    def n_samples(self):
        """Number of samples it is fitted to."""
        return self.moments.n_samples

    @property
    def n_features(self):
        """Number of features, D."""
        return self.moments.n_features

    @property
    def n_dof(self):
        """Number of features that vary among the samples."""
        return self.moments.n_dof

    @property
    def location(self):
        """Mean of the samples, ndarray of shape (n_features,)."""
        return self.moments.location

    @property
    def is_diagonal(self):
        """Whether the features count as independent."""
        return self.covariance in DIAGONAL_COVARIANCES

    @cached_property
    def spectrum(self):
        """The sample covariance in its eigenbasis, in squared units of the moments.

        None for the diagonal covariances.
        """
        scatter = self.moments.scatter
        if self.is_diagonal or isinstance(scatter, Spectrum):
            return None if self.is_diagonal else scatter
        return Spectrum.of_scatter(scatter, self.n_samples)

    @property
    def axes(self):
        """Axes of the variances, ndarray of shape (rank, n_features).

        None for the diagonal covariances, of which the features are the axes.
        """
        return None if self.is_diagonal else self.spectrum.axes

    @cached_property
    def variances(self):
        """Variance along each axis, positive, ndarray of shape (rank,)."""
        squared_unit = self.moments.squared_unit
        if not self.is_diagonal:
            shrunk = (1 - self.shrinkage) * self.spectrum.eigenvalues
            return (shrunk + self._least_variance) * squared_unit
        varies = self.moments.varies
        variances = self.moments.scatter / self.n_samples
        return spread_variances(variances, varies, self.covariance) * squared_unit

    @property
    def complement_variance(self):
        """Variance in all directions orthogonal to the axes; None if there are none."""
        if self.is_diagonal or self.spectrum.rank == self.n_features:
            return None
        return self.floor

    @property
    def floor(self):
        """Least variance that shrinkage leaves in any direction, rho nu."""
        return self._least_variance * self.moments.squared_unit

    @property
    def _least_variance(self):
        """What shrinkage adds to each eigenvalue: rho nu."""
        trace = self.moments.trace / self.n_samples
        return self.shrinkage * trace / self.n_features

    @property
    def sample_variances(self):
        """Eigenvalues of the sample covariance, of shape (rank,), or None."""
        if self.is_diagonal:
            return None
        return self.spectrum.eigenvalues * self.moments.squared_unit

    def terms(self):
        """Arrays that `squared_distances` takes, in their order.

        With all coordinates y of a row z taken out of it, what is left has the variance
        of the complement. With y_k (1 - sqrt(complement / variance_k)) taken out, all
        of it has: that is for variances close to the complement's, where so little is
        taken out that axes need not be exact. Neither is a difference of squared norms,
        which cancels for rows close to the span of the axes.

        Returns
        -------
        terms : tuple of ndarray
            ``(weights,)`` of the features for a diagonal covariance; ``(axes, along)``,
            weights along the axes, where these span everything; else ``(axes, along,
            taken, elsewhere)`` with the fraction of each coordinate to take out and the
            weights of what is left.
        """
        if self.is_diagonal:
            return (1 / self.variances,)
        complement = self.complement_variance
        if complement is None:
            return self.axes, 1 / self.variances
        ratios = complement / self.variances
        apart = ratios < 1 / 2
        along = np.where(apart, 1 / self.variances, 0.0)
        taken = np.where(apart, 1.0, 1 - np.sqrt(ratios))
        return self.axes, along, taken, np.full(self.n_features, 1 / complement)

    def mahalanobis(self, X, location=None):
        """Squared Mahalanobis distance of each row (square of the paper's eq. 2).

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Of any array namespace, in the dtype to compute in.
        location : ndarray of shape (n_features,) or None, default=None
            The mean to measure from; None for that of the samples.

        Returns
        -------
        squared_distances : array of shape (n_samples,)
            In the namespace, dtype and device of `X`.
        """
        location = self.location if location is None else location
        location, *terms = (
            like(array, X, X.dtype) for array in (location, *self.terms())
        )
        n_samples, n_features = X.shape
        squared = namespace_of(X).empty_like(X[:, 0])
        step = max(1, _BLOCK_VALUES // n_features)
        for start in range(0, n_samples, step):
            block = slice(start, min(start + step, n_samples))
            squared[block] = squared_distances(X[block, :] - location, *terms)
        return squared

    def residuals(self, X):
        """Multiply rows about the mean by the inverse covariance: sqrt(rho nu) C^-1 z.

        It is what of a row the directions of large variance do not explain.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Of any array namespace, in the dtype to compute in.

        Returns
        -------
        residuals : array of shape (n_samples, n_features)
            (z - V' diag(a_k / (a_k + rho nu)) V z) / sqrt(rho nu), with the axes V and
            their variances a_k + rho nu; z is the row about the mean. Without unit.

        Raises
        ------
        TooFewSamplesError
            If there is no shrinkage.
        """
        arrays = (self.location, *self.residual_terms())
        location, axes, explained, scale = (like(a, X, X.dtype) for a in arrays)
        centred = X - location
        return (centred - ((centred @ axes.T) * explained) @ axes) * scale

    def residual_terms(self):
        """Arrays of `residuals`: axes, explained fraction along each, and scale."""
        if self.shrinkage == 0:
            raise TooFewSamplesError(
                f"The shrinkage estimated by covariance={self.covariance!r} is 0 for "
                f"{self.n_samples} samples with n_features={self.n_features}, and "
                "residuals are in units of what it adds. Give other samples, or set "
                "the intensity with covariance='shrunk'."
            )
        explained = 1 - self.floor / self.variances
        return self.axes, explained, np.float64(1 / np.sqrt(self.floor))

    def solve(self, centred):
        """Multiply the inverse of the covariance by vectors.

        Parameters
        ----------
        centred : ndarray of shape (n_samples, n_features)

        Returns
        -------
        solved : ndarray of shape (n_samples, n_features)
        """
        if self.is_diagonal:
            return centred / self.variances
        axes, along, *rest = self.terms()
        coordinates = centred @ axes.T
        solved = (coordinates * along) @ axes
        if rest:
            taken, elsewhere = rest
            left = centred - (coordinates * taken) @ axes
            solved += (left - ((left @ axes.T) * taken) @ axes) * elsewhere
        return solved

    def matrix(self):
        """Covariance matrix, ndarray of shape (n_features, n_features)."""
        return self._assemble(lambda variances: variances)

    def precision(self):
        """Inverse covariance, ndarray of shape (n_features, n_features)."""
        return self._assemble(lambda variances: 1 / variances)

    def _assemble(self, function):
        """Apply a function to the variances of the covariance."""
        along = function(self.variances)
        if self.is_diagonal:
            return np.diag(along)
        complement = self.complement_variance
        elsewhere = 0.0 if complement is None else function(complement)
        matrix = (self.axes.T * (along - elsewhere)) @ self.axes
        matrix[np.diag_indices_from(matrix)] += elsewhere
        return matrix


def squared_distances(centred, first, along=None, taken=None, elsewhere=None):
    """Squared Mahalanobis distances by `Gaussian.terms`; may overwrite the rows."""
    if along is None:
        return centred**2 @ first
    coordinates = centred @ first.T
    squared = coordinates**2 @ along
    if taken is not None:
        centred -= (coordinates * taken) @ first
        squared += centred**2 @ elsewhere
    return squared


def spread_variances(variances, varies, covariance):
    """Variances of the diagonal covariances: constant features get one of others.

    Parameters
    ----------
    variances : ndarray of shape (..., n_features)
        Over the samples.
    varies : ndarray of shape (..., n_features), dtype bool
        Which features are not constant, at least one.
    covariance : {"diagonal", "isotropic"}

    Returns
    -------
    variances : ndarray of shape (..., n_features)
        The least of the others for ``"diagonal"``; for ``"isotropic"`` all are their
        mean.
    """
    if covariance == "diagonal":
        least = np.where(varies, variances, np.inf).min(axis=-1, keepdims=True)
        return np.where(varies, variances, least)
    n_dof = np.maximum(np.count_nonzero(varies, axis=-1, keepdims=True), 1)
    return np.broadcast_to(
        variances.sum(axis=-1, keepdims=True) / n_dof, variances.shape
    )


def _shrinkage_of(moments, trace, squared_norm, covariance, intensity):
    """Shrinkage intensity from the moments, of which two may be known otherwise."""
    n_samples = moments.n_samples
    shrinkage = choose_shrinkage(
        covariance,
        intensity,
        n_samples,
        moments.n_features,
        trace / n_samples,
        squared_norm / n_samples**2,
        moments.fourth / n_samples,
    )
    if shrinkage == 0:
        # What the rank is at most; what it is takes a decomposition.
        _check_rank(min(n_samples - 1, moments.n_dof), moments, covariance)
    return float(shrinkage)


def _check_rank(rank, moments, covariance):
    """Raise unless a covariance without shrinkage can be inverted."""
    n_features, n_constant = moments.n_features, moments.n_features - moments.n_dof
    if rank == n_features:
        return
    constant = f"; {n_constant} features are constant" if n_constant else ""
    found = (
        f"The covariance of {moments.n_samples} samples in {n_features} features has "
        f"rank {rank} and cannot be inverted{constant}"
    )
    if covariance == "empirical":
        raise TooFewSamplesError(
            f"{found}. covariance='empirical' needs more samples than features, none "
            "of them constant or a combination of others. Use "
            "covariance='ledoit_wolf', or give more samples."
        )
    raise TooFewSamplesError(
        f"{found}, and the shrinkage estimated by covariance={covariance!r} is 0, "
        "because there are too few different samples to estimate it. Give more "
        "samples, or set the intensity with covariance='shrunk'."
    )
