"""Whether false-alarm rates hold, on solar cells and on synthetic samples.

    python benchmarks/calibration.py
    python benchmarks/calibration.py rates bound --splits 60

Normal samples are split at random, a detector is fitted to 100, 300 or 700 of them (as
far as that leaves a fifth of the images), and the fraction of the others beyond the
threshold of each rule is counted, for several target rates. The data are functional
solar cells, mono- and polycrystalline, and synthetic samples, new ones in each split: a
Gaussian whose k-th variance is 1 / k, and a multivariate t distribution with 5 degrees
of freedom and the same shape. They have as many columns as the network's features. The
settings are level 7, the sum of all levels, one Gaussian over the cells of a 4 x 4 grid
on level 7, the sum of a Gaussian a cell, and the residuals of 7 x 7 cells of level 6.

``rates`` prints the mean rate over splits and its standard error, that between splits
divided by the root of their number. The splits of a finite set of images share images,
and yet the standard error is right for this question. Given the images, the splits are
independent draws; and in a random split the training and test images are exchangeable,
whatever the images are, so that a conformal rule has its rate on average over the
splits of just these images. The scatter of few test images is part of that between
splits. What does depend on the images is a distribution fitted to the tail: at 0.1 % of
some hundreds of images, the farthest one decides the rate.

``bound`` prints how often a threshold for a rate with 95 % confidence has a higher one.
The rate is known to the precision of the test samples only, so a rate just below the
target may seem to be above it. The fraction of splits in which a bound that keeps its
promise exactly would seem to fail stands beside the fraction measured; it follows from
the numbers of samples alone.

``lots`` fits to some lots and measures in others, by the threshold that whole lots left
out set, and by single samples left out: simulated lots whose means differ by 0 to 3
standard deviations of the samples, and the cells of solar modules that were not in the
fit (see :func:`skgaussad.datasets.load_solar_cells` on which are of one module). Each
new lot counts alike. Then the same for one module that some good cells of were in the
fit, beside all others.

``folds`` measures :class:`skgaussad.ConformalDetector` around steps that learn and
detectors of scikit-learn, by CV+ and by the detector of all samples, whose distances
are ranked among the same held-out ones.

``contamination`` mixes defective cells into the training images, and compares a robust
fit with one to the functional ones alone.

``cost`` times a fit, the leave-one-out distances after it, and scikit-learn's fit.

Each table is followed by verdicts on criteria that were set before the measurement.
"""

import sys

import numpy as np
from _calibration_contamination import FITS, FRACTIONS, measure_contamination
from _calibration_folds import FOLD_TARGETS, SIZES, WAYS, measure_folds
from _calibration_lots import LOT_TARGETS, N_ADDED, measure_added, measure_lots
from _calibration_lots import RULES as LOT_RULES
from _calibration_protocol import (
    BOUND_TARGETS,
    CELL_TYPES,
    CONFIDENCE,
    LEAVE_ONE_OUT_TARGETS,
    RULES,
    TAIL_TARGETS,
    TARGETS,
    NormalImages,
    extract_solar_cells,
    make_synthetic,
    measure,
    measure_cost,
)
from _calibration_verdicts import (
    Cell,
    check_average,
    check_bound,
    check_contamination,
    check_cost,
    check_folds,
    check_lots,
    check_tail,
)
from _harness import format_table, make_parser, print_verdicts

# The rules whose threshold is one of the distances, which may be too few.
RANKED = ("leave-one-out", "95 % confidence")
TABLES = ("rates", "bound", "lots", "folds", "contamination", "cost")
FULL = {
    "sizes": (100, 300, 700),
    "n_images": None,
    "image_size": None,
    "n_test": None,
    "cost": (500, 3072, 5),
    "n_added": N_ADDED,
    "fold_sizes": SIZES,
}
# To see that everything runs; the figures mean little.
QUICK = {
    "sizes": (50,),
    "n_images": 80,
    "image_size": 128,
    "n_test": 200,
    "cost": (50, 300, 1),
    "n_added": N_ADDED[:2],
    "fold_sizes": (40,),
}


