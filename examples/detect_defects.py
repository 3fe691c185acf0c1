"""
==========================
Find defective solar cells
==========================

The whole way in one pipeline, fitted on functional cells only.

Run it with ``python examples/detect_defects.py``. It leaves a picture,
``detect_defects.png``, in the working directory.
"""

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.utils import shuffle

from skgaussad import make_detector
from skgaussad.datasets import load_solar_cells
from skgaussad.reporting import FitSummary

# %%
# Images are paths here. The fit sees functional cells only. The data set is sorted by
# module, so that rows are taken from all over it, and shuffled: the rate is that of new
# cells of the same modules. In the order of the modules `fit` would warn that it will
# not hold in a new one.
cells = load_solar_cells("mono")
functional = cells.paths[cells.labels == 1]
defective = cells.paths[cells.labels == -1]
train, held_out = shuffle(functional[::4], random_state=0), functional[2::12]

pipe = make_detector(fpr=0.01).fit(train)

# %%
# What it has learned, which rate the images support, and which of them to look at.
summary: FitSummary = pipe.summary_
print(summary)

# %%
# Labels are +1 for normal and -1 for anomalous.
found = np.mean(pipe.predict(defective[::8]) == -1)
false_alarms = np.mean(pipe.predict(held_out) == -1)
print(f"found {found:.0%} of the defective cells")
print(f"flagged {false_alarms:.0%} of functional cells that were not in the fit")

# %%
# Distances rank images by how unusual they are.
distances = {
    "functional": -pipe.score_samples(held_out),
    "defective": -pipe.score_samples(defective[::8]),
}
threshold = -pipe.offset_
order = np.argsort(-distances["defective"])
print(f"most unusual: {defective[::8][order[0]].rpartition('/')[-1]}")

# %%
# The three most unusual defective cells and the three least unusual, which at this rate
# are missed.
shown = [*order[:3], *order[-3:]]
figure = plt.figure(figsize=(10, 6), layout="constrained")
upper, lower = figure.subfigures(2, 1, height_ratios=(3, 2))
ax = upper.subplots()
bins = np.linspace(10, max(distances["defective"]), 40)
for name, values in distances.items():
    ax.hist(values, bins, density=True, alpha=0.6, label=f"{name} ({len(values)})")
ax.axvline(threshold, color="black", linestyle="--", label="threshold")
ax.set(xlabel="distance", ylabel="density")
ax.legend()
for ax, index in zip(lower.subplots(1, len(shown)), shown, strict=True):
    ax.imshow(Image.open(defective[::8][index]), cmap="gray")
    ax.set_title(f"{distances['defective'][index]:.1f}")
    ax.set_axis_off()
figure.savefig("detect_defects.png")
