"""Tests of fits on a cluster: those of one process, whatever happens to workers."""

import copy
import os
import pickle
import signal
import threading
import time

import dask
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline as join

from skgaussad import (
    CellwiseMahalanobisDetector,
    ConformalDetector,
    DeepFeatureTransformer,
    MahalanobisDetector,
    NegatedPCA,
    distributed,
    make_detector,
)
from skgaussad.distributed import _fit, _tasks
from skgaussad.distributed._partitions import choose_partition_size, cut
from skgaussad.exceptions import FalseAlarmRateWarning, InvalidImageError

pytestmark = pytest.mark.slow
FITTED = (
    "location_",
    "shrinkage_",
    "n_dof_",
    "n_features_in_",
    "n_samples_seen_",
    "offset_",
    "calibration_distances_",
    "calibration_distances_",
)


@pytest.fixture
def assembled(monkeypatch):
    """Of how many images features come to this process, call by call."""
    numbers = []

    def assemble(transformer, images, parts, assemble=_fit.assemble):
        numbers.append(len(images))
        return assemble(transformer, images, parts)

    monkeypatch.setattr(_fit, "assemble", assemble)
    return numbers


def assert_equal_fits(found, expected, X, tolerance=1e-10):
    for name in FITTED:
        np.testing.assert_allclose(
            getattr(found[-1], name),
            getattr(expected[-1], name),
            rtol=tolerance,
            err_msg=name,
        )
    np.testing.assert_allclose(
        found.score_samples(X), expected.score_samples(X), rtol=tolerance
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"threshold": "tail", "covariance": "oas"},
        {"threshold": "quantile", "confidence": 0.9, "covariance": "shrunk"},
        {"covariance": "diagonal"},
        {"covariance": "isotropic"},
    ],
    ids=str,
)
def test_fit_is_that_of_one_process(
    client, make, paths, settings, assembled, assert_forgotten
):
    config = copy.deepcopy(dask.config.config)
    pipeline = make(MahalanobisDetector(**settings))
    expected = make(MahalanobisDetector(**settings)).fit(paths)
    found = distributed.fit(pipeline, paths, partition_size=2 * 4)
    assert found is pipeline
    assert_equal_fits(found, expected, paths[:30])
    # A row of zeros, for the names: the features have stayed where they are.
    assert assembled == [1]
    assert dask.config.config == config
    assert_forgotten()


@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
@pytest.mark.parametrize("covariance", ["ledoit_wolf", "diagonal"])
def test_copies_in_other_partitions_are_left_out_too(
    client, make, paths, covariance, assembled
):
    paths = [*paths, *paths[:30], *paths[:4]]
    expected = make(MahalanobisDetector(covariance)).fit(paths)
    found = make(MahalanobisDetector(covariance))
    distributed.fit(found, paths, partition_size=2 * 4)
    assert assembled == [1]
    assert_equal_fits(found, expected, paths[:30])
    assert found[-1].fpr_bound() == expected[-1].fpr_bound()


def make_cellwise(make, output="pandas", levels=2, pooling=2, **settings):
    pipeline = make(
        CellwiseMahalanobisDetector(**settings), levels=levels, pooling=pooling
    )
    pipeline[0].set_output(transform=output)
    return pipeline


@pytest.mark.parametrize(
    ("output", "settings"),
    [
        ("default", {"cells": 4, "covariance": "shrunk"}),
        ("pandas", {}),
        ("polars", {"threshold": "tail", "covariance": "oas", "top_fraction": 0.5}),
    ],
    ids=str,
)
def test_residuals_are_those_of_one_process(
    client, make, paths, output, settings, assembled
):
    """Of 160 images with 128 features, of which the moments come to this process."""
    expected = make_cellwise(make, output, **settings).fit(paths)
    found = make_cellwise(make, output, **settings)
    distributed.fit(found, paths, partition_size=2 * 4)
    assert assembled == [1]
    for name in ("location_", "shrinkage_", "n_features_in_", "n_samples_seen_"):
        np.testing.assert_allclose(
            getattr(found[-1], name), getattr(expected[-1], name), rtol=1e-10
        )
    for name in ("calibration_residuals_", "calibration_distances_", "offset_"):
        np.testing.assert_allclose(
            getattr(found[-1], name), getattr(expected[-1], name), rtol=1e-9
        )
    assert found[-1].cells_ == expected[-1].cells_
    np.testing.assert_allclose(
        found.score_samples(paths[:30]), expected.score_samples(paths[:30]), rtol=1e-9
    )


