"""The study of accuracy: all methods on the same images, folds, weights and resizing.

Sets are the solar cells, mono and poly, and folders in the layout of MVTec AD. Their
normal images, of all splits, are divided into five folds, at random and in file order,
where neighbours stay together; a method is fitted to four and tested on the fifth and all
anomalies. Means over folds, in percent: AUROC, and the defects found where 5 and 1 % of
the held-out normal images are called defective.

    python benchmarks/accuracy.py --folder cookies --out study
    python benchmarks/accuracy.py --out study --methods "cells*" --folds 0 1
    python benchmarks/accuracy.py --out study --reference cellwise_auroc.csv

What is measured is kept in OUT, so that a run goes on where another one stopped. With
``--reference``, a CSV file with the columns set, method and auroc_mean, the exit status
is 1 if a figure differs from one there by more than ``--tolerance``.
"""

import csv
import sys
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pandas as pd
from _accuracy_images import FOLDS, N_FOLDS, FeatureMaps, read_sets
from _accuracy_methods import FAMILIES, Fold
from _harness import (
    Verdict,
    describe_machine,
    format_table,
    make_parser,
    print_verdicts,
)
from sklearn.metrics import roc_auc_score

RATES = (0.05, 0.01)
KEY = ["set", "folds", "fold", "family"]
FIGURES = ["auroc", "found_at_5", "found_at_1", "fit", "score", "size"]


def measure(fold, result):
    """Figures of a method on a fold: one for each of `FIGURES`."""
    is_anomaly = fold.is_anomaly if result.is_anomaly is None else result.is_anomaly
    normal, anomalous = result.scores[~is_anomaly], result.scores[is_anomaly]
    found = [np.mean(anomalous > np.quantile(normal, 1 - rate)) for rate in RATES]
    per_image = 1000 * result.score / len(result.scores)
    auroc = roc_auc_score(is_anomaly, result.scores)
    percents = [100 * value for value in (auroc, *found)]
    return [*percents, result.fit, per_image, result.size]


def run(path, sets, features, families, numbers):
    """Measure what is not in the file yet, and add it fold by fold."""
    columns = [*KEY, "method", *FIGURES]
    done = set()
    if path.exists():
        known = pd.read_csv(path, dtype={"fold": int})
        done = set(known[KEY].itertuples(index=False, name=None))
    else:
        path.write_text(",".join(columns) + "\n")
    for family in families:
        for images in sets:
            for folds in FOLDS:
                for number in numbers:
                    key = (images.name, folds, number, family)
                    if key in done:
                        continue
                    fold = Fold(images, features, folds, number)
                    results = FAMILIES[family](fold)
                    with path.open("a", newline="") as file:
                        writer = csv.writer(file)
                        for method, result in results.items():
                            writer.writerow([*key, method, *measure(fold, result)])
                    print(*key, file=sys.stderr, flush=True)


def summarize(table):
    """Means and standard errors over folds: a row for each set and method."""
    rows = []
    for (name, method), group in table.groupby(["set", "method"], sort=False):
        row = [name, method]
        for folds in FOLDS:
            some = group[group["folds"] == folds]
            sem = some["auroc"].sem() if len(some) > 1 else None
            row += [some["auroc"].mean(), sem]
            row += [some["found_at_5"].mean(), some["found_at_1"].mean()]
        rows.append([*row, *group[["fit", "score", "size"]].mean()])
    return rows


def print_tables(table):
    """Print a table for each set, and one of means over the sets."""
    heads = [
        f"{head} {folds}" for folds in FOLDS for head in ("AUROC", "SEM", "5 %", "1 %")
    ]
    formats = dict.fromkeys(heads, ".1f") | dict.fromkeys(heads[::4], ".2f")
    formats |= dict.fromkeys(heads[1::4], ".2f")
    columns = {"": "", **formats, "fit s": ".2f", "ms/image": ".2f", "MB": ".1f"}
    rows = summarize(table)
    for name in table["set"].unique():
        of_set = [_blank(row[1:]) for row in rows if row[0] == name]
        print(f"\n{name}\n{format_table(columns, of_set)}")
    means = table.groupby(["method", "folds", "set"], sort=False)["auroc"].mean()
    by_kind = means.unstack("set").dropna().mean(axis=1).unstack("folds")
    rows = [
        _blank([name, *row, row.mean()])
        for name, row in by_kind[list(FOLDS)].iterrows()
    ]
    columns = {"": "", **dict.fromkeys(FOLDS, ".2f"), "both": ".2f"}
    print(f"\nMean AUROC over sets\n{format_table(columns, rows)}")


def _blank(row):
    """Replace NaN, which stands for no value, by None."""
    return [None if isinstance(v, float) and np.isnan(v) else v for v in row]


def compare(table, path, tolerance):
    """Compare with reference figures of AUROC; return verdicts."""
    with open(path, newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    verdicts = []
    for row in csv.DictReader(lines):
        name, by_order, _ = row["set"].partition(" by order")
        some = table[
            (table["set"] == name)
            & (table["method"] == row["method"])
            & (table["folds"] == ("in order" if by_order else "random"))
        ]
        if len(some) == N_FOLDS:
            found, expected = some["auroc"].mean(), float(row["auroc_mean"])
            verdicts.append(
                Verdict(
                    f"{row['set']}, {row['method']}: {expected:.2f}",
                    round(abs(found - expected), 2) <= tolerance,
                    f"{found:.2f}, difference {found - expected:+.2f}",
                )
            )
    return verdicts


def main():
    """Run the study; return the exit status."""
    parser = make_parser(__doc__, "--quiet")
    parser.add_argument("--out", type=Path, default=Path("accuracy"), metavar="DIR")
    parser.add_argument("--folder", action="append", default=[], metavar="DIR")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--methods", nargs="+", default=["*"], metavar="PATTERN")
    parser.add_argument("--folds", nargs="+", type=int, default=range(N_FOLDS))
    parser.add_argument("--reference", metavar="CSV")
    parser.add_argument("--tolerance", type=float, default=0.2)
    arguments = parser.parse_args()
    families = [
        name
        for name in FAMILIES
        if any(fnmatch(name, pattern) for pattern in arguments.methods)
    ]
    if not families:
        parser.error(f"no method like that; there are {', '.join(FAMILIES)}")
    sets = read_sets(arguments.folder)
    if arguments.sets:
        sets = [images for images in sets if images.name in arguments.sets]
    features = FeatureMaps(arguments.out / "features", not arguments.quiet)
    path = arguments.out / "figures.csv"
    run(path, sets, features, families, arguments.folds)
    table = pd.read_csv(path)
    table = table[
        table["family"].isin(families)
        & table["set"].isin([images.name for images in sets])
        & table["fold"].isin(arguments.folds)
    ]
    print(describe_machine(["scikit-learn", "numpy", "torch", "timm"]))
    print_tables(table)
    if not arguments.reference:
        return 0
    verdicts = compare(table, arguments.reference, arguments.tolerance)
    return print_verdicts("Reference", verdicts)


if __name__ == "__main__":
    sys.exit(main())
