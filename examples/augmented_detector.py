"""
=====================================
Fit on augmented copies of few images
=====================================

Twenty training images, and ten times as many by random changes that keep a part normal.

Run it with ``python examples/augmented_detector.py``. It leaves a picture,
``copies.png``, in the working directory.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from skgaussad import AugmentedDetector, DeepFeatureTransformer, MahalanobisDetector
from skgaussad.augmentation import ImageAugmentation
from skgaussad.datasets import make_textures

# %%
# Woven textures: 20 normal ones to train on, 40 normal and 15 with a defect to test.
data = make_textures(60, 15, random_state=0)
train, test = data.images[:20], data.images[20:]
labels = data.labels[20:]
pipe = Pipeline(
    [
        ("features", DeepFeatureTransformer(image_size=96)),
        ("detector", MahalanobisDetector(fpr=0.1)),
    ]
)

# %%
# The threads run along the sides, so a strong rotation would be an anomaly.
augmentation = ImageAugmentation(rotation=3)
rng = np.random.default_rng(0)
print("one copy:", ", ".join(augmentation.sample(rng)))
figure, axes = plt.subplots(1, 6, figsize=(12, 2.6), layout="constrained")
axes[0].imshow(train[0])
axes[0].set_title("image")
for ax in axes[1:]:
    ax.imshow(augmentation.apply(train[0], rng))
    ax.set_title("copy")
for ax in axes:
    ax.set_axis_off()
figure.savefig("copies.png")

# %%
# The augmentation stands around the whole pipeline. Test images are left as they are.
# All copies of an image are left out together to set the threshold.
detectors = {
    "20 images": AugmentedDetector(pipe, n_epochs=1),
    "in 10 epochs": AugmentedDetector(pipe, augmentation=augmentation, n_epochs=10),
}
for name, detector in detectors.items():
    detector.fit(train)
    decision = detector.decision_function(test)
    auroc, anomalous = roc_auc_score(labels, decision), decision < 0
    print(
        f"{name:12} AUROC {auroc:.1%}, {anomalous[labels == -1].mean():.0%} of the "
        f"defects found, {anomalous[labels == 1].mean():.0%} false alarms (5% asked)"
    )