def make_cells(measurements, rule, targets, confidence=None):
    """Make cells of one rule for the verdicts, a list for each measurement."""
    return [
        Cell(
            f"{m.source}, {m.setting}, n = {m.n_train}",
            target,
            m.n_train,
            m.n_test,
            m.of(rule, target),
            confidence,
        )
        for m in measurements
        for target in targets
    ]


def print_rates(measurements):
    """Print the rates of all rules, then the verdicts on leave-one-out and the tail."""
    print("\nFalse-alarm rates in percent: mean over splits, standard error")
    print("* too few training samples for the rate: the largest distance; not counted")
    print("! not within the criterion (leave-one-out, tail);  - no threshold")
    heading = None
    for measurement in measurements:
        if heading != (measurement.source, measurement.setting):
            heading = (measurement.source, measurement.setting)
            print(f"\n{', '.join(heading)}\n{'n':>4} {'rule':16}", end="")
            print("".join(f"{100 * target:>11.3g}   " for target in TARGETS))
        for rule in RULES:
            cells = make_cells(
                [measurement],
                rule,
                TARGETS,
                CONFIDENCE if rule == "95 % confidence" else None,
            )
            shown = "".join(f"{_show_rate(rule, cell):>14}" for cell in cells)
            print(f"{measurement.n_train:4d} {rule:16}{shown}")
    cells = make_cells(measurements, "leave-one-out", LEAVE_ONE_OUT_TARGETS)
    print_verdicts("Leave-one-out", check_average(cells))
    cells = make_cells(measurements, "tail", TAIL_TARGETS)
    print_verdicts("Fitted tail", check_tail(cells))


def _show_rate(rule, cell):
    if np.isnan(cell.rate):
        return "-   "
    is_within = True
    if rule == "leave-one-out":
        is_within = cell.is_within
    elif rule == "tail" and cell.target in TAIL_TARGETS:
        is_within = cell.is_within_factor_two
    mark = " " if is_within else "!"
    if rule in RANKED and not cell.is_supported:
        mark = "*"
    return f"{100 * cell.rate:.2f} {100 * cell.error:.2f}{mark}"


def print_bounds(measurements):
    """Print how often the bound fails, then the verdicts, known rates first."""

    def make_bounds(measurements):
        return make_cells(measurements, "95 % confidence", BOUND_TARGETS, CONFIDENCE)

    print("\nShare of splits, in percent, whose rate is above the target that holds")
    print("with 95 % confidence: measured (expected of an exact bound with so few test")
    print("samples) and 95 % interval")
    print("* too few training samples for the rate\n")
    heading = "".join(f"{100 * target:>15.3g}{'':7}" for target in BOUND_TARGETS)
    print(f"{'':40}{heading}")
    for measurement in measurements:
        cells = make_bounds([measurement])
        shown = "".join(f"{_show_failures(cell):>22}" for cell in cells)
        print(f"{cells[0].name:40}{shown}")
    images = [m for m in measurements if m.source in CELL_TYPES]
    synthetic = [m for m in measurements if m.source not in CELL_TYPES]
    print_verdicts("Bound, synthetic samples", check_bound(make_bounds(synthetic)))
    print_verdicts("Bound, images", check_bound(make_bounds(images)))


def _show_failures(cell):
    if not cell.is_supported:
        return "*"
    low, high = cell.failure_interval
    return (
        f"{100 * cell.failure_fraction:.1f} "
        f"({100 * cell.expected_failure_fraction:.1f}) "
        f"{100 * low:.1f}-{100 * high:.1f}"
    )


