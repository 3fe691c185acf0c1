"""
===========================================
Cross-validate on normal images and defects
===========================================

Folds that train on functional solar cells only and test on defective ones too.

Run it with ``python examples/cross_validate.py``. It leaves a picture,
``cross_validate.png``, in the working directory.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, cross_validate

from skgaussad import DeepFeatureTransformer, MahalanobisDetector
from skgaussad.datasets import load_solar_cells
from skgaussad.model_selection import (
    NormalKFold,
    auroc_scorer,
    neg_achieved_fpr_scorer,
    tpr_at_fpr_scorer,
)

# %%
# Some functional cells (+1) and some defective ones (-1). The network is not trained,
# so its features may be computed before the folds are made.
cells = load_solar_cells("mono")
rng = np.random.default_rng(0)
functional = rng.permutation(np.flatnonzero(cells.labels == 1))[:100]
defective = rng.permutation(np.flatnonzero(cells.labels == -1))[:40]
chosen = np.concatenate([functional, defective])
X = DeepFeatureTransformer(levels=7).fit_transform(cells.paths[chosen])
y = cells.labels[chosen]

# %%
# Each fold trains on functional cells only. It is tested on the functional cells that
# it has not seen and on all defective ones.
folds = NormalKFold(n_splits=5, shuffle=True, random_state=0)
figures = cross_validate(
    MahalanobisDetector(fpr=0.05),
    X,
    y,
    cv=folds,
    scoring={
        "AUROC": auroc_scorer,
        "defects found at 10 % false alarms": tpr_at_fpr_scorer(0.1),
        "minus false alarms, 5 % asked for": neg_achieved_fpr_scorer,
    },
)
figure, ax = plt.subplots(figsize=(8, 3), layout="constrained")
for name, values in figures.items():
    if name.startswith("test_"):
        name = name.removeprefix("test_")
        ax.scatter(values, [name] * len(values))
        print(f"{name:36} {values.mean():6.1%} (folds: {values.std():.1%})")

ax.set(xlabel="each dot a fold")
figure.savefig("cross_validate.png")

# %%
# A search would fit the best candidate to all samples at the end, the defective ones
# included; refit=False leaves that to a fit on functional cells.
search = GridSearchCV(
    MahalanobisDetector(),
    {"covariance": ["isotropic", "diagonal", "ledoit_wolf"]},
    scoring=auroc_scorer,
    cv=folds,
    refit=False,
).fit(X, y)
detector = MahalanobisDetector(**search.best_params_).fit(X[y == 1])
print(f"best: {detector.covariance} covariance")
