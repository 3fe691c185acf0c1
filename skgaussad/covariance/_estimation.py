"""From centred rows to a covariance, by any of the estimators on offer."""

import math
import sys
from dataclasses import dataclass

import numpy as np

from . import _shrinkage
from ._covariance import DiagonalCovariance, SpectralCovariance
from ._spectrum import Spectrum

# Values worked on at a time, few enough for a processor's cache.
_BLOCK_VALUES = 2**17
# So many rows are reduced one by one.
_FEW_ROWS = 16
COVARIANCES = ("ledoit_wolf", "oas", "shrunk", "empirical", "diagonal", "isotropic")
# Those that keep to the variances of single features.
DIAGONAL_COVARIANCES = ("diagonal", "isotropic")


class TooFewSamplesError(ValueError):
    """The samples do not determine a Gaussian; others added to them may do."""


@dataclass(frozen=True)
class CentredRows:
    """Training rows around their mean, in units in which no moment over- or underflows.

    Attributes
    ----------
    rows : ndarray of shape (n_samples, n_features)
        With mean zero, the largest magnitude being in [0.5, 1).
    squared_norms : ndarray of shape (n_samples,)
        Squared Euclidean norm |z|^2 of each row z.
    total, cubic : ndarray of shape (n_features,)
        Sums over the rows of z, which is what rounding the mean has left, and of
        |z|^2 z.
    location : ndarray of shape (n_features,) or (n_samples, n_features)
        What they were centred around.
    varies : ndarray of shape (n_features,), dtype bool
        Which features are not constant.
    squared_unit : float
        Square of the unit of the rows, a power of two, so that no digits are lost.
    low, high : ndarray of shape (n_features,)
        Least and largest value of each feature before the rows were centred.
    """

    rows: np.ndarray
    squared_norms: np.ndarray
    total: np.ndarray
    cubic: np.ndarray
    location: np.ndarray
    varies: np.ndarray
    squared_unit: float
    low: np.ndarray
    high: np.ndarray

    @property
    def n_dof(self):
        """Number of features that vary: degrees of freedom of a chi-square law."""
        return int(np.count_nonzero(self.varies))

    @classmethod
    def of(cls, X):
        """Centre rows around their mean.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)

        Returns
        -------
        centred : CentredRows

        Raises
        ------
        ValueError
            As `around`.
        """
        low, high, location = summarise(X)
        return cls._centre(X, location, low, high)

    @classmethod
    def around(cls, X, location):
        """Centre rows around means that are known.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
        location : ndarray of shape (n_features,) or (n_samples, n_features)
            One mean, or the mean of each row; exact for constant features.

        Returns
        -------
        centred : CentredRows

        Raises
        ------
        ValueError
            If no row deviates from its mean, or the deviations are too large or too
            small to be squared.
        """
        return cls._centre(X, location, X.min(axis=0), X.max(axis=0))

    @classmethod
    def _centre(cls, X, location, low, high):
        """Centre rows with extremes that are known."""
        origin = location
        if location.ndim == 1:
            # Rounding keeps the order, so that these are the extremes of the rows.
            least, most = low - location, high - location
        else:
            X, origin = X - location, 0.0
            least, most = X.min(axis=0), X.max(axis=0)
        unit = unit_above(max(-least.min(), most.max()))
        squared_unit = square_of(unit, len(X))
        rows, norms = np.empty(X.shape), np.empty(len(X))
        sums = np.zeros((2, X.shape[1]))
        for block in blocks_of(X):
            part = np.subtract(X[block], origin, out=rows[block])
            part *= 1 / unit
            norms[block] = np.einsum("ij,ij->i", part, part)
            sums += np.stack([np.ones(len(part)), norms[block]]) @ part
        varies = (least < 0) | (most > 0)
        return cls(rows, norms, *sums, location, varies, squared_unit, low, high)


def unit_above(deviation):
    """Least power of two above a deviation from the mean: dividing by it is exact.

    Parameters
    ----------
    deviation : float
        Not negative.

    Returns
    -------
    unit : float
        0 for a deviation of 0, infinite for one that is.
    """
    deviation = float(deviation)
    if deviation == 0 or not math.isfinite(deviation):
        return deviation
    exponent = math.frexp(deviation)[1]
    return math.ldexp(1.0, exponent) if exponent < sys.float_info.max_exp else math.inf


