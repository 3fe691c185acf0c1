"""Exact distances of training samples to the Gaussian that is fitted without them.

Of n rows z around their mean, with covariance S, a group Z_g of m rows is left out. The
other N = n - m have the mean d = -(1/N) sum of the group and the covariance

    S_g = (n/N) S - (1/N) Z_g' C Z_g,    C = I + 11'/N,

so nothing has to be decomposed again. With rho and nu of the rows left, the shrunk
covariance is A - ((1 - rho)/N) Z_g' C Z_g, and in the eigenbasis of S, with eigenvalues
w, A_k = (1 - rho)(n/N) w_k + rho nu. By the formula of Sherman, Morrison and Woodbury
the squared distances of the group to it are diag(C G K^-1) with

    G = Z_g A^-1 Z_g',    K = I - 11'/n - (1 - rho)/N G.

Where S has rank n - 1, which takes n <= D, a new sample is nearly as far out as a
sample can be, and K is the small rest of a difference. There I - 11'/n = U_g U_g' with
the left singular vectors U of all rows, and

    K = rho nu U_g A^-1 U_g'.

Where rows are copies of others, equal to the last bit, no difference of copies is a
combination of the columns of U: then I - 11'/n = U_g U_g' + W_g, where W_g takes the
mean of its copies from each row, and W_g is added to K.

The same formula gives the rows times the inverse of their covariance, K^-1 Z_g A^-1.

rho and nu come from moments of the rows left, which are differences as well. Where a
difference has lost its digits, as for a sample that carries nearly all of a moment, the
Gaussian is fitted anew to the other samples, if these are at hand.
"""

from dataclasses import dataclass

import numpy as np

from ._gaussian import Gaussian, spread_variances
from ._moments import mean_of
from ._shrinkage import choose_shrinkage

# A difference below this fraction of what it is taken from has lost too many digits.
# As only a group that carries nearly all of a moment does that, there are few.
_CANCELLED = 1e-3
# The same where the other samples are not at hand, and fewer digits have to do.
_LOST = 1e-8
# The same for the error of Ledoit and Wolf, which is zero where the rows left are +z or
# -z, as copies of two samples are.
_DEGENERATE = 1e-6
# Coordinates along imprecise axes are accurate to eps times the norm of the row. What
# that leaves of nine digits of K: |z|^2 / (n rho nu) times this may not exceed K.
_IMPRECISE = 1e9 * np.finfo(float).eps
# Values worked on at a time, few enough for a processor's cache.
_BLOCK_VALUES = 2**17
# But at least as many rows, for the axes to be read from memory not too often.
_BLOCK_ROWS = 256


def leave_out(gaussian, X, groups=None, *, copies=None, row_vectors=None, are_all=True):
    """Squared distance of training samples to the Gaussian fitted without their group.

    All that is estimated, the shrinkage included, is what a fit to the other samples
    would give. For single samples it costs O(n D r), r being the rank.

    Parameters
    ----------
    gaussian : Gaussian
        Fitted to the samples, among others.
    X : ndarray of shape (n_samples, n_features)
        Training samples, float64 or float32; a block of them is worked on at a time.
    groups : ndarray of shape (n_samples,) or None, default=None
        Number of each sample's group, counted from 0 without gaps; of a group all
        samples must be there. None leaves out one sample at a time, with its copies.
    copies : ndarray of shape (n_samples,) or None, default=None
        Number of each sample, counted from 0 without gaps, where equal samples have the
        same and are of one group. None if all differ.
    row_vectors : ndarray of shape (n_samples, rank) or None, default=None
        Those that `Gaussian.fit` returned for these samples.
    are_all : bool, default=True
        Whether these are all the samples. Distances that a difference has no digits for
        are then taken from a fit to the others.

    Returns
    -------
    squared_distances : ndarray of shape (n_samples,)
        Infinite where the other samples do not determine a Gaussian. If `X` is not all
        of them, a sample that makes up all but a fraction s of a moment has lost as
        many digits as s has zeros; below 1e-8 its distance is infinite, or for the
        diagonal covariances that of a feature that is constant among the others.
    """
    squared = np.full(len(X), np.inf)
    args = gaussian, X, groups, copies, row_vectors, are_all
    for members, distances in _measure_left_out("mahalanobis", *args):
        squared[members] = distances
    return squared


