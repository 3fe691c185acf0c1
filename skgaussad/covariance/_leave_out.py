"""Exact distances of training rows to the Gaussian that is fitted without them.

Of n rows z around their mean, with covariance S, a group Z_g of m is left out. The
other N = n - m have the mean d = -(1/N) sum of the group and the covariance

    S_g = (n/N) S - (1/N) Z_g' C Z_g,    C = I + 11'/N,

so nothing has to be decomposed again. In the eigenbasis of S, with eigenvalues w and
Z_g = sqrt(n) U_g diag(sqrt(w)), the shrunk covariance is A - ((1 - rho)/N) Z_g' C Z_g,
A_k = (1 - rho)(n/N) w_k + rho nu, with rho and nu of the rows left. By the formula of
Sherman, Morrison and Woodbury the squared distances of the group to it are
diag(C G K^-1) with

    G = Z_g A^-1 Z_g',    K = I - 11'/n - U_g U_g' + rho nu U_g A^-1 U_g'.

The first terms of K are a block of the projection onto what U does not span. It is zero
where S has rank n - 1, so that nothing cancels where n < D and each row is nearly as
far out as a row can be.
"""

import numpy as np

from ._estimation import CentredRows, choose_shrinkage, estimate, mean_of

# A moment that falls below this share of what it was has lost too many digits when it
# is taken as a difference, and is taken over the other rows anew. As only a group that
# carries nearly all of the moment does that, there are few.
_CANCELLED = 1e-4
# The same for K, of which the first terms, of order 1, may cancel.
_NEARLY_SINGULAR = 1e-5
# Where the rows left are +z or -z, as copies of two samples are, Ledoit and Wolf's
# error is zero, and its digits are lost in that difference.
_DEGENERATE = 1e-6
# What rounding may leave of a K that is singular.
_ROUNDING = 1e-13
# Values worked on at a time, few enough for a processor's cache.
_BLOCK_VALUES = 2**17


def leave_out(centred, covariance, shrinkage, spectrum, groups=None):
    """Squared distance of each row to the Gaussian fitted without its group.

    All that is estimated from the rows, the shrinkage included, is what a fit to the
    other rows would give. For groups of one row it costs O(n D r) after the
    decomposition, r being the rank.

    Parameters
    ----------
    centred : CentredRows
    covariance, shrinkage
        As for `estimate`.
    spectrum : Spectrum or None
        What `estimate` found for these rows.
    groups : ndarray of shape (n_samples,) or None, default=None
        Number of each row's group, counted from 0 without gaps. None leaves out one row
        at a time.

    Returns
    -------
    squared_distances : ndarray of shape (n_samples,)
        Infinite where the other rows do not determine a Gaussian.
    """
    n_samples = len(centred.rows)
    if groups is None:
        groups = np.arange(n_samples)
    if spectrum is None:
        rule = _DiagonalRule(centred, covariance)
    else:
        rule = _SpectralRule(centred, covariance, shrinkage, spectrum)
    squared = np.empty(n_samples)
    for members in _batches(groups, rule.width):
        n_left_out = members.shape[1]
        n_left = n_samples - n_left_out
        if n_left < 2:
            # A single row has no spread.
            squared[members] = np.inf
            continue
        # Two rows are a case of their own for the shrinkage: +z and -z.
        failed = np.full(len(members), n_left == 2 or n_left_out > rule.width)
        if not failed.any():
            squared[members], failed = rule.apply(members)
        for rows in members[failed]:
            squared[rows] = _refit(centred, rows, covariance, shrinkage)
    return squared


