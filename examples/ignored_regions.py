"""
============================
Ignore a part of every image
============================

A time stamp changes from image to image, and is no defect.

Run it with ``python examples/ignored_regions.py``. It leaves a picture,
``ignored_regions.png``, in the working directory.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import Pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector
from skgaussad.datasets import make_textures
from skgaussad.inspection import anomaly_maps

# %%
# Good pictures with a stamp of 12 x 48 pixels in the lower right corner. In production
# it comes out in another way than in training.
good = make_textures(60, 0, size=128, random_state=0).images
rng = np.random.default_rng(0)
stamps = 255 * rng.integers(0, 2, (60, 3, 12, 1), dtype=np.uint8)
good[:40, -12:, -48:] = 60 + stamps[:40].repeat(4, axis=1).repeat(4, axis=2) // 4
good[40:, -12:, -48:] = stamps[40:].repeat(4, axis=1).repeat(4, axis=2)

# %%
# Ignored are a rectangle (top, left, bottom, right) in fractions of height and width,
# or what a mask marks; here they are the same, with a margin of two pixels.
mask = np.zeros((128, 128), dtype=bool)
mask[-14:, -50:] = True
rectangle = (1 - 14 / 128, 1 - 50 / 128, 1, 1)
maps = {}
for name, ignore in [("nothing", None), ("rectangle", rectangle), ("mask", mask)]:
    pipe = Pipeline(
        [
            (
                "features",
                DeepFeatureTransformer(levels=5, image_size=128, ignore=ignore),
            ),
            ("detector", MahalanobisDetector(fpr=0.05)),
        ]
    ).fit(good[:40])
    n_alarms = np.count_nonzero(pipe.predict(good[40:]) == -1)
    print(f"{name} ignored: {n_alarms} of 20 good pictures flagged")
    (maps[name],) = anomaly_maps(pipe, good[-1:])

# %%
# Nor does it show in maps.
drawn = maps["mask"]
print(f"map there: {drawn[mask].min():.2f} to {drawn[mask].max():.2f}")
print(f"elsewhere: {drawn[~mask].min():.2f} to {drawn[~mask].max():.2f}")
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
axes[0].imshow(good[-1])
axes[0].set_title("image")
for ax, name in zip(axes[1:], ["nothing", "mask"], strict=True):
    ax.imshow(maps[name], cmap="inferno", vmin=0, vmax=10)
    ax.set_title(f"{name} ignored")
for ax in axes:
    ax.set_axis_off()
figure.savefig("ignored_regions.png")
