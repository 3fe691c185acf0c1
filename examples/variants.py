"""
======================================
Two kinds of normal parts in one model
======================================

Mono- and polycrystalline solar cells, each with a mean of its own and a covariance in
common.

Run it with ``python examples/variants.py``. It leaves a picture,
``variants.png``, in the working directory.
"""

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.utils import shuffle

from skgaussad import DeepFeatureTransformer, VariantMahalanobisDetector
from skgaussad.datasets import load_solar_cells

# %%
# Monocrystalline and polycrystalline cells look different, and both are normal.
cells = load_solar_cells()
# They are sorted by module.
functional = shuffle(np.flatnonzero(cells.labels == 1), random_state=0)
kinds = cells.cell_types[functional]
train = np.concatenate([functional[kinds == kind][:60] for kind in ("mono", "poly")])
held_out = np.concatenate(
    [functional[kinds == kind][60:80] for kind in ("mono", "poly")]
)
defective = np.flatnonzero(cells.labels == -1)[::12]

# %%
# The kinds of the training images are given to the last step by its name.
pipe = Pipeline(
    [
        ("features", DeepFeatureTransformer(levels=7, image_size=128)),
        ("detector", VariantMahalanobisDetector()),
    ]
).fit(cells.paths[train], detector__variants=cells.cell_types[train])

test = np.concatenate([held_out, defective])
scores = pipe.score_samples(cells.paths[test])
print(f"AUROC {roc_auc_score(cells.labels[test], scores):.2f}")

# %%
# The nearest variant tells what kind of part an image shows.
features = pipe["features"].transform(cells.paths[held_out])
found = pipe["detector"].predict_variant(features)
print(
    f"kind recognized in {np.mean(found == cells.cell_types[held_out]):.0%} of images"
)

# %%
# Two of each kind, with what the model takes them for.
figure, axes = plt.subplots(1, 4, figsize=(10, 3), layout="constrained")
for ax, index in zip(axes, [0, 1, 20, 21], strict=True):
    ax.imshow(Image.open(cells.paths[held_out[index]]), cmap="gray")
    ax.set_title(f"{cells.cell_types[held_out[index]]}, found {found[index]}")
    ax.set_axis_off()
figure.savefig("variants.png")