def _batches(groups, width):
    """Yield index arrays of shape (n_groups, size), groups of one size together."""
    sizes = np.bincount(groups)
    order = np.argsort(groups, kind="stable")
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes):
        members = order[starts[sizes == size, np.newaxis] + np.arange(size)]
        step = max(1, _BLOCK_VALUES // (size * max(width, size)))
        for start in range(0, len(members), step):
            yield members[start : start + step]


def _refit(centred, left_out, covariance, shrinkage):
    """Squared distances of some rows to a Gaussian fitted anew to the others."""
    others = np.delete(centred.rows, left_out, axis=0)
    location = mean_of(others)
    try:
        refitted = estimate(CentredRows.around(others, location), covariance, shrinkage)
    except ValueError:
        return np.full(len(left_out), np.inf)
    return refitted.covariance.mahalanobis(centred.rows[left_out], location)


class _SpectralRule:
    """The formulas of the module, for a batch of groups of one size."""

    def __init__(self, centred, covariance, shrinkage, spectrum):
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.n_samples = spectrum.n_samples
        self.n_features = spectrum.n_features
        self.rank = self.width = spectrum.rank
        self.eigenvalues = spectrum.eigenvalues
        self.row_vectors = spectrum.row_vectors
        self.squared_norms = spectrum.squared_norms
        self.scales = np.sqrt(self.n_samples * spectrum.eigenvalues)
        # sum_j |z_j|^2 z_j, in the eigenbasis.
        self.cubic = (self.squared_norms @ self.row_vectors) * self.scales

    def apply(self, members):
        """Squared distances, and which groups need a fit of their own."""
        n_left = self.n_samples - members.shape[1]
        vectors = self.row_vectors[members]
        trace, squared_norm, mean_fourth, failed = self._moments(members, vectors)
        rho = choose_shrinkage(
            self.covariance,
            self.shrinkage,
            n_left,
            self.n_features,
            *(np.where(failed, 1.0, m) for m in (trace, squared_norm, mean_fourth)),
        )
        floor = rho * trace / self.n_features
        a = self.n_samples / n_left
        variances = np.outer(1 - rho, a * self.eigenvalues) + floor[:, np.newaxis]
        # A vanishes for no direction: where rho is 0 the eigenvalues are positive.
        variances[failed] = 1.0
        transposed = vectors.swapaxes(1, 2)
        weights = self.n_samples * self.eigenvalues / variances
        G = (vectors * weights[:, np.newaxis]) @ transposed
        shrunk = (
            vectors * (floor[:, np.newaxis] / variances)[:, np.newaxis]
        ) @ transposed
        K = self._unspanned(vectors) + shrunk
        least = np.linalg.eigvalsh(K)[:, 0]
        for index in np.flatnonzero(least < _NEARLY_SINGULAR):
            K[index] = self._unspanned_exactly(members[index]) + shrunk[index]
            least[index] = np.linalg.eigvalsh(K[index])[0]
        singular = (rho == 0) & ((self.rank < self.n_features) | (least < _ROUNDING))
        K[singular | failed] = np.eye(members.shape[1])
        CG = G + G.sum(axis=1, keepdims=True) / n_left
        solved = np.linalg.solve(K, CG.swapaxes(1, 2))
        distances = np.einsum("gii->gi", solved).copy()
        distances[singular] = np.inf
        return distances, failed

    def _moments(self, members, vectors):
        """Moments of the rows left, and where they have cancelled."""
        n_samples, eigenvalues = self.n_samples, self.eigenvalues
        norms = self.squared_norms
        n_left = n_samples - members.shape[1]
        a = n_samples / n_left
        rows = vectors * self.scales
        own_norms = norms[members]
        mean = -rows.sum(axis=1) / n_left
        mean_squared = np.einsum("gk,gk->g", mean, mean)

        trace_before = norms.mean()
        trace = a * trace_before - own_norms.sum(axis=1) / n_left - mean_squared

        squared_before = (eigenvalues**2).sum()
        inner = rows @ rows.swapaxes(1, 2)
        weighted = (rows * eigenvalues) @ rows.swapaxes(1, 2)
        inner += inner.sum(axis=1, keepdims=True) / n_left
        cross = np.einsum("gii->g", weighted) + weighted.sum(axis=(1, 2)) / n_left
        squared_norm = (
            a**2 * squared_before
            - 2 * a / n_left * cross
            + np.einsum("gij,gji->g", inner, inner) / n_left**2
        )

        fourth_before = (norms**2).sum()
        own = own_norms - 2 * np.einsum("gik,gk->gi", rows, mean)
        own += mean_squared[:, np.newaxis]
        fourth = (
            fourth_before
            + 4 * n_samples * (mean**2 @ eigenvalues)
            + n_samples * mean_squared**2
            - 4 * mean @ self.cubic
            + 2 * mean_squared * norms.sum()
            - (own**2).sum(axis=1)
        )
        failed = (
            (trace < _CANCELLED * a * trace_before)
            | (squared_norm < _CANCELLED * a**2 * squared_before)
            | (fourth < _CANCELLED * fourth_before)
            | (fourth / n_left - squared_norm < _DEGENERATE * fourth / n_left)
        )
        return trace, squared_norm, fourth / n_left, failed

    def _unspanned(self, vectors):
        """Block of the projection onto what the row vectors do not span."""
        n_groups, size, _ = vectors.shape
        if self.rank == self.n_samples - 1:
            return np.zeros((n_groups, size, size))
        return np.eye(size) - 1 / self.n_samples - vectors @ vectors.swapaxes(1, 2)

    def _unspanned_exactly(self, rows):
        """Return the same for one group as a sum of squares: nothing cancels."""
        if self.rank == self.n_samples - 1:
            return np.zeros((len(rows), len(rows)))
        projection = -(self.row_vectors[rows] @ self.row_vectors.T) - 1 / self.n_samples
        projection[np.arange(len(rows)), rows] += 1
        return projection @ projection.T


class _DiagonalRule:
    """Variances without a group, feature by feature."""

    def __init__(self, centred, covariance):
        self.isotropic = covariance == "isotropic"
        self.rows = centred.rows
        self.width = centred.rows.shape[1]
        self.sums_of_squares = np.einsum("ij,ij->j", centred.rows, centred.rows)

    def apply(self, members):
        """Squared distances; no group needs a fit of its own."""
        n_left = len(self.rows) - members.shape[1]
        rows = self.rows[members]
        mean = -rows.sum(axis=1) / n_left
        left = self.sums_of_squares - np.einsum("gif,gif->gf", rows, rows)
        variances = left / n_left - mean**2
        doubtful = variances * n_left < _CANCELLED * self.sums_of_squares
        for index in np.flatnonzero(doubtful.any(axis=1)):
            features = np.flatnonzero(doubtful[index])
            variances[index, features] = self._variances(members[index], features)
        varies = variances > 0
        determined = varies.any(axis=1)
        if self.isotropic:
            n_dof = np.maximum(np.count_nonzero(varies, axis=1), 1)
            variances = (variances.sum(axis=1) / n_dof)[:, np.newaxis]
        else:
            least = np.where(varies, variances, np.inf).min(axis=1, keepdims=True)
            variances = np.where(varies, variances, least)
        variances[~determined] = np.inf
        deviations = rows - mean[:, np.newaxis]
        distances = (deviations**2 / variances[:, np.newaxis]).sum(axis=2)
        distances[~determined] = np.inf
        return distances, np.zeros(len(members), dtype=bool)

    def _variances(self, left_out, features):
        """Variances over the other rows: zero where these are all equal."""
        others = np.delete(self.rows[:, features], left_out, axis=0)
        return ((others - mean_of(others)) ** 2).mean(axis=0)
