"""
======================
Show where defects are
======================

Maps on images, on the scale of the threshold, and the exact contributions of positions.

Run it with ``python examples/anomaly_maps.py``. It leaves a picture,
``anomaly_maps.png``, in the working directory.
"""

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.pipeline import Pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector, PositionDetector
from skgaussad.datasets import load_solar_cells
from skgaussad.inspection import DistanceSplit, anomaly_maps, split_distance

# %%
# Fit to functional cells, and keep some of them and some defective ones to look at.
cells = load_solar_cells("mono")
rng = np.random.default_rng(0)
functional = rng.permutation(cells.paths[cells.labels == 1])
defective = rng.permutation(cells.paths[cells.labels == -1])
pipe = Pipeline(
    [
        ("features", DeepFeatureTransformer(levels=7)),
        ("detector", MahalanobisDetector(fpr=0.05)),
    ]
).fit(functional[:150])
shown = [*functional[150:152], *defective[:4]]

# %%
# The squared distance of an image is the sum of the contributions of its positions.
split: DistanceSplit = split_distance(pipe, shown)
for path, squared, parts in zip(shown, split.totals, split.positions[7], strict=True):
    worst = np.unravel_index(parts.argmax(), parts.shape)
    print(
        f"{path.rsplit('/', 1)[-1]}: squared distance {squared:7.1f}, of it "
        f"{parts.max() / squared:4.0%} at position {tuple(map(int, worst))} of "
        f"{parts.shape}"
    )

# %%
# As maps: an image of which all is 1 is just at the threshold. A detector of single
# positions gives sharper maps; there an image is anomalous if any position exceeds 1.
maps = anomaly_maps(pipe, shown)
detector = PositionDetector(DeepFeatureTransformer(levels=6), fpr=0.05)
sharper = detector.fit(functional[:150]).anomaly_maps(shown)

# %%
# One scale for all images, so that the same colour means the same.
figure, axes = plt.subplots(
    3, len(shown), figsize=(2 * len(shown), 6.4), layout="constrained"
)
for column, path in enumerate(shown):
    image = Image.open(path)
    axes[0, column].set_title("functional" if column < 2 else "defective")
    axes[0, column].imshow(image, cmap="gray")
    for row, (values, limit) in enumerate([(maps, 4), (sharper, 1.5)], start=1):
        axes[row, column].imshow(image, cmap="gray")
        drawn = axes[row, column].imshow(
            values[column], cmap="inferno", alpha=0.6, vmin=0, vmax=limit
        )
        if column == len(shown) - 1:
            figure.colorbar(drawn, ax=axes[row], label="threshold = 1", shrink=0.8)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
for ax, label in zip(axes[:, 0], ["image", "contribution", "position"], strict=True):
    ax.set_ylabel(label)
figure.savefig("anomaly_maps.png")
print("picture: anomaly_maps.png")
