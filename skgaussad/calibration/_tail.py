"""A distribution of the largest distances, for rates that these cannot tell."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

# The largest fifth of the distances, and the prior of the shape, had the least error on
# solar cells and simulated data: see benchmarks/README.rst.
_FRACTION = 0.2
_LEAST_EXCEEDING = 10
_SHAPE_PRIOR = norm(0.15, 0.3)
_LEAST_SAMPLES = 2 * _LEAST_EXCEEDING


@dataclass(frozen=True)
class GeneralizedParetoTail:
    """The largest distances, taken to follow a generalised Pareto distribution.

    Above a high threshold u, excesses of nearly any continuous distribution follow
    P(excess > x) = (1 + shape x / scale)^(-1 / shape) [1]_. Shape and scale are not
    known: the distribution is averaged over their posterior distribution on a grid, by
    the profile likelihood of Zhang and Stephens [2]_ with a normal prior on the shape,
    so that the rate of a threshold includes the error of its estimation.

    Attributes
    ----------
    start : float
        The distance u.
    mass : float
        Fraction of normal samples beyond it, (k + 1) / (n + 1) for k of n distances.
    shapes, scales, weights : ndarray of shape (n_points,)
        The grid, and posterior probabilities.

    References
    ----------
    .. [1] J. Pickands, "Statistical inference using extreme order statistics", Annals
       of Statistics 3 (1975), 119-131.
    .. [2] J. Zhang and M. A. Stephens, "A new and efficient estimation method for the
       generalized Pareto distribution", Technometrics 51 (2009), 316-325.
    """

    start: float
    mass: float
    shapes: np.ndarray
    scales: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, distances):
        """Fit the distribution to the largest fifth of held-out distances.

        Parameters
        ----------
        distances : ndarray of shape (n_samples,)

        Returns
        -------
        tail : GeneralizedParetoTail

        Raises
        ------
        ValueError
            If there are fewer than 20 distances, or the largest are infinite or equal.
        """
        n_samples = len(distances)
        if n_samples < _LEAST_SAMPLES:
            raise ValueError(
                f"threshold='tail' needs at least {_LEAST_SAMPLES} training samples, "
                f"and there are {n_samples}. Give more, or set "
                "threshold='quantile'."
            )
        n_exceeding = max(_LEAST_EXCEEDING, math.ceil(_FRACTION * n_samples))
        ordered = np.sort(distances)
        start = ordered[-n_exceeding - 1]
        with np.errstate(invalid="ignore"):
            excesses = ordered[-n_exceeding:] - start
        quartile = excesses[int(n_exceeding / 4 + 0.5) - 1]
        if not np.isfinite(excesses[-1]) or quartile <= 0:
            raise ValueError(
                "threshold='tail' needs finite, different distances of the training "
                f"samples; the largest {n_exceeding + 1} lie between {start:.4g} and "
                f"{ordered[-1]:.4g}. Remove copies of samples, give more, or set "
                "threshold='quantile'."
            )
        shapes, scales, weights = _posterior(excesses, quartile)
        mass = (n_exceeding + 1) / (n_samples + 1)
        return cls(float(start), mass, shapes, scales, weights)

    def rate(self, distances):
        """Fraction of normal samples beyond each distance.

        Parameters
        ----------
        distances : ndarray of shape (n_samples,)
            At least `start`.

        Returns
        -------
        rates : ndarray of shape (n_samples,)
            In [0, `mass`].
        """
        excesses = np.asarray(distances)[..., np.newaxis] - self.start
        # Where the shape is negative the distribution ends at a finite distance.
        growth = np.maximum(self.shapes * excesses / self.scales, -1.0)
        with np.errstate(divide="ignore"):
            survival = np.exp(-np.log1p(growth) / self.shapes)
        return self.mass * (survival @ self.weights)

    def threshold(self, fpr):
        """Distance that a fraction of normal samples exceeds.

        Parameters
        ----------
        fpr : float
            In (0, `mass`).

        Returns
        -------
        threshold : float
        """
        low, high = self.start, self.start + self.scales.max()
        while self.rate(high) > fpr:
            low, high = high, self.start + 2 * (high - self.start)
        # The tolerance of brentq is absolute, and distances may be in any unit.
        tolerance = 1e-12 * (high - self.start)
        return float(
            brentq(
                lambda distance: self.rate(distance) - fpr, low, high, xtol=tolerance
            )
        )


def _posterior(excesses, quartile):
    """Shapes, scales and their posterior probabilities.

    Parameters
    ----------
    excesses : ndarray of shape (n_exceeding,)
        In rising order, not negative.
    quartile : float
        The first quartile of the excesses, positive.

    Returns
    -------
    shapes, scales, weights : ndarray of shape (n_points,)
    """
    n_exceeding = len(excesses)
    n_points = 30 + int(np.sqrt(n_exceeding))
    # theta = -shape / scale, whose profile likelihood has the shape in closed form.
    steps = np.arange(1, n_points + 1) - 0.5
    theta = 1 / excesses[-1] + (1 - np.sqrt(n_points / steps)) / (3 * quartile)
    # The limit of shape 0, an exponential distribution, is not worth a case of its own.
    theta[theta == 0] = 1e-8 / quartile
    shapes = np.log1p(-np.outer(theta, excesses)).mean(axis=1)
    scales = -shapes / theta
    log_likelihood = n_exceeding * (-np.log(scales) - shapes - 1)
    log_weights = log_likelihood + _SHAPE_PRIOR.logpdf(shapes)
    weights = np.exp(log_weights - log_weights.max())
    return shapes, scales, weights / weights.sum()
