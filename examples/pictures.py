"""
===========================
Draw what a detector does
===========================

Distances and threshold, the working point on the ROC curve, the levels, the components
of normal images, and maps.

Run it with ``python examples/pictures.py``. It leaves two pictures, ``pictures.png``
and ``pictures_of_maps.png``, in the working directory.
"""

import matplotlib.pyplot as plt
import numpy as np

from skgaussad import make_detector
from skgaussad.datasets import load_solar_cells
from skgaussad.inspection import (
    AnomalyMapDisplay,
    ComponentSplit,
    CovarianceSpectrumDisplay,
    LevelAUROCDisplay,
    ScoreDistributionDisplay,
    WorkingPointDisplay,
    split_by_component,
)

# %%
# Fit the paper's sum of levels to functional cells of both kinds; draw other ones and
# defective ones.
cells = load_solar_cells()
rng = np.random.default_rng(0)
functional = rng.permutation(np.flatnonzero(cells.labels == 1))
defective = rng.permutation(np.flatnonzero(cells.labels == -1))[:80]
train, tested = functional[:120], np.concatenate([functional[120:200], defective])
y = cells.labels[tested]
pipe = make_detector(method="paper", levels=[4, 5, 6, 7], image_size=128, fpr=0.1)
pipe.fit(cells.paths[train])

# %%
# The features are computed once for all pictures: of the last step.
ensemble = pipe["detector"]
features = pipe["features"].transform(cells.paths[tested])
figure, axes = plt.subplots(2, 2, figsize=(12, 10), layout="constrained")
ScoreDistributionDisplay.from_estimator(
    ensemble,
    features,
    y,
    defect_types=[f"defective {kind}" for kind in cells.cell_types[tested]],
    name="sum of levels",
    ax=axes[0, 0],
)
WorkingPointDisplay.from_estimator(
    ensemble, features, y, name="sum of levels", ax=axes[0, 1]
)
LevelAUROCDisplay.from_estimator(ensemble, features, y, ax=axes[1, 0])
spectrum = CovarianceSpectrumDisplay.from_estimator(
    ensemble, features, y, group="level7", ax=axes[1, 1]
)
figure.savefig("pictures.png", dpi=80)

# %%
# The same for a single cell: which level it is far out in, and which components there.
split: ComponentSplit = split_by_component(ensemble, features)
worst = np.argmax(split.totals)
for level, of_level in split.groups.items():
    terms = split.components[level][worst]
    half = np.searchsorted(np.cumsum(terms), terms.sum() / 2)
    print(
        f"{level}: {of_level[worst]:5.1f} of {split.totals[worst]:.1f}; half of it in "
        f"the components from number {half + 1} of {len(terms)} on"
    )

# %%
# Maps of the default detector. All pictures of its maps have this scale. The data set
# has no masks.
shown = [*functional[120:122], *defective[:4]]
display = AnomalyMapDisplay.from_estimator(
    make_detector(fpr=0.1).fit(cells.paths[train]),
    cells.paths[shown],
    titles=["functional"] * 2 + ["defective"] * 4,
)
display.figure_.savefig("pictures_of_maps.png", dpi=80)
