"""How far some promises reach: figures that the documentation states as limits.

    python benchmarks/limits.py
    python benchmarks/limits.py tail robust --sets 50

Training sets are drawn anew, of level 7 of the solar cells or simulated; the rate is
that among all other normal samples, or 20,000 new ones.

``batch``: `predict_batch` with ``fdr=0.05`` on batches with some clear anomalies: the
false discovery rate that is promised, and the fraction of normal samples among those
called anomalous in the batches in which some are.

``tail``: rates over those asked for, where they are below 1 / (n + 1): the mean over
training sets, and what one set of twenty exceeds.

``robust``: the rate of `RobustDetector` on training samples that are all normal, and
that of a plain fit to these, for 5 % asked for.

``sparse``: the rate for 5 % of binary features that are mostly 0.

``scaling``: the rate for 5 % behind steps that scale by the same samples, and by CV+
around `StandardScaler`; beside them the root of the number of features over that of
samples, which a fit warns of from 0.003 on.

``order``: how often a fit warns of the order of its samples, and with which rate; on
simulated lots beside the rate in new ones.

``products``: mono- and polycrystalline cells fitted together, with one threshold, one
for each by `MondrianDetector`, and a Gaussian for each, at most 20 splits.
"""

import sys
import warnings
from functools import partial

import numpy as np
from _harness import format_table, make_parser
from _limits_order import SHAPES, measure_order, measure_scaling
from _limits_products import measure_products
from tqdm import tqdm

from skgaussad import DeepFeatureTransformer, MahalanobisDetector, RobustDetector
from skgaussad.datasets import load_solar_cells
from skgaussad.exceptions import FalseAlarmRateWarning

TABLES = ("batch", "tail", "robust", "sparse", "scaling", "order", "products")
FPR = 0.05
_N_NEW = 20_000
_N_FEATURES = 20
_T_DOF = 5
# Numbers of samples and of anomalies in a batch.
BATCHES = ((100, 0), (100, 1), (100, 5), (100, 20), (20, 1))


def make_sources(image_size=None, verbose=True):
    """Make functions that draw training and other normal samples.

    Returns
    -------
    sources : dict of {str: callable}
        Each takes a generator and the number of training samples.
    """
    sources = {}
    for kind in ("mono", "poly"):
        data = load_solar_cells(kind)
        network = DeepFeatureTransformer(
            levels=7, image_size=image_size, verbose=verbose
        )
        features = network.fit_transform(data.paths[data.labels == 1])
        sources[kind] = partial(_split, features.astype(float))
    sources["Gaussian"] = partial(_simulate, None)
    sources["heavy-tailed"] = partial(_simulate, _T_DOF)
    return sources


def _split(features, rng, n_train):
    """Divide images at random."""
    order = rng.permutation(len(features))
    return features[order[:n_train]], features[order[n_train:]]


def _simulate(n_dof, rng, n_train):
    """Draw samples of a distribution."""
    rows = rng.normal(size=(n_train + _N_NEW, _N_FEATURES))
    if n_dof is not None:
        rows /= np.sqrt(rng.chisquare(n_dof, len(rows)) / n_dof)[:, np.newaxis]
    return rows[:n_train], rows[n_train:]


def _rate(detector, train, new):
    return np.mean(detector.fit(train).predict(new) == -1)


def measure_batches(n_sets, n_train=1_000):
    """Yield rows of the table of batches."""
    rng = np.random.default_rng(0)
    for n_samples, n_anomalous in BATCHES:
        shares, flagged, found = [], [], []
        for _ in range(n_sets):
            detector = MahalanobisDetector().fit(rng.normal(size=(n_train, 10)))
            batch = rng.normal(size=(n_samples, 10))
            batch[:n_anomalous] *= 4
            called = detector.predict_batch(batch, fdr=FPR) == -1
            shares.append(called[n_anomalous:].sum() / max(called.sum(), 1))
            flagged.append(called.any())
            found.append(called[:n_anomalous].sum())
        shares, flagged = 100 * np.array(shares), np.array(flagged)
        in_flagged = shares[flagged].mean() if flagged.any() else None
        recall = 100 * np.mean(found) / n_anomalous if n_anomalous else None
        yield (
            n_samples,
            n_anomalous,
            shares.mean(),
            100 * flagged.mean(),
            in_flagged,
            recall,
        )


def measure_tail(sources, n_sets, sizes=(20, 30, 60, 100, 300)):
    """Yield rows of the table of the tail."""
    rng = np.random.default_rng(0)
    for n_train in sizes:
        for name, draw in sources.items():
            for fpr in (0.01, 0.003, 0.001):
                # What the samples tell, and what is refused to be relied on.
                if not 0.1 <= fpr * (n_train + 1) < 1:
                    continue
                rates = [
                    _rate(
                        MahalanobisDetector(threshold="tail", fpr=fpr),
                        *draw(rng, n_train),
                    )
                    for _ in range(n_sets)
                ]
                ratios = np.array(rates) / fpr
                yield n_train, name, 100 * fpr, ratios.mean(), np.quantile(ratios, 0.95)