def print_lots(measurements):
    """Print rates in new lots, then the verdicts.

    Parameters
    ----------
    measurements : list of LotMeasurement
    """
    print(
        "\nFalse-alarm rates in new lots, in percent: mean over training sets, standard"
    )
    print("error; share of training sets whose rate by lot is above its 95 % bound")
    print("* too few lots to promise the rate\n")
    targets = "".join(f"{100 * target:>22.3g}" for target in LOT_TARGETS)
    print(f"{'':44}{targets}")
    for m in measurements:
        for number, rule in enumerate(LOT_RULES):
            name = f"{m.name}, {m.n_lots} lots, {rule}" if number == 0 else rule
            shown = ""
            for at in range(len(LOT_TARGETS)):
                rates = m.rates[:, number, at]
                error = rates.std(ddof=1) / np.sqrt(len(rates))
                cell = f"{100 * rates.mean():.1f} {100 * error:.1f}"
                if number == 0:
                    failed = np.mean(rates > m.bounds[:, at])
                    mark = " " if m.is_promised[at] else "*"
                    cell += f"{mark} ({100 * failed:.0f})"
                shown += f"{cell:>22}"
            print(f"{name:>44}{shown}")
    print_verdicts("Lots", check_lots(measurements))


def print_added(figures):
    """Print what good cells of a new module do for it.

    Parameters
    ----------
    figures : dict of {str: dict of {int: ndarray}}
        What `measure_added` returns, by cell type and number of cells added.
    """
    print("\nA new module with some of its good cells in the fit, 7 x 7 cellwise, 5 %")
    print("asked for, in percent: false alarms (standard error) and defects found,")
    print("mean over modules\n")
    columns = {"": "", "modules": "d", "cells added": "d"}
    for rule in LOT_RULES:
        columns |= {f"{rule}": ".1f", f"{rule}, error": ".1f", f"{rule}, found": ".1f"}
    rows = []
    for kind, by_number in figures.items():
        for number, found in by_number.items():
            if len(found) < 2:
                # Of a quick run.
                continue
            row = [kind, len(found), number]
            for rule in range(len(LOT_RULES)):
                alarms = 100 * found[:, rule, 0]
                error = alarms.std(ddof=1) / np.sqrt(len(alarms))
                row += [alarms.mean(), error, 100 * np.nanmean(found[:, rule, 1])]
            rows.append(row)
    print(format_table(columns, rows))


def print_folds(measurements):
    """Print rates and AUROC, then the verdicts.

    Parameters
    ----------
    measurements : list of FoldMeasurement
    """
    print("\nFalse-alarm rates of ConformalDetector and AUROC, in percent: mean over")
    print("splits (standard error); by the detector of all samples beside it\n")
    columns = {"": ""}
    for way in WAYS:
        for target in FOLD_TARGETS:
            columns |= {f"{way}, {100 * target:g} %": ".1f"}
            if way == WAYS[0]:
                columns |= {f"error, {100 * target:g} %": ".1f"}
        columns |= {f"AUROC, {way}": ".1f"}
    rows = []
    for m in measurements:
        means, n_splits = 100 * m.rates.mean(axis=0), len(m.rates)
        errors = 100 * m.rates.std(axis=0, ddof=1) / np.sqrt(n_splits)
        aurocs = 100 * m.aurocs.mean(axis=0)
        interleaved = np.column_stack([means[0], errors[0]]).ravel()
        rows.append((m.name, *interleaved, aurocs[0], *means[1], aurocs[1]))
    print(format_table(columns, rows))
    print_verdicts("Folds", check_folds(measurements))


