"""Whether production has changed since the fit, by distances or by lots of them."""

import math

from ..calibration import ConformalMonitor

# Distances, or lots, after which the monitor starts over if it has no alarm.
_MAX_WATCHED = 10_000


class ChangeWatch:
    """A monitor of the decisions by the model in use.

    By lot for models that were fitted with lots: a lot ends where another begins, and
    its mean is compared with those of the fit. Of memory it takes as much as
    `_MAX_WATCHED` numbers: then it starts over, or rests if it has an alarm.

    Parameters
    ----------
    served : ServedModel
    model : str or None
        Version of the model that decided last.
    watched : list of (float, int)
        Mean distance and size of each part or lot since the start.
    lot : (str, float, int) or None
        Name, sum of distances and size of the lot that has not ended.
    """

    def __init__(self, served, model=None, watched=(), lot=None):
        self._served = served
        self._model, self._watched, self._lot = model, list(watched), lot
        self._start()
        for mean, size in self._watched:
            self._update(mean, size)

    @property
    def state(self):
        """What the constructor takes, as JSON."""
        return {"model": self._model, "watched": self._watched, "lot": self._lot}

    def _start(self):
        """Make a monitor that has seen nothing; None if the model allows none."""
        reference, self._least = self._served.reference()
        self._monitor = None
        if reference is not None:
            self._monitor = ConformalMonitor(random_state=0).fit(reference)

    def reset(self):
        """Clear the alarm."""
        self._watched, self._lot = [], None
        self._start()

    def add(self, decision):
        """Take a decision; return whether it is by another model than the last."""
        is_other = decision["model"] != self._model
        if is_other:
            self._model = decision["model"]
            self.reset()
        distance, name = decision["distance"], decision["lot"]
        if not math.isfinite(distance) or name == "":
            return is_other
        if name is None:
            self._watch(distance, 1)
            return is_other
        if self._lot is not None and self._lot[0] == name:
            _, total, size = self._lot
            self._lot = name, total + distance, size + 1
            return is_other
        if self._lot is not None:
            _, total, size = self._lot
            self._watch(total / size, size)
        self._lot = name, distance, 1
        return is_other

    def _watch(self, mean, size):
        if len(self._watched) >= _MAX_WATCHED:
            if self._monitor is not None and self._monitor.alarm_:
                return
            self._watched = []
            self._start()
        self._watched.append((mean, size))
        self._update(mean, size)

    def _update(self, mean, size):
        is_own = self._monitor is not None and self._model == self._served.version
        # Means of few parts vary more, and would be false alarms.
        if is_own and size >= self._least:
            self._monitor.update_distances([mean])

    def summary(self):
        """Return how the monitor stands, or None without one."""
        monitor = self._monitor
        if monitor is None:
            return None
        return {
            "alarm": bool(monitor.alarm_),
            "diagnosis": monitor.diagnosis_,
            "by": "lot" if self._least else "image",
            "n_seen": monitor.n_seen_,
            "log_martingale": float(monitor.log_martingale_),
        }
