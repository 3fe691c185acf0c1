"""
==================================
Find small defects in large images
==================================

Cut images into tiles, score each image by its worst tile with one false-positive rate,
and show where the tiles see the defect.

Run it with ``python examples/small_defects.py``. It leaves a picture,
``small_defects.png``, in the working directory.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from sklearn.pipeline import Pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector, TiledDetector
from skgaussad.datasets import make_textures
from skgaussad.detectors import p_values
from skgaussad.inspection import anomaly_maps

# %%
# Good pictures of 256 x 256 pixels, and some with a dark square of 6 x 6. Images of
# thousands of pixels work the same way, and take longer.
images = make_textures(36, 0, size=256, random_state=0).images
good, new = images[:24], images[24:].copy()
rng = np.random.default_rng(0)
for image in new[6:]:
    top, left = rng.integers(0, 250, 2)
    image[top : top + 6, left : left + 6] = 0

# %%
# The network's input is 64 x 64 pixels here. With whole images resized to it, the
# squares are one or two pixels; tiles of that size keep the resolution.
pipe = Pipeline(
    [
        ("features", DeepFeatureTransformer(levels=5, image_size=64)),
        ("detector", MahalanobisDetector(fpr=0.05)),
    ]
)
tiled = TiledDetector(pipe, overlap=0.25, fpr=0.05).fit(good)
print("tiles of an image:", tiled.tile_distances(new[:1])[0].shape)
for name, detector in [("whole images", pipe.fit(good)), ("tiles", tiled)]:
    flagged = detector.predict(new) == -1
    print(f"{name}: {flagged[6:].sum()} of 6 defects, {flagged[:6].sum()} false alarms")

# %%
# A p-value is that of the image, however many tiles it has.
boxes = tiled.worst_tiles(new)
for index, (p_value, box) in enumerate(zip(p_values(tiled, new), boxes, strict=True)):
    print(f"image {index}: p = {p_value:.2f}, worst tile (top, left, ...) {box}")

# %%
# The maps of the tiles are put together, on the scale of the tiled threshold.
shown = [0, 6, 7, 8]
maps = anomaly_maps(tiled, new[shown])
figure, axes = plt.subplots(2, len(shown), figsize=(10, 5), layout="constrained")
for column, (index, values) in enumerate(zip(shown, maps, strict=True)):
    top, left, bottom, right = boxes[index]
    axes[0, column].imshow(new[index])
    axes[0, column].add_patch(
        Rectangle((left, top), right - left, bottom - top, fill=False, color="w")
    )
    axes[0, column].set_title("good" if index < 6 else "defective")
    drawn = axes[1, column].imshow(values, cmap="inferno", vmin=0, vmax=10)
figure.colorbar(drawn, ax=axes[1], label="threshold = 1", shrink=0.9)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
figure.savefig("small_defects.png")
print("picture: small_defects.png")
