"""A cluster of two worker processes, and a small network with little to compute."""

import time

import numpy as np
import pytest
from dask.distributed import Client, LocalCluster
from PIL import Image
from sklearn.pipeline import Pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector

N_IMAGES = 160
BATCH_SIZE = 4


def make_pipeline(detector=None, **settings):
    """A pipeline of a network of 32 features at level 2, and 192 at level 4."""
    settings = {
        "levels": 2,
        "weights": None,
        "image_size": 32,
        "device": "cpu",
        "batch_size": BATCH_SIZE,
        **settings,
    }
    transformer = DeepFeatureTransformer("test_resnet", **settings)
    detector = MahalanobisDetector() if detector is None else detector
    return Pipeline([("features", transformer), ("detector", detector)])


@pytest.fixture(scope="session")
def make():
    return make_pipeline


@pytest.fixture(scope="session")
def pictures():
    """Pictures of different shades, so that their features spread."""
    rng = np.random.default_rng(0)
    shades = rng.uniform(40, 200, (N_IMAGES, 4, 5))
    pictures = shades.repeat(6, axis=1).repeat(6, axis=2)
    pictures += rng.normal(scale=8, size=pictures.shape)
    return pictures.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def paths(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    paths = [str(folder / f"{i:04d}.png") for i in range(len(pictures))]
    for picture, path in zip(pictures, paths, strict=True):
        Image.fromarray(picture).save(path)
    return paths


@pytest.fixture(scope="session")
def local(paths):
    """The pipeline fitted by this process; not to be changed by tests."""
    return make_pipeline().fit(paths)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=":0",
        local_directory=tmp_path_factory.mktemp("workers"),
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster) as client:
        yield client


@pytest.fixture
def on_workers(client, tmp_path):
    """Log what the workers do, and make it slow or fail as a test asks for.

    A function of the settings ``delay``, in seconds a partition, and ``n_failures`` of
    each partition. It returns the file with a line for each time that a worker begins
    a partition, its position, and for each time that it builds a network.
    """
    log = tmp_path / "log.txt"

    # Workers get functions of functions by value: they cannot import a test.
    def install(log, delay, n_failures):
        import functools
        import time
        from pathlib import Path

        from skgaussad.distributed import _score_to_parquet as _scoring
        from skgaussad.distributed import _workers
        from skgaussad.features._backbone import Backbone

        log = Path(log)
        original = _workers.transform, Backbone._restore

        def write(line):
            with log.open("a") as file:
                file.write(f"{line}\n")

        @functools.wraps(_workers.transform)
        def transform(transformer, images, start):
            n_before = log.read_text().split("\n").count(f"start {start}")
            write(f"start {start}")
            time.sleep(delay)
            if n_before < n_failures:
                raise OSError("the network drive is away")
            return original[0](transformer, images, start)

        def restore(self):
            write("network")
            return original[1](self)

        _workers._original = original
        _workers._loaded.clear()
        _workers.transform = _scoring.transform = transform
        Backbone._restore = restore

    def uninstall():
        from skgaussad.distributed import _score_to_parquet as _scoring
        from skgaussad.distributed import _workers
        from skgaussad.features._backbone import Backbone

        # A worker that was started meanwhile has nothing to take back.
        if hasattr(_workers, "_original"):
            transform, Backbone._restore = _workers._original
            _workers.transform = _scoring.transform = transform
            del _workers._original

    def change(delay=0.0, n_failures=0):
        log.write_text("")
        client.run(uninstall)
        client.run(install, str(log), delay, n_failures)
        return log

    yield change
    client.run(uninstall)


@pytest.fixture
def assert_forgotten(client):
    """A check that the scheduler has nothing left of what a test has asked for."""

    def count(dask_scheduler):
        return len(dask_scheduler.tasks)

    def check():
        deadline = time.monotonic() + 10
        while client.run_on_scheduler(count):
            assert time.monotonic() < deadline, "tasks are left on the scheduler"
            time.sleep(0.05)

    return check