@pytest.mark.parametrize(
    "settings",
    [{"levels": 4}, {"levels": [1, 2], "pooling": 1}],
    ids=["fewer images than features", "several levels"],
)
def test_residuals_of_features_that_are_gathered(
    client, make, paths, settings, assembled
):
    expected = make_cellwise(make, **settings).fit(paths)
    found = distributed.fit(make_cellwise(make, **settings), paths)
    assert assembled == [len(paths)]
    np.testing.assert_array_equal(
        found[-1].calibration_residuals_, expected[-1].calibration_residuals_
    )
    np.testing.assert_array_equal(
        found.decision_function(paths), expected.decision_function(paths)
    )


def test_law_that_the_samples_contradict_is_doubted_here_too(client, make, paths):
    # The features are correlated.
    settings = {"threshold": "chi2", "covariance": "diagonal"}
    with pytest.warns(FalseAlarmRateWarning) as expected_warnings:
        expected = make(MahalanobisDetector(**settings)).fit(paths)
    with pytest.warns(FalseAlarmRateWarning) as found_warnings:
        found = distributed.fit(make(MahalanobisDetector(**settings)), paths)
    assert_equal_fits(found, expected, paths[:30])
    assert str(found_warnings[0].message) == str(expected_warnings[0].message)


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
def test_names_of_features_are_known(client, make, paths, output):
    found, expected = make(), make()
    for pipeline in (found, expected):
        pipeline[0].set_output(transform=output)
    distributed.fit(found, paths)
    expected.fit(paths)
    assert_equal_fits(found, expected, paths[:5])
    names = getattr(expected[-1], "feature_names_in_", None)
    np.testing.assert_array_equal(getattr(found[-1], "feature_names_in_", None), names)


