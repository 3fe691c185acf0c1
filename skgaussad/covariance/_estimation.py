"""From centred rows to a covariance, by any of the estimators on offer."""

from dataclasses import dataclass

import numpy as np

from . import _shrinkage
from ._covariance import DiagonalCovariance, SpectralCovariance
from ._spectrum import Spectrum

COVARIANCES = ("ledoit_wolf", "oas", "shrunk", "empirical", "diagonal", "isotropic")


@dataclass(frozen=True)
class CentredRows:
    """Training rows around their mean, in units in which no moment over- or underflows.

    Attributes
    ----------
    rows : ndarray of shape (n_samples, n_features)
        With mean zero, the largest magnitude being 1.
    varies : ndarray of shape (n_features,), dtype bool
        Which features are not constant.
    squared_unit : float
        Square of the unit of the rows.
    """

    rows: np.ndarray
    varies: np.ndarray
    squared_unit: float

    @property
    def n_dof(self):
        """Number of features that vary: degrees of freedom of a chi-square law."""
        return int(np.count_nonzero(self.varies))

    @classmethod
    def around(cls, X, location):
        """Centre rows.

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
        rows = X - location
        varies = rows.any(axis=0)
        unit = np.abs(rows).max()
        if unit == 0:
            raise ValueError(
                f"All {len(X)} training samples are identical, or identical within "
                "their variant, so they have no spread to measure a distance by. Check "
                "that the images or features differ."
            )
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            squared_unit = unit * unit
            rows /= unit
        if not np.isfinite(squared_unit) or squared_unit < np.finfo(float).tiny:
            raise ValueError(
                f"The features deviate from their mean by up to {unit:.3g}, and the "
                "square of that is not a finite, positive float64. Rescale them, for "
                "example with sklearn.preprocessing.StandardScaler."
            )
        return cls(rows, varies, squared_unit)


def mean_of(X):
    """Mean of rows, exact for constant features.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)

    Returns
    -------
    mean : ndarray of shape (n_features,)
    """
    # Summing equal values may round, and the feature would seem to vary.
    with np.errstate(over="ignore"):
        return np.where(np.ptp(X, axis=0) > 0, X.mean(axis=0), X[0])


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
    ValueError
        If the estimate is singular.
    """
    if covariance in ("diagonal", "isotropic"):
        return _estimate_diagonal(centred, covariance)
    spectrum = Spectrum.of(centred.rows)
    moments = (
        spectrum.squared_norms.mean(),
        (spectrum.eigenvalues**2).sum(),
        (spectrum.squared_norms**2).mean(),
    )
    rho = float(
        choose_shrinkage(
            covariance, shrinkage, spectrum.n_samples, spectrum.n_features, *moments
        )
    )
    complement = None
    if spectrum.rank < spectrum.n_features:
        if rho == 0:
            raise ValueError(_explain_singular(spectrum, centred.varies, covariance))
        complement = rho * spectrum.mean_variance * centred.squared_unit
    variances = (1 - rho) * spectrum.eigenvalues + rho * spectrum.mean_variance
    estimated = SpectralCovariance(
        spectrum.axes, variances * centred.squared_unit, complement
    )
    return Estimate(estimated, rho, spectrum)


def _estimate_diagonal(centred, covariance):
    variances = np.einsum("ij,ij->j", centred.rows, centred.rows) / len(centred.rows)
    if covariance == "isotropic":
        variances = np.full_like(variances, variances.sum() / centred.n_dof)
    else:
        variances[~centred.varies] = variances[centred.varies].min()
    rho = 1.0 if covariance == "isotropic" else 0.0
    return Estimate(DiagonalCovariance(variances * centred.squared_unit), rho)


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


def _explain_singular(spectrum, varies, covariance):
    came = (
        f"The covariance of {spectrum.n_samples} samples in {spectrum.n_features} "
        f"features has rank {spectrum.rank} and cannot be inverted"
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
