"""
=============================
Score images with onnxruntime
=============================

A file of ``skgaussad.export.to_onnx`` runs where neither skgaussad nor torch is
installed: this script needs numpy, Pillow and onnxruntime.

Run it with ``python examples/onnx_runner.py model.onnx image.png ...``. The file may
come from ``examples/export_to_onnx.py``.
"""

# sphinx_gallery_thumbnail_path = "generated/thumbnails/onnx_runner.png"

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

# %%
# The file says whether it resizes images. Where it does not, they are brought to its
# size here.


def load(path, preprocessing):
    """Decode an image as the file takes it: RGB, 8 bits."""
    with Image.open(path) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"{path} has more than 8 bits; convert it first.")
        image = ImageOps.exif_transpose(image).convert("RGB")
    if not preprocessing["resize"]:
        height, width = preprocessing["image_size"]
        resample = Image.Resampling[preprocessing["interpolation"].upper()]
        image = image.resize((width, height), resample)
    return np.asarray(image)


# %%
# Images of one size could be scored as a batch; here each is one.


def main(model, *paths):
    """Print the scores of each image."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["skgaussad"])
    print(f"threshold {about['threshold']:.4f}, false-positive rate {about['fpr']:g}")
    for path in paths:
        batch = load(path, about["preprocessing"])[np.newaxis]
        outputs = session.run(about["outputs"], {"images": batch})
        found = dict(zip(about["outputs"], outputs, strict=True))
        label = "normal" if found["label"][0] == 1 else "anomalous"
        line = f"{path}: {label}, distance {found['distance'][0]:.4f}"
        if "p_value" in found:
            line += f", p-value {found['p_value'][0]:.4f}"
        if "anomaly_map" in found:
            drawn = found["anomaly_map"][0]
            row, column = np.unravel_index(drawn.argmax(), drawn.shape)
            line += f", most unusual at row {row}, column {column}"
        print(line)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print(__doc__)
    else:
        main(*sys.argv[1:])
