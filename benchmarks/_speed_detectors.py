"""PyOD's Gaussian-like detectors beside skgaussad's, on the same features."""

from dataclasses import dataclass, field

import numpy as np
from _harness import format_table
from _speed_processes import Process
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold

OURS = "skgaussad"
PYOD = ("MCD", "GMM", "PCA")


@dataclass
class Timing:
    """What was measured of one detector, one value a fold.

    Attributes
    ----------
    fit, score : list of float
        Seconds.
    aurocs : list of float
        In percent.
    """

    fit: list = field(default_factory=list)
    score: list = field(default_factory=list)
    aurocs: list = field(default_factory=list)


def measure_detectors(features, labels, folder, peers, n_folds=5):
    """Fit and test each detector in each fold, in turn.

    Protocol of ``solar_cells_auroc.py``: folds over the normal images, tested on those
    held out and all anomalies.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features)
    labels : ndarray of shape (n_images,)
        +1 for normal images, -1 for anomalies.
    folder : Path
        For the files that the processes read.
    peers : str or None
        Interpreter of the peers; None leaves PyOD's out.
    n_folds : int, default=5

    Returns
    -------
    timings : dict of {str: Timing}
        By name of the detector.
    """
    # PyOD's mixture fails on float32.
    features = features.astype(np.float64)
    files = {name: str(folder / f"{name}.npy") for name in ("train", "test", "scores")}
    normal, anomalous = (np.flatnonzero(labels == label) for label in (1, -1))
    names = [OURS] if peers is None else [OURS, *PYOD]
    timings = {name: Timing() for name in names}
    with (
        Process("_speed_sides.py") as ours,
        Process("_speed_peers.py" if peers else "_speed_sides.py", peers) as theirs,
    ):
        # What the first call loads is not to count.
        np.save(files["train"], features[normal])
        np.save(files["test"], features[anomalous])
        for name in names:
            _ask(name, ours, theirs, files)
        for train, held_out in KFold(n_folds, shuffle=True, random_state=0).split(
            normal
        ):
            test = np.concatenate([normal[held_out], anomalous])
            np.save(files["train"], features[normal[train]])
            np.save(files["test"], features[test])
            for name, timing in timings.items():
                answer = _ask(name, ours, theirs, files)
                timing.fit.append(answer["fit"])
                timing.score.append(answer["score"])
                scores = np.load(files["scores"])
                timing.aurocs.append(100 * roc_auc_score(labels[test], scores))
    return timings


def _ask(name, ours, theirs, files):
    if name == OURS:
        return ours.ask("detect", name="ledoit_wolf", **files)
    return theirs.ask("detect", name=name, **files)


def format_detectors(timings):
    """Format the medians of times, and the means of AUROCs, as a table."""
    unit = np.median(timings[OURS].fit)
    columns = {"": "", "fit ms": ".1f", "times": ".1f", "score ms": ".1f"}
    return format_table(
        columns | {"AUROC": ".1f"},
        [
            (
                name,
                1e3 * np.median(timing.fit),
                np.median(timing.fit) / unit,
                1e3 * np.median(timing.score),
                np.mean(timing.aurocs),
            )
            for name, timing in timings.items()
        ],
    )
