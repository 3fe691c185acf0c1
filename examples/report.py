"""
==============
Write a report
==============

One page on a detector: its error rates, and the images to look at.

Run it with ``python examples/report.py``. It leaves ``report.html`` in the working
directory, to be opened in a browser.
"""

# sphinx_gallery_thumbnail_path = "generated/thumbnails/report.png"

import numpy as np

from skgaussad import make_detector
from skgaussad.datasets import load_solar_cells
from skgaussad.reporting import write_report

# %%
# Fit to functional cells, and keep others and defective ones for the report.
cells = load_solar_cells("mono")
rng = np.random.default_rng(0)
functional = rng.permutation(cells.paths[cells.labels == 1])
defective = rng.permutation(cells.paths[cells.labels == -1])
pipe = make_detector(fpr=0.05).fit(functional[:100])
tested = np.concatenate([functional[100:130], defective[:20]])

# %%
# Everything on the page is in the one file.
page = write_report(
    pipe,
    tested,
    "report.html",
    y=np.repeat([1, -1], [30, 20]),
    title="Monocrystalline solar cells",
    n_images=6,
)
print(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