def leave_out_residuals(
    gaussian, X, groups=None, *, copies=None, row_vectors=None, are_all=True
):
    """Residuals of training samples by the Gaussian fitted without their group.

    They are `Gaussian.residuals` of the other samples, shrinkage and scale included.

    Parameters
    ----------
    gaussian, X, groups, copies, row_vectors, are_all
        As for `leave_out`; not for the diagonal covariances.

    Yields
    ------
    members : ndarray of shape (n_members,), dtype int
        Numbers of some of the samples. Those that never come are of groups without
        which the samples do not determine a Gaussian.
    residuals : ndarray of shape (n_members, n_features)
    """
    args = gaussian, X, groups, copies, row_vectors, are_all
    return _measure_left_out("residuals", *args)


def _measure_left_out(measure, gaussian, X, groups, copies, row_vectors, are_all):
    """Yield some members, and what a method of `Gaussian` gives without their group."""
    moments = gaussian.moments
    width = moments.n_features if gaussian.is_diagonal else gaussian.spectrum.rank
    groups = copies if groups is None else groups
    for members in _batches(len(X), groups, moments.n_features):
        size = members.shape[1]
        if moments.n_samples - size < 2:
            # A single sample has no spread.
            continue
        rows = moments.centre(X[members])
        if gaussian.is_diagonal:
            others = X if are_all else None
            yield members, _without_diagonal(gaussian, rows, members, others)
            continue
        failed = np.full(len(members), size > width and are_all)
        if not failed.any():
            vectors = None if row_vectors is None else row_vectors[members]
            differences = None
            if copies is not None and are_all:
                differences = _differences(copies, members)
            others = _Others.of(gaussian, rows, vectors, differences, are_all)
            failed = others.failed
            yield members[~failed], getattr(others, measure)()[~failed]
        for left_out in members[failed] if are_all else ():
            others = np.delete(X, left_out, axis=0).astype(float, copy=False)
            try:
                refitted, _ = gaussian.fit(
                    others, gaussian.covariance, gaussian.intensity
                )
                yield left_out, getattr(refitted, measure)(X[left_out].astype(float))
            except ValueError:
                continue


