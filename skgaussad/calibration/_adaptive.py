"""A threshold that follows what inspection finds, so that the rate lasts."""

import json
import math
import os
from bisect import bisect_left, insort

import numpy as np

from .._utils.labels import check_labels
from .._utils.validation import check_integer, check_real
from ._held_out import HeldOutDistances
from ._last_step import last_step

# Quantiles whose difference is the spread of distances.
_QUARTILES = (0.25, 0.75)
# So many recent parts above the quantile make it follow soon, and not be rough.
_N_ABOVE = 4
_BEGINNING = b'{"begun": '


class AdaptiveThreshold:
    """Keep the rate of false alarms under drift, by what inspection says of alarms.

    A threshold set once keeps its false-positive rate while production stays as it was
    in the fit. This one moves: it follows the distances of recent parts, and each
    alarm that was false raises it, each part that passes lowers it a little, so that
    in the long run the fraction of good parts that are flagged is `fpr` whatever
    drifts: adaptive conformal inference [1]_, in the form of [2]_.

    Parts are decided by `predict` or `decide`, in the order of production. `feedback`
    says of some that they turned out good or defective: at once, late, in batches, in
    any order. Parts that pass are taken for good until they are reported as defective;
    flagged parts count once they were inspected.

    Parameters
    ----------
    detector : outlier detector or Pipeline
        Fitted, with ``calibration_distances_`` and ``offset_``, such as those of
        :func:`~skgaussad.make_detector`. A plain pipeline may end in it.

    fpr : float or None, default=None
        False-positive rate to keep, in (0, 1). None is that of the detector.

    step : float, default=0.25
        How far a false alarm raises the threshold, in interquartile ranges of the
        held-out distances, above 0. Larger steps keep the rate closer, and make the
        threshold rougher, which costs detection, the more the later feedback comes.

    window : int or None, default=None
        Number of recent parts taken for good, of which the threshold follows the
        ``1 - fpr`` quantile; before there are so many, held-out distances stand in.
        None is ``4 / fpr``, rounded up.

    journal : str, path or None, default=None
        A file that each decision and verdict is added to before the call returns. If
        it exists, the threshold goes on where it was, also after a kill: a last line
        that is not whole is dropped.

    Attributes
    ----------
    threshold_ : float
        On the distance of the next part. A part is flagged above it.

    fpr_ : float
        The rate to keep.

    ids_ : list
        Of the parts that the last call of `predict` or `decide` decided.

    n_decided_ : int
        Number of parts decided.

    n_good_ : int
        Number of parts that passed, without those reported as defective, and of those
        flagged that inspection found good.

    n_false_alarms_ : int
        How many of these were flagged.

    n_pending_ : int
        Number of flagged parts without a verdict.

    rate_ : float
        ``n_false_alarms_ / n_good_``; NaN before there is a good part.

    excess_ : float
        ``rate_ - fpr_``, 0 before there is a good part. Exactly the sum of all steps,
        by the number of good parts and the length of a step: see the Notes.

    excess_bound_ : float
        What ``abs(excess_)`` cannot exceed, whatever the order of parts and verdicts,
        as long as distances of good parts keep within the range that they had so far.

    Raises
    ------
    TypeError
        If the detector has no held-out distances, or no threshold.
    ValueError
        If a parameter is out of its range, half of the held-out distances are equal,
        or the journal is that of other parameters.
    OSError
        If the journal cannot be read or written.

    See Also
    --------
    ConformalMonitor : Tells that production has changed, without verdicts.
    skgaussad.inspection.AdaptiveThresholdDisplay : Draws the threshold over time.

    Notes
    -----
    With U good parts that passed and G false alarms, the threshold is

        q = q_0 + (Q - Q_0) + step * s * E,    E = (1 - fpr) G - fpr U,

    where q_0 is the threshold of the detector, Q the conformal ``1 - fpr`` quantile of
    the recent parts taken for good and Q_0 that of the held-out distances that stand in
    for them at the start, and s the interquartile range of all held-out distances. The
    sum does not depend on the order of verdicts, so a restart needs no more than the
    parts and their verdicts.

    As (G + U) ``excess_`` = E, the excess can be read from the threshold. Let distances
    of parts taken for good lie in [a, b]. Once step * s * E is above
    ``b - a + |q_0 - Q_0|``, the threshold is above b, and no further good part is
    flagged; below minus that, every good part is. So, in absolute values,

        ``excess_ <= ((b - a + |q_0 - Q_0|) / (step s) + 1 + m + fpr M) / (G + U)``,

    m being the largest number of flagged parts that waited for a verdict at once, and M
    the number of missed defects that were reported. No other assumption is made: not
    that parts are independent, nor how they drift.

    Without Q - Q_0 this is quantile tracking [2]_. On solar cells in file order, of
    whose 400 good ones a fixed threshold flagged 12 to 84 % for 5 % asked, tracking
    alone gave 5.5 to 22 % with this step and 5.5 to 12 % with one four times as large;
    with Q - Q_0 it was 4.0 to 6.2 %, and about as many defects were found. Adaptive
    conformal inference on p-values [1]_ has no way between none and all flagged, once
    distances have drifted beyond all held-out ones.

    **Alarms that wait** do not count, but hold the threshold from falling, as though
    they were false: up to what E lacks to 0, and in the window as infinite distances,
    as far as it has fewer false alarms than `fpr`. Nor does Q fall by parts after an
    alarm that waits, before that or a later one has been inspected. So without any
    verdict the threshold is about that of the detector: in simulations with 10 %
    defects, 5.0 % of the good parts were flagged (static 5.2 %) and 93 % of the
    defects. If a random quarter or half of the alarms was inspected, the rate of all
    was 2.9 to 5.7 % without drift, and 4.3 to 7.5 % where the mean distance rose by
    three standard deviations (static 41 %).

    **What it costs.** Where good parts come to look like defective ones, the rate is
    kept by finding fewer of these: see `summary`, and fit again, or update the
    detector and call `replace_detector`. A threshold that follows production also
    follows defects that nobody reports, if they are more than `fpr` of all parts.

    References
    ----------
    .. [1] I. Gibbs and E. Candès, "Adaptive conformal inference under distribution
       shift", NeurIPS 2021.
    .. [2] A. Angelopoulos, E. Candès and R. Tibshirani, "Conformal PID control for time
       series prediction", NeurIPS 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.calibration import AdaptiveThreshold
    >>> rng = np.random.default_rng(0)
    >>> detector = MahalanobisDetector(fpr=0.05).fit(rng.normal(size=(300, 8)))
    >>> X = rng.normal(size=(400, 8)) * np.linspace(1, 2, 400)[:, None]
    >>> round(float((detector.predict(X) == -1).mean()), 3)
    0.512
    >>> adaptive = AdaptiveThreshold(detector)
    >>> for part in X:
    ...     (label,) = adaptive.predict([part])
    ...     if label == -1:  # inspected, and found good
    ...         adaptive.feedback(adaptive.ids_, [1])
    >>> round(adaptive.rate_, 3)
    0.055
    """

    def __init__(self, detector, fpr=None, *, step=0.25, window=None, journal=None):
        check_real("step", step, 0, np.inf)
        if window is not None:
            check_integer("window", window, 1)
        self.step = step
        self.ids_ = []
        self.n_false_alarms_ = self.n_missed_ = self.n_found_ = 0
        self._n_good_before = 0
        self._index = {}
        self._distances, self._thresholds = [], []
        self._labels, self._verdicts = [], []
        # Numbers of the parts taken for good and of those that wait, ascending.
        self._passing, self._waiting = [], []
        self._threshold = None
        self._last_inspected = 0
        self._most_pending, self._widest = 0, 0.0
        self._journal = None
        self._take(detector, fpr)
        self.window = math.ceil(_N_ABOVE / self.fpr_) if window is None else window
        self._set_origin()
        if journal is not None:
            self._journal = _Journal(journal)
            self._replay()

    # -- Decide ------------------------------------------------------------------------

    def predict(self, X, ids=None):
        """Decide the next parts by their features or images.

        Parameters
        ----------
        X : array-like of shape (n_parts, n_features), or sequence of images
            As the detector takes it, in the order of production.
        ids : sequence of n_parts str or int, or None, default=None
            As for `decide`.

        Returns
        -------
        labels : ndarray of shape (n_parts,)
            +1 for parts that pass, -1 for flagged ones.

        Raises
        ------
        ValueError
            As `decide` does. No part counts as decided then.
        """
        return self.decide(-np.asarray(self._detector.score_samples(X)), ids)

    def decide(self, distances, ids=None):
        """Decide the next parts by their distances.

        Parameters
        ----------
        distances : array-like of shape (n_parts,)
            Minus the scores of the detector, in the order of production.
        ids : sequence of n_parts str or int, or None, default=None
            Names for `feedback`, none of which has been used. None numbers all parts in
            their order, from 0. Read them from `ids_`.

        Returns
        -------
        labels : ndarray of shape (n_parts,)
            +1 for parts that pass, -1 for flagged ones.

        Raises
        ------
        ValueError
            If a distance is not a finite number, or an id is used twice. No part counts
            as decided then. Also if something else has written to the journal.
        OSError
            If the journal cannot be written. The parts are decided, and are written to
            it by the next call that can.
        """
        distances = np.asarray(distances, dtype=np.float64)
        if distances.ndim != 1 or not np.isfinite(distances).all():
            raise ValueError(
                "distances must be finite numbers of shape (n_parts,); leave out the "
                f"parts that could not be scored. Got shape {distances.shape} with "
                f"{np.count_nonzero(~np.isfinite(distances))} that are not finite."
            )
        ids = self._check_ids(ids, len(distances))
        first, labels = self.n_decided_, []
        for identity, distance in zip(ids, distances.tolist(), strict=True):
            labels.append(1 if distance <= self.threshold_ else -1)
            self._record(identity, distance, labels[-1], self.threshold_)
        self.ids_ = ids
        self._write(
            {"decided": [identity, self._distances[n], self._labels[n], threshold]}
            for n, (identity, threshold) in enumerate(
                zip(ids, self._thresholds[first:], strict=True), first
            )
        )
        return np.array(labels, dtype=int)

    def restore(self, distances, labels, ids, *, n_good=0, n_false_alarms=0):
        """Take parts that were decided before a restart, as they were then.

        What `journal` does by itself, for those that keep decisions of their own.

        Parameters
        ----------
        distances : array-like of shape (n_parts,)
            In the order in which they were decided.
        labels : array-like of shape (n_parts,)
            What `decide` returned.
        ids : sequence of n_parts str or int
            As for `decide`.

        n_good, n_false_alarms : int, default=0
            `n_good_` and `n_false_alarms_` of parts before these, which need not be
            kept any more. The threshold goes on as if they were given, where the window
            lies within the parts that are.

        Raises
        ------
        ValueError
            As `decide` does, or if there are more false alarms than good parts.
        """
        check_integer("n_false_alarms", n_false_alarms, 0)
        check_integer("n_good", n_good, n_false_alarms)
        flagged = (check_labels("labels", labels) == -1).tolist()
        ids = self._check_ids(ids, len(flagged))
        for identity, distance, is_flagged in zip(ids, distances, flagged, strict=True):
            label = -1 if is_flagged else 1
            self._record(identity, float(distance), label, math.nan)
        self._n_good_before += n_good
        self.n_false_alarms_ += n_false_alarms
        self._threshold = None

    def _check_ids(self, ids, n_parts):
        """Return the names of parts, or raise where one is used twice."""
        if ids is None:
            ids = range(self.n_decided_, self.n_decided_ + n_parts)
        ids = _plain(ids)
        if len(ids) != n_parts:
            raise ValueError(f"There are {len(ids)} ids for {n_parts} parts.")
        seen = set()
        for identity in ids:
            if not isinstance(identity, str | int) or isinstance(identity, bool):
                raise ValueError(
                    f"ids must be strings or whole numbers; got {identity!r}."
                )
            if identity in self._index or identity in seen:
                raise ValueError(
                    f"A part with the id {identity!r} has been decided; give each part "
                    "an id of its own."
                )
            seen.add(identity)
        return ids

    def _record(self, identity, distance, label, threshold):
        """Add a part to those decided."""
        number = self.n_decided_
        self._index[identity] = number
        self._distances.append(distance)
        self._labels.append(label)
        self._thresholds.append(threshold)
        self._verdicts.append(None)
        if label == 1:
            self._pass(number)
        else:
            self._waiting.append(number)
            self._most_pending = max(self._most_pending, self.n_pending_)
        self._threshold = None

    def _pass(self, number):
        """Take a part for good."""
        insort(self._passing, number)
        distance = self._distances[number]
        if number >= self._first:
            self._range = min(self._range[0], distance), max(self._range[1], distance)

    # -- Feedback ----------------------------------------------------------------------

    def feedback(self, ids, labels):
        """Take what inspection found.

        Parameters
        ----------
        ids : sequence of n_verdicts str or int
            Of parts that have been decided, in any order.
        labels : array-like of shape (n_verdicts,)
            +1 for parts that are good, -1 for defective ones. Flagged parts that are
            good are false alarms; parts that passed and are defective were missed.
            Saying again what was said before changes nothing.

        Raises
        ------
        ValueError
            If an id is unknown, or a verdict is not that given before. No verdict is
            taken then.
        """
        ids = _plain(ids)
        labels = check_labels("labels", labels).tolist()
        if len(ids) != len(labels):
            raise ValueError(f"There are {len(ids)} ids for {len(labels)} labels.")
        verdicts = {}
        for identity, label in zip(ids, labels, strict=True):
            if identity not in self._index:
                raise ValueError(
                    f"No part with the id {identity!r} has been decided; ids_ has "
                    "those of the last call of predict or decide."
                )
            number = self._index[identity]
            before = verdicts.get(number, self._verdicts[number])
            if before not in (None, label):
                raise ValueError(
                    f"The part {identity!r} was reported as {_name(before)} before and "
                    f"now as {_name(label)}; the first verdict stands."
                )
            if before is None:
                verdicts[number] = label
        names = dict(zip(map(self._index.get, ids), ids, strict=True))
        for number, label in verdicts.items():
            self._judge(number, label)
        self._write({"verdict": [names[n], label]} for n, label in verdicts.items())

    def _judge(self, number, label):
        """Take the verdict on a part."""
        self._verdicts[number] = label
        if self._labels[number] == -1:
            del self._waiting[bisect_left(self._waiting, number)]
            self._last_inspected = max(self._last_inspected, number)
            if label == 1:
                self.n_false_alarms_ += 1
                self._pass(number)
            else:
                self.n_found_ += 1
        elif label == -1:
            self.n_missed_ += 1
            del self._passing[bisect_left(self._passing, number)]
        self._threshold = None

    # -- Threshold ---------------------------------------------------------------------

    def replace_detector(self, detector):
        """Go over to a detector that was updated or fitted again.

        The count of false alarms goes on, so that the threshold starts as far from that
        of the new detector, in its own interquartile ranges, as false alarms ask for.

        Parameters
        ----------
        detector : outlier detector or Pipeline
            As for the class.

        Raises
        ------
        TypeError, ValueError
            As the class does.
        """
        self._widest = max(self._widest, self._width)
        self._take(detector, self.fpr_)
        self._set_origin()
        self._write([{"replaced": self._origin(), "widest": self._widest}])

    def _take(self, detector, fpr):
        """Take threshold and held-out distances of a detector."""
        part = detector if hasattr(detector, "offset_") else last_step(detector)
        distances = getattr(part, "calibration_distances_", None)
        offset = getattr(part, "offset_", None)
        if distances is None or offset is None:
            raise TypeError(
                f"{type(part).__name__} has no calibration_distances_ or no offset_. "
                "Take a fitted detector of skgaussad, or a pipeline that ends in one."
            )
        own = getattr(part, "fpr", None) or getattr(last_step(part), "fpr", None)
        if fpr is None and own is None:
            raise ValueError(f"{type(part).__name__} has no fpr; give one.")
        fpr = own if fpr is None else fpr
        check_real("fpr", fpr, 0, 1)
        distances = np.asarray(distances, dtype=np.float64)
        low, high = np.quantile(distances, _QUARTILES)
        if not 0 < high - low < np.inf:
            raise ValueError(
                "The interquartile range of the held-out distances must be above 0 and "
                f"finite, as the unit of a step; it is {high - low:g}. Fit the "
                "detector to more, and different, samples."
            )
        self._detector, self.fpr_ = detector, float(fpr)
        # Beyond all others is enough, and can be subtracted.
        largest = distances[np.isfinite(distances)].max()
        self._spread, self._held_out = float(high - low), distances.clip(max=largest)
        self._start = -float(offset) if fpr == own else self._quantile(distances)

    def _set_origin(self):
        """Begin at the threshold of the detector, whose distances come from now on."""
        # Numbers of parts from here on have distances of this detector.
        self._first = self.n_decided_
        self._held_out = self._held_out[-self.window :]
        self._lead = self._start - self._quantile(self._held_out)
        self._range = float(self._held_out.min()), float(self._held_out.max())
        self._threshold = None

    def _quantile(self, distances):
        """Conformal quantile; the largest distance, if they are too few."""
        return HeldOutDistances(distances).threshold(self.fpr_)

    @property
    def threshold_(self):
        """Threshold on the distance of the next part."""
        if self._threshold is None:
            quantile = self._recent_quantile(len(self._passing))
            after = bisect_left(self._waiting, self._last_inspected)
            if after < len(self._waiting):
                # What passes is less than what is good, and would lower the threshold
                # on and on if no alarm were inspected any more.
                end = bisect_left(self._passing, self._waiting[after])
                quantile = max(quantile, self._recent_quantile(end))
            base = self._lead + quantile
            n_held = min((1 - self.fpr_) * self.n_pending_, max(-self._ahead, 0))
            self._threshold = base + self.step * self._spread * (self._ahead + n_held)
        return self._threshold

    def _recent_quantile(self, end):
        """Quantile of the window that ends after so many parts taken for good."""
        recent = self._passing[max(end - self.window, 0) : end]
        recent = recent[bisect_left(recent, self._first) :]
        n_older = self.window - len(recent)
        older = self._held_out[max(len(self._held_out) - n_older, 0) :]
        window = [*older, *(self._distances[number] for number in recent)]
        # False alarms that wait are missing above these: `fpr` are expected in all.
        bounds = self._first if n_older else recent[0], recent[-1] if recent else -1
        first, last = (bisect_left(self._waiting, number) for number in bounds)
        n_known = sum(self._labels[number] == -1 for number in recent)
        n_missing = int(self.fpr_ * (len(recent) + 1)) - n_known
        n_expected = min(n_missing, int(self.fpr_ * (len(window) + 1)) - 1)
        window += [np.inf] * min(last - first, n_expected)
        return self._quantile(np.array(window))

    @property
    def _ahead(self):
        """False alarms beyond the rate, in parts."""
        return self.n_false_alarms_ - self.fpr_ * self.n_good_

    @property
    def _width(self):
        """How far false alarms may move the threshold, in steps."""
        low, high = self._range
        return (high - low + abs(self._lead)) / (self.step * self._spread)

    # -- What it comes to --------------------------------------------------------------

    @property
    def n_decided_(self):
        """Number of parts decided."""
        return len(self._labels)

    @property
    def n_good_(self):
        """Number of parts taken for good, flagged or not."""
        return self._n_good_before + len(self._passing)

    @property
    def n_pending_(self):
        """Number of flagged parts without a verdict."""
        return len(self._waiting)

    @property
    def rate_(self):
        """Fraction of the good parts that were flagged."""
        return self.n_false_alarms_ / self.n_good_ if self.n_good_ else math.nan

    @property
    def excess_(self):
        """How far the rate is above the one asked for."""
        return self._ahead / max(self.n_good_, 1)

    @property
    def excess_bound_(self):
        """Bound on the absolute excess, by the range of distances so far."""
        n_steps = max(self._widest, self._width) + 1 + self._most_pending
        return (n_steps + self.fpr_ * self.n_missed_) / max(self.n_good_, 1)

    def summary(self):
        """Say what the rate is, and what the drift costs in detection.

        Returns
        -------
        summary : dict
            ``"rate"``, ``"excess"`` and ``"excess_bound"`` as the attributes,
            ``"n_good"``, ``"n_false_alarms"`` and ``"n_pending"``; ``"threshold"`` and
            ``"shift"``, its distance from the threshold of the detector in
            interquartile ranges of the held-out distances; ``"n_defects"``, the number
            of parts known as defective, and the fractions of these that were flagged,
            ``"detection"``, and that lie above the threshold of the detector,
            ``"detection_without_shift"``, None without defects. Defects that passed and
            nobody reported are not in them.
        """
        defects = [n for n, label in enumerate(self._verdicts) if label == -1]
        current = [n for n in defects if n >= self._first]
        n_above = sum(self._distances[n] > self._start for n in current)
        return {
            "rate": self.rate_,
            "excess": self.excess_,
            "excess_bound": self.excess_bound_,
            "n_good": self.n_good_,
            "n_false_alarms": self.n_false_alarms_,
            "n_pending": self.n_pending_,
            "threshold": self.threshold_,
            "shift": (self.threshold_ - self._start) / self._spread,
            "n_defects": len(defects),
            "detection": self.n_found_ / len(defects) if defects else None,
            "detection_without_shift": n_above / len(current) if current else None,
        }

    def history(self):
        """Return all that was decided, in order.

        Returns
        -------
        history : dict of {str: ndarray of shape (n_decided,)}
            ``"distance"``, ``"threshold"``, the one that decided (NaN after `restore`),
            ``"label"``, and ``"verdict"``: +1 good, -1 defective, 0 without one.
        """
        verdicts = [0 if verdict is None else verdict for verdict in self._verdicts]
        return {
            "distance": np.array(self._distances, dtype=np.float64),
            "threshold": np.array(self._thresholds, dtype=np.float64),
            "label": np.array(self._labels, dtype=int),
            "verdict": np.array(verdicts, dtype=int),
        }

    # -- State -------------------------------------------------------------------------

    def _origin(self):
        """Return what a journal must have in common with this threshold."""
        return {
            "fpr": self.fpr_,
            "step": self.step,
            "window": self.window,
            "threshold": self._start,
            "spread": self._spread,
        }

    def _write(self, events):
        """Add to the journal, if there is one."""
        if self._journal is not None:
            self._journal.append(events)

    def _replay(self):
        """Take what the journal has, or begin it."""
        journal, self._journal = self._journal, None
        events = journal.read()
        if not events:
            journal.append([{"begun": self._origin()}])
        else:
            # Parts before the last change of detectors count, but in the window.
            changes = [n for n, event in enumerate(events) if "verdict" not in event]
            changes = [n for n in changes if "decided" not in events[n]]
            last = events[changes[-1]] if changes else {}
            if self._origin() not in (last.get("begun"), last.get("replaced")):
                raise ValueError(
                    f"The journal {journal.path!r} goes on from {last}, and this is "
                    f"{self._origin()}. Give the detector and parameters that it was "
                    "written with, or another file."
                )
            for number, event in enumerate(events):
                self._apply(event)
                if number == changes[-1]:
                    self._set_origin()
        self._journal = journal

    def _apply(self, event):
        """Take an event of the journal."""
        if "decided" in event:
            self._record(*event["decided"])
        elif "verdict" in event:
            identity, label = event["verdict"]
            self._judge(self._index[identity], label)
        elif "replaced" in event:
            self._widest = event["widest"]


