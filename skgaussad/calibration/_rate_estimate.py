"""A false-positive rate counted on good samples, and how sure it is."""

from dataclasses import dataclass
from functools import cached_property

from scipy.stats import binomtest


@dataclass(frozen=True)
class RateEstimate:
    """False alarms counted among good samples, against the rate asked for.

    Parameters
    ----------
    n_flagged : int
        Number of good samples that were flagged.

    n_samples : int
        Number of good samples, at least 1.

    target : float
        False-positive rate asked for, in (0, 1).

    confidence : float, default=0.95
        Confidence level of the interval, in (0, 1).

    See Also
    --------
    calibration_report : Counts the false alarms of a detector.

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
    target: float
    confidence: float = 0.95

    @property
    def rate(self):
        """Share of the good samples that were flagged, in [0, 1]."""
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
        if self.low > self.target:
            return "above"
        return "below" if self.high < self.target else "around"

    @cached_property
    def _interval(self):
        test = binomtest(self.n_flagged, self.n_samples)
        return test.proportion_ci(self.confidence, method="exact")
