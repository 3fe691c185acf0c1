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

They need no other rows than the group's. Where the sums over the others are differences
that have lost their digits, the rows are fitted anew, for which all must be at hand.
"""

import math
import sys

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
# The same where K is inverted as a matrix, and made of vectors that are not exact.
_ILL_CONDITIONED = 1e-3
# What rounding may leave of a K that is singular.
_ROUNDING = 1e-13
# Where the other rows are not at hand, fewer digits have to do, down to this share.
_LOST = 1e-8
# Eigenvalues of a scatter matrix from this share of the largest on have nine digits.
_NARROW = 1e-6
# From so many values on, rows that are left out in turn are weighted by a series, where
# it converges as fast as a geometric series of that ratio.
_MANY_VALUES = 2**13
_NEAR = 3e-2
# So many rows, as a share of the number of features, cost less by a series than the
# decomposition of all, where each term is at most such a share of the last.
_FEW = 1 / 4
_FAST = 1 / 2
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
    rows = centred.rows
    n_samples = len(rows)
    if spectrum is None:
        rule = _DiagonalRule(covariance, n_samples, np.einsum("ij,ij->j", rows, rows))

        def measure(members):
            return rule.apply(
                rows[members],
                lambda index, features: _variances_without(
                    rows[:, features], members[index]
                ),
            )

    else:
        norms = centred.squared_norms
        without = _ShrinkageWithout(
            covariance,
            shrinkage,
            n_samples,
            spectrum.n_features,
            trace=norms.sum(),
            squared_norm=spectrum.squared_norm,
            fourth=norms @ norms,
        )
        if groups is None and np.isinf(spectrum.floor) and n_samples > rows.shape[1]:
            squared = _leave_one_out_evenly(centred, spectrum, without)
            if squared is not None:
                return squared
        rule = _SpectralRule(
            without,
            spectrum.eigenvalues,
            cubic=spectrum.coordinates_of_sum(norms, centred.cubic),
            spans_rows=spectrum.spans_rows,
            least_floor=spectrum.least_floor,
        )

        def measure(members):
            # A slice of single rows spares a copy.
            single = slice(members[0, 0], members[-1, 0] + 1)
            coordinates, vectors = spectrum.of_rows(
                single if groups is None else members.ravel()
            )
            shape = (*members.shape, rule.rank)
            return rule.apply(
                coordinates.reshape(shape),
                None if vectors is None else vectors.reshape(shape),
                norms[members],
                lambda index, ratios: _root(spectrum, members[index], ratios),
            )

    squared = np.empty(n_samples)
    for members in _batches(n_samples, groups, rule.width):
        n_left_out = members.shape[1]
        n_left = n_samples - n_left_out
        if n_left < 2:
            # A single row has no spread.
            squared[members] = np.inf
            continue
        # Two rows are a case of their own for the shrinkage: +z and -z.
        failed = np.full(len(members), n_left == 2 or n_left_out > rule.width)
        if not failed.any():
            squared[members], failed = measure(members)
        for left_out in members[failed]:
            squared[left_out] = _refit(rows, left_out, covariance, shrinkage)
    return squared


def _leave_one_out_evenly(centred, spectrum, without):
    """Leave out rows one at a time where nothing is left of S but its trace.

    Without some of the rows a little more may be left.

    Parameters
    ----------
    centred : CentredRows
    spectrum : Spectrum
        Of more rows than features; it need not have been decomposed.
    without : _ShrinkageWithout

    Returns
    -------
    squared_distances : ndarray of shape (n_samples,) or None
        None where it takes the decomposition of S.
    """
    n_samples, norms = len(centred.rows), centred.squared_norms
    weighted = spectrum.squared_norms_by_covariance()[:, np.newaxis, np.newaxis]
    along = (centred.rows @ centred.cubic)[:, np.newaxis]
    rho, trace, failed = without.apply(None, weighted, along, norms[:, np.newaxis])
    # Two rows are a case of their own for the shrinkage.
    if n_samples < 4 or failed.any():
        return None
    n_left = n_samples - 1
    slope, floor = (1 - rho) * n_samples / n_left, rho * trace / spectrum.n_features
    G = norms / floor
    some = np.flatnonzero(slope)
    if len(some) > spectrum.n_features * _FEW:
        return None
    if len(some):
        ratio = slope[some] / floor[some]
        # No eigenvalue is above the Frobenius norm.
        if not ratio.max() * np.sqrt(spectrum.squared_norm) < _FAST:
            return None
        G[some] = _nearly_even(spectrum, some, ratio, G[some])
    K = 1 - 1 / n_samples - slope / n_samples * G
    if not K.min() > _NEARLY_SINGULAR:
        return None
    return (1 + 1 / n_left) * G / K


def _nearly_even(spectrum, some, ratio, G):
    """Return z'(ratio S + I)^-1 z / floor for some rows z, by its geometric series.

    Parameters
    ----------
    spectrum : Spectrum
        Of more rows than features.
    some : ndarray of shape (n_rows,), dtype int
    ratio : ndarray of shape (n_rows,)
        Times the largest eigenvalue of S, below 1.
    G : ndarray of shape (n_rows,)
        First term, |z|^2 / floor.

    Returns
    -------
    G : ndarray of shape (n_rows,)
    """
    rows = power = spectrum.rows[some]
    unit, total, term = G / spectrum.squared_norms[some], G.copy(), G
    while (np.abs(term) > np.finfo(float).eps * total).any():
        power = power @ spectrum.products
        power *= -ratio[:, np.newaxis] / spectrum.n_samples
        term = unit * np.einsum("ij,ij->i", power, rows)
        total += term
    return total


def leave_one_out(gaussian, X, *, are_all=False):
    """Squared distance of training rows to the Gaussian fitted without each of them.

    Of the other rows it needs the moments only, so that parts of the rows can be worked
    on apart, in any order. It costs O(n D r), r being the rank.

    Parameters
    ----------
    gaussian : Gaussian
        Fitted to the rows, among others.
    X : ndarray of shape (n_rows, n_features)
        Some of the rows, float64 or float32; a block of them is worked on at a time.
    are_all : bool, default=False
        Whether these are all the rows. Distances that a difference of moments has no
        digits for are then taken from a fit to the others.

    Returns
    -------
    squared_distances : ndarray of shape (n_rows,)
        Infinite where the other rows do not determine a Gaussian. If `X` is not all the
        rows, a row that makes up all but a share s of a moment has lost as many digits
        as s has zeros; below 1e-8 its distance is infinite, or for the diagonal
        covariances that of a feature that is constant among the others.
    """
    moments, spectrum = gaussian.moments, gaussian.spectrum
    squared = np.full(len(X), np.inf)
    if moments.n_samples < 3:
        return squared
    rule = _rule_of(gaussian, are_all)

    def variances_without(left_out):
        if not are_all:
            return None
        return lambda index, features: _variances_without(
            X[:, features].astype(float) / moments.unit, left_out[index]
        )

    step = max(1, _BLOCK_VALUES // moments.n_features)
    for start in range(0, len(X), step):
        left_out = np.arange(start, min(start + step, len(X)))
        rows = moments.centre(X[left_out])
        if spectrum is None:
            distances, failed = rule.apply(
                rows[:, np.newaxis], variances_without(left_out)
            )
        else:
            distances, failed = rule.apply(
                (rows @ spectrum.axes.T)[:, np.newaxis],
                None,
                np.einsum("ij,ij->i", rows, rows)[:, np.newaxis],
            )
        squared[left_out] = np.where(failed, np.inf, distances[:, 0])
        if are_all:
            for index in left_out[failed]:
                squared[index] = _refit(
                    X, [index], gaussian.estimator, gaussian.intensity
                )[0]
    return squared


def _rule_of(gaussian, are_all):
    """Formulas for a Gaussian known by its moments."""
    moments, spectrum = gaussian.moments, gaussian.spectrum
    cancelled = _CANCELLED if are_all else _LOST
    if spectrum is None:
        return _DiagonalRule(
            gaussian.estimator, moments.n_samples, moments.scatter, cancelled
        )
    eigenvalues = spectrum.eigenvalues
    without = _ShrinkageWithout(
        gaussian.estimator,
        gaussian.intensity,
        moments.n_samples,
        moments.n_features,
        trace=moments.trace,
        squared_norm=moments.squared_norm / moments.n_samples**2,
        fourth=moments.fourth,
        cancelled=cancelled,
    )
    return _SpectralRule(
        without,
        eigenvalues,
        cubic=spectrum.axes @ moments.cubic,
        spans_rows=spectrum.rank == moments.n_samples - 1
        and eigenvalues[-1] > _NARROW * eigenvalues[0],
        nearly_singular=_NEARLY_SINGULAR if are_all else _LOST,
    )


def _batches(n_samples, groups, width):
    """Yield index arrays of shape (n_groups, size), groups of one size together."""
    if groups is None:
        of_size = {1: np.arange(n_samples)[:, np.newaxis]}
    else:
        sizes = np.bincount(groups)
        order = np.argsort(groups, kind="stable")
        starts = np.cumsum(sizes) - sizes
        of_size = {
            size: order[starts[sizes == size, np.newaxis] + np.arange(size)]
            for size in np.unique(sizes)
        }
    for size, members in of_size.items():
        step = max(1, _BLOCK_VALUES // (size * max(width, size)))
        for start in range(0, len(members), step):
            yield members[start : start + step]


def _refit(rows, left_out, covariance, shrinkage):
    """Squared distances of some rows to a Gaussian fitted anew to the others."""
    rows = rows.astype(float, copy=False)
    others = np.delete(rows, left_out, axis=0)
    location = mean_of(others)
    try:
        refitted = estimate(CentredRows.around(others, location), covariance, shrinkage)
    except ValueError:
        return np.full(len(left_out), np.inf)
    return refitted.covariance.mahalanobis(rows[left_out], location)


def _root(spectrum, members, ratios):
    """Square root of K for one group, from A's ratios: in its square nothing cancels.

    The projection and what is added to it along the axes are orthogonal.
    """
    vectors = spectrum.row_vectors
    if spectrum.spans_rows:
        return vectors[members] * np.sqrt(ratios)
    taken = vectors[members] * (1 - np.sqrt(ratios))
    root = -(taken @ vectors.T) - 1 / spectrum.n_samples
    root[np.arange(len(members)), members] += 1
    return root


def _variances_without(rows, left_out):
    """Variances over the other rows: zero where these are all equal."""
    others = np.delete(rows, left_out, axis=0)
    return ((others - mean_of(others)) ** 2).mean(axis=0)


class _ShrinkageWithout:
    """Shrinkage over the rows left, from moments of all rows and of those left out.

    Parameters
    ----------
    covariance, shrinkage
        As for `estimate`.
    n_samples, n_features : int
    trace : float
        sum_j |z_j|^2.
    squared_norm : float
        Squared Frobenius norm of S.
    fourth : float
        sum_j |z_j|^4.
    cancelled : float
        See the constants of the module.
    """

    def __init__(
        self,
        covariance,
        shrinkage,
        n_samples,
        n_features,
        *,
        trace,
        squared_norm,
        fourth,
        cancelled=_CANCELLED,
    ):
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.n_samples = n_samples
        self.n_features = n_features
        self.trace = trace
        self.squared_norm = squared_norm
        self.fourth = fourth
        self.cancelled = cancelled

    def apply(self, inner, weighted, along, norms):
        """Shrinkage over the rows left, from what is known of those left out.

        Parameters
        ----------
        inner : ndarray of shape (n_groups, size, size) or None
            Their inner products Z_g Z_g'. Single rows do without: these are `norms`.
        weighted : ndarray of shape (n_groups, size, size)
            Z_g S Z_g'.
        along : ndarray of shape (n_groups, size)
            Their inner products with sum |z|^2 z over all rows.
        norms : ndarray of shape (n_groups, size)
            Their squared norms.

        Returns
        -------
        rho, trace : ndarray of shape (n_groups,)
            Shrinkage intensity, and tr(S).
        failed : ndarray of shape (n_groups,), dtype bool
            Where moments have cancelled, so that `rho` says nothing.
        """
        n_left = self.n_samples - norms.shape[1]
        if norms.shape[1] == 1:
            moments = self._without_one(weighted[:, 0, 0], along[:, 0], norms[:, 0])
        else:
            moments = self._without(inner, weighted, along, norms)
        trace, squared_norm, fourth = moments
        mean_fourth = fourth / n_left
        failed = trace < self.cancelled / n_left * self.trace
        if self.covariance in ("ledoit_wolf", "oas") and self.n_features > 1:
            before = (self.n_samples / n_left) ** 2 * self.squared_norm
            failed |= squared_norm < self.cancelled * before
        if self.covariance == "ledoit_wolf" and self.n_features > 1:
            failed |= fourth < self.cancelled * self.fourth
            failed |= mean_fourth - squared_norm < _DEGENERATE * mean_fourth
        for moment in (trace, squared_norm, mean_fourth):
            moment[failed] = 1.0
        rho = choose_shrinkage(
            self.covariance,
            self.shrinkage,
            n_left,
            self.n_features,
            trace,
            squared_norm,
            mean_fourth,
        )
        return rho, trace, failed

    def _without(self, inner, weighted, along, norms):
        """Return tr(S), squared norm of S and sum |z|^4 of the rows left."""
        n_samples, n_left = self.n_samples, self.n_samples - norms.shape[1]
        to_sum = inner.sum(axis=2)
        mean_squared = to_sum.sum(axis=1) / n_left**2
        trace = (self.trace - norms.sum(axis=1)) / n_left - mean_squared

        weighted_sum = weighted.sum(axis=(1, 2))
        centred = inner + to_sum[:, np.newaxis] / n_left
        cross = np.einsum("gii->g", weighted) + weighted_sum / n_left
        squared_norm = (
            n_samples**2 * self.squared_norm
            - 2 * n_samples * cross
            + np.einsum("gij,gji->g", centred, centred)
        ) / n_left**2

        own = norms + 2 / n_left * to_sum + mean_squared[:, np.newaxis]
        fourth = (
            self.fourth
            + 4 * n_samples / n_left**2 * weighted_sum
            + n_samples * mean_squared**2
            + 4 / n_left * along.sum(axis=1)
            + 2 * mean_squared * self.trace
            - (own**2).sum(axis=1)
        )
        return trace, squared_norm, fourth

    def _without_one(self, weighted, along, norms):
        """Return what `_without` does for single rows, in a third of its steps."""
        n_samples, n_left = self.n_samples, self.n_samples - 1
        a = n_samples / n_left
        squares = norms**2
        trace = self.trace / n_left - a / n_left * norms
        squared_norm = self.squared_norm - 2 / n_left * weighted + squares / n_left**2
        fourth = (
            self.fourth
            + 4 / n_left * (a * weighted + along)
            + 2 * self.trace / n_left**2 * norms
            - (a**4 - n_samples / n_left**4) * squares
        )
        return trace, a**2 * squared_norm, fourth


class _SpectralRule:
    """The formulas of the module, for a batch of groups of one size.

    Parameters
    ----------
    shrinkage : _ShrinkageWithout
    eigenvalues : ndarray of shape (rank,)
        Of S.
    cubic : ndarray of shape (rank,)
        sum_j |z_j|^2 z_j, in the eigenbasis.
    spans_rows : bool
        Whether nothing is orthogonal to the row vectors and the ones.
    least_floor : float, default=0
        Least floor that the eigenbasis is exact enough for.
    nearly_singular : float
        When a group needs a fit of its own, see the constants of the module.
    """

    def __init__(
        self,
        shrinkage,
        eigenvalues,
        *,
        cubic,
        spans_rows,
        least_floor=0.0,
        nearly_singular=_NEARLY_SINGULAR,
    ):
        self.shrinkage = shrinkage
        self.n_samples = shrinkage.n_samples
        self.n_features = shrinkage.n_features
        self.rank = self.width = len(eigenvalues)
        self.eigenvalues = eigenvalues
        self.ones = np.ones_like(eigenvalues)
        self.cubic = cubic
        self.spans_rows = spans_rows
        self.least_floor = least_floor
        self.nearly_singular = nearly_singular

    def apply(self, rows, vectors, norms, root_of=None):
        """Distances of groups of rows.

        Parameters
        ----------
        rows : ndarray of shape (n_groups, size, rank)
            In the eigenbasis.
        vectors : ndarray of shape (n_groups, size, rank) or None
            Their left singular vectors, U. None takes them from `rows`, which are then
            overwritten.
        norms : ndarray of shape (n_groups, size)
            Their squared norms.
        root_of : callable or None, default=None
            Gives a square root of K for the group of a number, from the ratios of the
            floor to A. None where it takes rows that are not at hand.

        Returns
        -------
        squared_distances : ndarray of shape (n_groups, size)
        failed : ndarray of shape (n_groups,), dtype bool
            Which groups need a fit of their own.
        """
        size = rows.shape[1]
        identity = np.eye(size)
        n_left = self.n_samples - size
        along = rows @ self.cubic
        fresh = vectors is None
        if fresh and self.spans_rows:
            vectors = rows / np.sqrt(self.n_samples * self.eigenvalues)
        products = _Products(rows, overwrite=fresh)
        rho, trace, failed = self.shrinkage.apply(
            None if size == 1 else products(self.ones),
            products(self.eigenvalues),
            along,
            norms,
        )
        floor = rho * trace / self.n_features
        failed = failed | (floor < (1 - rho) * self.least_floor)
        a = self.n_samples / n_left
        # A = slope w + floor vanishes for no direction: where rho is 0 eigenvalues are
        # positive.
        slope = np.where(failed, 0.0, (1 - rho) * a)
        floor = np.where(failed, 1.0, floor)
        resolvent = self.eigenvalues, slope, floor
        G = products.over(*resolvent)
        if vectors is None:
            # With U of the rows, K = I - 11'/n - (slope/n) G. It cancels no more than
            # the projection, which with more rows than axes it seldom does.
            K = G * (-slope / self.n_samples)[:, np.newaxis, np.newaxis]
        else:
            of_vectors = _Products(vectors)
            K = of_vectors.over(*resolvent) * floor[:, np.newaxis, np.newaxis]
            if not self.spans_rows:
                K -= of_vectors(self.ones)
        if not self.spans_rows:
            # Block of the projection onto what the row vectors do not span.
            K += identity - 1 / self.n_samples
        least = _least_eigenvalue(K)
        if size > 1 and self.spans_rows:
            failed = failed | ((least < _ILL_CONDITIONED) & (rho > 0))
        nearly_singular = (least < self.nearly_singular) & ~failed
        if root_of is not None:
            for index in np.flatnonzero(nearly_singular):
                variances = slope[index] * self.eigenvalues + floor[index]
                root = root_of(index, floor[index] / variances)
                K[index] = root @ root.T
                least[index] = _least_eigenvalue(K[index])
        elif not self.spans_rows:
            failed = failed | nearly_singular
        singular = (rho == 0) & ((self.rank < self.n_features) | (least < _ROUNDING))
        K[singular | failed] = identity
        CG = G + _sum(G.swapaxes(1, 2))[:, np.newaxis] / n_left
        # The single number that most groups have is not worth the overhead.
        solved = CG / K if size == 1 else np.linalg.solve(K, CG.swapaxes(1, 2))
        distances = np.where(singular[:, np.newaxis], np.inf, _diagonals(solved))
        return distances, failed


def _sum(values):
    """Sum over the last axis, at no cost where it is of length 1."""
    return values[..., 0] if values.shape[-1] == 1 else values.sum(axis=-1)


def _diagonals(matrices):
    """Diagonals of square matrices, of shape (n_matrices, size)."""
    if matrices.shape[-1] == 1:
        return matrices[..., 0]
    return np.einsum("gii->gi", matrices)


class _Products:
    """Inner products of the rows of each group.

    Parameters
    ----------
    rows : ndarray of shape (n_groups, size, n_columns)
    overwrite : bool, default=False
        Whether the rows may be overwritten: it takes less memory.
    """

    def __init__(self, rows, *, overwrite=False):
        self.rows = rows
        self.squares = None
        if rows.shape[1] == 1:
            # Thousands of products of a row and a column each cost more than squares.
            single = rows[:, 0]
            self.squares = np.square(single, out=single if overwrite else None)

    def __call__(self, weights):
        """Weighted by column.

        Parameters
        ----------
        weights : ndarray of shape (n_columns,) or, where the groups have more than one
                row, (n_groups, n_columns)

        Returns
        -------
        products : ndarray of shape (n_groups, size, size)
        """
        if self.squares is None:
            weighted = self.rows * weights[..., np.newaxis, :]
            return weighted @ self.rows.swapaxes(1, 2)
        return (self.squares @ weights)[:, np.newaxis, np.newaxis]

    def over(self, eigenvalues, slope, floor):
        """Weighted by 1 / (slope * eigenvalues + floor).

        Parameters
        ----------
        eigenvalues : ndarray of shape (n_columns,)
        slope, floor : ndarray of shape (n_groups,)

        Returns
        -------
        products : ndarray of shape (n_groups, size, size)
        """
        if self.squares is None or self.squares.size < _MANY_VALUES:
            return self._over_each(slice(None), eigenvalues, slope, floor)
        # Of many rows a single one changes little of slope and floor. With their ratio
        # x near c, 1 / (1 + x w) = u / (1 - (c - x) w u), where u = 1 / (1 + c w): a
        # geometric series, whose sums over the columns are products of matrices.
        largest = eigenvalues.max()
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = slope / floor
            low, high = ratio.min(), ratio.max()
            centre, far = (low + high) / 2, []
            convergence = (high - low) / 2 / (centre + 1 / largest)
            if not convergence < _NEAR:
                # Some rows are unlike the others.
                centre = np.median(ratio)
                if not np.isfinite(centre):
                    return self._over_each(slice(None), eigenvalues, slope, floor)
                each = np.abs(ratio - centre) / (centre + 1 / largest)
                far = np.flatnonzero(~(each < _NEAR))
                convergence = np.delete(each, far).max(initial=0)
        start = 1 / (1 + centre * eigenvalues)
        step = eigenvalues * start
        deviation = centre - ratio
        deviation[far] = 0
        n_terms = _n_terms(convergence)
        weights = start * step ** np.arange(n_terms)[:, np.newaxis]
        terms = weights @ self.squares.T
        products = terms[-1]
        for term in terms[-2::-1]:
            products *= deviation
            products += term
        products /= floor
        products = products[:, np.newaxis, np.newaxis]
        if len(far):
            products[far] = self._over_each(far, eigenvalues, slope, floor)
        return products

    def _over_each(self, groups, eigenvalues, slope, floor):
        """Weight some groups as `over` does, one by one."""
        weights = np.multiply.outer(slope[groups], eigenvalues)
        weights += floor[groups, np.newaxis]
        np.reciprocal(weights, out=weights)
        if self.squares is None:
            return self(weights)
        weights *= self.squares[groups]
        return weights.sum(axis=1)[:, np.newaxis, np.newaxis]


def _n_terms(ratio):
    """Count the terms after which a geometric series of a ratio below 1 is complete."""
    info = sys.float_info
    return 1 + int(math.log(info.epsilon) / math.log(max(ratio, info.min)))


def _least_eigenvalue(K):
    """Least eigenvalue of symmetric matrices, of shape (..., size, size)."""
    return K[..., 0, 0].copy() if K.shape[-1] == 1 else np.linalg.eigvalsh(K)[..., 0]


class _DiagonalRule:
    """Variances without a group, feature by feature.

    Parameters
    ----------
    covariance : {"diagonal", "isotropic"}
    n_samples : int
    sums_of_squares : ndarray of shape (n_features,)
        Over all rows.
    cancelled : float
        When the variance of a feature has to be taken anew, see the constants of the
        module.
    """

    def __init__(self, covariance, n_samples, sums_of_squares, cancelled=_CANCELLED):
        self.isotropic = covariance == "isotropic"
        self.n_samples = n_samples
        self.width = len(sums_of_squares)
        self.sums_of_squares = sums_of_squares
        self.cancelled = cancelled

    def apply(self, rows, variances_without=None):
        """Distances of groups of rows.

        Parameters
        ----------
        rows : ndarray of shape (n_groups, size, n_features)
        variances_without : callable or None, default=None
            Gives the variances of features without the group of a number. None where
            that takes rows that are not at hand, and what has cancelled is zero.

        Returns
        -------
        squared_distances : ndarray of shape (n_groups, size)
        failed : ndarray of shape (n_groups,), dtype bool
            All false: no group needs a fit of its own.
        """
        n_left = self.n_samples - rows.shape[1]
        mean = -rows.sum(axis=1) / n_left
        left = self.sums_of_squares - np.einsum("gif,gif->gf", rows, rows)
        variances = left / n_left - mean**2
        doubtful = variances * n_left < self.cancelled * self.sums_of_squares
        if variances_without is None:
            variances[doubtful] = 0
        else:
            for index in np.flatnonzero(doubtful.any(axis=1)):
                features = np.flatnonzero(doubtful[index])
                variances[index, features] = variances_without(index, features)
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
        return distances, np.zeros(len(rows), dtype=bool)
