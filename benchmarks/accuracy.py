"""The study of accuracy: all methods on the same images, folds, weights and resizing.

Sets are the solar cells, mono and poly, and folders in the layout of MVTec AD. Their
normal images, of all splits, are divided into five folds, at random, in file order,
where neighbours stay together, and for solar cells by module (inferred: see
:func:`skgaussad.datasets.load_solar_cells`); a method is fitted to four of them and
tested on the fifth and all anomalies. Means over folds, in percent: AUROC, and the
defects found where 5 and 1 % of the held-out normal images are called defective. Times
are processor time of all threads without the network, which is the same for all.

    python benchmarks/accuracy.py --folder cookies --out study
    python benchmarks/accuracy.py --out study --methods "cells*" --folds 0 1
    python benchmarks/accuracy.py --out study --reference cellwise_auroc.csv

What is measured is kept in OUT, so that a run goes on where another one stopped. With
``--reference``, a CSV file with the columns set, method and auroc_mean, the exit status
is 1 if a figure differs from one there by more than ``--tolerance``.
"""

import csv
import sys
import warnings
from contextlib import nullcontext
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from _accuracy_images import FOLDS, N_FOLDS, FeatureMaps, read_sets
from _accuracy_methods import FAMILIES, Fold, Peers
from _accuracy_tables import compare, print_tables
from _harness import describe_machine, make_parser, print_verdicts
from sklearn.metrics import roc_auc_score

from skgaussad.exceptions import FalseAlarmRateWarning

RATES = (0.05, 0.01)
PEERS = ("PaDiM", "DFM", "PatchCore 1 %", "PatchCore 10 %")
KEY = ["set", "order", "fold", "family"]
COLUMNS = [*KEY, "method", "auroc", "found_at_5", "found_at_1", "fit", "score", "size"]


def measure(fold, result):
    """Figures of a method on a fold: the columns after the method."""
    is_anomaly = fold.is_anomaly if result.is_anomaly is None else result.is_anomaly
    normal, anomalous = result.scores[~is_anomaly], result.scores[is_anomaly]
    auroc = roc_auc_score(is_anomaly, result.scores)
    found = [np.mean(anomalous > np.quantile(normal, 1 - rate)) for rate in RATES]
    milliseconds = 1000 * result.score / len(result.scores)
    return [
        *(100 * value for value in (auroc, *found)),
        result.fit,
        milliseconds,
        result.size,
    ]


def run(path, folds, families):
    """Measure what is not in the file yet, and add it fold by fold."""
    if not path.exists():
        path.write_text(",".join(COLUMNS) + "\n")
    done = set(pd.read_csv(path)[KEY].itertuples(index=False, name=None))
    for family, fit_and_score in families.items():
        for fold in folds:
            key = (fold.images.name, fold.order, fold.number, family)
            if key in done:
                continue
            results = fit_and_score(fold)
            with path.open("a", newline="") as file:
                writer = csv.writer(file)
                for method, result in results.items():
                    writer.writerow([*key, method, *measure(fold, result)])
            print(*key, file=sys.stderr, flush=True)


def main():
    """Run the study; return the exit status."""
    # Samples are ranked; neighbours in file order are alike, and no threshold is used.
    warnings.simplefilter("ignore", FalseAlarmRateWarning)
    parser = make_parser(__doc__, "--quiet")
    parser.add_argument("--out", type=Path, default=Path("accuracy"), metavar="DIR")
    parser.add_argument("--folder", action="append", default=[], metavar="DIR")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--methods", nargs="+", default=["*"], metavar="PATTERN")
    parser.add_argument("--order", nargs="+", choices=FOLDS, default=list(FOLDS))
    parser.add_argument("--folds", nargs="+", type=int, default=range(N_FOLDS))
    parser.add_argument(
        "--peers", metavar="DIR", help="environment for anomalib, made if missing"
    )
    parser.add_argument("--show", action="store_true", help="measure nothing more")
    parser.add_argument("--reference", metavar="CSV")
    parser.add_argument("--tolerance", type=float, default=0.2)
    options = parser.parse_args()
    chosen = [
        name
        for name in (*FAMILIES, *PEERS)
        if any(fnmatch(name, pattern) for pattern in options.methods)
    ]
    sets = [
        images
        for images in read_sets(options.folder)
        if not options.sets or images.name in options.sets
    ]
    if not chosen or not sets:
        parser.error(f"no such set, or none of {', '.join((*FAMILIES, *PEERS))}")
    features = FeatureMaps(options.out / "features", not options.quiet)
    folds = [
        Fold(images, features, order, number)
        for images in sets
        for order in options.order
        if order in images.orders
        for number in options.folds
    ]
    families = {name: FAMILIES[name] for name in chosen if name in FAMILIES}
    path = options.out / "figures.csv"
    if not options.show:
        with (
            Peers(options.peers, options.out) if options.peers else nullcontext()
        ) as peers:
            if peers:
                names = [name for name in chosen if name in PEERS]
                families |= {name: partial(peers.fit, method=name) for name in names}
            run(path, folds, families)
    table = pd.read_csv(path)
    table = table[
        table["family"].isin(chosen)
        & table["set"].isin([images.name for images in sets])
        & table["order"].isin(options.order)
        & table["fold"].isin(options.folds)
    ]
    print(describe_machine(["scikit-learn", "numpy", "torch", "timm"]))
    print_tables(table)
    if not options.reference:
        return 0
    verdicts = compare(table, options.reference, options.tolerance)
    return print_verdicts("Reference", verdicts)


if __name__ == "__main__":
    sys.exit(main())
