"""What anomaly maps cost beside the scores of the same images."""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.pipeline import make_pipeline

from skgaussad import DeepFeatureTransformer, LevelEnsemble, MahalanobisDetector
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
        Of a single level, and of the sum of several.
    """
    fitted, scored = paths[:-n_images][:N_FITTED], paths[-n_images:]
    pipelines = {
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
        seconds = [
            (
                _time(pipeline.score_samples, scored),
                _time(partial(anomaly_maps, pipeline), scored),
            )
            for _ in range(n_rounds)
        ]
        measurements.append(
            MapMeasurement(name, n_images, *np.median(seconds, axis=0).tolist())
        )
    return measurements


def format_maps(measurements):
    """Format measurements as a table.

    Parameters
    ----------
    measurements : list of MapMeasurement

    Returns
    -------
    table : str
    """
    lines = [f"{measurements[0].n_images} images{'':11}scores, s   maps, s  times"]
    lines += [
        f"{m.name:22}{m.scores:9.2f} {m.maps:9.2f}  {m.ratio:5.2f}"
        for m in measurements
    ]
    return "\n".join(lines)


def _time(function, X):
    start = time.perf_counter()
    function(X)
    return time.perf_counter() - start
