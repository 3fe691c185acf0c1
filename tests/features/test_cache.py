"""Tests of features that are kept: once through the network, and never a wrong one."""

import multiprocessing
import os
import pickle
import random
import shutil
import signal
import sqlite3
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector, NegatedPCA
from skgaussad.exceptions import FeatureCacheWarning, InvalidImageError
from skgaussad.features import FeatureCache
from skgaussad.features import _cached_extraction as cached_extraction
from skgaussad.features import _preprocessing as preprocessing
from skgaussad.features._extraction import Extractor

SETTINGS = {"weights": None, "image_size": 32, "device": "cpu", "batch_size": 4}


def make_transformer(**settings):
    return DeepFeatureTransformer("test_resnet", **{**SETTINGS, **settings})


def assert_close(found, expected, tolerance=1e-5):
    """Equal but for rounding errors, which differ between batches."""
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=tolerance * np.abs(expected).max()
    )


def write_images(folder, n_images, seed=0):
    """Images that were written some time ago, as far as their time stamps tell."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = []
    for i in range(n_images):
        path = folder / f"{i:04d}.png"
        Image.fromarray(rng.integers(0, 256, (20, 24), dtype=np.uint8)).save(path)
        os.utime(path, (1e9 + i, 1e9 + i))
        paths.append(str(path))
    return paths


@pytest.fixture
def paths(tmp_path):
    return write_images(tmp_path / "images", 30)


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache")


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """Remember nothing of other tests."""
    monkeypatch.setattr(cached_extraction, "_memory", {})


@pytest.fixture
def computed(monkeypatch):
    """How many images have gone through the network."""
    counts = []
    compute = Extractor._features

    def counting(self, batch):
        counts.append(len(batch))
        return compute(self, batch)

    monkeypatch.setattr(Extractor, "_features", counting)
    return lambda: sum(counts)


# Once through the network


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("pooling", ["average", ["max", 2]])
def test_features_are_those_without_a_cache(paths, cache, pooling, num_workers):
    settings = {"levels": [2, 4], "pooling": pooling, "num_workers": num_workers}
    expected = make_transformer(**settings).fit_transform(paths)
    transformer = make_transformer(**settings, cache=cache).fit(paths)
    names = make_transformer(**settings).fit(paths).get_feature_names_out()
    assert list(transformer.get_feature_names_out()) == list(names)
    for _ in range(2):
        found = transformer.transform(paths)
        assert found.dtype == np.float32
        assert_close(found, expected)


def test_an_image_is_computed_once_for_all_levels(paths, cache, computed):
    for levels in ([3], [1, 2], "all", [4, 5], "auto"):
        expected = make_transformer(levels=levels).fit_transform(paths)
        before = computed()
        found = make_transformer(levels=levels, cache=cache).fit_transform(paths)
        assert_close(found, expected)
        assert computed() - before == (30 if levels == [3] else 0)


def test_levels_of_one_width_are_told_apart(paths, cache):
    """The blocks of a transformer have as many channels each."""
    settings = {**SETTINGS, "image_size": 64}
    for levels in ([1, 3], [2], [5, 6]):
        vit = DeepFeatureTransformer("test_vit", levels=levels, **settings)
        expected = vit.fit_transform(paths)
        found = vit.set_params(cache=cache).fit_transform(paths)
        assert_close(found, expected)


def test_order_subsets_and_copies(paths, cache, computed, tmp_path):
    expected = make_transformer().fit_transform(paths)
    transformer = make_transformer(cache=str(cache.folder)).fit(paths)
    copy = tmp_path / "copy of an image.png"
    shutil.copy(paths[3], copy)
    assert_close(
        transformer.transform([paths[3], copy, paths[5], paths[3]]),
        expected[[3, 3, 5, 3]],
    )
    order = np.random.default_rng(0).permutation(30)
    before = computed()
    found = transformer.transform(np.array(paths)[order])
    assert_close(found, expected[order])
    assert computed() - before == 28


def test_arrays_and_pil_images_are_known_by_their_pixels(paths, cache, computed):
    arrays = [np.asarray(Image.open(path)) for path in paths]
    transformer = make_transformer(cache=cache).fit(arrays)
    expected = make_transformer().fit_transform(arrays)
    before = computed()
    assert_close(transformer.transform(arrays), expected)
    assert_close(transformer.transform(np.stack(arrays)), expected)
    assert_close(transformer.transform([Image.open(p) for p in paths]), expected)
    assert computed() - before == 30
    arrays[4] = arrays[4] ^ 1
    assert not np.allclose(transformer.transform(arrays)[4], expected[4], rtol=1e-4)
    assert computed() - before == 31


@pytest.mark.parametrize(
    "setting",
    [
        {"image_size": 48},
        {"interpolation": "nearest"},
        {"crop_pct": 0.5},
        {"ignore": (0, 0, 0.3, 0.7)},
        {"mean": 0.1},
        {"std": 0.1},
        {"precision": "bfloat16"},
        {"random_state": 1},
        {"pooling": "max"},
        {"pooling": 2},
    ],
    ids=str,
)
def test_features_of_other_settings_are_others(paths, cache, computed, setting):
    make_transformer(cache=cache).fit_transform(paths)
    expected = make_transformer(**setting).fit_transform(paths)
    before = computed()
    found = make_transformer(**setting, cache=cache).fit_transform(paths)
    assert computed() - before == 30
    assert_close(found, expected, 1e-2 if "precision" in setting else 1e-5)


def test_poolings_that_do_not_apply_to_some_levels(paths, cache):
    """A grid of 3 x 3 is finer than the deepest maps."""
    expected = make_transformer(levels=2, pooling=3).fit_transform(paths)
    transformer = make_transformer(levels=2, pooling=3, cache=cache)
    assert_close(transformer.fit_transform(paths), expected)
    with pytest.raises(ValueError, match="grid of 3 x 3"):
        make_transformer(levels="all", pooling=3, cache=cache).fit(paths)


def test_cache_given_or_taken_away_after_the_fit(paths, cache, computed):
    expected = make_transformer().fit_transform(paths)
    transformer = make_transformer().fit(paths).set_params(cache=cache)
    assert_close(transformer.transform(paths), expected)
    # Only the level that the network was cut to.
    assert cache.info()["n_vectors"] == 30
    before = computed()
    assert_close(transformer.transform(paths), expected)
    assert computed() == before

    whole = make_transformer(cache=cache).fit(paths).set_params(cache=None)
    assert_close(whole.transform(paths), expected)
    assert computed() - before == 30


def make_search(cache, n_jobs=None):
    """24 candidates."""
    pipeline = Pipeline(
        [
            ("features", make_transformer(cache=cache)),
            ("npca", NegatedPCA()),
            ("detector", MahalanobisDetector()),
        ]
    )
    grid = {
        "features__levels": [2, 3, 4],
        "npca": [NegatedPCA(0.1), "passthrough"],
        "detector__covariance": ["ledoit_wolf", "oas"],
        "detector__fpr": [0.05, 0.1],
    }
    return GridSearchCV(
        pipeline,
        grid,
        cv=KFold(5),
        scoring=lambda estimator, X, y=None: (estimator.predict(X) == 1).mean(),
        n_jobs=n_jobs,
        refit=False,
    )


@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
@pytest.mark.slow
def test_grid_search_extracts_each_image_once(paths, cache, computed):
    search = make_search(cache).fit(paths)
    assert len(search.cv_results_["params"]) == 24
    assert computed() == 30
    again = make_search(cache).fit(paths)
    assert computed() == 30
    plain = make_search(None).fit(paths)
    for key in ("mean_test_score", "std_test_score"):
        np.testing.assert_array_equal(again.cv_results_[key], search.cv_results_[key])
        np.testing.assert_allclose(search.cv_results_[key], plain.cv_results_[key])


def test_network_is_not_read_while_all_is_cached(paths, cache, monkeypatch):
    expected = make_transformer(cache=cache).fit_transform(paths)

    def fail(*args, **kwargs):
        raise AssertionError("the network was read")

    monkeypatch.setattr("skgaussad.features._backbone.read_network", fail)
    transformer = make_transformer(cache=cache).fit(paths)
    np.testing.assert_array_equal(transformer.transform(paths), expected)
    with pytest.raises(AssertionError, match="the network was read"):
        pickle.dumps(transformer)


def test_pickle_of_a_fit_that_read_no_network_carries_the_weights(paths, cache):
    make_transformer(cache=cache).fit_transform(paths)
    pickled = pickle.dumps(make_transformer(cache=cache).fit(paths))
    twin = pickle.loads(pickled).set_params(cache=None)
    assert_close(twin.transform(paths), make_transformer().fit_transform(paths))


def test_memory_is_bounded(paths, cache, computed, monkeypatch):
    transformer = make_transformer(levels=[1, 2], cache=cache).fit(paths)
    expected = transformer.transform(paths)
    n_bytes = 4 * expected.shape[1] * 30
    for limit, is_remembered in [(n_bytes, True), (n_bytes // 3, False)]:
        cached_extraction._memory.clear()
        monkeypatch.setattr(cached_extraction, "_MAX_MEMORY", limit)
        np.testing.assert_array_equal(transformer.transform(paths), expected)
        in_memory = cached_extraction._bytes_in_memory()
        assert (in_memory == n_bytes) == is_remembered
    assert computed() == 30


# Errors


@pytest.mark.parametrize("content", [None, b"no image"])
def test_bad_image_is_named_and_the_others_are_kept(paths, cache, computed, content):
    transformer = make_transformer(cache=cache).fit(paths)
    transformer.transform(paths[:10])
    path = Path(paths[12])
    good = path.read_bytes()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(InvalidImageError) as caught:
        transformer.transform(paths)
    assert caught.value.index == 12
    assert repr(paths[12]) in str(caught.value)
    path.write_bytes(good)
    expected = make_transformer().fit_transform(paths)
    assert_close(transformer.transform(paths), expected)


@pytest.mark.parametrize("cache", [1, object(), [], True], ids=lambda c: str(type(c)))
def test_what_is_no_cache(paths, cache):
    with pytest.raises(ValueError, match="cache must be the path of a folder"):
        make_transformer(cache=cache).fit(paths)


@pytest.mark.parametrize("max_bytes", [0, 1.5, "1 GB"])
def test_limit_that_is_refused(tmp_path, max_bytes):
    with pytest.raises(ValueError, match="max_bytes must be"):
        FeatureCache(tmp_path, max_bytes=max_bytes)


def test_cache_is_cloned_pickled_and_shown(cache, paths):
    transformer = make_transformer(cache=cache).fit(paths)
    transformer.transform(paths)
    for twin in (clone(transformer).cache, pickle.loads(pickle.dumps(cache))):
        assert twin is not cache
        assert twin.info() == cache.info()
    assert eval(repr(cache)).info() == cache.info()
    assert cache.info()["n_images"] == 30
    cache.clear()
    assert cache.info()["n_vectors"] == cache.info()["n_images"] == 0


def test_limit_is_kept(paths, tmp_path):
    cache = FeatureCache(tmp_path / "small", max_bytes=60_000)
    expected = make_transformer().fit_transform(paths)
    for _ in range(3):
        found = make_transformer(cache=cache).fit_transform(paths)
        assert_close(found, expected)
        assert cache.info()["n_bytes"] <= 60_000


# Never a wrong feature


def spoil(cache, statement):
    with sqlite3.connect(cache.folder / "features-1.sqlite") as connection:
        connection.execute(statement)
    cached_extraction._memory.clear()


def test_damaged_feature_is_computed_anew(paths, cache, computed):
    transformer = make_transformer(cache=cache).fit(paths)
    expected = transformer.transform(paths)
    spoil(cache, "UPDATE feature SET vector = zeroblob(length(vector))")
    with pytest.warns(FeatureCacheWarning, match="30 vectors .* are damaged"):
        assert_close(transformer.transform(paths), expected)
    assert computed() == 60
    assert_close(transformer.transform(paths), expected)
    assert computed() == 60


def test_cache_that_cannot_be_used_is_reported(paths, cache):
    cache.folder.mkdir()
    (cache.folder / "features-1.sqlite").mkdir()
    with pytest.warns(FeatureCacheWarning, match="cannot be used"):
        found = make_transformer(cache=cache).fit_transform(paths)
    assert_close(found, make_transformer().fit_transform(paths))


def change(path, seed=99):
    """Another image of the same size in bytes, with the same time stamp."""
    status = os.stat(path)
    rng = np.random.default_rng(seed)
    size = os.path.getsize(path)
    Image.fromarray(rng.integers(0, 256, (20, 24), dtype=np.uint8)).save(path)
    assert os.path.getsize(path) == size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_file_that_changes_between_calls(paths, cache):
    transformer = make_transformer(cache=cache).fit(paths)
    transformer.transform(paths)
    change(paths[7])
    assert_close(transformer.transform(paths), make_transformer().fit_transform(paths))


def test_file_that_changes_while_it_is_used(paths, cache, monkeypatch):
    """It is identified as one image, and then decoded as another."""
    shutil.copy(paths[7], paths[8])
    original = make_transformer().fit(paths).transform(paths)
    identify = preprocessing.identify_image

    def identify_and_change(images, row, max_value):
        digest = identify(images, row, max_value)
        if row == 29:
            change(paths[7])
        return digest

    monkeypatch.setattr(preprocessing, "identify_image", identify_and_change)
    transformer = make_transformer(cache=cache).fit(paths)
    found = transformer.transform(paths)
    monkeypatch.setattr(preprocessing, "identify_image", identify)
    expected = make_transformer().fit_transform(paths)
    assert not np.allclose(expected[7], original[7], rtol=1e-4)
    # What was decoded, and the copy of what it was before.
    assert_close(found, expected)
    assert_close(transformer.transform(paths), expected)
    assert_close(transformer.transform([paths[8]]), original[8:9])


def transform_in_process(paths, folder, connection):
    compute, counts = Extractor._features, []

    def counting(self, batch):
        counts.append(len(batch))
        return compute(self, batch)

    Extractor._features = counting
    transformer = make_transformer(cache=folder).fit(paths)
    connection.send("ready")
    features = transformer.transform(paths)
    connection.send((sum(counts), features))


@pytest.fixture(scope="module")
def processes():
    """Processes that begin with torch and timm imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["skgaussad.features._backbone", "skgaussad.features._cached_extraction"]
    )
    return context


