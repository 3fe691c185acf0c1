"""Scores in Parquet files: equal to those of one process, and resumed."""

import os
import pickle
import time

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import LocalOutlierFactor

from skgaussad import (
    CellwiseMahalanobisDetector,
    MahalanobisDetector,
    make_detector,
)
from skgaussad.detectors import p_values
from skgaussad.distributed import _score_to_parquet as _scoring
from skgaussad.distributed import score_to_parquet
from skgaussad.distributed._fingerprint import hash_model
from skgaussad.distributed._score_to_parquet import score_part
from skgaussad.exceptions import InvalidImageError

pytestmark = pytest.mark.slow
COLUMNS = ["path", "distance", "threshold_ratio", "p_value", "label", "error"]
TYPES = ["string", "double", "double", "double", "int8", "string"]


def parts_of(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}


class InterruptingBar:
    """Progress that ends in an interrupt when two parts are there."""

    n_parts = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, n_images):
        self.n_parts += 1
        if self.n_parts == 2:
            raise KeyboardInterrupt


def assert_equal_scores(found, expected):
    """Equal to rounding, which depends on how many rows a product of matrices has."""
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_scores_are_those_of_one_process(
    client, local, paths, tmp_path, assert_forgotten
):
    folder = score_to_parquet(
        local, paths, tmp_path / "a" / "scores", partition_size=48
    )
    assert folder == tmp_path / "a" / "scores"
    assert sorted(parts_of(folder)) == [f"part-{i:08d}.parquet" for i in range(4)]
    found = pd.read_parquet(folder)
    assert list(found.columns) == COLUMNS
    schema = parquet.read_schema(folder / "part-00000000.parquet")
    assert [str(schema.field(name).type) for name in COLUMNS] == TYPES
    assert list(found["path"]) == paths
    assert_equal_scores(found["distance"], -local.score_samples(paths))
    assert_equal_scores(
        found["threshold_ratio"], local.score_samples(paths) / local[-1].offset_
    )
    np.testing.assert_array_equal(found["label"], local.predict(paths))
    np.testing.assert_array_equal(found["p_value"], p_values(local, paths))
    assert found["error"].isna().all()
    assert_forgotten()


@pytest.mark.parametrize(
    ("make_whole", "has_p_values"),
    [
        (
            lambda make: make(IsolationForest(n_estimators=5, random_state=0)),
            False,
        ),
        (lambda make: make(LocalOutlierFactor(novelty=True)), False),
        (
            lambda make: make_detector(
                method="paper", **make(levels=[1, 2])[0].get_params()
            ),
            True,
        ),
        (
            lambda make: make(CellwiseMahalanobisDetector(cells=4), pooling=2),
            True,
        ),
        (
            lambda make: GridSearchCV(
                make(MahalanobisDetector(fpr=0.1)),
                {},
                scoring=lambda estimator, X, y=None: 0.0,
                cv=2,
            ),
            True,
        ),
    ],
    ids=["trees", "neighbours", "levels", "cells", "search"],
)
def test_any_detector_will_do(client, make, paths, tmp_path, make_whole, has_p_values):
    pipeline = make_whole(make).fit(paths)
    found = pd.read_parquet(score_to_parquet(pipeline, paths, tmp_path))
    assert list(found.columns) == COLUMNS
    assert found["p_value"].notna().all() == has_p_values
    assert_equal_scores(found["distance"], -pipeline.score_samples(paths))
    np.testing.assert_array_equal(found["label"], pipeline.predict(paths))


def test_detector_without_calibration_has_no_p_values(client, make, paths, tmp_path):
    pipeline = make(MahalanobisDetector(threshold="chi2", covariance="shrunk"))
    features = pipeline[0].fit_transform(paths)
    pipeline[-1].partial_fit(features)
    found = pd.read_parquet(score_to_parquet(pipeline, paths, tmp_path))
    assert found["p_value"].isna().all()
    assert found["distance"].notna().all()


