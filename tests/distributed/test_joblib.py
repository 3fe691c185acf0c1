"""Tests of scikit-learn's own parallel loops on a cluster."""

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from skgaussad.model_selection import NormalKFold, auroc_scorer


@pytest.mark.slow
def test_grid_search_on_a_cluster_is_that_of_one_process(client, make, paths, tmp_path):
    X = np.array(paths)
    y = np.where(np.arange(len(X)) % 4 == 0, -1, 1)

    def search(cache):
        pipeline = make(cache=cache)
        grid = {"features__levels": [1, 2], "detector__covariance": ["oas", "diagonal"]}
        return GridSearchCV(
            pipeline, grid, scoring=auroc_scorer, cv=NormalKFold(3), refit=False
        ).fit(X, y)

    expected = search(tmp_path / "here").cv_results_
    with joblib.parallel_config(backend="dask"):
        found = search(tmp_path / "there").cv_results_
    assert found["params"] == expected["params"]
    for fold in range(3):
        name = f"split{fold}_test_score"
        np.testing.assert_allclose(found[name], expected[name], atol=1e-12)
