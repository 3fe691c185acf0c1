"""Moments of samples that can be added to, joined and taken apart again.

All that a Gaussian and its shrinkage are made of are the number of samples, their mean,
S = sum z z', t = sum |z|^2 z and f = sum |z|^4, with z about the mean. About another
centre c, with d = mean - c, the same n samples have

    S + n d d',
    t + 2 S d + tr(S) d + n |d|^2 d,
    f + 4 d'S d + n |d|^4 + 4 d't + 2 |d|^2 tr(S),

so that two sets of samples are joined by adding moments about their common mean, and
separated by subtracting them. No sum of large numbers is formed, wherever the origin
is: means are kept as differences from a point amidst the samples.
"""

import math
import sys
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import linalg

from ._spectrum import Spectrum

# What is left of a variance below this fraction of what it was, is rounding.
_VANISHED = 1e-10
# How far from these, in the unit of the moments, the mean of all the samples may be.
_SAME_MEAN = 1e-6
# How far, as a fraction of what it was, rounding may push a moment out of its range.
_SLACK = 1e-9
# Rows summed up at a time, so that samples mapped from a file need not fit into memory.
_BLOCK_ROWS = 1024


class TooFewSamplesError(ValueError):
    """The samples do not determine a Gaussian; others added to them may do."""


def centre(X):
    """Rows around their mean, in a unit in which no moment over- or underflows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        At least one row, float64, finite.

    Returns
    -------
    rows : ndarray of shape (n_samples, n_features)
        Magnitudes are below 1, to rounding.
    placed : dict
        The attributes of `Moments` that say where they were.

    Raises
    ------
    ValueError
        If they are too far apart for float64.
    """
    low, high = X.min(axis=0), X.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        origin = _mean(X, low, high)
        unit = _unit_above(max((high - origin).max(), (origin - low).max()))
        rows = X - origin
        # The mean was rounded to the digits of X.
        mean = np.ones(len(X)) @ rows / len(X)
        rows -= mean
    if unit > 0:
        rows /= unit
    placed = {"n_samples": len(X), "unit": unit, "origin": origin, "mean": mean}
    return rows, {**placed, "low": low, "high": high}