def measure_robust(sources, n_sets, sizes=(30, 60, 100, 300)):
    """Yield rows of the table of robust fits."""
    rng = np.random.default_rng(0)
    for n_train in sizes:
        for name, draw in sources.items():
            rates = []
            for _ in range(n_sets):
                train, new = draw(rng, n_train)
                kinds = (RobustDetector, MahalanobisDetector)
                rates.append([100 * _rate(kind(), train, new) for kind in kinds])
            rates = np.array(rates)
            error = rates[:, 0].std(ddof=1) / np.sqrt(n_sets)
            yield n_train, name, rates[:, 0].mean(), error, rates[:, 1].mean()


def measure_sparse(n_sets, sizes=(30, 100, 300), widths=(5, 50, 500)):
    """Yield rows of the table of binary features."""
    rng = np.random.default_rng(0)
    for n_train in sizes:
        for width in widths:
            for n_ones in (0.3, 1, 3):
                row = [n_train, width, n_ones]
                for covariance in ("diagonal", "isotropic", "ledoit_wolf"):
                    rates = []
                    for _ in range(n_sets):
                        rows = rng.random((n_train + 1_000, width)) < n_ones / n_train
                        train, new = np.split(rows.astype(float), [n_train])
                        if np.count_nonzero(train.any(axis=1)) < 2:
                            # No Gaussian.
                            continue
                        detector = MahalanobisDetector(covariance, fpr=FPR)
                        try:
                            rates.append(100 * _rate(detector, train, new))
                        except ValueError:
                            # No finite threshold, which is an error for users, too.
                            continue
                    row.append(np.mean(rates) if rates else None)
                yield row


def main(argv=None):
    """Run the benchmark; return the exit status."""
    # Of what is measured here, and of suspects among normal images.
    warnings.simplefilter("ignore", FalseAlarmRateWarning)
    warnings.filterwarnings("ignore", message=".* training samples look anomalous")
    parser = make_parser(__doc__, "--quick", "--quiet", sections=TABLES)
    parser.add_argument(
        "--sets", type=int, default=200, help="training sets; default 200"
    )
    arguments = parser.parse_args(argv)
    n_sets = 3 if arguments.quick else arguments.sets
    few = {"sizes": (30,)} if arguments.quick else {}
    sources = {}
    if {"tail", "robust", "order"} & set(arguments.sections):
        sources = make_sources(64 if arguments.quick else None, not arguments.quiet)
    # In the order of the files.
    cells = {name: sources[name].args[0] for name in ("mono", "poly") if sources}
    tables = {
        "batch": (
            {
                "samples": "d",
                "anomalies": "d",
                "FDR %": ".1f",
                "batches called %": ".1f",
                "false among these %": ".1f",
                "found %": ".0f",
            },
            measure_batches(n_sets),
        ),
        "tail": (
            {
                "n": "d",
                "": "",
                "asked %": ".1f",
                "mean ratio": ".2f",
                "1 of 20 above": ".1f",
            },
            measure_tail(sources, n_sets, **few),
        ),
        "robust": (
            {"n": "d", "": "", "robust %": ".1f", "error": ".1f", "plain %": ".1f"},
            measure_robust(sources, n_sets, **few),
        ),
        "sparse": (
            {
                "n": "d",
                "features": "d",
                "ones each": ".1f",
                "diagonal %": ".1f",
                "isotropic %": ".1f",
                "ledoit_wolf %": ".1f",
            },
            measure_sparse(n_sets, **few),
        ),
        "scaling": (
            {
                "": "",
                "n": "d",
                "features": "d",
                "ratio": ".3f",
                "none %": ".1f",
                "standard %": ".1f",
                "min-max %": ".1f",
                "robust %": ".1f",
                "power %": ".1f",
                "power, diagonal %": ".1f",
                "CV+ %": ".1f",
            },
            measure_scaling(n_sets, SHAPES[:1] if arguments.quick else SHAPES),
        ),
        "order": (
            {
                "": "",
                "n": "d",
                "asked": ".2f",
                "warned %": ".0f",
                "told %": ".0f",
                "came %": ".0f",
            },
            measure_order(cells, n_sets),
        ),
        "products": (
            {
                "n each": "d",
                "": "",
                "mono %": ".1f",
                "poly %": ".1f",
                "AUROC mono": ".1f",
                "AUROC poly": ".1f",
                "error": ".1f",
            },
            measure_products(
                n_sets,
                **few,
                image_size=112 if arguments.quick else None,
                verbose=not arguments.quiet,
            ),
        ),
    }
    for name in arguments.sections:
        columns, rows = tables[name]
        rows = list(tqdm(rows, desc=name, disable=arguments.quiet))
        print(f"\n{name}, {n_sets} training sets\n{format_table(columns, rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
