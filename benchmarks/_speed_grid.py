"""A grid search whose features are cached, against its parts."""

from dataclasses import dataclass

import numpy as np
from _harness import format_table
from _speed_processes import ask_once


@dataclass(frozen=True)
class GridMeasurement:
    """What a grid search took, in seconds.

    Attributes
    ----------
    n_candidates, n_folds, n_images : int
    first, second : float
        With an empty cache, and with all features in it; processes of their own.
    extraction, detectors : float
        The parts: one extraction, and all fits and scores on its columns.
    """

    n_candidates: int
    n_folds: int
    n_images: int
    first: float
    second: float
    extraction: float
    detectors: float

    @property
    def ratio(self):
        """The first search, in its parts."""
        return self.first / (self.extraction + self.detectors)

    @property
    def repeat_fraction(self):
        """The second search as a fraction of the first."""
        return self.second / self.first

    @property
    def overhead_fraction(self):
        """The second search less the detectors' own time, as a fraction of the first.

        In (-inf, 1]: the times of separate runs scatter.
        """
        return (self.second - self.detectors) / self.first


def measure_grid(paths, labels, folder, *, image_size, n_folds, n_rounds):
    """Measure a grid search with an empty cache, its parts, and the search again.

    Parameters
    ----------
    paths : ndarray of shape (n_images,), dtype str
    labels : ndarray of shape (n_images,)
    folder : Path
        For the caches.
    image_size : int
        Side of the network's input, in pixels.
    n_folds : int
    n_rounds : int
        The median of so many is taken, each with an empty cache.

    Returns
    -------
    measurement : GridMeasurement

    Raises
    ------
    RuntimeError
        If the scores of the search and of its parts differ, so that their times mean
        nothing.
    """
    images = {
        "paths": list(map(str, paths)),
        "labels": labels.tolist(),
        "image_size": image_size,
        "n_folds": n_folds,
    }
    rounds = []
    for number in range(n_rounds):
        cache = str(folder / f"cache_{number}")
        first, apart, second = (
            ask_once("_speed_sides.py", "search", cache=cache, **images),
            ask_once("_speed_sides.py", "search_apart", **images),
            ask_once("_speed_sides.py", "search", cache=cache, **images),
        )
        _check_scores(first, apart, second)
        parts = (apart["extraction"], apart["detectors"])
        rounds.append((first["seconds"], second["seconds"], *parts))
    seconds = np.median(rounds, axis=0).tolist()
    return GridMeasurement(first["n_candidates"], n_folds, len(labels), *seconds)


def _check_scores(*answers):
    # In the order of the candidates on one side only, so compared without it. Features
    # in other batches differ by rounding, which may turn the label of an image or two.
    scores = [np.sort(answer["scores"]) for answer in answers]
    if not all(np.allclose(found, scores[0], atol=0.01) for found in scores):
        raise RuntimeError(f"The searches found different scores: {scores}")


def format_grid(m):
    """Format a measurement as a table."""
    rows = {
        "one extraction": m.extraction,
        "detectors' own time": m.detectors,
        "search, empty cache": m.first,
        "search again": m.second,
        "search again without detectors": m.second - m.detectors,
    }
    return (
        f"{m.n_candidates} candidates, {m.n_folds} folds, {m.n_images} images\n"
        + format_table({"": "", "s": ".1f"}, rows.items())
    )
