"""
===============================
Add the distances of all levels
===============================

The paper's simplest rule: a Gaussian for each level of the network, and the sum of
their distances.

Run it with ``python examples/level_ensemble.py``. It leaves a picture,
``level_ensemble.png``, in the working directory.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

from skgaussad import LevelEnsemble, make_detector
from skgaussad.datasets import load_solar_cells

# %%
# One Gaussian a level; the features of all levels are extracted in one pass.
cells = load_solar_cells("mono")
rng = np.random.default_rng(0)
functional = rng.permutation(cells.paths[cells.labels == 1])
defective = rng.permutation(cells.paths[cells.labels == -1])[:40]
pipe = make_detector(method="paper", levels="all", image_size=128, fpr=0.1)
pipe.fit(functional[:100])

# %%
# The threshold comes from training images that were held out in turn.
held_out = functional[100:160]
scores = np.concatenate([pipe.score_samples(held_out), pipe.score_samples(defective)])
labels = np.repeat([1, -1], [len(held_out), len(defective)])
print(f"AUROC of the sum {roc_auc_score(labels, scores):.2f}")
print(f"flagged {np.mean(pipe.predict(held_out) == -1):.0%} of other functional cells")

# %%
# The scores of each level can be read, too.
features = pipe["features"].transform([*held_out, *defective])
levels = {
    name: roc_auc_score(labels, column)
    for name, column in zip(
        pipe["detector"].columns_,
        pipe["detector"].group_scores(features).T,
        strict=True,
    )
}
figure, ax = plt.subplots(layout="constrained")
bars = ax.barh([*levels, "sum"], [*levels.values(), roc_auc_score(labels, scores)])
ax.bar_label(bars, fmt="{:.2f}")
ax.set(xlim=(0.5, 1), xlabel="AUROC (0.5 is chance)")
ax.invert_yaxis()
figure.savefig("level_ensemble.png")

# %%
# On features without names the columns of each level are named by hand, here those of
# the deep levels only.
slices = pipe["features"].level_slices_
deep = {f"level{level}": slices[level] for level in (5, 6, 7)}
X_train, X_test = (
    pipe["features"].transform(paths).to_numpy()
    for paths in (functional[:100], np.concatenate([held_out, defective]))
)
ensemble = LevelEnsemble(columns=deep, aggregation="max").fit(X_train)
print(
    f"AUROC of the maximum {roc_auc_score(labels, ensemble.score_samples(X_test)):.2f}"
)
