"""Threads and processes that score with one fitted pipeline."""

import copy
import functools
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import joblib
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from skgaussad import MahalanobisDetector, load, save
from skgaussad._utils.torch_guard import torch_run
from skgaussad.exceptions import InvalidImageError
from skgaussad.export import to_onnx
from skgaussad.inspection import ScoreDistributionDisplay
from skgaussad.reporting import write_report

pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)

N_THREADS = 8

needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="needs forks"
)


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


def do(kind, make_pipeline, shared, images, folder):
    """Do one of the things that a server does; return a pipeline to score with."""
    path = folder / f"{threading.get_ident()}"
    if kind == "fit":
        return make_pipeline().fit(images)
    if kind == "load":
        save(shared, path)
        return load(path)
    if kind == "pickle":
        return pickle.loads(pickle.dumps(shared))
    if kind == "copy":
        return copy.deepcopy(shared)
    if kind == "export":
        to_onnx(shared, path)
    if kind == "set":
        shared.set_params(features__batch_size=4, features__num_workers="auto")
    return shared


KINDS = ["fit", "load", "pickle", "copy", "set", "score"]


def test_threads_that_load_fit_and_score_at_once(
    make_pipeline, fitted, images, tmp_path
):
    expected = fitted.score_samples(images)
    shared = copy.deepcopy(fitted)

    def work(i):
        # Each begins with something else.
        order = random.Random(i).sample(KINDS, len(KINDS))
        for kind in [KINDS[i % len(KINDS)], *order, *order]:
            pipe = do(kind, make_pipeline, shared, images, tmp_path)
            np.testing.assert_array_equal(pipe.score_samples(images), expected)

    at_once(work)


def test_threads_that_score_while_one_exports(make_pipeline, fitted, images, tmp_path):
    expected = fitted.score_samples(images)
    is_done = threading.Event()

    def work(i):
        if i == 0:
            do("export", make_pipeline, fitted, images, tmp_path)
            is_done.set()
        while not is_done.is_set():
            kind = ["score", "fit", "pickle"][i % 3]
            pipe = do(kind, make_pipeline, fitted, images, tmp_path)
            np.testing.assert_array_equal(pipe.score_samples(images), expected)

    at_once(work)


def test_threads_that_share_a_cache(make_pipeline, images, tmp_path):
    """Also of images in memory, of which threads read the same vectors."""

    def work(i):
        pipe = make_pipeline(features__cache=tmp_path).fit(images)
        return [pipe.score_samples(images[i % 3 :]) for _ in range(5)]

    results = at_once(work)
    for i, scores in enumerate(results):
        np.testing.assert_array_equal(scores, [results[0][0][i % 3 :]] * 5)


def test_threads_that_draw(fitted, images, tmp_path):
    """The settings of matplotlib, and pyplot, are those of the process."""
    write_report(fitted, images, tmp_path / "expected")
    expected = (tmp_path / "expected").read_bytes()
    settings = dict(mpl.rcParams)
    figures = plt.get_fignums()

    def work(i):
        for _ in range(3):
            write_report(fitted, images, tmp_path / f"{i}")
            assert (tmp_path / f"{i}").read_bytes() == expected
            display = ScoreDistributionDisplay.from_estimator(fitted, images)
            display.figure_.savefig(tmp_path / f"{i}.png")

    at_once(work)
    assert dict(mpl.rcParams) == settings
    assert plt.get_fignums() == figures


