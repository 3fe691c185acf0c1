"""A Gaussian that is known by the moments of its training samples."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ._estimation import (
    DIAGONAL_COVARIANCES,
    TooFewSamplesError,
    choose_shrinkage,
    diagonal_covariance,
    even_covariance,
    explain_singular,
    shrunk_covariance,
    square_of,
)
from ._moments import Moments, ScatterSpectrum


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Gaussian of samples of which only the moments are at hand.

    The shrinkage costs as much as reading the moments. The covariance is decomposed
    when it is first used, so that samples added bit by bit do not pay for it each time.

    Attributes
    ----------
    moments : Moments
    estimator : {"ledoit_wolf", "oas", "shrunk", "empirical", "diagonal", "isotropic"}
        How the covariance is estimated.
    intensity : float
        The shrinkage intensity for ``"shrunk"``.
    rho : float
        The shrinkage intensity in use.
    """

    moments: Moments
    estimator: str
    intensity: float
    rho: float

    @classmethod
    def of(cls, moments, estimator, intensity):
        """Estimate what can be without a decomposition.

        Parameters
        ----------
        moments : Moments
        estimator, intensity
            See the attributes.

        Returns
        -------
        gaussian : Gaussian

        Raises
        ------
        TooFewSamplesError
            If the samples are equal or fewer than two, or the covariance must be
            singular.
        ValueError
            If the variances are not finite, positive float64.
        """
        n_samples, n_features = moments.n_samples, moments.n_features
        if n_samples < 2:
            raise TooFewSamplesError(
                "There is a single training sample so far, and a Gaussian needs at "
                "least two. Add samples with partial_fit."
            )
        square_of(moments.unit, n_samples)
        if estimator in DIAGONAL_COVARIANCES:
            return cls(moments, estimator, intensity, float(estimator == "isotropic"))
        rho = float(
            choose_shrinkage(
                estimator,
                intensity,
                n_samples,
                n_features,
                moments.trace / n_samples,
                moments.squared_norm / n_samples**2,
                moments.fourth / n_samples,
            )
        )
        varies = moments.varies
        rank = min(n_samples - 1, np.count_nonzero(varies))
        if rho == 0 and rank < n_features:
            raise TooFewSamplesError(
                explain_singular(n_samples, rank, varies, estimator)
            )
        return cls(moments, estimator, intensity, rho)

    @cached_property
    def spectrum(self):
        """Decomposition of the sample covariance, in the unit of the moments.

        None for the diagonal covariances.
        """
        scatter = self.moments.scatter
        if self.estimator in DIAGONAL_COVARIANCES:
            return None
        if isinstance(scatter, ScatterSpectrum):
            return scatter
        return ScatterSpectrum.of(scatter, self.moments.n_samples)

    @cached_property
    def covariance(self):
        """The covariance, SpectralCovariance or DiagonalCovariance.

        Raises
        ------
        TooFewSamplesError
            If it is singular.
        """
        moments = self.moments
        squared_unit = square_of(moments.unit, moments.n_samples)
        if self.estimator in DIAGONAL_COVARIANCES:
            variances = moments.scatter / moments.n_samples
            return diagonal_covariance(
                variances, moments.varies, squared_unit, self.estimator
            )
        if self.rho == 1:
            total_variance = moments.trace / moments.n_samples * squared_unit
            return even_covariance(total_variance, moments.n_features)
        return shrunk_covariance(
            self.spectrum, self.rho, moments.varies, squared_unit, self.estimator
        )
