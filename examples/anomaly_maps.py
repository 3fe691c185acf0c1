"""
======================
Show where defects are
======================

Maps of three detectors, each on the scale of its threshold, and the exact contributions
of positions to the paper's distance.

Run it with ``python examples/anomaly_maps.py``. It leaves a picture,
``anomaly_maps.png``, in the working directory.
"""

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from skgaussad import DeepFeatureTransformer, PositionDetector, make_detector
from skgaussad.datasets import load_solar_cells
from skgaussad.inspection import DistanceSplit, split_distance

# %%
# Keep some functional and some defective cells to look at. The map of the default has
# the residuals of cells: an image is flagged if the highest 5 % are above 1 on average.
cells = load_solar_cells("mono")
rng = np.random.default_rng(0)
functional = rng.permutation(cells.paths[cells.labels == 1])
defective = rng.permutation(cells.paths[cells.labels == -1])
train, shown = functional[:150], [*functional[150:152], *defective[:4]]
by_cell = make_detector().fit(train)

# %%
# The paper's squared distance of an image is the sum of the contributions of its
# positions. As a map, an image of which all is 1 is just at the threshold.
paper = make_detector(method="paper").fit(train)
split: DistanceSplit = split_distance(paper, shown)
for path, squared, parts in zip(shown, split.totals, split.positions[7], strict=True):
    worst = np.unravel_index(parts.argmax(), parts.shape)
    print(
        f"{path.rsplit('/', 1)[-1]}: squared distance {squared:7.1f}, of it "
        f"{parts.max() / squared:4.0%} at position {tuple(map(int, worst))} of "
        f"{parts.shape}"
    )

# %%
# A detector of single positions: an image is flagged if any of them is above 1.
by_position = PositionDetector(DeepFeatureTransformer(levels=6), fpr=0.05).fit(train)

# %%
# One scale for all images of a detector, so that the same colour means the same.
rows = {
    "cell": (by_cell, 2),
    "contribution": (paper, 4),
    "position": (by_position, 1.5),
}
figure, axes = plt.subplots(
    4, len(shown), figsize=(2 * len(shown), 8.4), layout="constrained"
)
for index, (ax, path) in enumerate(zip(axes[0], shown, strict=True)):
    ax.imshow(Image.open(path), cmap="gray")
    ax.set_title("functional" if index < 2 else "defective")
axes[0, 0].set_ylabel("image")
for (name, (detector, limit)), row in zip(rows.items(), axes[1:], strict=True):
    maps = detector.anomaly_maps(shown)
    for ax, path, values in zip(row, shown, maps, strict=True):
        ax.imshow(Image.open(path), cmap="gray")
        drawn = ax.imshow(values, cmap="inferno", alpha=0.6, vmin=0, vmax=limit)
    row[0].set_ylabel(name)
    figure.colorbar(drawn, ax=row[-1], label="threshold = 1", shrink=0.8)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
figure.savefig("anomaly_maps.png")
print("picture: anomaly_maps.png")
