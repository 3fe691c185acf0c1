"""What was decided and what inspection found, as the journal has it."""

import contextlib
import math
import os
import time
from collections import Counter, OrderedDict
from datetime import datetime, timezone

from ..calibration import AdaptiveThreshold, ConformalMonitor
from ..detectors import find_decider
from ._decision_journal import DecisionJournal

# Decisions that are kept in memory, and that feedback can be on.
_MAX_DECISIONS = 10_000
# Seconds after which an image without a decision gets none any more.
_OLD = 3600
_LABELS = {"good": 1, "defect": -1}


def now():
    """Return the time as text."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class Ledger:
    """Decisions and verdicts, the same in all processes that share a folder.

    All that is known follows from the journal and the model, so that it is the same
    after a restart. Before each change what others have written is read.

    Parameters
    ----------
    folder : str
        Of the journal, and of the images that were decided.
    served : ServedModel
    keep : int
        Number of images to keep.
    adapt : bool
        Whether the threshold follows the verdicts.

    Attributes
    ----------
    decisions : OrderedDict of {str: dict}
        The last ones, by their ids.
    rate : float or None
        The false-alarm rate that was chosen here, or None for the model's own.
    monitor : ConformalMonitor or None
        Of the decisions by the model in use; None where it cannot be used.
    adaptive : AdaptiveThreshold or None
    """

    def __init__(self, folder, served, *, keep, adapt):
        self.images = os.path.join(folder, "images")
        os.makedirs(self.images, exist_ok=True)
        self._keep = keep
        self._adapt = adapt
        self._journal = DecisionJournal(os.path.join(folder, "journal.jsonl"))
        self._served = served
        with self._journal.held():
            self._rebuild()
            self._remove_left()

    def _remove_left(self):
        """Remove images that were not decided, as a kill leaves them."""
        with os.scandir(self.images) as entries:
            for entry in entries:
                is_old = time.time() - entry.stat().st_mtime > _OLD
                if is_old and entry.name not in self._with_image:
                    os.unlink(entry.path)

    # -- State -------------------------------------------------------------------------

    def _rebuild(self):
        """Begin anew, and take the whole journal."""
        self.decisions = OrderedDict()
        self._with_image = OrderedDict()
        self._counts = Counter()
        self.rate = None
        self._last_model = None
        self._renew_monitor()
        self._renew_adaptive()
        records = list(self._journal.read(again=True))
        verdicts = {r["id"]: r["verdict"] for r in records if r["kind"] == "feedback"}
        for record in records:
            # Those that were taken back later would be in the way of what stands.
            if record["kind"] != "feedback" or record["verdict"] == verdicts.get(
                record["id"]
            ):
                self._apply(record)

    def _renew_monitor(self):
        self.monitor = None
        # Of lots, whole lots are watched, and these are not known here.
        with contextlib.suppress(AttributeError, TypeError, ValueError):
            monitor = ConformalMonitor(random_state=0)
            monitor.fit(find_decider(self._served.model)).update_distances([])
            self.monitor = monitor

    def _renew_adaptive(self):
        self.adaptive = None
        if self._adapt:
            try:
                self.adaptive = AdaptiveThreshold(
                    find_decider(self._served.model), fpr=self.rate
                )
            except TypeError as error:
                raise ValueError(f"--adapt cannot be used: {error}") from error

    def _read(self):
        """Take what others have written."""
        for record in self._journal.read():
            self._apply(record)

    def _apply(self, record):
        getattr(self, f"_apply_{record['kind']}")(record)

    def _apply_decision(self, record):
        identity, distance = record["id"], record["distance"]
        self.decisions[identity] = {**record, "verdict": None}
        self._with_image[identity] = None
        self._counts[record["label"]] += 1
        if len(self.decisions) > _MAX_DECISIONS:
            self.decisions.popitem(last=False)
        while len(self._with_image) > self._keep:
            oldest, _ = self._with_image.popitem(last=False)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.image_of(oldest))
        if record["model"] != self._last_model:
            if self._last_model is not None and self.adaptive is not None:
                self.adaptive.replace_detector(find_decider(self._served.model))
            self._last_model = record["model"]
        if not math.isfinite(distance):
            return
        if self.monitor is not None and record["model"] == self._served.version:
            self.monitor.update_distances([distance])
        if self.adaptive is not None:
            self.adaptive.restore([distance], [record["label"]], [identity])

    def _apply_feedback(self, record):
        identity, verdict = record["id"], record["verdict"]
        decision = self.decisions.get(identity)
        before = None if decision is None else decision["verdict"]
        if before not in (None, verdict):
            self._rebuild()
            return
        if decision is not None:
            decision["verdict"] = verdict
        if self.adaptive is not None and verdict is not None and before is None:
            # Decisions of before the rate was chosen are not in it.
            with contextlib.suppress(ValueError):
                self.adaptive.feedback([identity], [_LABELS[verdict]])

    def _apply_rate(self, record):
        self.rate = record["fpr"]
        self._renew_adaptive()
        self._last_model = None

    def _apply_reset(self, record):
        self._renew_monitor()

    # -- Changes -----------------------------------------------------------------------

    @contextlib.contextmanager
    def held(self):
        """Read what others wrote, and keep them from writing more."""
        with self._journal.held():
            self._read()
            yield

    def _write(self, records):
        """Take records and write them; held."""
        try:
            self._journal.append(records)
        except OSError:
            self._rebuild()
            raise

    def use(self, served):
        """Go over to a model, if it is another."""
        with self._journal.held():
            if served.version != self._served.version:
                self._served = served
                self._rebuild()

    def decide(self, served, uploads, rows):
        """Decide images, and have the decisions on the disk.

        Parameters
        ----------
        served : ServedModel
        uploads : list of (str, str)
            Ids and names.
        rows : list of dict
            As of `score_rows`.

        Returns
        -------
        decisions : list of dict
        """
        decisions, records = [], []
        with self.held():
            self.use(served)
            for (identity, name), row in zip(uploads, rows, strict=True):
                if row["error"] is not None:
                    decisions.append({"id": None, "name": name, "error": row["error"]})
                    continue
                threshold = self.threshold
                record = {
                    "kind": "decision",
                    "id": identity,
                    "time": now(),
                    "name": name,
                    "distance": row["distance"],
                    "p_value": row["p_value"],
                    "threshold": threshold,
                    "label": 1 if row["distance"] <= threshold else -1,
                    "model": served.version,
                }
                self._apply_decision(record)
                records.append(record)
                decisions.append({**record, "error": None})
            if records:
                self._write(records)
        return decisions

    def add(self, kind, **fields):
        """Take a record of another kind than a decision, and have it on the disk."""
        with self.held():
            record = {"kind": kind, "time": now(), **fields}
            # First on the disk, since a changed verdict reads all of it again.
            self._write([record])
            self._apply(record)

    # -- What it comes to --------------------------------------------------------------

    @property
    def threshold(self):
        """Threshold on the distance of the next image."""
        if self.adaptive is not None:
            return float(self.adaptive.threshold_)
        return self._served.working_point(self.rate)["threshold"]

    def image_of(self, identity):
        """Return where an image is, or would be."""
        return os.path.join(self.images, identity)

    def find(self, identity, name):
        """Return the last decision of this id or this name, or None."""
        with self.held():
            if identity is not None:
                return self.decisions.get(identity)
            found = (d for d in reversed(self.decisions.values()) if d["name"] == name)
            return next(found, None)

    def last(self, n_decisions):
        """Return the last decisions, the newest first."""
        with self.held():
            newest = reversed(self.decisions.values())
            return [dict(d) for _, d in zip(range(n_decisions), newest, strict=False)]

    def confirmed_good(self):
        """Return the ids of images that were found good and are still there."""
        with self.held():
            return [
                identity
                for identity, decision in self.decisions.items()
                if decision["verdict"] == "good"
                and os.path.exists(self.image_of(identity))
            ]

    def summary(self):
        """Count decisions and verdicts, and tell how the monitor stands."""
        with self.held():
            verdicts = Counter(
                (d["label"], d["verdict"]) for d in self.decisions.values()
            )
            summary = {
                "n_decided": self._counts.total(),
                "n_flagged": self._counts[-1],
                "n_false_alarms": verdicts[-1, "good"],
                "n_missed": verdicts[1, "defect"],
                "monitor": None,
                "adaptive": None,
            }
            if self.monitor is not None:
                summary["monitor"] = {
                    "alarm": bool(self.monitor.alarm_),
                    "diagnosis": self.monitor.diagnosis_,
                    "n_seen": self.monitor.n_seen_,
                    "log_martingale": float(self.monitor.log_martingale_),
                }
            if self.adaptive is not None:
                found = self.adaptive.summary()
                summary["adaptive"] = {
                    name: None
                    if found[name] is None or not math.isfinite(found[name])
                    else float(found[name])
                    for name in ("rate", "excess", "threshold", "shift", "n_pending")
                }
            return summary