def _batches(n_samples, groups, n_features):
    """Yield index arrays of shape (n_groups, size), groups of one size together."""
    groups = np.arange(n_samples) if groups is None else groups
    sizes = np.bincount(groups)
    order = np.argsort(groups, kind="stable")
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes):
        members = order[starts[sizes == size, np.newaxis] + np.arange(size)]
        n_rows = max(_BLOCK_ROWS, _BLOCK_VALUES // max(n_features, size))
        step = max(1, n_rows // size)
        for start in range(0, len(members), step):
            yield members[start : start + step]


def _differences(copies, members):
    """Count different samples; return that and W, as of the formulas above."""
    same = copies[members][:, :, np.newaxis] == copies[members][:, np.newaxis, :]
    means = same / same.sum(axis=2, keepdims=True)
    return copies.max() + 1, np.eye(members.shape[1]) - means


@dataclass(frozen=True, eq=False)
class _Others:
    """Gaussians of the samples left, one for each of several groups of one size.

    Attributes
    ----------
    gaussian : Gaussian
        Of all samples.
    rows : ndarray of shape (n_groups, size, n_features)
        Those left out, Z_g.
    solved : ndarray of shape (n_groups, size, rank)
        Z_g A^-1, in the eigenbasis.
    slope : ndarray of shape (n_groups, 1, 1)
        (1 - rho)(n/N).
    G, K : ndarray of shape (n_groups, size, size)
        See the formulas above.
    floor : ndarray of shape (n_groups,)
        rho nu of the rows left, in squared units of the moments.
    failed : ndarray of shape (n_groups,), dtype bool
        Which groups need a fit to the other samples.
    """

    gaussian: Gaussian
    rows: np.ndarray
    solved: np.ndarray
    slope: np.ndarray
    G: np.ndarray
    K: np.ndarray
    floor: np.ndarray
    failed: np.ndarray

    @classmethod
    def of(cls, gaussian, rows, vectors, differences, are_all):
        """Apply the formulas above.

        Parameters
        ----------
        gaussian : Gaussian
        rows : ndarray of shape (n_groups, size, n_features)
            Around the mean, in units of the moments.
        vectors : ndarray of shape (n_groups, size, rank) or None
            Their left singular vectors U_g, if known; else they are found by
            projection.
        differences : tuple of (int, ndarray of shape (n_groups, size, size)) or None
            How many samples differ, and W_g; None if all do.
        are_all : bool
            As for `leave_out`.
        """
        moments, spectrum = gaussian.moments, gaussian.spectrum
        eigenvalues, size = spectrum.eigenvalues, rows.shape[1]
        n_samples, n_left = moments.n_samples, moments.n_samples - size
        lengths, identity = np.sqrt(n_samples * eigenvalues), np.eye(size)
        if vectors is None:
            flat = rows.reshape(-1, moments.n_features) @ spectrum.axes.T
            coordinates = flat.reshape(*rows.shape[:2], spectrum.rank)
        else:
            coordinates = vectors * lengths

        inner = _products(rows, rows)
        rho, trace, failed = _shrinkage_without(
            gaussian,
            inner,
            weighted=_products(coordinates * eigenvalues, coordinates),
            along=rows @ moments.cubic,
            cancelled=_CANCELLED if are_all else _LOST,
        )
        floor = rho * trace / moments.n_features
        if are_all:
            failed |= floor < (1 - rho) * spectrum.least_floor
        slope = np.where(failed, 0.0, (1 - rho) * n_samples / n_left)[:, None, None]
        floor = np.where(failed, 1.0, floor)
        shrunk = slope * eigenvalues + floor[:, None, None]
        solved = coordinates / shrunk
        G = _products(solved, coordinates)
        n_distinct, W = (n_samples, 0.0) if differences is None else differences
        if spectrum.is_precise and spectrum.rank == n_distinct - 1:
            vectors = coordinates / lengths if vectors is None else vectors
            K = floor[:, None, None] * _products(vectors / shrunk, vectors) + W
            limit = 0.0
        else:
            K = identity - 1 / n_samples - slope / n_samples * G
            limit = np.full(len(K), _CANCELLED if are_all else _LOST)
            if are_all and spectrum.least_floor > 0:
                norms = np.einsum("gii->gi", inner).max(axis=1)
                limit = np.maximum(limit, _IMPRECISE / n_samples * norms / floor)
        failed |= np.linalg.eigvalsh(K)[:, 0] <= limit
        K[failed] = identity
        return cls(gaussian, rows, solved, slope, G, K, floor, failed)

    def mahalanobis(self):
        """Squared distances of the rows left out, of shape (n_groups, size)."""
        n_left = self.gaussian.n_samples - self.G.shape[1]
        CG = self.G + self.G.sum(axis=1, keepdims=True) / n_left
        return np.einsum("gii->gi", np.linalg.solve(self.K, CG.swapaxes(1, 2)))

    def residuals(self):
        """Residuals of the rows left out, of shape (n_groups, size, n_features)."""
        spectrum, floor = self.gaussian.spectrum, self.floor[:, None, None]
        precise = spectrum.least_floor == 0
        # Axes far below the floor are inexact, and explain next to nothing.
        along = 1.0 if precise else self.slope * spectrum.eigenvalues
        # As one product of matrices, not one for each group.
        flat = (self.solved * along).reshape(-1, spectrum.rank) @ spectrum.axes
        solved = flat.reshape(self.rows.shape)
        if not precise:
            solved = (self.rows - solved) / floor
        residuals = np.sqrt(floor) * np.linalg.solve(self.K, solved)
        residuals[self.floor == 0] = np.inf
        return residuals


def _products(a, b):
    """Inner products of the rows of each group, of shape (n_groups, size, size)."""
    return a @ b.swapaxes(1, 2)


def _shrinkage_without(gaussian, inner, weighted, along, cancelled):
    """Shrinkage over the rows left, from moments of all rows and of those left out.

    Parameters
    ----------
    gaussian : Gaussian
    inner, weighted : ndarray of shape (n_groups, size, size)
        Inner products Z_g Z_g' and Z_g S Z_g' of the rows of each group.
    along : ndarray of shape (n_groups, size)
        Their inner products with sum |z|^2 z over all rows.
    cancelled : float
        Fraction of a moment below which what is left of it has lost its digits.

    Returns
    -------
    rho, trace : ndarray of shape (n_groups,)
        Shrinkage intensity, and tr(S), of the rows left.
    failed : ndarray of shape (n_groups,), dtype bool
        Where digits were lost, so that `rho` says nothing.
    """
    moments, covariance = gaussian.moments, gaussian.covariance
    n_samples, size = moments.n_samples, inner.shape[1]
    n_left = n_samples - size
    norms = np.einsum("gii->gi", inner)
    to_sum = inner.sum(axis=2)
    squared_mean = to_sum.sum(axis=1) / n_left**2
    weighted_sum = weighted.sum(axis=(1, 2))

    trace = (moments.trace - norms.sum(axis=1)) / n_left - squared_mean
    # Z_g Z_g' C, and tr(C Z_g S Z_g').
    product = inner + to_sum[:, np.newaxis] / n_left
    cross = np.einsum("gii->g", weighted) + weighted_sum / n_left
    squared_norm = (
        moments.squared_norm
        - 2 * n_samples * cross
        + np.einsum("gij,gji->g", product, product)
    ) / n_left**2
    # Norms of the rows left out around the mean of those left.
    own = norms + 2 / n_left * to_sum + squared_mean[:, np.newaxis]
    fourth = (
        moments.fourth
        + 4 * n_samples / n_left**2 * weighted_sum
        + n_samples * squared_mean**2
        + 4 / n_left * along.sum(axis=1)
        + 2 * squared_mean * moments.trace
        - (own**2).sum(axis=1)
    )
    mean_fourth = fourth / n_left

    failed = trace < cancelled / n_left * moments.trace
    if covariance in ("ledoit_wolf", "oas") and moments.n_features > 1:
        failed |= squared_norm < cancelled / n_left**2 * moments.squared_norm
    if covariance == "ledoit_wolf" and moments.n_features > 1:
        failed |= fourth < cancelled * moments.fourth
        failed |= mean_fourth - squared_norm < _DEGENERATE * mean_fourth
    for moment in (trace, squared_norm, mean_fourth):
        moment[failed] = 1.0
    rho = choose_shrinkage(
        covariance,
        gaussian.intensity,
        n_left,
        moments.n_features,
        trace,
        squared_norm,
        mean_fourth,
    )
    return rho, trace, failed


def _without_diagonal(gaussian, rows, members, X):
    """Distances with variances of single features, for groups of one size.

    Parameters
    ----------
    gaussian : Gaussian
    rows : ndarray of shape (n_groups, size, n_features)
        Around the mean, in units of the moments.
    members : ndarray of shape (n_groups, size), dtype int
        Numbers of the rows.
    X : ndarray of shape (n_samples, n_features) or None
        All samples, from which variances are taken that have lost their digits. None
        where they are not at hand: then these count as zero.

    Returns
    -------
    squared_distances : ndarray of shape (n_groups, size)
    """
    moments = gaussian.moments
    n_left = moments.n_samples - rows.shape[1]
    mean = -rows.sum(axis=1) / n_left
    left = moments.scatter - np.einsum("gif,gif->gf", rows, rows)
    variances = left / n_left - mean**2
    cancelled = _LOST if X is None else _CANCELLED
    doubtful = variances * n_left < cancelled * moments.scatter
    variances[doubtful] = 0.0
    for index in np.flatnonzero(doubtful.any(axis=1)) if X is not None else ():
        features = np.flatnonzero(doubtful[index])
        others = np.delete(X[:, features].astype(float), members[index], axis=0)
        deviations = (others - mean_of(others)) / moments.unit
        variances[index, features] = (deviations**2).mean(axis=0)
    varies = variances > 0
    with np.errstate(divide="ignore"):
        weights = 1 / spread_variances(variances, varies, gaussian.covariance)
    distances = np.einsum("gif,gf->gi", (rows - mean[:, np.newaxis]) ** 2, weights)
    return np.where(varies.any(axis=1)[:, np.newaxis], distances, np.inf)
