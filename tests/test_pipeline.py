"""Images to labels: both estimators together, with scikit-learn's own tooling."""

import os
import subprocess
import sys

import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils import shuffle

from skgaussad import DeepFeatureTransformer, MahalanobisDetector
from skgaussad.datasets import load_solar_cells


def make_pipeline(**parameters):
    pipe = Pipeline(
        [
            ("features", DeepFeatureTransformer(image_size=96)),
            ("detector", MahalanobisDetector()),
        ]
    )
    return pipe.set_params(**parameters)


@pytest.fixture(scope="module")
def cells():
    """Forty functional cells, then twenty defective ones, by path."""
    data = load_solar_cells("mono")
    chosen = np.concatenate(
        [np.flatnonzero(data.labels == 1)[:40], np.flatnonzero(data.labels == -1)[:20]]
    )
    chosen[:40] = shuffle(chosen[:40], random_state=0)
    return data.paths[chosen], data.labels[chosen]


@pytest.fixture(scope="module")
def fitted(cells):
    paths, _ = cells
    return make_pipeline().fit(paths[:30])


@pytest.fixture(scope="module")
def normal_folds():
    """Two folds that train on normal images and test on the others and anomalies."""
    folds = [(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))]
    anomalous = np.arange(40, 60)
    return [(train, np.concatenate([test, anomalous])) for train, test in folds]


def test_real_anomalies_score_lower_than_real_normal_images(cells, fitted):
    paths, labels = cells
    scores = fitted.decision_function(paths[30:])
    assert roc_auc_score(labels[30:] == 1, scores) > 0.9
    np.testing.assert_array_equal(
        fitted.predict(paths[30:]), np.where(scores >= 0, 1, -1)
    )
    offset = fitted["detector"].offset_
    np.testing.assert_allclose(fitted.score_samples(paths[30:]) - offset, scores)


def test_the_pipeline_equals_its_steps(cells, fitted):
    paths, _ = cells
    features = clone(fitted["features"]).fit_transform(paths)
    detector = clone(fitted["detector"]).fit(features[:30])
    np.testing.assert_allclose(
        fitted.score_samples(paths), detector.score_samples(features), rtol=1e-3
    )


def test_named_output_reaches_the_detector(cells):
    paths, _ = cells
    pipe = make_pipeline().set_output(transform="pandas").fit(paths[:20])
    assert list(pipe["detector"].feature_names_in_[:2]) == [
        "level7_0000",
        "level7_0001",
    ]


@pytest.mark.slow
def test_grid_search_over_both_steps(cells, normal_folds):
    paths, labels = cells
    grid = {
        "features__levels": [2, 7],
        "features__pooling": ["average", ["max", 2]],
        "detector__covariance": ["isotropic", "ledoit_wolf"],
    }
    search = GridSearchCV(
        make_pipeline(), grid, scoring="roc_auc", cv=normal_folds, refit=False
    ).fit(paths, labels)
    results = {}
    for row, score in enumerate(search.cv_results_["mean_test_score"]):
        level, pooling, covariance = (
            search.cv_results_[f"param_{name}"][row] for name in grid
        )
        results[level, str(pooling), covariance] = score
    assert len(results) == 8
    assert np.isfinite(list(results.values())).all()
    # The paper's finding, on every pooling: deep and Mahalanobis above shallow and L2.
    for pooling in ("average", "['max', 2]"):
        assert results[7, pooling, "ledoit_wolf"] > results[2, pooling, "isotropic"]


@pytest.mark.slow
def test_cross_validation_in_two_processes_equals_one(cells, normal_folds):
    paths, labels = cells
    scores = [
        cross_val_score(
            make_pipeline(),
            paths,
            labels,
            scoring="roc_auc",
            cv=normal_folds,
            n_jobs=n_jobs,
        )
        for n_jobs in (1, 2)
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=0.01)
    assert min(scores[0]) > 0.8


@pytest.mark.slow
def test_joblib_round_trip_into_a_new_process_is_bit_exact(cells, fitted, tmp_path):
    paths, _ = cells
    joblib.dump(fitted, tmp_path / "pipe.joblib")
    joblib.dump(paths[30:50], tmp_path / "paths.joblib")
    code = """if True:
        import sys, joblib, numpy as np
        folder = sys.argv[1]
        pipe = joblib.load(folder + "/pipe.joblib")
        paths = joblib.load(folder + "/paths.joblib")
        np.save(folder + "/scores.npy", pipe.score_samples(paths))
    """
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        check=True,
    )
    np.testing.assert_array_equal(
        np.load(tmp_path / "scores.npy"), fitted.score_samples(paths[30:50])
    )


def test_one_list_may_mix_kinds_and_sizes(cells, fitted):
    paths, _ = cells
    with Image.open(paths[0]) as image:
        image.load()
    array = np.asarray(image)
    mixed = [paths[0], str(paths[0]), image, array, array / 255, paths[1]]
    scores = fitted.score_samples(mixed)
    np.testing.assert_allclose(scores[1:5], scores[0], rtol=1e-4)
    assert scores[5] != pytest.approx(scores[0], rel=1e-2)


@pytest.mark.slow
def test_a_fit_on_cookies_finds_broken_ones(test_data):
    folder = test_data / "data" / "cookies"
    good = sorted(map(str, (folder / "train" / "good").iterdir()))
    held_out = sorted(map(str, (folder / "test" / "good").iterdir()))
    broken = sorted(map(str, (folder / "test" / "broken").iterdir()))
    pipe = make_pipeline(features__image_size=None).fit(good)
    y = np.repeat([1, 0], [len(held_out), len(broken)])
    assert roc_auc_score(y, pipe.score_samples(held_out + broken)) > 0.95
