"""What was decided and what inspection found, as the journal has it."""

import contextlib
import math
import os
import time
from collections import Counter, OrderedDict, deque
from datetime import datetime, timezone

from ..calibration import AdaptiveThreshold
from ..detectors import find_decider
from ._change_watch import ChangeWatch
from ._decision_journal import DecisionJournal

# Decisions that are kept at least, and that feedback can be on.
MAX_DECISIONS = 10_000
# Records that are added to the journal before it is made short again.
_MAX_RECORDS = 5_000
# Seconds after which an image without a decision gets none any more.
_OLD = 3600
_LABELS = {"good": 1, "defect": -1}


def _now():
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
        Number of images to keep, and of those that were found good besides.
    adapt : bool
        Whether the threshold follows the verdicts.

    Raises
    ------
    ValueError
        If the threshold of this model cannot follow verdicts, and is to.
    """

    def __init__(self, folder, served, *, keep, adapt):
        self._images = os.path.join(folder, "images")
        os.makedirs(self._images, exist_ok=True)
        self._keep = keep
        self._adapt = adapt
        self._served = served
        self._journal = DecisionJournal(os.path.join(folder, "journal.jsonl"))
        with self._journal.held():
            self._rebuild()
            self._remove_left()

    # -- State -------------------------------------------------------------------------

    def _rebuild(self):
        """Begin anew, and take the whole journal."""
        self._take(self._journal.read_again())

    def _read(self):
        """Take what others have written."""
        self._take(self._journal.read())

    def _take(self, records):
        if not records:
            return
        if "snapshot" in records[0]:
            self._begin(records[0])
            for record in records[1:]:
                self._apply(record)
            self._renew_adaptive()
        else:
            for record in records:
                self._apply(record)

    def _begin(self, snapshot):
        """Go back to a snapshot."""
        self._decisions = OrderedDict(snapshot.get("decisions", {}))
        self._counts = Counter(snapshot.get("counts", {}))
        self._rate = snapshot.get("rate")
        self._watch = ChangeWatch(self._served, **snapshot.get("watch", {}))
        # Made at the end of the journal, and not with each record.
        self._adaptive = None
        self._recent, self._found_good = deque(), OrderedDict()
        for identity in self._decisions:
            self._keep_image(identity)

    def _snapshot(self):
        """Return what the journal comes to, as JSON, with the last decisions only."""
        decisions, counts = self._decisions.copy(), self._counts.copy()
        while len(decisions) > max(MAX_DECISIONS, self._keep):
            _, decision = decisions.popitem(last=False)
            if _is_adaptive(decision):
                is_alarm = decision["label"] == -1
                is_good = decision["verdict"] == "good"
                counts["n_good"] += is_good or (
                    not is_alarm and decision["verdict"] is None
                )
                counts["n_false_alarms"] += is_good and is_alarm
        return {
            "rate": self._rate,
            "counts": counts,
            "watch": self._watch.state,
            "decisions": decisions,
        }

    def _renew_adaptive(self):
        """Make the threshold that follows from decisions and verdicts."""
        if not self._adapt:
            return
        detector = find_decider(self._served.model)
        try:
            adaptive = AdaptiveThreshold(detector, fpr=self._rate)
        except (TypeError, ValueError) as error:
            raise ValueError(f"--adapt cannot be used: {error}") from error
        decisions = [d for d in self._decisions.values() if _is_adaptive(d)]
        version = self._served.version
        # Distances of other models count, but are not those of this one.
        n_others = max(
            (n for n, d in enumerate(decisions, 1) if d["model"] != version), default=0
        )
        n_before = {name: self._counts[name] for name in ("n_good", "n_false_alarms")}
        adaptive.restore(*_columns(decisions[:n_others]), **n_before)
        if n_others:
            adaptive.replace_detector(detector)
        adaptive.restore(*_columns(decisions[n_others:]))
        found = [d for d in decisions if d["verdict"] is not None]
        adaptive.feedback(
            [d["id"] for d in found], [_LABELS[d["verdict"]] for d in found]
        )
        self._adaptive = adaptive

    def _apply(self, record):
        """Take a record."""
        getattr(self, f"_apply_{record['kind']}")(record)

    def _apply_decision(self, record):
        decision = {**record, "verdict": None, "counts": True}
        del decision["kind"]
        self._decisions[record["id"]] = decision
        self._keep_image(record["id"])
        self._counts["n_decided"] += 1
        self._counts["n_flagged"] += record["label"] == -1
        is_other_model = self._watch.add(record)
        if self._adaptive is not None and _is_adaptive(decision):
            if is_other_model or record["model"] != self._served.version:
                self._renew_adaptive()
            else:
                self._adaptive.restore(*_columns([decision]))

    def _apply_feedback(self, record):
        decision = self._decisions.get(record["id"])
        if decision is None:
            return
        before, verdict = decision["verdict"], record["verdict"]
        decision["verdict"] = verdict
        if verdict != "good" and record["id"] in self._found_good:
            self._remove_image(record["id"])
        if self._adaptive is not None and _is_adaptive(decision) and verdict != before:
            if before is None:
                self._adaptive.feedback([record["id"]], [_LABELS[verdict]])
            else:
                self._renew_adaptive()

    def _apply_rate(self, record):
        self._rate = record["fpr"]
        # The threshold begins anew, and decisions by another rate say nothing of it.
        for decision in self._decisions.values():
            decision["counts"] = False
        self._counts["n_good"] = self._counts["n_false_alarms"] = 0
        if self._adaptive is not None:
            self._renew_adaptive()

    def _apply_reset(self, record):
        self._watch.reset()

    # -- Images ------------------------------------------------------------------------

    def image_of(self, identity):
        """Return where an image is, or would be."""
        return os.path.join(self._images, identity)

    def has_image(self, identity):
        """Whether an image is still there."""
        return os.path.isfile(self.image_of(identity))

    def _keep_image(self, identity):
        """Keep an image, and remove those beyond the number to keep."""
        self._recent.append(identity)
        if len(self._recent) > self._keep:
            identity = self._recent.popleft()
            decision = self._decisions.get(identity)
            if decision is None or decision["verdict"] != "good":
                self._remove_image(identity)
                return
            # For the next update.
            self._found_good[identity] = None
            if len(self._found_good) > self._keep:
                self._remove_image(next(iter(self._found_good)))

    def _remove_image(self, identity):
        self._found_good.pop(identity, None)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.image_of(identity))

    def _remove_left(self):
        """Remove images that were not decided, as a kill leaves them."""
        kept = {*self._recent, *self._found_good}
        with os.scandir(self._images) as entries:
            for entry in entries:
                is_old = time.time() - entry.stat().st_mtime > _OLD
                if is_old and entry.name not in kept:
                    os.unlink(entry.path)

    # -- Changes -----------------------------------------------------------------------

    @contextlib.contextmanager
    def held(self):
        """Read what others wrote, and keep them from writing more."""
        with self._journal.held():
            self._read()
            yield

    def use(self, served):
        """Go over to a model."""
        with self._journal.held():
            before, self._served = self._served, served
            try:
                self._rebuild()
            except ValueError:
                self._served = before
                self._rebuild()
                raise

    def decide(self, served, uploads, rows, lots):
        """Decide images, and have the decisions on the disk.

        Parameters
        ----------
        served : ServedModel
            That scored them.
        uploads : list of (str, str)
            Ids and names.
        rows : list of dict
            As of `score_rows`.
        lots : list of (str or None)
            None for models without lots, and "" for a lot that was not named.

        Returns
        -------
        decisions : list of dict, or None
            None if another model has come since.
        """
        decisions, records = [], []
        with self.held():
            if served is not self._served:
                return None
            for (identity, name), row, lot in zip(uploads, rows, lots, strict=True):
                if row["error"] is not None:
                    decisions.append({"id": None, "name": name, "error": row["error"]})
                    continue
                threshold = self._threshold()
                record = {
                    "kind": "decision",
                    "id": identity,
                    "time": _now(),
                    "name": name,
                    "lot": lot,
                    "distance": row["distance"],
                    "p_value": row["p_value"],
                    "threshold": threshold,
                    "label": 1 if row["distance"] <= threshold else -1,
                    "model": served.version,
                }
                # Each may move the threshold of the next.
                self._apply(record)
                records.append(record)
                decisions.append({**record, "error": None})
            self._write(records)
        return decisions

    def _write(self, records):
        """Have records on the disk, also those that were taken already; held."""
        try:
            self._journal.append(records)
        except OSError:
            self._rebuild()
            raise
        if self._journal.n_records > _MAX_RECORDS:
            # What cannot be made short today, of a full disk, can be later.
            with contextlib.suppress(OSError):
                self._journal.replace(self._snapshot())
            self._read()

    def add(self, kind, **fields):
        """Take a record of another kind than a decision, and have it on the disk."""
        with self.held():
            record = {"kind": kind, "time": _now(), **fields}
            self._apply(record)
            self._write([record])

    def give_feedback(self, identity, name, verdict):
        """Take a verdict on the decision of this id, or the last of this name.

        Returns
        -------
        decision : dict or None
            None if there is none.
        """
        with self.held():
            decision = self._decisions.get(identity)
            if identity is None:
                newest = reversed(self._decisions.values())
                decision = next((d for d in newest if d["name"] == name), None)
            if decision is not None and decision["verdict"] != verdict:
                self.add("feedback", id=decision["id"], verdict=verdict)
            return decision

    # -- What it comes to --------------------------------------------------------------

    @property
    def served(self):
        """The model in use."""
        return self._served

    @property
    def rate(self):
        """The false-alarm rate that was chosen here, or None for the model's own."""
        with self.held():
            return self._rate

    @property
    def threshold(self):
        """Threshold on the distance of the next image."""
        with self.held():
            return self._threshold()

    def _threshold(self):
        if self._adaptive is not None:
            return float(self._adaptive.threshold_)
        return self._served.working_point(self._rate)["threshold"]

    def last(self, n_decisions=None):
        """Return the last decisions, or all that are kept, the newest first."""
        with self.held():
            newest = list(reversed(self._decisions.values()))
            return [dict(decision) for decision in newest[:n_decisions]]

    def summary(self):
        """Count decisions and verdicts, and tell how the monitor stands."""
        with self.held():
            found = Counter(
                (d["label"], d["verdict"]) for d in self._decisions.values()
            )
            return {
                "n_decided": self._counts["n_decided"],
                "n_flagged": self._counts["n_flagged"],
                "n_false_alarms": found[-1, "good"],
                "n_missed": found[1, "defect"],
                "monitor": self._watch.summary(),
                "adaptive": self._adaptive and _finite(self._adaptive.summary()),
            }


def _is_adaptive(decision):
    """Whether a decision counts for the threshold that follows verdicts."""
    return decision["counts"] and math.isfinite(decision["distance"])


def _columns(decisions):
    """Return distances, labels and ids."""
    names = ("distance", "label", "id")
    return tuple([decision[name] for decision in decisions] for name in names)


def _finite(summary):
    """Return what JSON can have of a summary."""
    names = ("rate", "excess", "threshold", "shift", "n_pending")
    return {
        name: float(summary[name]) if math.isfinite(summary[name]) else None
        for name in names
    }
