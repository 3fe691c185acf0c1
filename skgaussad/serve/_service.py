"""What the service does, without how it is asked."""

import os
import secrets
import shutil
import tempfile
import threading
import warnings
from contextlib import contextmanager, suppress

import numpy as np
from filelock import FileLock

from ..detectors import find_threshold
from ..features import IMAGE_EXTENSIONS
from ..persistence import load, save
from ._batcher import Batcher
from ._ledger import Ledger
from ._metrics import ServiceMetrics
from ._pictures import draw_overlay
from ._served_model import ModelHolder

# Enough to occupy all cores, and few enough for answers to come soon.
_N_AT_ONCE = 16
_MAX_NAME = 500
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
        self.holder = ModelHolder(settings.model)
        self.ledger = Ledger(
            settings.state,
            self.holder.current,
            keep=settings.keep,
            adapt=settings.adapt,
        )
        self.is_stopping = False
        # Networks share the cores: one computes at a time.
        self._computing = threading.Lock()
        self._batcher = Batcher(self._score, _N_AT_ONCE)

    def start(self):
        """Begin to work."""
        self.holder.start()
        self._batcher.start()

    def stop(self):
        """Finish what was begun."""
        self.is_stopping = True
        self._batcher.stop()
        self.holder.stop()

    # -- Scores ------------------------------------------------------------------------

    def score(self, files, maps):
        """Decide uploaded images.

        Parameters
        ----------
        files : list of UploadFile
        maps : bool
            Whether to draw maps.

        Returns
        -------
        decisions : list of dict
        """
        uploads = [self._take(file) for file in files]
        decisions = self._batcher.submit(uploads)
        for decision in decisions:
            if decision["error"] is None:
                threshold, distance = decision["threshold"], decision["distance"]
                decision["decision"] = _DECISIONS[decision["label"]]
                if threshold > 0:
                    decision["threshold_ratio"] = distance / threshold
                if maps:
                    decision["map"] = self.draw_map(
                        self.ledger.image_of(decision["id"])
                    )
        return decisions

    def _take(self, file):
        """Write an upload to the folder of images; return its id and name."""
        name = name_of(file)
        suffix = os.path.splitext(name)[1].lower()
        suffix = suffix if suffix in IMAGE_EXTENSIONS else ""
        identity = f"{secrets.token_hex(8)}{suffix}"
        with open(self.ledger.image_of(identity), "wb") as target:
            shutil.copyfileobj(file.file, target)
        return identity, name

    def _score(self, uploads):
        """Score and decide what several requests brought."""
        paths = [self.ledger.image_of(identity) for identity, _ in uploads]
        with self._computing:
            served = self.holder.current
            rows = served.score(paths)
        decisions = self.ledger.decide(served, uploads, rows)
        for path, decision in zip(paths, decisions, strict=True):
            if decision["error"] is not None:
                self.metrics.images.labels("error").inc()
                os.unlink(path)
                continue
            decision["model"] = served.version
            self.metrics.images.labels(_DECISIONS[decision["label"]]).inc()
            if decision["threshold"] > 0:
                ratio = decision["distance"] / decision["threshold"]
                self.metrics.ratio.observe(ratio)
        return decisions

    def draw_map(self, path):
        """Return the map of an image over it, as PNG."""
        with self._computing:
            return draw_overlay(self.holder.current.model, path)

    @contextmanager
    def temporary(self, file=None, name="image"):
        """Give a path for a while, with an upload there if there is one."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, name)
            if file is not None:
                with open(path, "wb") as target:
                    shutil.copyfileobj(file.file, target)
            yield path

    # -- Updates -----------------------------------------------------------------------

    def waiting(self):
        """Return the ids of images that were found good and are not in the model."""
        names = self.names_in_model()
        return [
            identity
            for identity in self.ledger.confirmed_good()
            if self.ledger.image_of(identity) not in names
        ]

    def names_in_model(self):
        """Return the paths of the training images."""
        samples = self.holder.current.samples
        return set() if samples is None else set(samples["name"].tolist())

    def update(self, ids, forget, lot):
        """Add images to the model and leave some out, and use it from now on.

        Parameters
        ----------
        ids : list of str
        forget : list of str
            Names of training images.
        lot : str or None

        Returns
        -------
        facts : dict
            As of `Updated`.

        Raises
        ------
        ValueError
            If it cannot be updated so.
        """
        paths = [self.ledger.image_of(identity) for identity in ids]

        def change(model):
            is_forgotten = np.isin(model.training_samples_["name"], forget)
            model.update(paths or None, groups=lot, forget=is_forgotten)

        return self._change(change)

    def undo(self):
        """Undo the last update of the model, and use it from now on."""
        return self._change(lambda model: model.undo_update())

    def _change(self, change):
        """Change the model in its file."""
        path = self.settings.model
        folder, name = os.path.split(os.path.realpath(path))
        # The lock of skgaussad update: the next one begins with what this one wrote.
        with (
            FileLock(os.path.join(folder, f".{name}.lock")),
            self._computing,
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always", UserWarning)
            model = load(path)
            if not hasattr(model, "training_samples_"):
                raise ValueError(
                    "This model file has no training samples and cannot be updated: "
                    "fit it again with this version, and save it with its samples."
                )
            before = len(model.training_samples_["name"]), find_threshold(model)
            change(model)
            save(model, path)
        self.holder.refresh()
        self.ledger.use(self.holder.current)
        return {
            "model": self.holder.current.version,
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
        served = self.holder.current
        samples, distances = served.samples, served.held_out_distances()
        if samples is None or distances is None:
            return None
        if len(distances) != len(samples["name"]):
            return None
        threshold = self.ledger.threshold
        shown = {
            self.ledger.image_of(decision["id"]): decision["name"]
            for decision in self.ledger.last(len(samples["name"]) + 10_000)
        }
        images = []
        for row in np.argsort(-distances, kind="stable")[:most].tolist():
            name, distance = str(samples["name"][row]), float(distances[row])
            images.append(
                {
                    "row": row,
                    "name": name,
                    "shown": shown.get(name, os.path.basename(name))
                    or f"image {row + 1}",
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
        samples = self.holder.current.samples
        metrics.samples.set(0 if samples is None else len(samples["name"]))
        with suppress(TypeError):
            metrics.monitor_alarm.set(summary["monitor"]["alarm"])
            metrics.monitor_evidence.set(summary["monitor"]["log_martingale"])
        return metrics.render()


def name_of(file):
    """Return the name of an upload as text that JSON can have."""
    name = (file.filename or "image")[:_MAX_NAME]
    return name.encode("utf-8", "backslashreplace").decode()