forking = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(),
    reason="needs processes that start in no time",
)


def start(processes, paths, cache):
    """Start a process, and wait until it has read the network."""
    receiver, sender = processes.Pipe(duplex=False)
    worker = processes.Process(
        target=transform_in_process, args=(paths, cache.folder, sender)
    )
    worker.start()
    sender.close()
    assert receiver.recv() == "ready"
    return worker, receiver


@forking
@pytest.mark.slow
def test_processes_at_once_compute_each_image_once(tmp_path, cache, processes):
    paths = write_images(tmp_path / "images", 200)
    workers = [start(processes, paths, cache) for _ in range(2)]
    results = [receiver.recv() for _, receiver in workers]
    for worker, receiver in workers:
        worker.join()
        receiver.close()
    assert sum(count for count, _ in results) == 200
    expected = make_transformer().fit_transform(paths)
    for _, features in results:
        assert_close(features, expected)


@forking
@pytest.mark.slow
def test_kill_at_any_moment_leaves_no_wrong_feature(tmp_path, cache, processes, tell):
    """Fifty times, while the features of 400 images are kept."""
    paths = write_images(tmp_path / "images", 400)
    expected = make_transformer(levels="all").fit_transform(paths)
    rng = random.Random(0)
    n_kept, longest = [0], 0.1
    for _ in range(50):
        worker, receiver = start(processes, paths, cache)
        time.sleep(rng.uniform(0, longest))
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        receiver.close()
        n_kept.append(cache.info()["n_images"])
        # A busy machine keeps fewer in the same time.
        longest *= 1.2 if n_kept[-1] == n_kept[-2] else 0.9
        if n_kept[-1] == 400:
            cache.clear()
            n_kept[-1] = 0
    tell(
        f"feature cache: {len(n_kept) - 1} kills, after {len(set(n_kept))} different "
        "numbers of images"
    )
    assert len(set(n_kept)) > 10

    transformer = make_transformer(levels="all", cache=cache).fit(paths)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_close(transformer.transform(paths), expected)
