"""
==========================================
What the rest of an image does not predict
==========================================

How much each cell of an image deviates from normal ones, what the other cells predict
of it, and what is left over.

Run it with ``python examples/cells.py``. It leaves a picture, ``cells.png``, in the
working directory.
"""

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.utils import shuffle

from skgaussad import CellwiseMahalanobisDetector, make_detector
from skgaussad.datasets import load_solar_cells

# %%
# One Gaussian is fitted to the 7 x 7 cells of each functional solar cell, taken as one
# vector.
cells = load_solar_cells("mono")
functional = cells.paths[cells.labels == 1]
defective = cells.paths[cells.labels == -1]
# They are sorted by module.
pipe = make_detector().fit(shuffle(functional[::3], random_state=0))
gaussian: CellwiseMahalanobisDetector = pipe["detector"]

# %%
# Two cells that were not in the fit, with bars in pieces, as a few of those in the fit
# have them. One is functional, the other one has a crack.
shown = {"functional": functional[322], "defective": defective[280]}
features = pipe["features"].transform(list(shown.values()))
deviation = features.to_numpy() - gaussian.location_

# %%
# What the other cells predict of a cell follows from the inverse covariance: its rows
# of a cell, times the deviation, are its block of the cell times what is left over.
precision = gaussian.precision_
left = (deviation @ precision).reshape(len(shown), 49, -1)
for cell, columns in enumerate(np.arange(features.shape[1]).reshape(49, -1)):
    block = precision[np.ix_(columns, columns)]
    left[:, cell] = np.linalg.solve(block, left[:, cell].T).T
deviation = deviation.reshape(left.shape)

# %%
# The first three pictures of cells have one scale. The fourth has the residuals that
# the detector scores by, in which directions that the other cells predict well count
# most. An image is flagged if the mean of its largest three is above 1.
columns = {
    "deviation": deviation,
    "predicted by the rest": deviation - left,
    "left over": left,
}
residuals = gaussian.cell_residuals(features) / -gaussian.offset_
figure, axes = plt.subplots(2, 5, figsize=(12, 5), layout="constrained")
for index, (kind, path) in enumerate(shown.items()):
    axes[index, 0].imshow(Image.open(path), cmap="gray")
    axes[index, 0].set_ylabel(kind)
    for ax, values in zip(axes[index, 1:], columns.values(), strict=False):
        lengths = np.linalg.norm(values[index], axis=-1).reshape(7, 7)
        drawn = ax.imshow(lengths, vmin=0, vmax=40)
    scored = axes[index, 4].imshow(
        residuals[index].reshape(7, 7), cmap="inferno", vmin=0, vmax=2
    )
    top = np.sort(residuals[index])[-3:].mean()
    print(f"{kind}: the three largest residuals are {top:.2f} thresholds on average")
for ax, name in zip(axes[0], ["image", *columns, "residual"], strict=True):
    ax.set_title(name)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
figure.colorbar(drawn, ax=axes[:, 1:4], location="bottom", shrink=0.4, label="length")
figure.colorbar(scored, ax=axes[:, 4], location="bottom", label="threshold = 1")
figure.savefig("cells.png")
print("picture: cells.png")