def print_contamination(figures):
    """Print AUROC and false alarms of each fraction of defects, then the verdict.

    Parameters
    ----------
    figures : dict of {str: dict}
        What `measure_contamination` returns, by name of the images.
    """
    print("\nAUROC, level 7, and false alarms for 5 % asked for, in percent, with")
    print("defective images among the training images\n")
    columns = {"": "", "fraction": ".0%"}
    columns |= {f"{name} {of}": ".1f" for name in FITS for of in ("AUROC", "FPR")}
    losses, rows = {}, []
    for kind, by_fraction in figures.items():
        for fraction, by_fit in by_fraction.items():
            means = {name: 100 * by_fit[name].mean(axis=0) for name in FITS}
            loss = means["clean"][0] - means["robust"][0]
            losses[f"{kind}, {100 * fraction:.0f} % defective"] = loss
            rows.append(
                (kind, fraction, *np.ravel([means[name] for name in FITS]), loss)
            )
    print(format_table(columns | {"loss": ".2f"}, rows))
    print_verdicts("Contamination", check_contamination(losses))


def print_cost(n_samples, n_features, repeats):
    """Print times, then the verdict."""
    seconds = measure_cost(n_samples, n_features, repeats)
    print(f"\nSeconds for {n_samples} samples of {n_features} features, median of")
    print(f"{repeats}, and ratio to the fit alone\n")
    rows = [(name, value, value / seconds["fit"]) for name, value in seconds.items()]
    print(format_table({"": "", "s": ".3f", "ratio": ".2f"}, rows))
    print_verdicts("Cost", check_cost(seconds))


def main(argv=None):
    """Run the benchmark; return the exit status."""
    parser = make_parser(__doc__, "--quick", "--quiet", sections=TABLES)
    parser.add_argument("--splits", type=int, default=50, help="at least 2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-jobs", type=int, default=-1, help="processes; -1: all")
    arguments = parser.parse_args(argv)
    scale = QUICK if arguments.quick else FULL
    if "cost" in arguments.sections:
        print_cost(*scale["cost"])
    on_images = {"rates", "bound", "lots", "folds", "contamination"}
    if on_images & set(arguments.sections):
        features, labels, modules = extract_solar_cells(
            scale["n_images"], scale["image_size"], verbose=not arguments.quiet
        )
    if "lots" in arguments.sections:
        cells = {
            kind: (
                {name: matrix[labels[kind] == 1] for name, matrix in by_name.items()},
                modules[kind][labels[kind] == 1],
            )
            for kind, by_name in features.items()
        }
        print_lots(
            measure_lots(
                cells,
                arguments.splits,
                arguments.seed,
                arguments.n_jobs,
                verbose=not arguments.quiet,
            )
        )
        print_added(
            {
                kind: {
                    number: measure_added(
                        by_name["7 x 7 cellwise"], labels[kind], modules[kind], number
                    )
                    for number in scale["n_added"]
                }
                for kind, by_name in features.items()
            }
        )
    if "folds" in arguments.sections:
        cells = {
            kind: tuple(by_name["level 7"][labels[kind] == label] for label in (1, -1))
            for kind, by_name in features.items()
        }
        print_folds(
            measure_folds(
                cells,
                scale["fold_sizes"],
                arguments.splits,
                arguments.seed,
                arguments.n_jobs,
                verbose=not arguments.quiet,
            )
        )
    if "contamination" in arguments.sections:
        print_contamination(
            {
                kind: measure_contamination(
                    by_name["level 7"],
                    labels[kind],
                    FRACTIONS,
                    arguments.splits,
                    arguments.seed,
                )
                for kind, by_name in features.items()
            }
        )
    if {"rates", "bound"} & set(arguments.sections):
        images = [
            NormalImages(
                kind,
                {name: matrix[labels[kind] == 1] for name, matrix in by_name.items()},
            )
            for kind, by_name in features.items()
        ]
        measurements = measure(
            images + make_synthetic(scale["n_test"]),
            scale["sizes"],
            arguments.splits,
            arguments.seed,
            arguments.n_jobs,
            verbose=not arguments.quiet,
        )
        print(f"\n{arguments.splits} splits, seed {arguments.seed}")
        if "rates" in arguments.sections:
            print_rates(measurements)
        if "bound" in arguments.sections:
            print_bounds(measurements)
    return 0


if __name__ == "__main__":
    sys.exit(main())
