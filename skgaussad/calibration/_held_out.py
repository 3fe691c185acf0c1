"""What distances of normal samples to models that did not see them say of a rate."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import beta

from ._planning import required_samples
from ._tail import GeneralizedParetoTail

# Rounding must not push a whole number such as 0.95 * 20 to the next.
_TOLERANCE = 1e-9
# How far below 1 / (n + 1) the fitted tail was checked, see benchmarks/README.rst.
_FARTHEST = 10
# With 60 and more its rates were within a factor of two on average.
_FEW_FOR_TAIL = 60


def required_units(fpr, confidence, are_groups):
    """Return the least number of samples, or of groups, that a rate takes."""
    return required_samples(fpr / 2 if are_groups else fpr, confidence)


def _sort(distances, weights):
    """Sort distances; return them, and the weight of those from each on."""
    order = np.argsort(distances, kind="stable")
    from_each = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
    return distances[order], from_each


@dataclass(frozen=True)
class HeldOutDistances:
    """Distances of normal samples, each to a model fitted without it.

    Attributes
    ----------
    distances : ndarray of shape (n_samples,)
        Larger is more anomalous; may hold infinity.
    groups : ndarray of shape (n_samples,), dtype int, or None
        Number of each sample's group, counted from 0 without gaps, where whole groups
        were held out. Each group then counts as much as any other.
    tail : GeneralizedParetoTail or None
        A distribution of what lies beyond the largest distance. Not with groups.
    folds : ndarray of shape (n_samples,), dtype int, or None
        Number of each sample's fold, where the models fitted without each fold are kept
        to score by: see `join_folds`.
    """

    distances: np.ndarray
    groups: np.ndarray | None = None
    tail: GeneralizedParetoTail | None = None
    folds: np.ndarray | None = None

    @property
    def n_units(self):
        """Number of samples, or of groups, that were held out one by one."""
        return len(self.distances) if self.groups is None else self.groups.max() + 1

    @property
    def _weights(self):
        """What each distance counts: those of a group one together."""
        if self.groups is None:
            return np.ones(len(self.distances))
        return (1 / np.bincount(self.groups))[self.groups]

    @cached_property
    def _sorted(self):
        """Distances in rising order, and the weight of those from each on."""
        return _sort(self.distances, self._weights)

    def join_folds(self, by_fold):
        """Make one distance of those to the models of the folds, by CV+.

        The p-value of a sample x, with R_i the distances and s_k(x) that of x to the
        model without fold k, to which sample i belongs, is

            (1 + number of i with R_i >= s_k(i)(x)) / (n + 1)

        [1]_. The joined distance is the mean of s_k(x) over the folds, moved by as
        little as gives it that p-value, or the next higher one where distances are
        equal.

        Parameters
        ----------
        by_fold : ndarray of shape (n_samples, n_folds)
            Distances of other samples to the model without each fold.

        Returns
        -------
        distances : ndarray of shape (n_samples,)

        References
        ----------
        .. [1] R. F. Barber, E. J. Candès, A. Ramdas and R. J. Tibshirani, "Predictive
           inference with the jackknife+", Annals of Statistics 49 (2021), 486-507.
        """
        weights, weight = self._weights, np.zeros(len(by_fold))
        for fold, distances in enumerate(by_fold.T):
            of_fold = self.folds == fold
            held_out, from_each = _sort(self.distances[of_fold], weights[of_fold])
            # Those that are equal but for rounding count as no less.
            least = np.where(distances > 0, 1 - _TOLERANCE, 1 + _TOLERANCE) * distances
            weight += from_each[np.searchsorted(held_out, least)]
        held_out, from_each = self._sorted
        # The last distance from which on they weigh no less.
        place = np.searchsorted(-from_each, _TOLERANCE - weight, side="right") - 1
        low = np.nextafter(np.append(-np.inf, held_out), np.inf)[place]
        high = np.append(held_out, np.inf)[place]
        return np.clip(by_fold.mean(axis=1), low, high)

    def n_exceeding(self, threshold):
        """Count the units above a threshold: of groups, their fractions rounded up."""
        above = self.distances > threshold
        if self.groups is None:
            return int(np.count_nonzero(above))
        fractions = np.bincount(self.groups, above) / np.bincount(self.groups)
        return math.ceil(fractions.sum() - _TOLERANCE)

    def supports(self, fpr, confidence=None):
        """Whether the threshold keeps the promise of a rate."""
        return self.n_units >= self._n_required(fpr, confidence)

    def _n_required(self, fpr, confidence=None):
        """Least number of samples or groups that a rate takes."""
        return required_units(fpr, confidence, self.groups is not None)

    def threshold(self, fpr, confidence=None):
        """Distance that a normal sample exceeds with a probability of `fpr` at most.

        Without groups it is the ceil((1 - fpr) (n + 1))-th smallest distance. With
        `confidence` it is the k-th smallest distance for
        the least k with which the rate, that follows a beta distribution over training
        sets with the parameters n - k + 1 and k, is at most `fpr` in that fraction of
        them [2]_.

        Where no finite threshold keeps the rate (see `supports`), it comes from the
        tail, or without one is the largest distance.

        With K groups it is the least distance t with

            sum_k s_k(t) <= max(min(K fpr, 1), (K + 1) fpr - 1),

        s_k being the fraction of group k above t. From K = 2 / fpr - 1 groups on this
        is (1 + sum_k s_k(t)) / (K + 1) <= fpr, and `fpr` is the rate in a new group,
        for groups that are exchangeable [1]_. Fewer groups cannot promise that without
        a threshold that hardly anything exceeds, and the groups held out have this rate
        on average, up to one of them in all. The threshold falls as `fpr` rises.

        Parameters
        ----------
        fpr : float
            Acceptable false-positive rate, in (0, 1).
        confidence : float or None, default=None
            In (0, 1). Not with groups.

        Returns
        -------
        threshold : float
            On the same scale as the distances.

        References
        ----------
        .. [1] Y. Lee, R. F. Barber and R. Willett, "Distribution-free inference with
           hierarchical data", arXiv:2306.06342 (2023).
        .. [2] V. Vovk, "Conditional validity of inductive conformal predictors",
           Machine Learning 92 (2013), 349-376.
        """
        if self.groups is not None:
            n_groups = self.n_units
            pooled, promised = n_groups * fpr, (n_groups + 1) * fpr - 1
            return self._least_with(max(min(pooled, 1.0), promised))
        if not self.supports(fpr, confidence):
            largest = float(self.distances.max())
            return largest if self.tail is None else self._extrapolate(largest, fpr)
        if confidence is None:
            return self._least_with(fpr * (self.n_units + 1) - 1)
        distances, _ = self._sorted
        ranks = np.arange(1, len(distances) + 1)
        kept = beta.cdf(fpr, len(distances) - ranks + 1, ranks) >= confidence
        # At the bound of what n samples support, rounding may deny the last rank.
        kept[-1] = True
        return float(distances[np.argmax(kept)])

    def _extrapolate(self, largest, fpr):
        """Threshold beyond the largest distance, or that itself."""
        return largest if self.tail.rate(largest) <= fpr else self.tail.threshold(fpr)

    def _least_with(self, weight):
        """Least distance above which the samples weigh at most `weight`."""
        if self.groups is None:
            # All of them are sorted for p-values only.
            rank = max(len(self.distances) - int(weight + _TOLERANCE) - 1, 0)
            return float(np.partition(self.distances, rank)[rank])
        distances, from_each = self._sorted
        # Those from this one on weigh so little, so that the one before may be called.
        first = np.argmax(from_each <= weight + _TOLERANCE)
        return float(distances[max(first - 1, 0)])

    def p_values(self, distances):
        """Conformal p-values, (1 + number of held-out distances >= d) / (n + 1).

        With groups the number is the sum over the groups of the fraction of their
        distances, and n the number of groups. Beyond the largest distance they come
        from the tail, if there is one.

        Parameters
        ----------
        distances : ndarray of shape (n_samples,)

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            In (0, 1].
        """
        held_out, from_each = self._sorted
        first = np.searchsorted(held_out, distances, side="left")
        p_values = np.minimum((1 + from_each[first]) / (self.n_units + 1), 1.0)
        if self.tail is not None:
            beyond = distances > held_out[-1]
            rates = self.tail.rate(distances[beyond])
            # A distribution that ends at a finite distance gives 0, which no p-value
            # is.
            rates = np.maximum(rates, np.finfo(float).tiny)
            p_values[beyond] = np.minimum(p_values[beyond], rates)
        return p_values

    def doubt(self, fpr, confidence=None):
        """Say why a rate is not to be relied on, or return None."""
        if self.supports(fpr, confidence):
            return None
        if self.tail is None:
            return self._explain_unsupported(fpr, confidence)
        if self.n_units < _FEW_FOR_TAIL:
            return (
                f"fpr={fpr:g} is below what {self.n_units} training samples can tell, "
                "and so few know little of the tail of their distances: on real "
                f"images, with fewer than {_FEW_FOR_TAIL} samples, the rate was up to "
                "three times as high on average, and 8 times or more in one training "
                f"set of twenty. Give at least {_FEW_FOR_TAIL}, or accept a higher fpr."
            )
        if fpr * (self.n_units + 1) >= 1 / _FARTHEST:
            return None
        return (
            f"fpr={fpr:g} is {1 / (fpr * (self.n_units + 1)):.0f} times below what "
            f"{self.n_units} training samples can tell, and the distribution of their "
            f"tail has been checked to {_FARTHEST} times below. Give at least "
            f"{required_samples(_FARTHEST * fpr)} training samples or accept a higher "
            "fpr."
        )

    def _explain_unsupported(self, fpr, confidence=None):
        """Tell a user whose samples are too few for a rate what would do."""
        unit = "training samples" if self.groups is None else "groups"
        needed = self._n_required(fpr, confidence)
        promise = "" if confidence is None else f" with confidence={confidence:g}"
        if self.groups is None:
            chosen = (
                "The threshold is the largest of their held-out distances, which a "
                "normal sample exceeds with a probability of about "
                f"{1 / (self.n_units + 1):.2g}"
            )
        else:
            average = min(fpr, 1 / self.n_units)
            chosen = (
                f"The groups, each held out, have a rate of {average:.3g} on average, "
                "which a new group may well exceed: the more, the more groups differ"
            )
        return (
            f"fpr={fpr:g}{promise} needs at least {needed} {unit}, and there are "
            f"{self.n_units}. {chosen}. Give more {unit} or accept a higher fpr"
            + (
                ", or set threshold='tail'."
                if self.groups is None and confidence is None
                else "."
            )
        )
