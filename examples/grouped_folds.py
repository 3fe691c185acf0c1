"""
==========================================
Keep lots apart, and average over products
==========================================

Folds that keep lots apart or cameras together, and mean and error over products.

Run it with ``python examples/grouped_folds.py``. It leaves a picture,
``grouped_folds.png``, in the working directory.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import sem
from sklearn.model_selection import cross_val_score

from skgaussad import DeepFeatureTransformer, MahalanobisDetector
from skgaussad.datasets import make_textures
from skgaussad.model_selection import (
    GroupNormalKFold,
    StratifiedNormalKFold,
    auroc_scorer,
)

# %%
# Two generated textures stand for two products.
aurocs = {}
for seed, product in enumerate(("oak", "ash")):
    textures = make_textures(40, 12, size=64, random_state=seed)
    transformer = DeepFeatureTransformer(levels=5, image_size=64)
    X, y = transformer.fit_transform(textures.images), textures.labels

    # %%
    # Images of one lot resemble each other: no lot is in training and test set at once.
    lots = np.arange(len(y)) // 8
    by_lot = GroupNormalKFold(n_splits=3)
    detector = MahalanobisDetector()
    aurocs[product] = 100 * cross_val_score(
        detector, X, y, groups=lots, cv=by_lot, scoring=auroc_scorer
    )

    # %%
    # Each fold has the same fraction of both cameras.
    cameras = np.arange(len(y)) % 2
    by_camera = StratifiedNormalKFold(n_splits=4)
    for train, test in by_camera.split(X, y, groups=cameras):
        held_out = test[y[test] == 1]
        print(
            f"{product}: {np.bincount(cameras[train])} training and "
            f"{np.bincount(cameras[held_out])} held-out images by camera"
        )

# %%
# Mean and standard error over products as in the paper: folds are averaged first.
means = [folds.mean() for folds in aurocs.values()]
print(f"AUROC {np.mean(means):.1f} ± {sem(means):.1f} %")

# %%
# Which normal images each fold trains on and is tested on: whole lots, of eight images.
figure, ax = plt.subplots(figsize=(8, 3), layout="constrained")
for fold, (train, test) in enumerate(by_lot.split(X, y, groups=lots)):
    held_out = test[y[test] == 1]
    ax.scatter(train, np.full(len(train), fold), marker="s", color="C0")
    ax.scatter(held_out, np.full(len(held_out), fold), marker="s", color="C1")
ax.set(yticks=range(3), ylabel="fold", xlabel="normal image")
ax.legend(["training", "test"], loc="center left", bbox_to_anchor=(1, 0.5))
figure.savefig("grouped_folds.png")