FIRST_USES = {
    "attributes": """
uses = [partial(getattr, skgaussad, name) for name in skgaussad.__all__]
""",
    "networks": """
import numpy as np
from skgaussad.augmentation import ImageAugmentation

images = np.random.default_rng(0).integers(0, 256, (4, 40, 40, 3), dtype=np.uint8)
features = skgaussad.DeepFeatureTransformer("test_resnet", weights=None, image_size=64)
augmentation = ImageAugmentation()
uses = 4 * [
    partial(features.fit_transform, images),
    partial(augmentation.apply, images[0], np.random.default_rng(0)),
]
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", FIRST_USES)
def test_first_uses_in_threads(what):
    """In new processes, where threads meet in imports."""
    program = f"""
import threading
from functools import partial
import skgaussad
{FIRST_USES[what]}
barrier = threading.Barrier(len(uses))

def begin(use):
    barrier.wait()
    use()

threads = [threading.Thread(target=begin, args=(use,)) for use in uses]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def child_scores(pipe, images, expected):
    """Score, in a child that has as many threads as its parent had."""
    np.testing.assert_array_equal(pipe.score_samples(images), expected)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(pipe)).score_samples(images), expected
    )
    return os.getpid()


@pytest.fixture
def two_threads():
    """Torch starts threads for a convolution, which a forked child does not have."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def run_child(work, *args):
    """Fork a child, which must end by itself."""
    child = multiprocessing.get_context("fork").Process(target=work, args=args)
    with warnings.catch_warnings():
        # Python 3.12 warns of forks in processes with threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    child.join(60)
    is_hanging = child.is_alive()
    child.kill()
    child.join()
    assert not is_hanging
    assert child.exitcode == 0


@needs_fork
@pytest.mark.parametrize("cached", [False, True])
def test_children_that_are_forked_after_a_fit(
    make_pipeline, images, tmp_path, two_threads, cached
):
    cache = tmp_path if cached else None
    # Images so large that threads share a convolution.
    pipe = make_pipeline(features__image_size=128, features__cache=cache).fit(images)
    for some in (images, images[:1]):
        expected = pipe.score_samples(some)
        run_child(child_scores, pipe, some, expected)


@needs_fork
def test_child_fits(make_pipeline, images, two_threads):
    make_pipeline(features__image_size=128).fit(images).score_samples(images)
    run_child(make_pipeline().fit, images)


@needs_fork
@pytest.mark.parametrize("cached", [False, True])
def test_children_that_are_forked_while_networks_run(
    make_pipeline, images, tmp_path, cached
):
    """In threads that last: torch has no way to wait for those that are ending."""
    cache = tmp_path if cached else None
    pipe = make_pipeline(features__cache=cache).fit(images)
    expected = pipe.score_samples(images)
    is_done = threading.Event()

    def work():
        while not is_done.is_set():
            pipe[0].transform(images)

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(work) for _ in range(4)]
        try:
            for _ in range(12):
                run_child(child_scores, pipe, images, expected)
        finally:
            is_done.set()
        for future in futures:
            future.result()


@needs_fork
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("in_this_thread", [False, True])
def test_fork_does_not_wait_for_who_may_wait_for_it(alone, in_this_thread):
    """As compilers do, and signal handlers, which interrupt a thread anywhere."""
    with ThreadPoolExecutor(1) as pool, torch_run(alone=alone):
        if in_this_thread:
            run_child(use_torch)
        elif alone:
            pool.submit(run_child, use_torch).result()


def use_torch():
    with torch_run(alone=True):
        torch.zeros(3)
    # At its end Python would wait for the threads of the pool.
    os._exit(0)


@pytest.mark.slow
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_pools_of_processes(fitted, images, method):
    expected = fitted.score_samples(images)
    context = multiprocessing.get_context(method)
    work = functools.partial(child_scores, fitted, images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            assert os.getpid() not in pool.map(work, [expected] * 4, timeout=120)


def test_threads_of_a_web_server(fitted, images, tmp_path):
    """One model, loaded once; each request is scored in some thread of a pool."""
    save(fitted, tmp_path / "model")
    model = load(tmp_path / "model")
    (tmp_path / "model").write_bytes(b"another file")
    (tmp_path / "model").unlink()
    expected = [fitted.score_samples([image])[0] for image in images]

    def answer(i):
        time.sleep(random.Random(i).random() / 100)
        return model.score_samples([images[i % len(images)]])[0]

    with ThreadPoolExecutor(N_THREADS) as pool:
        scores = list(pool.map(answer, range(100)))
    assert scores == [expected[i % len(images)] for i in range(100)]
