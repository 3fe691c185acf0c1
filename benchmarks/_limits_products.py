"""False alarms and AUROC of two products, by one threshold and by one each."""

import numpy as np
from sklearn.metrics import roc_auc_score

from skgaussad import CellwiseMahalanobisDetector, MondrianDetector, make_detector
from skgaussad.datasets import load_solar_cells

KINDS = ("mono", "poly")
SIZES = (100, 300)
# Splits are dear: both Gaussians have thousands of features.
_MOST_SETS = 20


def measure_products(n_sets, sizes=SIZES, image_size=None, verbose=True):
    """Yield rows of the table of products."""
    data = load_solar_cells()
    network = make_detector(image_size=image_size, verbose=verbose)["features"]
    features = network.fit_transform(data.paths)
    one_each = MondrianDetector(CellwiseMahalanobisDetector())
    detectors = {
        "one threshold": CellwiseMahalanobisDetector(),
        "one Gaussian": one_each.set_params(shared=True),
        "one each": MondrianDetector(CellwiseMahalanobisDetector()),
    }
    for n_train in sizes:
        measured = {name: [] for name in detectors}
        for seed in range(min(n_sets, _MOST_SETS)):
            rng = np.random.default_rng(seed)
            rows = [
                rng.permutation(
                    np.flatnonzero((data.labels == 1) & (data.cell_types == kind))
                )
                for kind in KINDS
            ]
            train = rng.permutation(np.concatenate([kind[:n_train] for kind in rows]))
            test = np.setdiff1d(np.arange(len(data.labels)), train)
            for name, detector in detectors.items():
                measured[name].append(_measure(detector, features, data, train, test))
        for name, values in measured.items():
            means = 100 * np.mean(values, axis=0)
            errors = 100 * np.std(values, axis=0, ddof=1) / np.sqrt(len(values))
            yield n_train, name, *means, errors.max()


def _measure(detector, features, data, train, test):
    """Return false alarms of each product, and then the AUROC of each."""
    options = {}
    if isinstance(detector, MondrianDetector):
        options["categories"] = data.cell_types[test]
        detector.fit(features.iloc[train], categories=data.cell_types[train])
    else:
        detector.fit(features.iloc[train])
    decision = detector.decision_function(features.iloc[test], **options)
    rates, aurocs = [], []
    for kind in KINDS:
        of_kind = data.cell_types[test] == kind
        labels = data.labels[test][of_kind]
        rates.append(np.mean(decision[of_kind][labels == 1] < 0))
        aurocs.append(roc_auc_score(labels, decision[of_kind]))
    return *rates, *aurocs
