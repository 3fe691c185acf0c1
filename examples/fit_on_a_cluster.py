"""
===============================
Fit and score on a Dask cluster
===============================

The cluster is this machine, with two workers.

Run it with ``python examples/fit_on_a_cluster.py``.
"""

# sphinx_gallery_thumbnail_path = "generated/thumbnails/fit_on_a_cluster.png"

import tempfile

import pandas as pd
from dask.distributed import Client, LocalCluster
from sklearn.pipeline import Pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector, distributed
from skgaussad.datasets import load_solar_cells


def main():
    """Fit to some functional solar cells, and score other cells."""
    cells = load_solar_cells("mono")
    good, bad = cells.paths[cells.labels == 1], cells.paths[cells.labels == -1]
    X_train, X_new = good[:240], [*good[240:280], *bad[::4]]
    pipe = Pipeline(
        [("features", DeepFeatureTransformer()), ("detector", MahalanobisDetector())]
    )

    # %%
    # Workers of other machines are reached with Client("tcp://address:8786"). As there
    # are more images than features, these stay with the workers.
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        Client(cluster),
        tempfile.TemporaryDirectory() as folder,
    ):
        distributed.fit(pipe, X_train)
        print(f"threshold {-pipe['detector'].offset_:.1f}")

        # %%
        # A file for each 64 images. The last path does not exist. Called again after an
        # interrupt, this computes the missing files.
        distributed.score_to_parquet(
            pipe,
            [*X_new, "nowhere.png"],
            folder,
            partition_size=64,
            on_error="record",
        )
        scores = pd.read_parquet(folder)

    print(scores[["distance", "threshold_ratio", "p_value", "label"]].head())
    print(f"anomalous: {(scores['label'] == -1).sum()} of {len(scores)} images")
    print(*scores["error"].dropna())


# Workers are processes that import this script.
if __name__ == "__main__":
    main()
