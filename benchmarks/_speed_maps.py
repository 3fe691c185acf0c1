"""What anomaly maps cost beside the scores of the same images."""

from dataclasses import dataclass
from functools import partial

from _harness import format_table, median_seconds, time_call
from sklearn.pipeline import make_pipeline

from skgaussad import (
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    make_detector,
)
from skgaussad.inspection import anomaly_maps

N_FITTED = 200


@dataclass(frozen=True)
class MapMeasurement:
    """Times of scores and of maps, in seconds, medians.

    Attributes
    ----------
    name : str
        Of the pipeline.
    n_images : int
    scores, maps : float
    """

    name: str
    n_images: int
    scores: float
    maps: float

    @property
    def ratio(self):
        """The maps in times of the scores."""
        return self.maps / self.scores


def measure_maps(paths, n_images, n_rounds):
    """Time scores and maps of the same files, in turns.

    Parameters
    ----------
    paths : ndarray of shape (n_paths,), dtype str
        The last ones are scored, and of the others at most `N_FITTED` fitted to.
    n_images : int
        How many to score.
    n_rounds : int

    Returns
    -------
    measurements : list of MapMeasurement
        Of cells, of a single level, and of the sum of several.
    """
    fitted, scored = paths[:-n_images][:N_FITTED], paths[-n_images:]
    pipelines = {
        "cells of level 6": make_detector(fpr=0.2),
        "level 7": make_pipeline(
            DeepFeatureTransformer(levels=7), MahalanobisDetector(fpr=0.2)
        ),
        "sum of levels 4 to 7": make_pipeline(
            DeepFeatureTransformer(levels=[4, 5, 6, 7]).set_output(transform="pandas"),
            LevelEnsemble(fpr=0.2),
        ),
    }
    measurements = []
    for name, pipeline in pipelines.items():
        pipeline.fit(fitted)
        sides = {
            "scores": partial(time_call, pipeline.score_samples, scored),
            "maps": partial(time_call, anomaly_maps, pipeline, scored),
        }
        seconds = median_seconds(sides, n_rounds)
        measurements.append(MapMeasurement(name, n_images, **seconds))
    return measurements


def format_maps(measurements):
    """Format measurements as a table."""
    return format_table(
        {"": "", "images": "d", "scores s": ".2f", "maps s": ".2f", "times": ".2f"},
        [(m.name, m.n_images, m.scores, m.maps, m.ratio) for m in measurements],
    )
