"""
======================================
Find defects among the training images
======================================

Every tenth training image is of a defective solar cell. The robust fit lists suspects
for a person to look at.

Run it with ``python examples/recheck_training_images.py``. It leaves a picture,
``suspects.png``, in the working directory.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score

from skgaussad import DeepFeatureTransformer, MahalanobisDetector, RobustDetector
from skgaussad.datasets import load_solar_cells

# %%
# Every tenth training image shows a defective cell, and nobody knows which.
cells = load_solar_cells("mono")
rng = np.random.default_rng(0)
functional = rng.permutation(np.flatnonzero(cells.labels == 1))[:280]
defective = rng.permutation(np.flatnonzero(cells.labels == -1))[:80]
train = np.concatenate([functional[:180], defective[:20]])
test = np.concatenate([functional[180:], defective[20:]])
network = DeepFeatureTransformer(levels=7, image_size=96).fit(cells.paths[train])
X_train, X_test = (network.transform(cells.paths[rows]) for rows in (train, test))

# %%
# The suspects are left out of the fit, and listed for a person to look at.
robust = RobustDetector().fit(X_train)
for position in robust.suspects_[:5]:
    p_value = robust.training_p_values_[position]
    print(f"recheck {Path(cells.paths[train[position]]).name}, p = {p_value:.2g}")
n_defective = np.count_nonzero(cells.labels[train[robust.suspects_]] == -1)
print(f"{n_defective} of {len(robust.suspects_)} suspects are defective, of 20 in all")

# %%
# The most suspicious come first. What they are, this script knows from the data set,
# and you by looking.
shown = robust.suspects_[:16]
figure, axes = plt.subplots(2, 8, figsize=(12, 3.6), layout="constrained")
for ax, position in zip(axes.flat, shown, strict=False):
    ax.imshow(Image.open(cells.paths[train[position]]), cmap="gray")
    good = cells.labels[train[position]] == 1
    ax.set_title("functional" if good else "defective", fontsize=10)
for ax in axes.flat:
    ax.set_axis_off()
figure.savefig("suspects.png")

# %%
# They count as normal in the threshold until someone has checked. Without those that
# are defective, the rate is the one asked for.
kept = np.setdiff1d(np.arange(len(train)), robust.suspects_)
confirmed = robust.suspects_[cells.labels[train[robust.suspects_]] == 1]
rechecked = MahalanobisDetector().fit(X_train[[*kept, *confirmed]])
for name, detector in {
    "all images": MahalanobisDetector().fit(X_train),
    "without suspects": robust,
    "rechecked": rechecked,
}.items():
    auroc = roc_auc_score(cells.labels[test], detector.score_samples(X_test))
    flagged = detector.predict(X_test) == -1
    print(
        f"{name:17} AUROC {auroc:.1%}, {flagged[:100].mean():.0%} false alarms, "
        f"{flagged[100:].mean():.0%} of the defective cells found"
    )
