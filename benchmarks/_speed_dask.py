"""A fit on a Dask cluster, by number of workers."""

import time
from dataclasses import dataclass
from functools import partial

import dask
import numpy as np
from _harness import Verdict, format_table, take_turns
from dask.distributed import Client, LocalCluster
from sklearn.pipeline import make_pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector, distributed

# Times as fast as one worker.
DASK_TARGET = 1.5
# Dask has workers give freed memory back at once, and the kernel hands it out again for
# each feature map; see the user guide.
ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": 2**28,
    "MALLOC_MMAP_THRESHOLD_": 2**25,
    "OMP_NUM_THREADS": 1,
}


@dataclass(frozen=True)
class DaskMeasurement:
    """What a fit on a cluster took, extraction included.

    Attributes
    ----------
    n_images : int
    one, two : float
        Seconds, with one worker process and with two, of one thread each.
    difference : float
        Largest difference between the leave-one-out distances of both and those of a
        fit by this process, as a fraction of the distance.
    """

    n_images: int
    one: float
    two: float
    difference: float

    @property
    def ratio(self):
        """How many times as fast two workers are as one."""
        return self.one / self.two


def measure_dask(paths, n_rounds):
    """Measure a fit on one worker process and on two, with one thread each.

    The workers have the network before, and decode images between the passes through
    it, so that one thread is one. The two take turns, in clusters of which one is open
    at a time, for idle ones take time of the processors, too.

    Parameters
    ----------
    paths : sequence of str
        More images than level 7 of EfficientNet-Lite0 has features, 192, so that these
        stay with the workers.
    n_rounds : int
        The median of so many is taken.

    Returns
    -------
    measurement : DaskMeasurement
    """
    expected = _make_pipeline().fit(paths)[-1].calibration_distances_
    sides = {n_workers: partial(_time_fit, paths, n_workers) for n_workers in (1, 2)}
    found = take_turns(sides, n_rounds)
    one, two = (float(np.median([t for t, _ in found[n]])) for n in (1, 2))
    distances = np.array([d for fits in found.values() for _, d in fits])
    difference = float(np.abs(distances / expected - 1).max())
    return DaskMeasurement(len(paths), one, two, difference)


def _make_pipeline():
    return make_pipeline(
        DeepFeatureTransformer(num_workers=0, device="cpu"), MahalanobisDetector()
    )


def _time_fit(paths, n_workers):
    """Return the seconds that a new cluster's second fit takes, and its distances."""
    # Not by the cluster's own parameter env, which is set when a worker has started.
    with dask.config.set({"distributed.nanny.pre-spawn-environ": ENVIRONMENT}):
        cluster = LocalCluster(
            n_workers=n_workers, threads_per_worker=1, dashboard_address=":0"
        )
    with cluster, Client(cluster) as client:
        # The first one loads the network.
        distributed.fit(_make_pipeline(), paths, client=client)
        start = time.perf_counter()
        fitted = distributed.fit(_make_pipeline(), paths, client=client)
        duration = time.perf_counter() - start
    return duration, fitted[-1].calibration_distances_


def format_dask(m):
    """Format a measurement as a table."""
    table = format_table(
        {"workers, one thread each": "d", "s": ".2f", "images per second": ".1f"},
        [(1, m.one, m.n_images / m.one), (2, m.two, m.n_images / m.two)],
    )
    return (
        f"{m.n_images} images, extraction and fit\n{table}\n"
        f"distances left out within {m.difference:.1g} of those of a local fit"
    )


def check_dask(measurement):
    """Check two workers against one."""
    return [
        Verdict(
            f"fit on two workers at least {DASK_TARGET} times as fast as on one",
            measurement.ratio >= DASK_TARGET,
            f"{measurement.ratio:.2f} times",
        )
    ]
