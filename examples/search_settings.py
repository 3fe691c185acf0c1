"""
====================================
Search settings with cached features
====================================

A grid search over levels, grids and the cells that count, in which the network sees
each image once for each grid.

Run it with ``python examples/search_settings.py``.
"""

# sphinx_gallery_thumbnail_path = "generated/thumbnails/search_settings.png"

import tempfile
import time
import warnings

import numpy as np
from sklearn.model_selection import GridSearchCV

from skgaussad import make_detector
from skgaussad.datasets import load_solar_cells
from skgaussad.exceptions import FeatureCacheWarning
from skgaussad.features import FeatureCache
from skgaussad.model_selection import NormalKFold, auroc_scorer

# %%
# Some functional cells (+1) and some defective ones (-1).
cells = load_solar_cells("mono")
rng = np.random.default_rng(0)
functional = rng.permutation(np.flatnonzero(cells.labels == 1))[:60]
defective = rng.permutation(np.flatnonzero(cells.labels == -1))[:30]
chosen = np.concatenate([functional, defective])
X, y = cells.paths[chosen], cells.labels[chosen]

# %%
# Candidates differ in the level, the grid, and the fraction of the cells that counts.
# The cache keeps the features of each image, of all levels, so that the network sees it
# once for each grid, whatever the candidates and folds, and never in a second run. Give
# it a folder that stays; this one goes with the script.
folder = tempfile.TemporaryDirectory()
cache = FeatureCache(folder.name)
# Damage to the cache would cost time only; here it shall stop the script.
warnings.simplefilter("error", FeatureCacheWarning)
search = GridSearchCV(
    make_detector(cache=cache),
    {
        "features__levels": [5, 6, 7],
        "features__pooling": [4, 7],
        "detector__top_fraction": [0.05, 0.2],
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
print(f"threshold {-best.offset_:.1f}")
folder.cleanup()
