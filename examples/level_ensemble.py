"""Add the distances of all levels, as the paper does.

Run it with ``python examples/level_ensemble.py``.
"""

import numpy as np
from sklearn.metrics import roc_auc_score

from skgaussad.datasets import load_solar_cells
from skgaussad.ensemble import make_level_pipeline

# %%
# One Gaussian a level; the features of all levels are extracted in one pass.
cells = load_solar_cells("mono")
functional = cells.paths[cells.labels == 1]
defective = cells.paths[cells.labels == -1][:40]
pipe = make_level_pipeline(image_size=128, fpr=0.1).fit(functional[:100])

# %%
# The threshold comes from training images that were held out in turn.
held_out = functional[100:160]
scores = np.concatenate([pipe.score_samples(held_out), pipe.score_samples(defective)])
labels = np.repeat([1, -1], [len(held_out), len(defective)])
print(f"AUROC of the sum {roc_auc_score(labels, scores):.2f}")
print(f"flagged {np.mean(pipe.predict(held_out) == -1):.0%} of other functional cells")

# %%
# The scores of each level can be read, too.
features = pipe["features"].transform(defective[:3])
for name, column in zip(
    pipe["ensemble"].columns_, pipe["ensemble"].group_scores(features).T, strict=True
):
    print(name, (-column).round(1))