def square_of(unit, n_samples):
    """Square of the unit of deviations from the mean.

    Parameters
    ----------
    unit : float
        From `unit_above`.
    n_samples : int
        Number of samples, for the message.

    Returns
    -------
    squared_unit : float

    Raises
    ------
    TooFewSamplesError
        If nothing deviates.
    ValueError
        If the square is not a finite, positive float64.
    """
    if unit == 0:
        raise TooFewSamplesError(
            f"All {n_samples} training samples are identical, or identical within "
            "their variant, so they have no spread to measure a distance by. Check "
            "that the images or features differ."
        )
    squared_unit = unit * unit
    if not math.isfinite(squared_unit) or squared_unit < sys.float_info.min:
        raise ValueError(
            f"The features deviate from their mean by about {unit:.3g}, and the "
            "square of that is not a finite, positive float64. Rescale them, for "
            "example with sklearn.preprocessing.StandardScaler."
        )
    return squared_unit


def summarise(X):
    """Least and largest value and mean of each feature, in one pass.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)

    Returns
    -------
    low, high, mean : ndarray of shape (n_features,)
        The mean is exact for constant features.
    """
    first, *others = blocks_of(X, n_arrays=3)
    low, high = X[first].copy(), X[first].copy()
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.ones(len(low)) @ X[first]
        for block in others:
            part = X[block]
            # Of blocks rather than within them: reducing short rows takes longer.
            np.minimum(low[: len(part)], part, out=low[: len(part)])
            np.maximum(high[: len(part)], part, out=high[: len(part)])
            total += np.ones(len(part)) @ part
        low, high = _reduce(np.minimum, low), _reduce(np.maximum, high)
        # Summing equal values may round, and the feature would seem to vary.
        return low, high, np.where(high > low, total / len(X), X[0])


def _reduce(operation, rows):
    """Apply an operation between all rows, which are overwritten."""
    while len(rows) > _FEW_ROWS:
        # Half of them at a time: from one short row to the next takes longer.
        n_left = (len(rows) + 1) // 2
        rows, others = rows[:n_left], rows[n_left:]
        operation(rows[: len(others)], others, out=rows[: len(others)])
    return operation.reduce(rows, axis=0)


def mean_of(X):
    """Mean of rows, exact for constant features.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)

    Returns
    -------
    mean : ndarray of shape (n_features,)
    """
    return summarise(X)[2]


