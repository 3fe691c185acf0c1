"""
===========================
Take a model somewhere else
===========================

A fitted pipeline as one ONNX file, which runs without skgaussad and torch.

Run it with ``python examples/export_to_onnx.py``. It leaves the file, ``cells.onnx``,
in the working directory.
"""

# sphinx_gallery_thumbnail_path = "generated/thumbnails/export_to_onnx.png"

import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector
from skgaussad.datasets import load_solar_cells
from skgaussad.export import to_onnx

# %%
# A pipeline fitted to functional cells, in random order: neighbours are of one module.
cells = load_solar_cells("mono")
functional = np.random.default_rng(0).permutation(cells.paths[cells.labels == 1])
defective = cells.paths[cells.labels == -1]
pipe = Pipeline(
    [
        ("features", DeepFeatureTransformer(levels=7)),
        ("detector", MahalanobisDetector(fpr=0.05)),
    ]
).fit(functional[:98])

# %%
# The file is compared with the pipeline on some images before it is written.
shown = [*functional[98:101], *defective[:3]]
metadata = to_onnx(pipe, "cells.onnx", with_maps=True, images=shown)
print(f"outputs: {', '.join(metadata['outputs'])}")
print(f"largest relative difference of distances: {metadata['parity']:.0e}")
print(f"size: {Path('cells.onnx').stat().st_size / 1e6:.1f} MB")

# %%
# Another process scores images by the file alone.
runner = Path(__file__).with_name("onnx_runner.py")
subprocess.run([sys.executable, str(runner), "cells.onnx", *shown], check=True)

# %%
# The pipeline says the same.
print("distances by the pipeline:", np.round(-pipe.score_samples(shown), 4))
