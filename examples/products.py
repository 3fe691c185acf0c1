"""
=============================
Keep the rate in each product
=============================

Mono- and polycrystalline cells on one line: one threshold for both, and one for each.

Run it with ``python examples/products.py``. It leaves a picture,
``products.png``, in the working directory.
"""

import matplotlib.pyplot as plt
import numpy as np

from skgaussad import DeepFeatureTransformer, MahalanobisDetector, MondrianDetector
from skgaussad.datasets import load_solar_cells

# %%
# Features of both, from one network. A hundred cells of each are fitted to.
cells = load_solar_cells()
rng = np.random.default_rng(0)
good = rng.permutation(np.flatnonzero(cells.labels == 1))
rows = [good[cells.cell_types[good] == kind] for kind in ("mono", "poly")]
train = rng.permutation(np.concatenate([some[:100] for some in rows]))
test = np.concatenate([some[100:400] for some in rows])
network = DeepFeatureTransformer(levels=7, image_size=96).fit(cells.paths[train])
X_train, X_test = (network.transform(cells.paths[rows]) for rows in (train, test))
products = cells.cell_types

# %%
# A threshold for both keeps the rate over both, and in neither.
single = MahalanobisDetector(fpr=0.05).fit(X_train).predict(X_test)
by_product = MondrianDetector(fpr=0.05).fit(X_train, categories=products[train])
separate = by_product.predict(X_test, categories=products[test])
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for index, (name, labels) in enumerate(
    {"one threshold": single, "by product": separate}.items()
):
    rates = [np.mean(labels[products[test] == kind] == -1) for kind in ("mono", "poly")]
    ax.bar(np.arange(2) + 0.4 * index, rates, width=0.4, label=name)
    print(f"{name:14} false alarms: mono {rates[0]:.1%}, poly {rates[1]:.1%}")
ax.axhline(0.05, color="black", linestyle="--", label="asked for")
ax.set(xticks=[0.2, 1.2], xticklabels=["mono", "poly"], ylabel="false alarms")
ax.legend()
figure.savefig("products.png")
