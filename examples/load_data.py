"""
======================
Load folders of images
======================

A folder of normal images with one of defective ones, and the layout of MVTec AD.

Run it with ``python examples/load_data.py``. It leaves a picture, ``textures.png``, in
the working directory.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
from PIL import Image
from sklearn.metrics import roc_auc_score

from skgaussad import make_detector
from skgaussad.datasets import load_folders, load_mvtec, make_textures


def save(folder, images):
    """Write images into a new folder."""
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index:03}.png")


# %%
# Generated textures, some with a defect, stand for pictures of your own.
textures = make_textures(50, 20, random_state=0)
good, defective = textures.images[:50], textures.images[50:]
figure, axes = plt.subplots(1, 6, figsize=(12, 2.3), layout="constrained")
for ax, index in zip(axes, range(49, 55), strict=True):
    ax.imshow(textures.images[index])
    ax.set_title(textures.defect_types[index])
    ax.set_axis_off()
figure.savefig("textures.png")

with TemporaryDirectory() as directory:
    root = Path(directory)
    save(root / "good", good)
    save(root / "bad", defective)

    # %%
    # A folder of normal images, and if you have some, a folder of anomalous ones.
    data = load_folders(root / "good", root / "bad")
    print(f"{len(data.paths)} images, {(data.labels == -1).sum()} of them anomalous")
    detector = make_detector(image_size=128).fit(data.paths[:30])
    scores = detector.score_samples(data.paths[30:])
    print(f"AUROC {roc_auc_score(data.labels[30:], scores):.1%}")

    # %%
    # In the layout of MVTec AD, training and test images are apart, anomalous ones are
    # sorted by the type of defect, and may have masks.
    category = root / "weave"
    save(category / "train" / "good", good[:30])
    save(category / "test" / "good", good[30:])
    for kind in ("scratch", "spot", "missing"):
        chosen = textures.defect_types == kind
        save(category / "test" / kind, textures.images[chosen])
        save(category / "ground_truth" / kind, textures.masks[chosen])
    test = load_mvtec(root, "weave", split="test")
    labels = detector.predict(test.paths)
    for kind in sorted(set(test.defect_types)):
        fraction = (labels[test.defect_types == kind] == -1).mean()
        print(f"{kind:8} {fraction:.0%} called anomalous")