def blocks_of(X, n_arrays=2):
    """Yield slices of rows that a processor's cache holds.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    n_arrays : int, default=2
        Number of arrays of their size that have to be in the cache.
    """
    step = max(1, _BLOCK_VALUES // (n_arrays * X.shape[1]))
    for start in range(0, len(X), step):
        yield slice(start, start + step)


@dataclass(frozen=True)
class Estimate:
    """A covariance, and what it was made of.

    Attributes
    ----------
    covariance : SpectralCovariance or DiagonalCovariance
    shrinkage : float
        Shrinkage intensity rho in use.
    spectrum : Spectrum or None
        Of the sample covariance, for the estimators that decompose it.
    """

    covariance: SpectralCovariance | DiagonalCovariance
    shrinkage: float
    spectrum: Spectrum | None = None


def estimate(centred, covariance, shrinkage):
    """Estimate a covariance.

    Parameters
    ----------
    centred : CentredRows
    covariance : {"ledoit_wolf", "oas", "shrunk", "empirical", "diagonal", "isotropic"}
    shrinkage : float
        The intensity for ``"shrunk"``.

    Returns
    -------
    estimated : Estimate

    Raises
    ------
    TooFewSamplesError
        If the estimate is singular.
    """
    if covariance in DIAGONAL_COVARIANCES:
        sums_of_squares = np.einsum("ij,ij->j", centred.rows, centred.rows)
        estimated = diagonal_covariance(
            sums_of_squares / len(centred.rows),
            centred.varies,
            centred.squared_unit,
            covariance,
        )
        return Estimate(estimated, 1.0 if covariance == "isotropic" else 0.0)
    spectrum = Spectrum.of(centred.rows, centred.squared_norms)
    norms, n_samples = centred.squared_norms, spectrum.n_samples
    rho = float(
        choose_shrinkage(
            covariance,
            shrinkage,
            n_samples,
            spectrum.n_features,
            spectrum.mean_variance * spectrum.n_features,
            spectrum.squared_norm,
            norms @ norms / n_samples,
        )
    )
    floor = rho * spectrum.mean_variance / (1 - rho) if rho < 1 else np.inf
    spectrum = spectrum.above(floor)
    estimated = shrunk_covariance(
        spectrum, rho, centred.varies, centred.squared_unit, covariance
    )
    return Estimate(estimated, rho, spectrum)


def diagonal_covariance(variances, varies, squared_unit, covariance):
    """Covariance without correlations.

    Parameters
    ----------
    variances : ndarray of shape (n_features,)
        Of each feature, in units of `squared_unit`.
    varies : ndarray of shape (n_features,), dtype bool
        Which features are not constant, at least one.
    squared_unit : float
    covariance : {"diagonal", "isotropic"}

    Returns
    -------
    estimated : DiagonalCovariance
    """
    if covariance == "isotropic":
        variances = np.full_like(variances, variances.sum() / np.count_nonzero(varies))
    else:
        variances = np.where(varies, variances, variances[varies].min())
    return DiagonalCovariance(variances * squared_unit)


def even_covariance(total_variance, n_features):
    """Covariance nu I that is left with an intensity of 1, without a decomposition.

    Parameters
    ----------
    total_variance : float
        Trace of the covariance.
    n_features : int

    Returns
    -------
    estimated : DiagonalCovariance
    """
    return DiagonalCovariance(np.full(n_features, total_variance / n_features))


def shrunk_covariance(spectrum, rho, varies, squared_unit, covariance):
    """Covariance (1 - rho) S + rho nu I from the decomposition of S.

    Parameters
    ----------
    spectrum : Spectrum or ScatterSpectrum
        Of the sample covariance S, in units of `squared_unit`.
    rho : float
        Shrinkage intensity.
    varies : ndarray of shape (n_features,), dtype bool
        Which features are not constant, for the message.
    squared_unit : float
    covariance : str
        How it is estimated, for the message.

    Returns
    -------
    estimated : SpectralCovariance or DiagonalCovariance

    Raises
    ------
    TooFewSamplesError
        If it is singular.
    """
    least_variance = rho * spectrum.mean_variance
    if rho == 1:
        total_variance = spectrum.n_features * spectrum.mean_variance * squared_unit
        return even_covariance(total_variance, spectrum.n_features)
    complement = None
    if spectrum.rank < spectrum.n_features:
        if rho == 0:
            raise TooFewSamplesError(
                explain_singular(spectrum.n_samples, spectrum.rank, varies, covariance)
            )
        complement = least_variance * squared_unit
    variances = (1 - rho) * spectrum.eigenvalues + least_variance
    return SpectralCovariance(
        spectrum.deferred_axes, variances * squared_unit, complement
    )


def choose_shrinkage(
    covariance, shrinkage, n_samples, n_features, trace, squared_norm, mean_fourth
):
    """Shrinkage intensity of the estimators that decompose S, from the moments of S.

    Parameters
    ----------
    covariance : {"ledoit_wolf", "oas", "shrunk", "empirical"}
    shrinkage : float
        The intensity for ``"shrunk"``.
    n_samples, n_features, trace, squared_norm, mean_fourth
        As for `ledoit_wolf`; the moments may be arrays.

    Returns
    -------
    rho : ndarray of the shape of the moments
    """
    # A single variance has no other to shrink towards.
    if covariance == "empirical" or n_features == 1:
        return np.zeros_like(trace)
    if covariance == "shrunk":
        return np.full_like(trace, shrinkage)
    if covariance == "oas":
        return _shrinkage.oas(n_samples, n_features, trace, squared_norm)
    return _shrinkage.ledoit_wolf(
        n_samples, n_features, trace, squared_norm, mean_fourth
    )


def explain_singular(n_samples, rank, varies, covariance):
    """Say why a covariance cannot be inverted, and what to do.

    Parameters
    ----------
    n_samples : int
    rank : int
        Rank of the sample covariance, or a bound on it.
    varies : ndarray of shape (n_features,), dtype bool
        Which features are not constant.
    covariance : str
        How it is estimated.

    Returns
    -------
    message : str
    """
    came = (
        f"The covariance of {n_samples} samples in {len(varies)} features has rank "
        f"{rank} and cannot be inverted"
    )
    n_constant = np.count_nonzero(~varies)
    if n_constant:
        came += f"; {n_constant} features are constant"
    if covariance == "empirical":
        return (
            f"{came}. covariance='empirical' needs more samples than features, none of "
            "them constant or a combination of others. Use covariance='ledoit_wolf', "
            "or give more samples."
        )
    return (
        f"{came}, and the shrinkage estimated by covariance={covariance!r} is 0, "
        "because there are too few different samples to estimate it. Give more "
        "samples, or set the intensity with covariance='shrunk'."
    )
