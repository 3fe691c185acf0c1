"""Threads and processes that score with one fitted pipeline."""

import multiprocessing
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from PIL import Image

from skgaussad import MahalanobisDetector
from skgaussad.exceptions import InvalidImageError

pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)

N_THREADS = 8


def at_once(work):
    """Do some work in threads that begin at the same moment; return what each gives."""
    barrier = threading.Barrier(N_THREADS)

    def wait_and_work(i):
        barrier.wait()
        return work(i)

    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(wait_and_work, range(N_THREADS)))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("cached", [False, True])
def test_threads(make_pipeline, images, tmp_path, num_workers, cached):
    """Freshly unpickled, so that they meet where the network is built."""
    paths = [tmp_path / f"{i}.png" for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    pipe = make_pipeline(features__num_workers=num_workers).fit(paths)
    expected = pipe.score_samples(paths)
    if cached:
        pipe.set_params(features__cache=tmp_path / "cache").fit(paths)
    twin = pickle.loads(pickle.dumps(pipe))
    for scores in at_once(lambda _: [twin.score_samples(paths) for _ in range(3)]):
        # Through the cache images go in other batches, which round differently.
        np.testing.assert_allclose(
            scores, [expected] * 3, rtol=1e-3 if cached else 0, atol=0
        )


def test_threads_with_images_of_their_own(fitted, images):
    """Nothing of one call reaches another, not even its errors."""
    expected = [fitted.score_samples([image]) for image in images]
    short = np.zeros((0, 3), dtype=np.uint8)

    def work(i):
        if i == N_THREADS - 1:
            for _ in range(20):
                with pytest.raises(InvalidImageError, match=r"X\[1\]"):
                    fitted.score_samples([images[0], short])
            return None
        return [fitted.score_samples([images[i]]) for _ in range(20)]

    *results, _ = at_once(work)
    for scores, score in zip(results, expected, strict=True):
        np.testing.assert_array_equal(scores, [score] * 20)


@pytest.mark.parametrize("covariance", ["ledoit_wolf", "empirical", "diagonal"])
@pytest.mark.parametrize("start", ["fit", "partial_fit", "pickle"])
def test_threads_meet_at_the_first_use_of_a_covariance(covariance, start):
    """It is decomposed, and its axes are formed, when they are first needed."""
    X = np.random.default_rng(0).normal(size=(200, 60))
    expected = MahalanobisDetector(covariance).fit(X).score_samples(X)
    for _ in range(5):
        if start == "partial_fit":
            detector = MahalanobisDetector(covariance).partial_fit(X)
        else:
            detector = MahalanobisDetector(covariance).fit(X)
        if start == "pickle":
            detector = pickle.loads(pickle.dumps(detector))
        results = at_once(lambda _, detector=detector: detector.score_samples(X))
        for scores in results:
            np.testing.assert_array_equal(scores, results[0])
            np.testing.assert_allclose(scores, expected, rtol=1e-10)


def score(pipe, images, n_calls):
    return [pipe.score_samples(images) for _ in range(n_calls)]


@pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(),
    reason="needs processes that start in no time",
)
@pytest.mark.slow
def test_processes_that_are_forked_from_a_server(fitted, images):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["skgaussad.features._backbone"])
    expected = fitted.score_samples(images)
    with context.Pool(2) as pool:
        for scores in pool.starmap(score, [(fitted, images, 3)] * 4):
            np.testing.assert_array_equal(scores, [expected] * 3)


@pytest.mark.slow
def test_processes_of_joblib(fitted, images):
    expected = fitted.score_samples(images)
    for scores in joblib.Parallel(n_jobs=2)(
        joblib.delayed(fitted.score_samples)(images) for _ in range(4)
    ):
        np.testing.assert_array_equal(scores, expected)
