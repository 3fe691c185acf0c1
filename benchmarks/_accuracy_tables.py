"""The figures of the study as tables, and beside reference figures."""

import csv

import numpy as np
from _accuracy_images import FOLDS, N_FOLDS
from _harness import Verdict, format_table

COSTS = ("fit", "score", "size")


def print_tables(table):
    """Print a table for each set, and one of means over the sets.

    Parameters
    ----------
    table : DataFrame
        A row for each set, method and fold.
    """
    for name, of_set in table.groupby("set", sort=False):
        print(f"\n{name}\n{_tabulate_set(of_set)}")
    print(f"\nAUROC, mean over sets\n{_tabulate_means(table)}")


def _tabulate_set(table):
    """Means over folds, with their standard errors, of all methods on a set."""
    columns = {"": ""}
    orders = [order for order in FOLDS if (table["order"] == order).any()]
    for order in orders:
        formats = {"AUROC": ".2f", "SEM": ".2f", "5 %": ".1f", "1 %": ".1f", "n": "d"}
        columns |= {f"{head} {order}": spec for head, spec in formats.items()}
    columns |= {"fit CPU s": ".2f", "CPU ms/image": ".2f", "MB": ".1f"}
    rows = []
    for method, of_method in table.groupby("method", sort=False):
        row = [method]
        for order in orders:
            some = of_method[of_method["order"] == order]
            row += [some["auroc"].mean(), some["auroc"].sem()]
            row += [some["found_at_5"].mean(), some["found_at_1"].mean(), len(some)]
        rows.append(_blank([*row, *of_method[list(COSTS)].mean()]))
    return format_table(columns, rows)


def _tabulate_means(table):
    """Mean AUROC over sets, of methods that were measured on the same folds of all."""
    folds = table.groupby("method")["fold"].count()
    complete = folds.index[folds == folds.max()]
    table = table[table["method"].isin(complete)]
    means = table.groupby(["method", "order", "set"], sort=False)["auroc"].mean()
    means = means.groupby(["method", "order"], sort=False).mean().unstack("order")
    rows = [_blank([name, *row, row.mean()]) for name, row in means.iterrows()]
    columns = {"": "", **dict.fromkeys(means.columns, ".2f"), "mean": ".2f"}
    return format_table(columns, rows)


def _blank(row):
    """Replace NaN, which stands for no value, by None."""
    return [None if isinstance(v, float) and np.isnan(v) else v for v in row]


def compare(table, path, tolerance):
    """Compare figures over all folds with a reference.

    Parameters
    ----------
    table : DataFrame
    path : str
        A CSV file with the columns set, such as mono or mono by order, method and
        auroc_mean.
    tolerance : float
        In points of AUROC.

    Returns
    -------
    verdicts : list of Verdict
        For each row of the reference that was measured.
    """
    with open(path, newline="") as file:
        reference = list(csv.DictReader(line for line in file if line[0] != "#"))
    verdicts = []
    for row in reference:
        name, by_order, _ = row["set"].partition(" by order")
        some = table[
            (table["set"] == name)
            & (table["method"] == row["method"])
            & (table["order"] == ("file" if by_order else "random"))
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
