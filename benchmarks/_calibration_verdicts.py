"""Whether measured false-alarm rates hold, by criteria written down beforehand."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from _calibration_folds import FOLD_TARGETS
from _calibration_lots import LOT_TARGETS
from _harness import Verdict
from scipy.stats import betabinom, binom, binomtest

from skgaussad.calibration import required_samples
from skgaussad.calibration._held_out import HeldOutDistances

# Half the width of a 95 % interval of a mean, in standard errors.
_Z_95 = 1.96
# The least fraction of cells that must have their target in the interval.
_FRACTION_WITHIN = 0.95
# Of AUROC, by models of four fifths of the samples.
_MOST_LOST = 0.02
# A rate that equals a limit must not miss it by rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Cell:
    """Rates of one rule at one target, over splits.

    Attributes
    ----------
    name : str
        Source, setting and number of training samples.
    target : float
        In (0, 1).
    n_train, n_test : int
    rates : ndarray of shape (n_splits,)
    confidence : float or None, default=None
        Share of training sets in which the rule promises the target; None for on
        average over them.
    """

    name: str
    target: float
    n_train: int
    n_test: int
    rates: np.ndarray
    confidence: float | None = None

    def __str__(self):
        return f"{self.name} at {100 * self.target:.3g} %"

    @property
    def is_supported(self):
        """Whether the training samples suffice for the target."""
        return self.n_train >= required_samples(self.target, self.confidence)

    @cached_property
    def rate(self):
        """Mean over the splits."""
        return float(self.rates.mean())

    @cached_property
    def error(self):
        """Standard error of the mean."""
        return float(self.rates.std(ddof=1) / np.sqrt(len(self.rates)))

    @property
    def step(self):
        """How far a conformal rate, floor((n + 1) fpr) / (n + 1), may lie below fpr."""
        return 1 / (self.n_train + 1)

    @property
    def is_within(self):
        """Whether the 95 % interval of the rate holds the target, or a step is missing.

        A rate that lies lower than both allowances, but not than their sum, is not
        within.
        """
        difference = self.rate - self.target
        within_interval = abs(difference) <= _Z_95 * self.error + _ROUNDING
        return within_interval or -self.step - _ROUNDING <= difference <= 0

    @property
    def is_within_sum(self):
        """Whether the 95 % interval reaches from a step below the target to it."""
        difference = self.rate - self.target
        half_width = _Z_95 * self.error + _ROUNDING
        return -self.step - half_width <= difference <= half_width

    @property
    def is_far_off(self):
        """Whether the rate is off by more than three standard errors and a step."""
        allowed = 3 * self.error + self.step + _ROUNDING
        return abs(self.rate - self.target) > allowed

    @property
    def is_within_factor_two(self):
        """Whether the rate is from half the target to twice the target."""
        return self.target / 2 <= self.rate <= 2 * self.target

    @cached_property
    def n_failures(self):
        """Number of splits whose rate, as measured, is above the target."""
        return int(np.count_nonzero(self.rates > self.target + _ROUNDING))

    @property
    def failure_fraction(self):
        """Share of splits whose rate, as measured, is above the target."""
        return self.n_failures / len(self.rates)

    @cached_property
    def failure_interval(self):
        """95 % interval of the fraction of splits (Clopper and Pearson's)."""
        test = binomtest(self.n_failures, len(self.rates))
        interval = test.proportion_ci(0.95, method="exact")
        return float(interval.low), float(interval.high)

    @cached_property
    def expected_failure_fraction(self):
        """Share of splits that seem to fail where the promise is kept exactly.

        With the k-th smallest of n exchangeable distances for a threshold, the number
        of m test samples beyond it follows a beta-binomial distribution with the
        parameters m, n - k + 1 and k. With few test samples it is above m times the
        target more often than the rate itself is above the target.
        """
        n_train, n_test = self.n_train, self.n_test
        ranks = HeldOutDistances(np.arange(1, n_train + 1))
        k = ranks.threshold(self.target, self.confidence)
        n_allowed = np.floor(n_test * self.target + _ROUNDING)
        return float(betabinom.sf(n_allowed, n_test, n_train - k + 1, k))


def check_average(cells):
    """Check the rates of a rule that promises them on average over training sets."""
    counted = [cell for cell in cells if cell.is_supported]
    outside = [cell for cell in counted if not cell.is_within]
    far_off = [cell for cell in counted if cell.is_far_off]
    n_within = len(counted) - len(outside)
    n_within_sum = sum(cell.is_within_sum for cell in counted)
    return [
        Verdict(
            "rate within the 95 % interval of its target, or below it by at most "
            "1 / (n + 1), in 95 % of the cells",
            n_within >= _FRACTION_WITHIN * len(counted),
            f"{_of(n_within, counted)}; with both allowances at once "
            f"{_of(n_within_sum, counted)}; {len(cells) - len(counted)} cells with too "
            f"few training samples not counted{_list(outside, _show_rate)}",
        ),
        Verdict(
            "no rate off by more than three standard errors plus 1 / (n + 1)",
            not far_off,
            f"{len(far_off)} of {len(counted)} cells{_list(far_off, _show_rate)}",
        ),
    ]


def check_tail(cells):
    """Check the rates of the fitted tail."""
    outside = [cell for cell in cells if not cell.is_within_factor_two]
    return [
        Verdict(
            "rate of the fitted tail within a factor of two of its target",
            not outside,
            f"{_of(len(cells) - len(outside), cells)}{_list(outside, _show_rate)}",
        )
    ]


def check_contamination(losses):
    """Check what a robust fit loses against one without defective images."""
    outside = [name for name, loss in losses.items() if loss > 1]
    return [
        Verdict(
            "robust fit within 1 point of the AUROC of a clean fit",
            not outside,
            f"{_of(len(losses) - len(outside), losses)}"
            f"{_list(outside, lambda name: f'{name}: {losses[name]:.2f} points')}",
        )
    ]


def check_bound(cells):
    """Check how often the rate of a bound with 95 % confidence is above its target."""
    counted = [cell for cell in cells if cell.is_supported]
    failed = [
        cell
        for cell in counted
        if cell.failure_interval[0] > max(0.05, cell.expected_failure_fraction)
    ]
    at_most = sum(cell.failure_fraction <= 0.05 for cell in counted)
    mean = np.mean([cell.failure_fraction for cell in counted])
    expected = np.mean([cell.expected_failure_fraction for cell in counted])
    return [
        Verdict(
            "bound with 95 % confidence fails in at most 5 % of splits, or in no more "
            "than so few test samples make it seem to",
            not failed,
            f"95 % interval of the fraction above that in {len(failed)} of "
            f"{len(counted)} cells; measured fraction at most 5 % in "
            f"{_of(at_most, counted)}; mean "
            f"{100 * mean:.1f} %, {100 * expected:.1f} % expected of an exact bound"
            f"{_list(failed, _show_failures)}",
        )
    ]


def check_cost(seconds):
    """Check what the leave-one-out distances add to a fit."""
    ratio = 1 + seconds["leave-one-out"] / seconds["fit"]
    return [
        Verdict(
            "fit with leave-one-out distances takes at most twice the fit alone",
            ratio <= 2,
            f"{ratio:.2f} times",
        )
    ]


def _of(number, cells):
    return f"{number} of {len(cells)} cells ({100 * number / len(cells):.1f} %)"


def _list(cells, show):
    return "".join(f"\n        - {cell}: {show(cell)}" for cell in cells)


def _show_rate(cell):
    return f"{100 * cell.rate:.2f} % +- {100 * cell.error:.2f}"


def _show_failures(cell):
    low, high = cell.failure_interval
    return (
        f"{100 * cell.failure_fraction:.1f} % ({100 * low:.1f} to {100 * high:.1f} %), "
        f"{100 * cell.expected_failure_fraction:.1f} % expected"
    )


def check_lots(measurements):
    """Whether rates in new lots hold where they are promised.

    Parameters
    ----------
    measurements : list of LotMeasurement

    Returns
    -------
    verdicts : list of Verdict
    """
    above, failing, n_promised, n_sets = [], [], 0, 0
    for m in measurements:
        n_sets = len(m.rates)
        for at, target in enumerate(LOT_TARGETS):
            name = f"{m.name}, {m.n_lots} lots at {100 * target:.3g} %"
            rates = m.rates[:, 0, at]
            error = rates.std(ddof=1) / np.sqrt(len(rates))
            if m.is_promised[at]:
                n_promised += 1
                if rates.mean() > target + 3 * error:
                    above.append(f"{name}: {100 * rates.mean():.1f}")
            failed = np.count_nonzero(rates > m.bounds[:, at])
            # Not by chance alone, of a bound that fails in 5 %.
            if m.name.startswith("simulated") and failed > binom.ppf(
                0.999, n_sets, 0.05
            ):
                failing.append(f"{name}: {failed} of {n_sets}")
    rising = [f"{m.name}, {m.n_lots} lots" for m in measurements if m.n_rising]
    return [
        Verdict(
            f"at most the target and three standard errors, of {n_promised} promised",
            not above,
            "; ".join(above) or "all",
        ),
        Verdict(
            "the threshold never rises with the rate",
            not rising,
            "; ".join(rising) or "in no training set",
        ),
        Verdict(
            "the 95 % bound fails in at most 5 % of simulated training sets",
            not failing,
            "; ".join(failing) or "up to chance (0.1 %)",
        ),
    ]


def check_folds(measurements):
    """Whether CV+ keeps its rates, and the ranking of the detector of all samples.

    Parameters
    ----------
    measurements : list of FoldMeasurement

    Returns
    -------
    verdicts : list of Verdict
    """
    above, worse = [], []
    for m in measurements:
        errors = m.rates.std(axis=0, ddof=1) / np.sqrt(len(m.rates))
        for at, target in enumerate(FOLD_TARGETS):
            rate = m.rates[:, 0, at].mean()
            if rate > target + 3 * errors[0, at]:
                above.append(f"{m.name} at {100 * target:g} %: {100 * rate:.1f}")
        loss = m.aurocs[:, 1].mean() - m.aurocs[:, 0].mean()
        if loss > _MOST_LOST:
            worse.append(f"{m.name}: {100 * loss:.1f}")
    n_rates = len(measurements) * len(FOLD_TARGETS)
    return [
        Verdict(
            f"CV+ at most the target and three standard errors, of {n_rates} rates",
            not above,
            "; ".join(above) or "all",
        ),
        Verdict(
            "CV+ loses at most two points of AUROC to the detector of all samples",
            not worse,
            "; ".join(worse) or "nowhere more",
        ),
    ]
