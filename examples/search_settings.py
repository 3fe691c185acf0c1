"""
====================================
Search settings with cached features
====================================

A grid search over levels and detectors, in which the network sees each image once.

Run it with ``python examples/search_settings.py``.
"""

import tempfile
import time
import warnings

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector, NegatedPCA
from skgaussad.datasets import load_solar_cells
from skgaussad.exceptions import FalseAlarmRateWarning, FeatureCacheWarning
from skgaussad.features import FeatureCache
from skgaussad.model_selection import NormalKFold, auroc_scorer

# %%
# Some functional cells (+1) and some defective ones (-1).
cells = load_solar_cells("mono")
rng = np.random.default_rng(0)
functional = rng.permutation(np.flatnonzero(cells.labels == 1))[:100]
defective = rng.permutation(np.flatnonzero(cells.labels == -1))[:40]
chosen = np.concatenate([functional, defective])
X, y = cells.paths[chosen], cells.labels[chosen]

# %%
# The candidates differ in their level, too. The cache keeps the features of each image,
# so that the network sees it once for all candidates and folds, and never in a second
# run. Give it a folder that stays; this one goes with the script.
folder = tempfile.TemporaryDirectory()
cache = FeatureCache(folder.name)
# Damage to the cache would cost time only; here it shall stop the script.
warnings.simplefilter("error", FeatureCacheWarning)
# 80 training images are few for a rate of 5 %, which AUROC does not depend on.
warnings.simplefilter("ignore", FalseAlarmRateWarning)
search = GridSearchCV(
    Pipeline(
        [
            ("features", DeepFeatureTransformer(cache=cache)),
            ("npca", NegatedPCA()),
            ("detector", MahalanobisDetector()),
        ]
    ),
    {
        "features__levels": [5, 6, 7],
        "npca": [NegatedPCA(0.01), "passthrough"],
        "detector__covariance": ["ledoit_wolf", "oas"],
    },
    scoring=auroc_scorer,
    cv=NormalKFold(n_splits=5, shuffle=True, random_state=0),
    refit=False,
)
for run in ("first", "second"):
    start = time.perf_counter()
    search.fit(X, y)
    print(f"{run} run: {time.perf_counter() - start:.1f} s")
print(f"in the cache: {cache.info()['n_images']} images")

# %%
# The best candidate, fitted to the functional cells. refit=True would have fitted it to
# the defective ones as well.
print(f"AUROC {search.best_score_:.1%} with {search.best_params_}")
best = search.estimator.set_params(**search.best_params_).fit(X[y == 1])
print(f"threshold {-best['detector'].offset_:.1f}")
folder.cleanup()