def groups_of(paths):
    return {"detector__groups": np.arange(len(paths)) // 4}


@pytest.mark.filterwarnings("ignore:The features are uncorrelated")
@pytest.mark.parametrize(
    ("make_whole", "params"),
    [
        (lambda make: make(levels=4), None),
        (lambda make: make(join(NegatedPCA(), MahalanobisDetector())), None),
        (
            lambda make: make(ConformalDetector(join(PCA(9), MahalanobisDetector()))),
            None,
        ),
        (lambda make: make(IsolationForest(n_estimators=5, random_state=0)), None),
        (
            lambda make: make(MahalanobisDetector()),
            groups_of,
        ),
        (
            lambda make: make_detector(
                method="paper", **make(levels=[2, 4])[0].get_params()
            ),
            None,
        ),
    ],
    ids=[
        "fewer images than features",
        "npca",
        "conformal",
        "trees",
        "groups",
        "levels",
    ],
)
def test_any_other_fit_is_equal_bit_for_bit(
    client, make, paths, make_whole, params, assembled
):
    params = {} if params is None else params(paths)
    expected = make_whole(make).fit(paths, **params)
    found = distributed.fit(make_whole(make), paths, **params)
    assert assembled == [len(paths)]
    np.testing.assert_array_equal(
        found.decision_function(paths), expected.decision_function(paths)
    )


def test_features_larger_than_memory_are_gathered_in_a_file(
    client, make, paths, tmp_path
):
    found = make(levels=4, memmap_folder=tmp_path / "features")
    distributed.fit(found, paths, partition_size=16)
    (file,) = (tmp_path / "features").iterdir()
    expected = make(levels=4)[0].fit_transform(paths)
    np.testing.assert_array_equal(np.load(file), expected)


@pytest.mark.filterwarnings("ignore:The features are uncorrelated")
def test_fit_with_a_memory_keeps_what_that_has_cloned(client, make, paths, tmp_path):
    pipeline = make(join(NegatedPCA(), MahalanobisDetector()))
    pipeline = join(
        *(step for _, step in pipeline.steps[:1]), NegatedPCA(), MahalanobisDetector()
    )
    pipeline.set_params(memory=str(tmp_path))
    expected = make(join(NegatedPCA(), MahalanobisDetector())).fit(paths)
    found = distributed.fit(pipeline, paths).score_samples(paths)
    np.testing.assert_array_equal(found, expected.score_samples(paths))


def test_images_in_memory_are_sent_in_pieces(
    client, make, pictures, local, monkeypatch
):
    monkeypatch.setattr(_tasks, "_PIECE", 10_000)
    images = list(pictures[:80]) + [np.dstack([p] * 3) for p in pictures[80:]]
    for X in (pictures, images):
        found = distributed.fit(make(), X)
        assert_equal_fits(found, local, pictures[:30])


def test_model_is_loaded_once_by_each_worker(client, make, paths, on_workers):
    log = on_workers(delay=0.05)
    distributed.fit(make(), paths, partition_size=8)
    lines = log.read_text().splitlines()
    assert lines.count("network") == 2
    assert sorted(line for line in lines if line != "network") == sorted(
        f"start {start}" for start in range(0, 160, 8)
    )


def test_fit_outlives_a_worker(cluster, client, make, paths, local, on_workers):
    """Killed while it computes a partition, with others in its memory."""
    cluster.scale(3)
    client.wait_for_workers(3)
    try:
        log = on_workers(delay=0.3)
        pids = client.run(os.getpid)
        fitted = []
        fit = threading.Thread(
            target=lambda: fitted.append(
                distributed.fit(make(), paths, client=client, partition_size=8)
            )
        )
        fit.start()
        victim = None
        while victim is None:
            assert fit.is_alive()
            time.sleep(0.02)
            has, does = client.has_what(), client.processing()
            for address in pids:
                if is_extracting(has[address]) and is_extracting(does[address]):
                    victim = address
        os.kill(pids[victim], signal.SIGKILL)
        assert log.read_text().count("start") < 15
        fit.join(timeout=60)
        assert not fit.is_alive()
        assert pids[victim] not in client.run(os.getpid).values()
    finally:
        cluster.scale(2)
    assert_equal_fits(fitted[0], local, paths[:30])


def is_extracting(keys):
    return any("skgaussad-extract" in key for key in keys)


def test_bad_image_is_named_and_not_tried_again(
    client, make, paths, on_workers, tmp_path, assert_forgotten
):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    log = on_workers()
    with pytest.raises(InvalidImageError, match="bad.png") as error:
        distributed.fit(make(), [*paths[:101], str(bad)], partition_size=8)
    assert error.value.index == 101
    assert log.read_text().splitlines().count("start 96") == 1
    # Though the traceback at hand knows of them.
    assert_forgotten()


def test_other_failures_are_tried_again_twice(client, make, paths, local, on_workers):
    log = on_workers(n_failures=2)
    found = distributed.fit(make(), paths, partition_size=80)
    assert_equal_fits(found, local, paths[:30])
    assert log.read_text().splitlines().count("start 80") == 3
    on_workers(n_failures=3)
    with pytest.raises(OSError, match="the network drive is away"):
        distributed.fit(make(), paths, partition_size=80)


def test_progress_is_shown_when_asked_for(client, make, paths, capsys):
    distributed.fit(make(), paths)
    assert "features" not in capsys.readouterr().err
    distributed.fit(make(), paths, verbose=True)
    assert "160/160" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pipeline", "came"),
    [
        (MahalanobisDetector(), "MahalanobisDetector"),
        (join(PCA(), MahalanobisDetector()), "one that begins with PCA"),
        (join(DeepFeatureTransformer()), "one without a detector"),
    ],
    ids=["no pipeline", "no images", "no detector"],
)
def test_what_is_no_pipeline_of_images_is_refused(client, paths, pipeline, came):
    with pytest.raises(TypeError, match=f"got {came}"):
        distributed.fit(pipeline, paths)


def test_parameters_are_judged_before_the_images(client, make, paths, on_workers):
    log = on_workers()
    with pytest.raises(ValueError, match="fpr must be"):
        distributed.fit(make(MahalanobisDetector(fpr=2)), paths)
    with pytest.raises(ValueError, match="batch size, which is 4; got 6. Take 8,"):
        distributed.fit(make(), paths, partition_size=6)
    with pytest.raises(ValueError, match="partition_size must be at least 1"):
        distributed.fit(make(), paths, partition_size=0)
    assert log.read_text() == ""


def test_client_is_needed(make, paths):
    with pytest.raises(ValueError, match="needs a Dask client, and none is open"):
        distributed.fit(make(), paths)


def test_partitions_cut_no_batch(tiny):
    for n_images in (1, 4, 37, 100):
        for n_wanted in (0, 1, 8, 9, 1000):
            size = choose_partition_size(None, n_wanted, tiny)
            assert size % 4 == 0
            assert n_wanted <= size < max(n_wanted, 1) + 4
            partitions = cut(n_images, size)
            assert [i for part in partitions for i in part] == list(range(n_images))
            assert {len(part) for part in partitions[:-1]} <= {size}


def test_fitted_pipeline_needs_no_cluster(client, make, paths):
    pipeline = distributed.fit(make(), paths)
    restored = pickle.loads(pickle.dumps(pipeline))
    client.close()
    np.testing.assert_array_equal(
        restored.score_samples(paths[:9]), pipeline.score_samples(paths[:9])
    )