def test_interrupted_scoring_goes_on_where_it_was(
    client, make, paths, tmp_path, on_workers, monkeypatch, assert_forgotten
):
    pipeline = make().fit(paths)
    whole = score_to_parquet(pipeline, paths, tmp_path / "whole", partition_size=8)
    log = on_workers(delay=0.05)
    folder = tmp_path / "scores"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as error:
        patch.setattr(_scoring, "progress_bar", lambda *_, **__: InterruptingBar())
        score_to_parquet(pipeline, paths, folder, partition_size=8)
    # The workers end what they are at, and begin nothing more, though the traceback at
    # hand knows of it.
    assert_forgotten()
    wait_until_idle(client)
    del error
    before = parts_of(folder)
    assert 2 <= len(before) <= 8
    assert log.read_text().count("start") == len(before)
    # In the next session the pipeline comes from a file, and has been used.
    pipeline.score_samples(paths[:3])
    pipeline = pickle.loads(pickle.dumps(pipeline))
    pipeline.set_params(features__verbose=True, features__num_workers=0)
    score_to_parquet(pipeline, paths, folder, partition_size=8)
    after = parts_of(folder)
    assert len(after) == 20
    assert {name: after[name] for name in before} == before
    assert log.read_text().count("start") == 20
    pd.testing.assert_frame_equal(pd.read_parquet(folder), pd.read_parquet(whole))
    # Nothing is left to do.
    score_to_parquet(pipeline, paths, folder, partition_size=8)
    assert parts_of(folder) == after
    assert log.read_text().count("start") == 20


def wait_until_idle(client):
    deadline = time.monotonic() + 10
    while any(client.processing().values()) or any(
        client.run(lambda dask_worker: dask_worker.state.executing_count).values()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"fpr": 0.1}, "fitted pipeline"),
        ({"n_training": 150}, "fitted pipeline"),
        ({"levels": 1}, "fitted pipeline"),
        ({"n_paths": 16}, "list of images and number of images"),
        ({"order": -1}, "list of images"),
        ({"partition_size": 4}, "partition_size"),
        ({"on_error": "record"}, "on_error"),
    ],
    ids=str,
)
def test_folder_of_another_call_is_refused(
    client, make, paths, tmp_path, change, differs
):
    def score(
        n_training=160,
        fpr=0.05,
        levels=2,
        n_paths=8,
        order=1,
        partition_size=8,
        **settings,
    ):
        pipeline = make(MahalanobisDetector(fpr=fpr), levels=levels)
        pipeline.fit(paths[:n_training])
        score_to_parquet(
            pipeline,
            paths[:n_paths][::order],
            tmp_path,
            partition_size=partition_size,
            **settings,
        )

    score()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=f"it differs in {differs}. Take another"):
        score(**change)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    score()


def test_folder_of_something_else_is_refused(client, local, paths, tmp_path):
    stray = tmp_path / "scores.parquet"
    stray.write_bytes(b"mine")
    with pytest.raises(
        ValueError, match=r"holds scores.parquet, but no _manifest.json"
    ):
        score_to_parquet(local, paths, tmp_path)
    stray.unlink()
    manifest = tmp_path / "_manifest.json"
    for content in ("[", "[]", '{"version": 1}', "[" * 10**5, " " * 10**6):
        manifest.write_text(content)
        with pytest.raises(ValueError, match=r"_manifest.json' is not a manifest"):
            score_to_parquet(local, paths, tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="needs links and pipes")
def test_manifest_that_has_no_end_is_refused(client, local, paths, tmp_path):
    manifest = tmp_path / "_manifest.json"
    makers = (
        lambda: manifest.symlink_to("/dev/zero"),
        lambda: manifest.symlink_to(tmp_path / "missing"),
        lambda: os.mkfifo(manifest),
        lambda: manifest.mkdir(),
    )
    for make in makers:
        make()
        with pytest.raises(ValueError, match=r"_manifest.json' is not a manifest"):
            score_to_parquet(local, paths, tmp_path)
        (os.rmdir if manifest.is_dir() else os.unlink)(manifest)


def test_bad_image_ends_the_scoring(
    client, local, paths, tmp_path, on_workers, assert_forgotten
):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    log = on_workers()
    with pytest.raises(InvalidImageError, match=r"X\[13\] \('.*bad.png'\)") as error:
        score_to_parquet(
            local, [*paths[:13], str(bad)], tmp_path / "scores", partition_size=8
        )
    assert error.value.index == 13
    assert log.read_text().splitlines().count("start 8") == 1
    assert_forgotten()
    assert "part-00000001.parquet" not in parts_of(tmp_path / "scores")


