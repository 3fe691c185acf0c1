"""What the default detector costs: labels beside the extraction, and large fits."""

from dataclasses import dataclass
from functools import partial

from _harness import format_table, median_seconds, time_call
from _speed_processes import Process

from skgaussad import make_detector

N_FITTED = 200
N_CELLS = 49


@dataclass(frozen=True)
class LabelMeasurement:
    """Seconds from files to features, and to labels, medians.

    Attributes
    ----------
    name : str
        Method of ``make_detector``.
    n_images : int
    extraction, labels : float
    """

    name: str
    n_images: int
    extraction: float
    labels: float

    @property
    def ratio(self):
        """The labels in times of the extraction alone."""
        return self.labels / self.extraction


@dataclass(frozen=True)
class CellFit:
    """A fit to cells, leave-one-out residuals and threshold included.

    Attributes
    ----------
    n_samples, n_features : int
    seconds : float
    peak : int
        Most memory that the process has held, in bytes; the samples included.
    """

    n_samples: int
    n_features: int
    seconds: float
    peak: int


def measure_labels(paths, n_images, n_rounds):
    """Time extraction and prediction of both methods on the same files, in turns.

    Parameters
    ----------
    paths : ndarray of shape (n_paths,), dtype str
        The last ones are scored, and of the others at most `N_FITTED` fitted to.
    n_images : int
        How many to score.
    n_rounds : int

    Returns
    -------
    measurements : list of LabelMeasurement
    """
    fitted, scored = paths[:-n_images][:N_FITTED], paths[-n_images:]
    detectors = {
        method: make_detector(method=method, fpr=0.2).fit(fitted)
        for method in ("cells", "paper")
    }
    sides = {}
    for method, detector in detectors.items():
        sides[method, "extraction"] = partial(time_call, detector[0].transform, scored)
        sides[method, "labels"] = partial(time_call, detector.predict, scored)
    seconds = median_seconds(sides, n_rounds)
    return [
        LabelMeasurement(
            method, n_images, seconds[method, "extraction"], seconds[method, "labels"]
        )
        for method in detectors
    ]


def measure_cell_fits(sizes):
    """Time fits to synthetic features, each in a process of its own.

    Parameters
    ----------
    sizes : sequence of tuple of (int, int)
        Numbers of samples and of features.

    Returns
    -------
    fits : list of CellFit
    """
    fits = []
    for n_samples, n_features in sizes:
        with Process("_speed_sides.py") as process:
            answer = process.ask(
                "fit_cells",
                n_samples=n_samples,
                n_features=n_features,
                n_cells=N_CELLS,
            )
        fits.append(CellFit(n_samples, n_features, answer["seconds"], answer["peak"]))
    return fits


def format_labels(measurements):
    """Format measurements of labels as a table."""
    return format_table(
        {
            "method": "",
            "images": "d",
            "features s": ".2f",
            "labels s": ".2f",
            "times": ".2f",
            "labels/s": ".1f",
        },
        [
            (m.name, m.n_images, m.extraction, m.labels, m.ratio, m.n_images / m.labels)
            for m in measurements
        ],
    )


def format_cell_fits(fits):
    """Format fits as a table."""
    return format_table(
        {"images": ",d", "features": ",d", "fit s": ".2f", "peak MB": ",.0f"},
        [(f.n_samples, f.n_features, f.seconds, f.peak / 1e6) for f in fits],
    )
