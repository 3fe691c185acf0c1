"""A conformal test martingale that detects a change in production."""

import warnings
from array import array
from bisect import bisect_left, bisect_right

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state

from .._utils.labels import number_labels
from .._utils.validation import check_real
from ..exceptions import FalseAlarmRateWarning
from ._betting import N_BETS, advance, log_martingales, log_mean
from ._last_step import last_step

_FEWEST_LOTS = 2


class ConformalMonitor(BaseEstimator):
    """Raise an alarm, with a bounded error probability, when production has changed.

    As long as production does not change, conformal p-values are uniform. The monitor
    bets against that, part by part, and alarms when its capital has grown 1 / `alpha`
    times: a conformal test martingale [1]_. It distinguishes a *drift*, where all parts
    have become less normal or more normal, from a *burst* of defects, where some parts
    are very anomalous and the others unchanged.

    `fit` takes the detector, and then `update_distances` the distances of new parts,
    which are ranked among the held-out ones of the training samples and all since. For
    a detector that was fitted with groups, such as lots, `update_lot` takes those of
    one lot after the other, and lots are ranked: see Notes. Without `fit`, `update`
    takes p-values that are known to be uniform.

    Parameters
    ----------
    alpha : float, default=0.01
        Bound on the probability of ever raising an alarm while nothing has changed, in
        (0, 1). It holds for the whole run, from `fit` or `reset` to the next, however
        long. Read at the start of a run.

    random_state : int, RandomState instance or None, default=None
        Breaks ties among distances, as exact p-values need. Read by `fit`. `update`,
        which takes p-values, needs None.

    Attributes
    ----------
    n_seen_ : int
        Number of parts, or of lots, taken in this run.

    log_martingale_ : float
        Log of the capital, 0 at the start: the mean of the two below.

    log_components_ : dict of str to float
        Log of the martingale against ``"drift"`` and of that against ``"burst"``, each
        0 at the start.

    alarm_ : bool
        Whether an alarm stands. It stays until `reset` or `fit`.

    alarm_index_ : int or None
        Index, counted from 0, of the part or lot in this run that raised the alarm.

    diagnosis_ : {"drift", "burst"} or None
        Which of the two martingales was larger when the capital was largest, from the
        alarm on; None without an alarm. The first parts after a change seldom tell
        its kind, so that the diagnosis may be revised while the evidence still grows.

    See Also
    --------
    skgaussad.MahalanobisDetector : Gives the distances: minus its
        `score_samples`.
    AdaptiveThreshold : Keeps the false-alarm rate where alarms are inspected.

    Notes
    -----
    **Parts or lots.** The bound on false alarms holds for exchangeable parts, such as
    independent ones. Where parts come in lots that differ, or a part resembles the one
    before, the parts of a lot move together without any change, and the monitor
    alarms: of streams of 40 unchanged lots of 20 parts, 100 % where the means of lots
    vary as much as parts do, or more, 4 to 15 % where they vary by 0.3 of that, and all
    of solar cells by module, for ``alpha=0.05``. By lot, the mean distance of each lot
    is ranked among those of the training lots, left out whole, and of the lots before
    it, and the bound holds for exchangeable lots: 0 to 4 % of the streams
    (``benchmarks/monitor.py lots``). Lots may differ in size, but those to come must
    vary in it as those of training do, since the mean of a small lot varies more: of
    streams of 40 unchanged lots of 5 parts, after 30 training lots of 50, 34 to 36 %
    alarmed where the means of lots vary by 0.3 of what parts do or not at all, and 3 %
    where they vary as much. It takes more parts until the alarm, and K
    training lots tell little at first: no rank is below 1 / (K + 1). Lots to come join
    the reference, so that a lasting jump may pass: of 200 simulated streams in which
    each new lot was beyond all training lots, 51, 1 and 0 % had no alarm in 200 lots
    after K = 5, 10 and 30, for ``alpha=0.05``.

    **The bets.** A bet on a burst is a density of the p-value p that is a mixture: a
    fraction of 0.05, 0.1 or 0.3 of the p-values is uniform below 0.005, 0.02 or 0.05,
    the others on [0, 1]. With a fraction of 0.9 it is a bet on a large drift. For
    smaller drifts, p is distributed as though normal scores had shifted by -2 to 2
    standard deviations, with a flat density where p is within 0.01 of 0 or of 1. Other
    martingales learn the density from the past [2]_.

    **When the change happens** is not known. A part of the capital enters each bet with
    every p-value, so that 1 / (1 + log(1 + n)) of it is still in reserve after n of
    them. A quiet time of n parts therefore costs about log(n) + 2 log(log(n)) of
    evidence, where a bet of all capital at the start would lose it. A
    mixture with fixed weights is a martingale as well, and by Ville's inequality [4]_
    it ever reaches 1 / `alpha` with a probability of at most `alpha`. This bounds the
    probability of a false alarm in a run; procedures that bound the frequency of false
    alarms instead are in [3]_.

    **Several runs.** The p-values made by `update_distances` are independent, so that
    the run after a `reset` has a false-alarm probability of at most `alpha` whatever
    happened before. If it is
    called after alarms only, and production never changes, the expected number of
    alarms in all runs together is at most `alpha` / (1 - `alpha`). After a true alarm
    the reference holds distances of defective parts: call `fit` instead.

    **A fixed calibration set is not enough.** Its p-values are uniform on average over
    calibration sets, but given one set they deviate by about 1 / sqrt(n), and a
    permanent deviation is detected in the end. Of 400 simulated streams of 20,000
    normal parts, at ``alpha=0.01``, p-values of a fixed set raised a false alarm in 53
    % (set of 100 distances), 26 % (300) and 8 % (1,000); breaking ties at random
    changed little. With `update_distances` and 300 distances to begin with it was 0.5
    %. An online p-value needs all distances seen, 8 bytes each, and time in proportion
    to their number to insert one (a memory move); p-values take constant memory and
    time. The reference should be held-out distances: leave-one-out distances are
    exchangeable with new ones in approximation only.

    **What to expect.** Simulated with 300 standard normal reference distances, 1,000
    normal parts before the change and ``alpha=0.01``, 300 streams each. The alarm came
    within so many parts, in half and in 95 % of the streams, and the diagnosis 50 parts
    later was right in so many of those alarmed after the change:

    ====================================  ======  =====  =========
    change                                  half   95 %  diagnosis
    ====================================  ======  =====  =========
    all shifted by 0.5 deviations            122    229      100 %
    all shifted by -0.5 (more normal)        125    225      100 %
    all shifted by 1                          34     64      100 %
    all shifted by 2                          10     16      100 %
    all shifted by 4                           4      6      100 %
    defects, 10 % of parts                    70    132      100 %
    defects, 20 %                             28     59      100 %
    defects, 40 %                             11     24      100 %
    defects, 60 %                              7     12       81 %
    ====================================  ======  =====  =========

    Weaker changes are missed in part: 79 % of the streams alarmed within 1,000 parts of
    a shift by 0.25, and 92 % within 500 parts of 5 % defects. At the time of the alarm
    itself the diagnosis was right in 93 % or more of the drifts, and in 96 % of the
    bursts of 20 % but 76 % of those of 40 %, which may begin with nothing but defects.
    Where most parts are defective the change counts as a drift. With the change right
    after the reference the alarm comes sooner, and the later diagnosis was right in
    96 % or more of the streams, but in 92 % for the shift by 0.25 and in 68 % for 60 %
    of defects, which soon make up a large part of all distances seen. A change of
    spread alone, with more p-values both near 0 and near 1, is taken for a burst.

    Real defects are nearer to normal parts. Of 20 % defective solar cells from a known
    moment on, with ``alpha=0.05``, the monitor was aware in 98 % of the streams of
    monocrystalline cells, in half of these after 42 cells, and in 70 % of those of
    polycrystalline cells, after 74 (``benchmarks/monitor.py``).

    References
    ----------
    .. [1] V. Vovk, I. Nouretdinov and A. Gammerman, "Testing exchangeability on-line",
       ICML 2003.
    .. [2] V. Fedorova, A. Gammerman, I. Nouretdinov and V. Vovk, "Plug-in martingales
       for testing exchangeability on-line", ICML 2012.
    .. [3] V. Vovk, I. Petej, I. Nouretdinov, E. Ahlberg, L. Carlsson and A. Gammerman,
       "Retrain or not retrain: conformal test martingales for change-point detection",
       COPA 2021.
    .. [4] J. Ville, "Étude critique de la notion de collectif", Gauthier-Villars, 1939.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad.calibration import ConformalMonitor
    >>> rng = np.random.default_rng(0)
    >>> monitor = ConformalMonitor(alpha=0.01, random_state=0)
    >>> monitor = monitor.fit(rng.normal(10, 1, size=300))
    >>> monitor.update_distances(rng.normal(10, 1, size=1000))
    False
    >>> monitor.update_distances(rng.normal(11, 1, size=200))
    True
    >>> monitor.alarm_index_, monitor.diagnosis_
    (1021, 'drift')

    By lot, from a detector that was fitted with lots:

    >>> from skgaussad import MahalanobisDetector
    >>> lots = np.repeat(np.arange(30), 20)
    >>> X = rng.normal(size=(600, 5)) + rng.normal(size=(30, 5))[lots]
    >>> detector = MahalanobisDetector(fpr=0.1).fit(X, groups=lots)
    >>> monitor = ConformalMonitor(random_state=0).fit(detector)
    >>> for _ in range(20):
    ...     parts = rng.normal(size=(20, 5)) + rng.normal(size=5)
    ...     alarm = monitor.update_lot(-detector.score_samples(parts))
    >>> alarm, monitor.n_seen_
    (False, 20)
    """

    def __init__(self, alpha=0.01, *, random_state=None):
        self.alpha = alpha
        self.random_state = random_state

    def fit(self, reference, y=None, *, groups=None):
        """Take the reference, among which new distances are ranked.

        All that the monitor has seen before is discarded, an alarm included.

        Parameters
        ----------
        reference : detector, or array-like of shape (n_reference,)
            A fitted detector or pipeline with held-out distances, which are taken: by
            lot, if it was fitted with ``groups``. Or distances of normal parts that it
            was not fitted on, at least one. Those of training samples, as the detector
            itself measures them, are too small, and nearly every part is an alarm.
        y : Ignored
            Present for API consistency.
        groups : array-like of shape (n_reference,) or None, default=None
            Lot of each of the distances, to monitor by lot. Not with a detector, which
            knows.

        Returns
        -------
        self : ConformalMonitor

        Raises
        ------
        ValueError
            If a parameter is out of its range, the distances are no finite numbers,
            there are not two lots, or groups are given beside a detector.
        """
        if hasattr(reference, "score_samples"):
            if groups is not None:
                raise ValueError(
                    "groups have no effect beside a detector, which leaves out those "
                    "it was fitted with: detector.fit(X, groups=lots)."
                )
            distances, groups = _held_out(reference)
        else:
            distances = _finite_numbers("distances", reference)
        if not distances.size:
            raise ValueError(
                "distances is empty; give a fitted detector, or the distances of "
                "normal parts that it was not fitted on, a few hundred of them if you "
                "can."
            )
        if groups is not None:
            numbers = number_labels("groups", groups, distances)[1]
            sizes = np.bincount(numbers)
            distances = np.bincount(numbers, distances) / sizes
            if len(distances) < _FEWEST_LOTS:
                raise ValueError(
                    f"All {len(numbers)} parts are of one lot, among which no other "
                    "can be ranked. Give at least two lots, or no groups."
                )
        self.reset()
        self._by_lot = groups is not None
        self._least_in_lot = int(sizes.min()) if self._by_lot else 0
        self._random = check_random_state(self.random_state)
        self._distances = array("d", np.sort(distances))
        return self

    def reset(self):
        """Clear the alarm and restart with a capital of 1.

        The distances that `update_distances` has ranked stay in the reference; call
        `fit` to replace them. The bound `alpha` holds anew for the next run.

        Returns
        -------
        self : ConformalMonitor

        Raises
        ------
        ValueError
            If `alpha` is out of its range.
        """
        check_real("alpha", self.alpha, 0, 1)
        self._log_threshold = -np.log(self.alpha)
        self._log_capitals = np.full(N_BETS, -np.inf)
        self._log_peak = -np.inf
        self.n_seen_ = 0
        self.log_martingale_ = 0.0
        self.log_components_ = {"drift": 0.0, "burst": 0.0}
        self.alarm_ = False
        self.alarm_index_ = None
        self.diagnosis_ = None
        return self

    def update(self, p_values):
        """Take the p-values of the next parts.

        Under "nothing has changed" they must be independent and uniform on [0, 1], see
        the Notes; where they are not known to be, use `update_distances`.

        Parameters
        ----------
        p_values : float or array-like of shape (n_parts,)
            In [0, 1], in the order of production.

        Returns
        -------
        alarm : bool
            Whether an alarm stands, raised now or before.

        Raises
        ------
        ValueError
            If a parameter is out of its range, `p_values` are no numbers in [0, 1], or
            the monitor was given reference distances. Nothing is taken then.
        """
        if hasattr(self, "_distances"):
            raise ValueError(
                "This monitor was fitted on reference distances and makes p-values "
                "itself. Call update_distances, or take a new monitor for p-values."
            )
        if self.random_state is not None:
            raise ValueError(
                f"random_state={self.random_state!r} has no effect on p-values; leave "
                "it None, or fit on distances and call update_distances."
            )
        p_values = _finite_numbers("p_values", p_values)
        outside = np.flatnonzero((p_values < 0) | (p_values > 1))
        if outside.size:
            raise ValueError(
                f"p_values must be in [0, 1]; item {outside[0]} is "
                f"{p_values[outside[0]]:g}. Distances go to update_distances."
            )
        if not hasattr(self, "n_seen_"):
            self.reset()
        for p_value in p_values:
            self._bet(p_value)
        return self.alarm_

    def update_distances(self, distances):
        """Take the distances of the next parts.

        Each is ranked among the reference distances and all distances taken before it,
        ties being broken at random, and then joins them.

        Parameters
        ----------
        distances : float or array-like of shape (n_parts,)
            In the order of production, on the scale of those given to `fit`; larger is
            more anomalous.

        Returns
        -------
        alarm : bool
            Whether an alarm stands, raised now or before.

        Raises
        ------
        NotFittedError
            If the monitor has no reference distances.
        ValueError
            If `distances` are no finite numbers. Nothing is taken then.
        """
        self._check_reference("update_distances", by_lot=False)
        for distance in _finite_numbers("distances", distances):
            self._bet(self._rank(distance))
        return self.alarm_

    def update_lot(self, distances):
        """Take the distances of all parts of the next lot.

        Their mean is ranked among those of the reference lots and all lots taken
        before, and then joins them.

        Parameters
        ----------
        distances : array-like of shape (n_parts,)
            Of one whole lot, at least one part, on the scale of the reference; larger
            is more anomalous.

        Returns
        -------
        alarm : bool
            Whether an alarm stands, raised now or before.

        Raises
        ------
        NotFittedError
            If the monitor has no reference lots.
        ValueError
            If it was fitted by part, or `distances` are no finite numbers. Nothing is
            taken then.

        Warns
        -----
        FalseAlarmRateWarning
            If the lot has less than half the parts of any reference lot: its mean
            varies more, and more alarms than `alpha` are false.
        """
        self._check_reference("update_lot", by_lot=True)
        distances = _finite_numbers("distances", distances)
        if not distances.size:
            raise ValueError(
                "distances of a lot are empty; leave out lots without any."
            )
        if len(distances) < self._least_in_lot / 2:
            warnings.warn(
                f"The lot has {len(distances)} parts, and those of the reference at "
                f"least {self._least_in_lot}. The mean of so few varies more, so that "
                f"alarms may be false more often than alpha={self.alpha:g}. Take whole "
                "lots together, or fit on lots of this size.",
                FalseAlarmRateWarning,
                stacklevel=2,
            )
        self._bet(self._rank(float(distances.mean())))
        return self.alarm_

    def _check_reference(self, name, by_lot):
        """Raise unless there is a reference, of parts or of lots."""
        if not hasattr(self, "_distances"):
            raise NotFittedError(
                f"{name} needs reference distances. Call fit with the detector or with "
                "distances of normal parts first, or give p-values to update."
            )
        if getattr(self, "_by_lot", False) != by_lot:
            have, instead = ("lots", "update_lot"), ("parts", "update_distances")
            if by_lot:
                have, instead = instead, have
            raise ValueError(
                f"This monitor was fitted on {have[0]}: call {have[1]}. For "
                f"{instead[1]}, fit it on a detector that was fitted "
                f"{'with' if by_lot else 'without'} groups."
            )

    def __getstate__(self):
        # save does not accept array.array, which is used for its insertions.
        state = dict(super().__getstate__())
        if "_distances" in state:
            state["_distances"] = np.array(state["_distances"])
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "_distances" in state:
            self._distances = array("d", state["_distances"])

    def _rank(self, distance):
        """Online p-value of `distance`, which joins the distances seen."""
        low = bisect_left(self._distances, distance)
        high = bisect_right(self._distances, distance, lo=low)
        n_seen = len(self._distances)
        # The new distance ties with itself.
        tied = self._random.random_sample() * (high - low + 1)
        self._distances.insert(high, distance)
        return (n_seen - high + tied) / (n_seen + 1)

    def _bet(self, p_value):
        self.n_seen_ += 1
        self._log_capitals = advance(self._log_capitals, p_value, self.n_seen_)
        drift, burst = log_martingales(self._log_capitals, self.n_seen_)
        self.log_martingale_ = float(log_mean(drift, burst))
        self.log_components_ = {"drift": float(drift), "burst": float(burst)}
        if not self.alarm_ and self.log_martingale_ >= self._log_threshold:
            self.alarm_ = True
            self.alarm_index_ = self.n_seen_ - 1
        # The first parts seldom show the kind of change, and long after it the capital
        # is noise again: the diagnosis is made where the evidence is strongest.
        if self.alarm_ and self.log_martingale_ > self._log_peak:
            self._log_peak = self.log_martingale_
            self.diagnosis_ = "drift" if drift > burst else "burst"


def _held_out(detector):
    """Find the held-out distances of a detector, and their groups."""
    detector = last_step(detector)
    held_out = getattr(detector, "_held_out", None)
    if held_out is not None:
        return held_out.distances, held_out.groups
    distances = getattr(detector, "calibration_distances_", None)
    if distances is None:
        raise ValueError(
            f"{type(detector).__name__} has no held-out distances of its training "
            "samples. Put a ConformalDetector around it, or give distances of normal "
            "parts that it was not fitted on."
        )
    return _finite_numbers("calibration_distances_", distances), None


def _finite_numbers(name, values):
    """Return `values` as a float64 array of shape (n,), or raise a ValueError."""
    try:
        values = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers: {error}") from error
    if values.ndim > 1:
        raise ValueError(
            f"{name} must be a number or of shape (n_parts,); got shape {values.shape}."
        )
    values = np.atleast_1d(values)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ValueError(
            f"{name} must be finite; item {bad[0]} is {values[bad[0]]}. Leave out the "
            "parts that could not be scored."
        )
    return values
