"""
=====================================
Keep the directions of least variance
=====================================

Principal components of most and of least variance, compared on solar cells.

Run it with ``python examples/negated_pca.py``. It leaves a picture,
``negated_pca.png``, in the working directory.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import RocCurveDisplay, roc_auc_score
from sklearn.pipeline import make_pipeline

from skgaussad import (
    ConformalDetector,
    DeepFeatureTransformer,
    MahalanobisDetector,
    NegatedPCA,
)
from skgaussad.datasets import load_solar_cells
from skgaussad.exceptions import FalseAlarmRateWarning

# %%
# The features are computed once, for all the detectors below.
cells = load_solar_cells("mono")
rng = np.random.default_rng(0)
functional = rng.permutation(cells.paths[cells.labels == 1])[:170]
defective = rng.permutation(cells.paths[cells.labels == -1])[:40]
network = DeepFeatureTransformer(levels=7).fit(functional)
features = network.transform([*functional, *defective])
train, test = features[:70], features[70:]
labels = [1] * 100 + [-1] * 40

# %%
# In most directions functional cells hardly vary. Without these, defects are harder to
# find; with these alone, they are not.
reductions = {
    "all components": "passthrough",
    "most variance, 99 %": PCA(n_components=0.99),
    "least variance, 1 %": NegatedPCA(n_components=0.01),
}
figure, ax = plt.subplots(layout="constrained")
for name, reduction in reductions.items():
    pipe = make_pipeline(reduction, MahalanobisDetector())
    detector = ConformalDetector(pipe).fit(train)
    scores = detector.score_samples(test)
    auroc = roc_auc_score(labels, scores)
    RocCurveDisplay.from_predictions(labels, scores, ax=ax, name=name)
    n_dimensions = detector.estimator_[-1].n_features_in_
    print(f"{name:20} {n_dimensions:4} dimensions, AUROC {auroc:.1%}")
figure.savefig("negated_pca.png")

# %%
# The components were learned from the training cells, so that these look more normal
# than new ones, and `fit` warns. For a rate that holds, cells are left out of
# both steps.
reduction = NegatedPCA(n_components=0.01)
warnings.simplefilter("ignore", FalseAlarmRateWarning)
for name, detector in {
    "left out of the Gaussian only": make_pipeline(
        reduction, MahalanobisDetector(fpr=0.1)
    ),
    "left out of both steps": ConformalDetector(
        make_pipeline(reduction, MahalanobisDetector()), fpr=0.1, cv=10
    ),
}.items():
    flagged = detector.fit(train).predict(test) == -1
    print(f"{name:30} {flagged[:100].mean():.0%} false alarms, 10% asked for")