class _Journal:
    """A file of JSON objects, a line each, on the disk before `append` returns."""

    def __init__(self, path):
        self.path = os.fspath(path)
        # What is whole in the file, and what is yet to be added to it.
        self._size, self._unwritten = 0, b""
        self._has_failed = False

    def read(self):
        """Return the objects; cut off a last line that is not whole."""
        # Also creates it, and tells now whether it can be written.
        with open(self.path, "a+b") as file:
            file.seek(0)
            content = file.read()
            end = content.rfind(b"\n") + 1
            whole = content[:end] or content
            if not _BEGINNING.startswith(whole[: len(_BEGINNING)]):
                raise ValueError(
                    f"{self.path!r} holds something other than a journal of "
                    "AdaptiveThreshold; name another file."
                )
            file.truncate(end)
        self._size = end
        return [json.loads(line) for line in content[:end].splitlines()]

    def append(self, events):
        """Add objects, and those that could not be added before."""
        lines = "".join(f"{json.dumps(event)}\n" for event in events)
        self._unwritten += lines.encode()
        with open(self.path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size != self._size and not self._has_failed:
                raise ValueError(
                    f"Something else has written to the journal {self.path!r}: it has "
                    f"{size} bytes, and this AdaptiveThreshold left {self._size}. "
                    "Give each of them a journal of its own, and begin again with "
                    "this one."
                )
            self._has_failed = True
            # Over what a call before has left, which this begins with.
            file.seek(self._size)
            file.write(self._unwritten)
            file.flush()
            os.fsync(file.fileno())
        self._size += len(self._unwritten)
        self._unwritten, self._has_failed = b"", False


def _plain(ids):
    """Return ids as JSON has them: without types of NumPy."""
    return [i.item() if isinstance(i, np.generic) else i for i in ids]


def _name(label):
    """Return what a verdict says."""
    return "good" if label == 1 else "defective"