def mean_of(X):
    """Mean of rows, exact for constant features, ndarray of shape (n_features,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _mean(X, X.min(axis=0), X.max(axis=0))


def _mean(X, low, high):
    """Take the mean, the least and largest values being known."""
    # Summing equal values may round, and the feature would seem to vary.
    return np.where(high > low, np.ones(len(X)) @ X / len(X), X[0])


def _unit_above(deviation):
    """Least power of two above a deviation, or 0: dividing by it loses no digits."""
    if not deviation < math.ldexp(1.0, sys.float_info.max_exp - 1):
        raise _unsquarable(deviation)
    return math.ldexp(1.0, math.frexp(deviation)[1]) if deviation > 0 else 0.0


def _unsquarable(deviation):
    """Error for rows whose moments are no float64."""
    return ValueError(
        f"The features deviate from their mean by about {deviation:.3g}, and the "
        "square of that is not a finite, positive float64. Rescale them, for "
        "example with sklearn.preprocessing.StandardScaler."
    )


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of samples about their mean.

    Attributes
    ----------
    n_samples : int
    unit : float
        Unit of the three moments below, a power of two, so that none over- or
        underflows; 0 where all samples are equal.
    origin : ndarray of shape (n_features,)
        A point amidst the samples.
    mean : ndarray of shape (n_features,)
        Mean minus `origin`, in the units of the features.
    low, high : ndarray of shape (n_features,)
        Least and largest value of each feature. After samples were taken out they may
        lie outside, but for features that are constant.
    scatter : ndarray of shape (n_features, n_features) or (n_features,), or Spectrum
        S, or its diagonal alone; or the spectrum of S / n, as a fit has it.
    cubic : ndarray of shape (n_features,) or None
        t; None with the diagonal alone.
    fourth : float or None
        f; None with the diagonal alone.
    """

    n_samples: int
    unit: float
    origin: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    scatter: Spectrum | np.ndarray
    cubic: np.ndarray | None = None
    fourth: float | None = None

    @classmethod
    def of(cls, X, *, diagonal=False):
        """Take the moments of samples.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            At least one row, float64, finite.
        diagonal : bool, default=False
            Whether the variances of single features will do, so that no matrix of
            n_features x n_features is formed.

        Returns
        -------
        moments : Moments

        Raises
        ------
        ValueError
            If they are too far apart for float64.
        """
        rows, placed = centre(X)
        if diagonal:
            return cls(**placed, scatter=np.einsum("ij,ij->j", rows, rows))
        norms = np.einsum("ij,ij->i", rows, rows)
        return cls(
            **placed,
            scatter=rows.T @ rows,
            cubic=norms @ rows,
            fourth=float(norms @ norms),
        )

    @property
    def n_features(self):
        """Number of features, D."""
        return len(self.mean)

    @property
    def is_diagonal(self):
        """Whether only the diagonal of the scatter is known."""
        return self.cubic is None

    @property
    def location(self):
        """Mean of the samples, ndarray of shape (n_features,)."""
        return self.origin + self.mean

    @property
    def varies(self):
        """Which features are not constant, ndarray of shape (n_features,), bool."""
        return self.low < self.high

    @property
    def n_dof(self):
        """Number of features that vary."""
        return int(np.count_nonzero(self.varies))

    @cached_property
    def trace(self):
        """Sum of squares of all features, tr(S)."""
        if isinstance(self.scatter, Spectrum):
            return float(self.n_samples * self.scatter.eigenvalues.sum())
        return float(_diagonal(self.scatter).sum())

    @cached_property
    def squared_norm(self):
        """Squared Frobenius norm of S; not for the diagonal alone."""
        if isinstance(self.scatter, Spectrum):
            return float(self.n_samples**2 * (self.scatter.eigenvalues**2).sum())
        values = self.scatter.ravel()
        return float(values @ values)

    @property
    def squared_unit(self):
        """Square of the unit, or an error that says why there is none."""
        if self.unit == 0:
            raise TooFewSamplesError(
                f"All {self.n_samples} training samples are identical, or identical "
                "within their variant, so they have no spread to measure a distance "
                "by. Check that the images or features differ."
            )
        squared_unit = self.unit * self.unit
        if not sys.float_info.min <= squared_unit < math.inf:
            raise _unsquarable(self.unit)
        return squared_unit

    def centre(self, X):
        """Subtract the mean from rows, and divide by the unit."""
        rows = X - self.origin
        rows -= self.mean
        rows /= self.unit
        return rows

    def are_of(self, X):
        """Whether rows that are all within range are all the samples there are."""
        if len(X) != self.n_samples:
            return False
        # A random sample of as many, with some of them twice, has another mean.
        starts = range(0, len(X), _BLOCK_ROWS)
        total = sum(self.centre(X[i : i + _BLOCK_ROWS]).sum(axis=0) for i in starts)
        return np.abs(total).max() < _SAME_MEAN * len(X)

    def check_range(self, low, high):
        """Raise if the least or largest value of a feature is out of its range."""
        outside = (low < self.low) | (high > self.high)
        if outside.any():
            index = int(np.argmax(outside))
            raise _never_there(
                f"feature {index} goes from {low[index]:.6g} to {high[index]:.6g}, and "
                f"among the training samples from {self.low[index]:.6g} to "
                f"{self.high[index]:.6g}"
            )

    def merge(self, other):
        """Moments of both sets of samples.

        Parameters
        ----------
        other : Moments
            Of as many features, and of the diagonal alone if these are.

        Returns
        -------
        merged : Moments

        Raises
        ------
        ValueError
            If the two are too far apart for float64.
        """
        n_samples = self.n_samples + other.n_samples
        with np.errstate(over="ignore", invalid="ignore"):
            gap = self._gap(other)
            mean = self.mean + gap * (other.n_samples / n_samples)
            unit = max(self.unit, other.unit, _unit_above(np.abs(gap).max()))
        merged = replace(
            self,
            n_samples=n_samples,
            unit=unit,
            mean=mean,
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
        )
        if unit == 0:
            return merged
        mine, theirs = merged._shifted(self), merged._shifted(other)
        return merged._with(*(a + b for a, b in zip(mine, theirs, strict=True)))

    def without(self, other):
        """Moments of the samples that are left when some are taken out.

        Parameters
        ----------
        other : Moments
            Of the samples to take out, not all of those there are.

        Returns
        -------
        left : Moments
            To fewer digits than these, by as many as the variances fall. A feature of
            which less than 1e-10 of the variation is left counts as constant.

        Raises
        ------
        ValueError
            If the samples are seen not to have been among these, or less than 1e-10 of
            the fourth moment is left, so that it has no digits.
        """
        n_left = self.n_samples - other.n_samples
        if n_left < 1:
            raise ValueError(
                f"{other.n_samples} samples cannot be taken out of "
                f"{self.n_samples} training samples, of which at least one has to be "
                "left. To begin anew, call fit."
            )
        self.check_range(other.low, other.high)
        if self.unit == 0:
            return replace(self, n_samples=n_left)
        gap = self._gap(other)
        mean = self.mean - gap * (other.n_samples / n_left)
        unit = max(self.unit, _unit_above(np.abs(mean - self.mean).max()))
        left = replace(self, n_samples=n_left, unit=unit, mean=mean)
        before, taken = left._shifted(self), left._shifted(other)
        left = left._with(*(a - b for a, b in zip(before, taken, strict=True)))
        left._check_possible(_diagonal(before[0]).sum())
        # A single sample has no variance.
        constant = _diagonal(left.scatter) <= _VANISHED * _diagonal(before[0])
        constant |= n_left == 1
        if not (constant.all() or self.is_diagonal):
            fraction = left.fourth / before[2]
            if fraction < _VANISHED:
                raise ValueError(
                    f"The samples left would have {fraction:.1g} of the fourth moment "
                    "that there was, the difference being rounding. Call fit with the "
                    "samples left."
                )
        return left._without_rounding(constant)

    def _gap(self, other):
        """Mean of the others minus mean of these: exactly 0 for equal constants."""
        return (other.mean + (other.origin - self.origin)) - self.mean

    def _shifted(self, other):
        """Moments of the others about this mean, in this unit: S, t and f."""
        shift = self._gap(other) / self.unit
        scale = other.unit / self.unit
        n_samples, squared = other.n_samples, shift @ shift
        scatter = other.scatter
        if isinstance(scatter, Spectrum):
            scatter = n_samples * scatter.matrix()
        with np.errstate(under="ignore"):
            scatter = scatter * scale**2
            if other.is_diagonal:
                return (scatter + n_samples * shift**2,)
            trace = np.trace(scatter)
            along = scatter @ shift
            cubic = other.cubic * scale**3
            fourth = (
                other.fourth * scale**4
                + 4 * shift @ along
                + n_samples * squared**2
                + 4 * shift @ cubic
                + 2 * squared * trace
            )
            cubic += 2 * along + (trace + n_samples * squared) * shift
            scatter += n_samples * np.outer(shift, shift)
        return scatter, cubic, float(fourth)

    def _with(self, scatter, cubic=None, fourth=None):
        return replace(self, scatter=scatter, cubic=cubic, fourth=fourth)

    def _check_possible(self, trace_before):
        """Raise if what is left of the moments is not what samples can have."""
        slack, variation = _SLACK * trace_before, _diagonal(self.scatter)
        if (variation < -slack).any():
            index = int(np.argmin(variation))
            raise _never_there(
                f"feature {index} would be left with a negative variance"
            )
        if self.n_samples == 1 and variation.sum() > slack:
            raise _never_there("a single sample would be left with a variance")
        if self.is_diagonal:
            return
        lifted = self.scatter.copy()
        lifted[np.diag_indices_from(lifted)] += slack
        try:
            linalg.cholesky(lifted, overwrite_a=True, check_finite=False)
        except linalg.LinAlgError:
            raise _never_there(
                "features would be left with a covariance that is not positive"
            ) from None
        # A mean of squares is not below the square of the mean.
        if self.fourth < self.trace**2 / self.n_samples - slack**2 / _SLACK:
            raise _never_there("the norms would be left with a negative variance")

    def _without_rounding(self, constant):
        """Return the same with some features made constant, exactly."""
        location = self.location
        tolerance = _VANISHED * (self.high - self.low) + 4 * np.spacing(
            np.abs(location)
        )
        # Most often the value is an extreme one, as the 0 of a rectified feature is.
        for extreme in (self.low, self.high):
            at = np.abs(location - extreme) <= tolerance
            location = np.where(at, extreme, location)
        scatter = self.scatter.copy()
        scatter[constant] = 0
        low = np.where(constant, location, self.low)
        high = np.where(constant, location, self.high)
        cubic, fourth = self.cubic, self.fourth
        if not self.is_diagonal:
            scatter[:, constant] = 0
            cubic = np.where(constant, 0, cubic)
        unit = self.unit
        if constant.all():
            unit, fourth = 0.0, None if self.is_diagonal else 0.0
        return replace(
            self,
            unit=unit,
            origin=np.where(constant, location, self.origin),
            mean=np.where(constant, 0, self.mean),
            low=low,
            high=high,
            scatter=scatter,
            cubic=cubic,
            fourth=fourth,
        )


def _diagonal(scatter):
    return scatter if scatter.ndim == 1 else scatter.diagonal()


def _never_there(what):
    return ValueError(
        f"Not all of these samples are among the training samples: {what}. Give "
        "samples that were trained on, the same to the last digit."
    )
