"""A rate of flagged samples, and how precisely it is known."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import binomtest


@dataclass(frozen=True)
class RateEstimate:
    """Flagged samples counted, with a confidence interval of their rate.

    Parameters
    ----------
    n_flagged : int
        Number of samples that were flagged.

    n_samples : int
        Number of samples, at least 1.

    target : float or None, default=None
        The rate to compare with, in (0, 1).

    confidence : float, default=0.95
        Confidence level of the interval, in (0, 1).

    Notes
    -----
    The interval is Clopper and Pearson's, exact for independent samples. Images of one
    part or of one minute resemble each other: they tell less than their number says.

    Examples
    --------
    >>> from skgaussad.calibration import RateEstimate
    >>> estimate = RateEstimate(n_flagged=12, n_samples=400, target=0.01)
    >>> estimate.rate
    0.03
    >>> print(f"{estimate.low:.3f} to {estimate.high:.3f}, {estimate.comparison}")
    0.016 to 0.052, above
    """

    n_flagged: int
    n_samples: int
    target: float | None = None
    confidence: float = 0.95

    @property
    def rate(self):
        """Fraction of the samples that were flagged, in [0, 1]."""
        return self.n_flagged / self.n_samples

    @property
    def low(self):
        """Lower end of the confidence interval of the rate."""
        return float(self._interval.low)

    @property
    def high(self):
        """Upper end of the confidence interval of the rate."""
        return float(self._interval.high)

    @property
    def comparison(self):
        """Where the interval lies: "above" the target, "below" it, or "around" it."""
        if self.target is None:
            return None
        if self.low > self.target:
            return "above"
        return "below" if self.high < self.target else "around"

    @cached_property
    def _interval(self):
        test = binomtest(self.n_flagged, self.n_samples)
        return test.proportion_ci(self.confidence, method="exact")


def estimate_rate(is_flagged, target=None, confidence=0.95):
    """Count the flagged samples; None where there is no sample."""
    if len(is_flagged) == 0:
        return None
    n_flagged = int(np.count_nonzero(is_flagged))
    return RateEstimate(n_flagged, len(is_flagged), target, confidence)


def estimate_rates(is_flagged, groups, target=None, confidence=0.95):
    """Count the flagged samples of each group; a dict sorted by group."""
    return {
        name: estimate_rate(is_flagged[rows], target, confidence)
        for name, rows in rows_by_group(groups).items()
    }


def rows_by_group(groups):
    """Return which samples each group has: a dict of masks, sorted by group."""
    names, codes = np.unique(groups, return_inverse=True)
    return {name: codes == code for code, name in enumerate(names.tolist())}
