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

import numpy as np
from sklearn.utils import shuffle

from skgaussad import make_detector
from skgaussad.datasets import load_folders, load_solar_cells
from skgaussad.inspection import AnomalyMapDisplay

# %%
# Images are lists of paths. The normal ones should be 100 or more, taken like the new
# ones: same camera, light and position.
if len(sys.argv) == 3:
    normal, new = (load_folders(folder).paths for folder in sys.argv[1:])
else:
    cells = load_solar_cells("mono")
    functional = cells.paths[cells.labels == 1]
    # They are sorted by module.
    normal = shuffle(functional[::4], random_state=0)
    new = np.concatenate([functional[2::80], cells.paths[cells.labels == -1][::45]])

# %%
# Nothing is trained: the network turns images into features, and a Gaussian is fitted
# to those of the normal ones. One normal image in twenty may be flagged.
detector = make_detector(fpr=0.05).fit(normal)

# %%
# The p-value is the fraction of normal images expected to be at least as anomalous; at
# 0.05 and below an image is flagged.
distances = -detector.score_samples(new)
p = detector.p_values(new)
order = np.argsort(-distances)
print(f"{len(normal)} normal images, threshold {-detector.offset_:.1f}")
print("distance  p-value  image")
for index in order:
    verdict = "  <- flagged" if p[index] <= 0.05 else ""
    name = Path(new[index]).name
    print(f"{distances[index]:8.1f}  {p[index]:7.3f}  {name}{verdict}")

# %%
# Where the six most anomalous images differ. A white line surrounds places above the
# threshold.
shown = order[:6]
display = AnomalyMapDisplay.from_estimator(
    detector,
    [new[index] for index in shown],
    titles=[f"distance {distances[index]:.1f}" for index in shown],
)
display.figure_.savefig("own_folder.png")
print("picture: own_folder.png")