def test_bad_images_are_recorded(client, local, paths, tmp_path):
    bad, missing = tmp_path / "bad.png", tmp_path / "missing.png"
    bad.write_bytes(b"no image")
    listed = [*paths[:9], str(bad), *paths[9:14], str(missing), *paths[14:30]]
    folder = score_to_parquet(
        local, listed, tmp_path / "scores", partition_size=8, on_error="record"
    )
    found = pd.read_parquet(folder)
    assert list(found.columns) == COLUMNS
    assert list(found["path"]) == listed
    good = found["error"].isna()
    assert list(np.flatnonzero(~good)) == [9, 15]
    for index in (9, 15):
        with pytest.raises(InvalidImageError) as error:
            local.score_samples([listed[index]])
        assert found["error"][index] == error.value.problem
    assert found.loc[~good, COLUMNS[1:5]].isna().all(axis=None)
    np.testing.assert_allclose(
        found.loc[good, "distance"], -local.score_samples(paths[:30]), rtol=1e-4
    )
    # In a batch without bad images, nothing is another.
    assert_equal_scores(found["distance"][20:], -local.score_samples(listed[20:]))


def test_few_partitions_are_under_way_at_a_time(
    client, local, paths, tmp_path, monkeypatch, on_workers
):
    on_workers(delay=0.02)
    numbers = []

    class Tasks(_scoring.Tasks):
        def submit(self, name, *args, **settings):
            future = super().submit(name, *args, **settings)
            if name == "skgaussad-score":
                numbers.append(sum(key.startswith(name) for key in self._futures))
            return future

    monkeypatch.setattr(_scoring, "Tasks", Tasks)
    score_to_parquet(local, paths, tmp_path, partition_size=4)
    assert len(numbers) == 40
    assert max(numbers) == 4


def test_progress_counts_what_was_there(client, local, paths, tmp_path, capsys):
    folder = score_to_parquet(local, paths, tmp_path, partition_size=80)
    assert capsys.readouterr().err == ""
    (folder / "part-00000001.parquet").unlink()
    left = f".part-00000001.parquet.skgaussad_{'0' * 32}.tmp"
    (folder / left).write_bytes(b"killed")
    score_to_parquet(local, paths, tmp_path, partition_size=80, verbose=True)
    shown = capsys.readouterr().err
    assert "80/160" in shown
    assert "160/160" in shown
    assert not list(folder.glob(".*"))


def test_only_paths_are_scored(client, local, pictures, tmp_path):
    with pytest.raises(TypeError, match=r"X\[0\] must be a path"):
        score_to_parquet(local, pictures, tmp_path)
    assert not list(tmp_path.iterdir())


def test_pipeline_must_be_fitted(client, make, paths, tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        score_to_parquet(make(), paths, tmp_path)


def test_part_is_written_in_full_or_not_at_all(local, paths, tmp_path, monkeypatch):
    part = tmp_path / "part.parquet"
    part.write_bytes(b"first")

    def fail(descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    model = "of this test", [pickle.dumps(local)]
    with pytest.raises(OSError, match="No space left"):
        score_part(model, [pickle.dumps(paths[:4])], 0, str(part), False)
    assert part.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [part]


def test_hash_of_a_model_does_not_change_with_its_use(make, paths):
    pipeline = make().fit(paths)
    digest = hash_model(pipeline)
    pipeline.predict(paths[:5])
    p_values(pipeline, paths[:5])
    assert hash_model(pipeline) == digest
    assert hash_model(pickle.loads(pickle.dumps(pipeline))) == digest
    assert hash_model(make(num_workers=0, verbose=1).fit(paths)) == digest
    assert hash_model(make(pooling="max").fit(paths)) != digest
    assert hash_model(make(random_state=1).fit(paths)) != digest
    assert hash_model(make(MahalanobisDetector(fpr=0.06)).fit(paths)) != digest
    assert hash_model(make().fit(paths[1:])) != digest
