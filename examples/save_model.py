"""
=============================
Hand a fitted model to others
=============================

Save a fitted pipeline to a file that runs no code when it is loaded, look at what is
in it, and load it.

Run it with ``python examples/save_model.py``. It leaves the file,
``cells.skgaussad``, in the working directory.
"""

# sphinx_gallery_thumbnail_path = "generated/thumbnails/save_model.png"

from pathlib import Path

import numpy as np
from sklearn.utils import shuffle

from skgaussad import load, make_detector, save
from skgaussad.datasets import load_solar_cells
from skgaussad.exceptions import ModelFileError
from skgaussad.persistence import model_info

# %%
# A pipeline is fitted where the normal images are.
cells = load_solar_cells("mono")
functional = cells.paths[cells.labels == 1]
pipe = make_detector(fpr=0.05, image_size=128)
# They are sorted by module.
pipe.fit(shuffle(functional[::6], random_state=0))
path = Path("cells.skgaussad")
save(pipe, path)
print(f"{path} has {path.stat().st_size / 1e6:.1f} MB")

# %%
# What it was made with and where its threshold lies can be read without loading it.
facts = model_info(path)
(network,), detector = facts["networks"], facts["detector"]
print(f"level {network['levels'][0]} of {network['backbone']}")
print(f"saved with scikit-learn {facts['packages']['scikit-learn']}")
print(
    f"flags distances above {detector['threshold_distance']:.1f}, a fraction of "
    f"{detector['fpr']:g} of normal images, by {detector['n_calibration_units']}"
)

# %%
# On the line it gives the same scores, to the bit.
new = cells.paths[::120]
same = np.array_equal(load(path).score_samples(new), pipe.score_samples(new))
print(f"same scores: {same}")

# %%
# An incomplete file is refused.
copy = path.with_name("copy.skgaussad")
copy.write_bytes(path.read_bytes()[:100_000])
try:
    load(copy)
except ModelFileError as error:
    print(error)
copy.unlink()
