"""
================================
Find defects in your own folders
================================

Fit to a folder of normal images, then list the images of another folder with
their distances and p-values, and draw where the most anomalous ones differ.

Run it with ``python examples/own_folder.py NORMAL NEW``, NORMAL and NEW being folders
of images. Without folders it takes solar cells. It leaves a picture,
``own_folder.png``, in the working directory.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.pipeline import Pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector, PositionDetector
from skgaussad.datasets import load_folders, load_solar_cells
from skgaussad.detectors import p_values

# %%
# Images are lists of paths. The normal ones should be 100 or more, taken like the new
# ones: same camera, light and position.
if len(sys.argv) == 3:
    normal, new = (load_folders(folder).paths for folder in sys.argv[1:])
else:
    cells = load_solar_cells("mono")
    functional = cells.paths[cells.labels == 1]
    normal = functional[::4]
    new = np.concatenate([functional[2::80], cells.paths[cells.labels == -1][::45]])

# %%
# Nothing is trained: the network turns images into features, and the detector fits a
# Gaussian to those of the normal ones. One normal image in twenty may be flagged.
pipe = Pipeline(
    [
        ("features", DeepFeatureTransformer()),
        ("detector", MahalanobisDetector(fpr=0.05)),
    ]
).fit(normal)

# %%
# The p-value is the fraction of normal images expected to be at least as anomalous; at
# 0.05 and below an image is flagged.
distances = -pipe.score_samples(new)
p = p_values(pipe, new)
order = np.argsort(-distances)
print(f"{len(normal)} normal images, threshold {-pipe['detector'].offset_:.1f}")
print("distance  p-value  image")
for index in order:
    verdict = "  <- flagged" if p[index] <= 0.05 else ""
    name = Path(new[index]).name
    print(f"{distances[index]:8.1f}  {p[index]:7.3f}  {name}{verdict}")

# %%
# Where the six most anomalous images differ: each place is measured on its own, by a
# detector with a threshold of its own. Places above 1 exceed it.
shown = [new[index] for index in order[:6]]
places = PositionDetector(DeepFeatureTransformer(levels=6), fpr=0.05).fit(normal)
figure, axes = plt.subplots(
    2, len(shown), figsize=(2 * len(shown), 4.5), squeeze=False, layout="constrained"
)
for (upper, lower), index, values in zip(
    axes.T, order, places.anomaly_maps(shown), strict=False
):
    with Image.open(new[index]) as image:
        for ax in (upper, lower):
            ax.imshow(image, cmap="gray")
            ax.set(xticks=[], yticks=[])
    drawn = lower.imshow(values, cmap="inferno", alpha=0.6, vmin=0, vmax=1.5)
    upper.set_title(f"distance {distances[index]:.1f}")
figure.colorbar(drawn, ax=axes, label="threshold = 1", shrink=0.8)
figure.savefig("own_folder.png")
print("picture: own_folder.png")
