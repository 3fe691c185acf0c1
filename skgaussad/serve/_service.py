"""What the service does, without how it is asked."""

import contextlib
import copy
import logging
import os
import re
import secrets
import shutil
import tempfile
import threading
import warnings

import numpy as np
from filelock import FileLock

from .._utils.training_samples import as_label
from ..detectors import find_threshold
from ..exceptions import InvalidImageError
from ..features import IMAGE_EXTENSIONS
from ..persistence import load, save
from ._batcher import Batcher
from ._ledger import Ledger
from ._metrics import ServiceMetrics
from ._pictures import draw_overlay
from ._served_model import ServedModel

logger = logging.getLogger("uvicorn.error")
# Enough to occupy all cores, and few enough for answers to come soon.
_N_AT_ONCE = 16
# Seconds from one look at the model file to the next.
_INTERVAL = 1.0
_MAX_NAME = 500
# Of the name of a file that stays with its id.
_MAX_STEM = 40
_DECISIONS = {1: "normal", -1: "anomalous"}


class Service:
    """Scores images, keeps what was decided, and brings the model up to date.

    Parameters
    ----------
    settings : ServeSettings
    """

    def __init__(self, settings):
        self.settings = settings
        self.metrics = ServiceMetrics()
        self._latest = ServedModel(settings.model)
        self.ledger = Ledger(
            settings.state, self._latest, keep=settings.keep, adapt=settings.adapt
        )
        self.is_stopping = False
        self._stopped = threading.Event()
        self._refreshing = threading.Lock()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        # Networks share the cores: one computes at a time.
        self._computing = threading.Lock()
        self._batcher = Batcher(self._score, _N_AT_ONCE)

    @property
    def served(self):
        """The model in use; it does not change while a request has it."""
        return self.ledger.served

    def start(self):
        """Begin to work."""
        self._watcher.start()
        self._batcher.start()

    def stop(self):
        """Finish what was begun."""
        self.is_stopping = True
        self._stopped.set()
        self._batcher.stop()
        self._watcher.join()

    def _watch(self):
        """Look at the model file now and then."""
        while not self._stopped.wait(_INTERVAL):
            try:
                self._refresh()
            except Exception:
                logger.exception("The model file cannot be looked at.")

    def _refresh(self):
        """Go over to the model in the file, if it was replaced."""
        with self._refreshing:
            # The old one serves, also those who have it, until the new one is ready.
            self._latest = copy.copy(self._latest)
            message = self._latest.reload_if_changed()
            if message is None:
                return
            if self._latest.version != self.served.version:
                try:
                    self.ledger.use(self._latest)
                except ValueError as error:
                    message = f"the model of before is kept: {error}"
            logger.info("%s; version %s is in use", message, self.served.version)

    # -- Scores ------------------------------------------------------------------------

    def score(self, files, lot, maps):
        """Decide uploaded images.

        Parameters
        ----------
        files : list of UploadFile
        lot : str or None
            Of the images.
        maps : bool
            Whether to draw maps.

        Returns
        -------
        decisions : list of dict

        Raises
        ------
        ValueError
            If the model has no maps, or lots, and is to. Nothing is decided then.
        """
        if lot is not None and not self.served.has_lots:
            raise ValueError("The model was fitted without lots, and takes none.")
        uploads = [(self._name(file), name_of(file)) for file in files]
        paths = [self.ledger.image_of(identity) for identity, _ in uploads]
        try:
            for file, path in zip(files, paths, strict=True):
                with open(path, "wb") as target:
                    shutil.copyfileobj(file.file, target)
            # First, since those beyond the number to keep are removed once decided.
            pictures = [self._try_map(path) if maps else None for path in paths]
            decisions = self._batcher.submit([(*upload, lot) for upload in uploads])
        except BaseException:
            _remove(paths)
            raise
        _remove(
            path
            for path, decision in zip(paths, decisions, strict=True)
            if decision["error"] is not None
        )
        for decision, picture in zip(decisions, pictures, strict=True):
            if decision["error"] is None:
                threshold = decision["threshold"]
                decision["decision"] = _DECISIONS[decision["label"]]
                if threshold > 0:
                    decision["threshold_ratio"] = decision["distance"] / threshold
                decision["map"] = picture
            self._count(decision)
        return decisions

    def _name(self, file):
        """Return an id for an upload, which is the name of its file."""
        stem, suffix = os.path.splitext(os.path.basename(name_of(file)))
        # For people who meet it among the files that a model has learned from.
        stem = re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_")[:_MAX_STEM]
        suffix = suffix.lower() if suffix.lower() in IMAGE_EXTENSIONS else ""
        return f"{stem}{'-' * bool(stem)}{secrets.token_hex(8)}{suffix}"

    def _try_map(self, path):
        """Return the map of an image, or None of what is no image."""
        try:
            return self.draw_map(path)
        except InvalidImageError:
            return None

    def _score(self, items):
        """Score and decide what several requests brought."""
        uploads = [(identity, name) for identity, name, _ in items]
        paths = [self.ledger.image_of(identity) for identity, _ in uploads]
        decisions = None
        # Again, if the model was replaced meanwhile.
        while decisions is None:
            with self._computing:
                served = self.served
                rows = served.score(paths)
            lots = [(lot or "") if served.has_lots else None for *_, lot in items]
            decisions = self.ledger.decide(served, uploads, rows, lots)
        return decisions

    def _count(self, decision):
        """Count a decision for the metrics."""
        self.metrics.images.labels(decision.get("decision", "error")).inc()
        if "threshold_ratio" in decision:
            self.metrics.ratio.observe(decision["threshold_ratio"])

    def draw_map(self, path):
        """Return the map of an image over it, as PNG."""
        with self._computing:
            return draw_overlay(self.served.at_rate(self.ledger.rate), path)

    @contextlib.contextmanager
    def temporary(self, file=None, name="image"):
        """Give a path for a while, with an upload there if there is one."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, name)
            if file is not None:
                with open(path, "wb") as target:
                    shutil.copyfileobj(file.file, target)
            yield path

    # -- Updates -----------------------------------------------------------------------

    def waiting(self, decisions):
        """Return those decisions that were found good and are not in the model."""
        ids = self.ids_in_model()
        return [
            decision
            for decision in decisions
            if decision["verdict"] == "good"
            and decision["id"] not in ids
            and self.ledger.has_image(decision["id"])
        ]

    def names_in_model(self):
        """Return the paths of the training images."""
        samples = self.served.samples
        return [] if samples is None else samples["name"].tolist()

    def training_names(self):
        """Return what to call the training images, or None without their number."""
        names, distances = self.names_in_model(), self.served.held_out_distances
        if distances is None or len(distances) != len(names):
            return None
        given = {
            self.ledger.image_of(decision["id"]): decision["name"]
            for decision in self.ledger.last()
        }
        return [
            given.get(name, os.path.basename(name)) or f"image {row + 1}"
            for row, name in enumerate(names)
        ]

    def ids_in_model(self):
        """Return the ids of those training images that were decided here."""
        return {os.path.basename(name) for name in self.names_in_model()}

    def update(self, decisions, forget, lot):
        """Add images to the model and leave some out, and use it from now on.

        Parameters
        ----------
        decisions : list of dict
            On the images to add.
        forget : list of str
            Names of training images.
        lot : str or None
            Of those images that came without one.

        Returns
        -------
        facts : dict
            As of `Updated`.

        Raises
        ------
        ValueError
            If it cannot be updated so.
        """
        paths = [self.ledger.image_of(decision["id"]) for decision in decisions]
        lots = [decision["lot"] or lot for decision in decisions]

        def change(model):
            samples, groups = model.training_samples_, lot
            if "group" in samples and paths:
                if not all(lots):
                    raise ValueError(
                        "The model was fitted with lots: name that of the new images."
                    )
                groups = [as_label(each, samples["group"]) for each in lots]
            is_forgotten = np.isin(samples["name"], forget)
            model.update(paths or None, groups=groups, forget=is_forgotten)

        return self._change(change)

    def undo(self):
        """Undo the last update of the model, and use it from now on."""
        return self._change(lambda model: model.undo_update())

    def _change(self, change):
        """Change the model in its file."""
        path = self.settings.model
        folder, name = os.path.split(os.path.realpath(path))
        # The lock of skgaussad update: the next one begins with what this one wrote.
        with FileLock(os.path.join(folder, f".{name}.lock")):
            model = load(path)
            if not hasattr(model, "training_samples_"):
                raise ValueError(
                    "This model file has no training samples and cannot be updated: "
                    "fit it again with this version, and save it with its samples."
                )
            before = len(model.training_samples_["name"]), find_threshold(model)
            with self._computing, warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", UserWarning)
                change(model)
            save(model, path)
        self._refresh()
        return {
            "model": self.served.version,
            "n_before": before[0],
            "n_after": len(model.training_samples_["name"]),
            "threshold_before": before[1],
            "threshold_after": find_threshold(model),
            "warnings": [
                str(w.message) for w in caught if issubclass(w.category, UserWarning)
            ],
        }

    # -- Facts -------------------------------------------------------------------------

    def training_images(self, most):
        """Return the training images, the farthest out first.

        Returns
        -------
        training : dict or None
            As of `Training`; None where the model does not tell.
        """
        shown = self.training_names()
        if shown is None:
            return None
        samples, distances = self.served.samples, self.served.held_out_distances
        threshold = self.ledger.threshold
        images = []
        for row in np.argsort(-distances, kind="stable")[:most].tolist():
            name, distance = str(samples["name"][row]), float(distances[row])
            images.append(
                {
                    "row": row,
                    "name": name,
                    "shown": shown[row],
                    "lot": str(samples["group"][row]) if "group" in samples else None,
                    "distance": distance,
                    "threshold_ratio": distance / threshold if threshold > 0 else None,
                    "above": distance > threshold,
                    "has_picture": os.path.isfile(name),
                }
            )
        n_above = int(np.count_nonzero(distances > threshold))
        return {"n_images": len(distances), "n_above": n_above, "images": images}

    def render_metrics(self):
        """Return what Prometheus reads."""
        metrics, summary = self.metrics, self.ledger.summary()
        metrics.threshold.set(self.ledger.threshold)
        metrics.samples.set(len(self.names_in_model()))
        if summary["monitor"] is not None:
            metrics.monitor_alarm.set(summary["monitor"]["alarm"])
            metrics.monitor_evidence.set(summary["monitor"]["log_martingale"])
        return metrics.render()


def name_of(file):
    """Return the name of an upload as text that JSON can have."""
    name = (file.filename or "image")[:_MAX_NAME]
    return name.encode("utf-8", "backslashreplace").decode()


def _remove(paths):
    """Remove files that may be there."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
