"""What a model keeps of the samples it was fitted to, so that it can be updated."""

import contextlib
import dataclasses
import re
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime, timezone
from hashlib import sha256

import numpy as np
from sklearn.base import BaseEstimator

from .labels import check_present

# Whether what is written of a model has its training samples.
keeps_samples = ContextVar("keeps_samples", default=True)
# Parameters of where and how a pipeline runs.
_OF_RUN = {
    *("n_jobs", "verbose", "memory", "device", "engine", "batch_size", "num_workers"),
    *("torch_compile", "cache", "memmap_folder", "weights", "store_weights"),
}
# A row that was not taken out.
_STAYS = -1


@contextlib.contextmanager
def leaving_samples_out():
    """Leave the training samples out of what is written in this context."""
    token = keeps_samples.set(False)
    try:
        yield
    finally:
        keeps_samples.reset(token)


def as_labels(groups, n_samples):
    """Return groups as an array of numbers or of text, one label a sample."""
    check_present("groups", groups)
    groups = np.asarray(groups)
    if groups.dtype.kind == "O":
        # A column of a data frame may hold numbers as objects.
        groups = np.array(_without_zone(groups).tolist())
    groups = _as_dates(groups)
    if groups.ndim == 0:
        groups = np.full(n_samples, groups)
    if groups.shape != (n_samples,):
        raise ValueError(
            f"groups must be one label, or one for each of the {n_samples} samples; "
            f"got the shape {groups.shape}."
        )
    # Labels as objects have no place in a model file.
    return groups if groups.dtype.kind in "biufU" else groups.astype(str)


def _without_zone(labels):
    """Take dates and times by the clock that they are of."""
    labels = labels.copy()
    for place, label in np.ndenumerate(labels):
        if isinstance(label, datetime):
            labels[place] = label.replace(tzinfo=None)
    return labels


def as_label(text, groups):
    """Return a label that was typed, as a number where the groups of the fit are."""
    if groups.dtype.kind not in "iuf":
        return text
    try:
        return groups.dtype.type(text)
    except (ValueError, OverflowError):
        raise ValueError(
            f"The lot {text!r} must be a number, as those of the fit are, such as "
            f"{groups[0]}."
        ) from None


def _as_dates(labels):
    """Write dates and times of any type as text that sorts: 2026-11-28, or T08:00."""
    if not all(isinstance(item, date | np.datetime64) for item in labels.ravel()):
        return labels
    times = np.datetime_as_string(labels.astype("datetime64[us]"))
    return np.char.replace(times.astype(str), "T00:00:00.000000", "")


def _plain(value):
    """Return a number of NumPy as one of Python."""
    return value.item() if isinstance(value, np.generic) else value


def _settings_of(pipeline):
    """Return the parameters that scores depend on, as text."""
    return {
        name: _describe(value)
        for name, value in pipeline.get_params().items()
        if name.rpartition("__")[2] not in _OF_RUN
    }


def _describe(value):
    """Describe a parameter; those of estimators in it are described apart."""
    if isinstance(value, BaseEstimator):
        return type(value).__name__
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_describe, value))}]"
    # Without addresses in memory, which change.
    return re.sub(r" at 0x\w+", "", repr(_plain(value)))


def digest_fit(detector):
    """Return what tells the fit of a detector, and of those in it, from others."""
    digest = sha256()
    _add_fit(digest, detector)
    return digest.hexdigest()


def _add_fit(digest, part):
    """Add thresholds, held-out distances and means to a digest."""
    if isinstance(part, list | tuple):
        for each in part:
            _add_fit(digest, each)
    elif isinstance(part, BaseEstimator):
        inner = vars(part)
        held_out = getattr(inner.get("_held_out_distances"), "distances", ())
        offset, location = inner.get("offset_", ()), inner.get("location_", ())
        for numbers in (offset, held_out, location):
            digest.update(np.asarray(numbers, dtype=np.float64).tobytes())
        for each in inner.values():
            _add_fit(digest, each)


def _now():
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True, eq=False)
class TrainingSamples:
    """Features of training samples, and in which revision each came and went.

    Attributes
    ----------
    features : ndarray of shape (n_rows, n_features)
        What the detector is fitted to, of the samples in it and those taken out by the
        last change.
    names : ndarray of shape (n_rows,)
        Paths, or else "".
    groups : ndarray of shape (n_rows,) or None
    added, removed : ndarray of shape (n_rows,)
        Revisions; `removed` is -1 for the samples in the model.
    times : list of str
        When each revision was made; "" for the fit.
    can_undo : bool
        Whether the last change can be undone.
    settings : dict of str to str, or None
        The parameters that the pipeline was fitted with; None of an earlier version.
    fitted : str or None
        Digest of what was fitted to these; None before.
    """

    features: np.ndarray
    names: np.ndarray
    groups: np.ndarray | None
    added: np.ndarray
    removed: np.ndarray
    times: list
    can_undo: bool = False
    settings: dict | None = None
    fitted: str | None = None

    @classmethod
    def of_fit(cls, features, names, groups, pipeline):
        """Keep what the detector of a pipeline is fitted to at first."""
        added = np.zeros(len(features), dtype=np.int64)
        return cls(
            features,
            names,
            groups,
            added,
            added + _STAYS,
            [""],
            settings=_settings_of(pipeline),
        )

    def find_changed(self, pipeline):
        """Return the names of parameters that were set since the fit, sorted."""
        now, then = _settings_of(pipeline), self.settings or {}
        # Another version may have others.
        both = now.keys() & then.keys()
        return sorted(name for name in both if now[name] != then[name])

    @property
    def is_in(self):
        """Whether each row is in the model, of shape (n_rows,)."""
        return self.removed == _STAYS

    @property
    def n_groups(self):
        """Number of groups of the samples in the model, or None."""
        return None if self.groups is None else len(set(self.groups[self.is_in]))

    def change(self, forgotten, features, names, groups):
        """Return these after one change.

        Parameters
        ----------
        forgotten : ndarray of shape (n_samples,), dtype bool
            Of those in the model, which to take out.
        features, names, groups : ndarrays or None
            Of the new ones.
        """
        # Those taken out before can no longer come back.
        kept = self._select(self.is_in)
        revision = len(self.times)
        n_new = len(features)
        removed = np.where(forgotten, revision, kept.removed)
        return dataclasses.replace(
            kept,
            features=np.concatenate([kept.features, features]),
            names=np.concatenate([kept.names, names]),
            groups=None if groups is None else np.concatenate([kept.groups, groups]),
            added=np.concatenate([kept.added, np.full(n_new, revision)]),
            removed=np.concatenate([removed, np.full(n_new, _STAYS)]),
            times=[*self.times, _now()],
            can_undo=True,
        )

    def undo(self):
        """Return these as they were before the last change."""
        revision = len(self.times) - 1
        before = self._select(self.added < revision)
        removed = np.where(before.removed == revision, _STAYS, before.removed)
        return dataclasses.replace(
            before, removed=removed, times=self.times[:-1], can_undo=False
        )

    def _select(self, rows):
        return dataclasses.replace(
            self,
            features=self.features[rows],
            names=self.names[rows],
            groups=None if self.groups is None else self.groups[rows],
            added=self.added[rows],
            removed=self.removed[rows],
        )
