"""Find defective solar cells with a pipeline fitted on functional ones.

Run it with ``python examples/detect_defects.py``.
"""

import numpy as np
from sklearn.pipeline import Pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector
from skgaussad.datasets import load_solar_cells

# %%
# Images are paths here. The fit sees functional cells only. The data set is sorted by
# module, so that rows are taken from all over it.
cells = load_solar_cells("mono")
functional = cells.paths[cells.labels == 1]
defective = cells.paths[cells.labels == -1]
train, held_out = functional[::4], functional[2::12]

pipe = Pipeline(
    [
        ("features", DeepFeatureTransformer(levels=7)),
        ("detector", MahalanobisDetector(fpr=0.01)),
    ]
).fit(train)

# %%
# Labels are +1 for normal and -1 for anomalous.
found = np.mean(pipe.predict(defective[::8]) == -1)
false_alarms = np.mean(pipe.predict(held_out) == -1)
print(f"found {found:.0%} of the defective cells")
print(f"flagged {false_alarms:.0%} of functional cells that were not in the fit")

# %%
# Distances rank images by how unusual they are.
distances = -pipe.score_samples(defective[::8])
print(f"most unusual: {defective[np.argmax(distances)].rpartition('/')[-1]}")
