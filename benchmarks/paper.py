"""The tables of the paper, on any data set in the layout of MVTec AD.

    python benchmarks/paper.py --data MVTEC_ROOT --table 1 2 3 4 5 7 8
    python benchmarks/paper.py --solar-cells --table 1 3 4 5 \
        --backbone tf_efficientnet_lite0 --interpolation bilinear

All categories found are run, each over five folds of its training images, and tested on
its test set. Each table is printed in the paper's shape, with the paper's figures (on
MVTec AD, with the network named there) in brackets beside those measured. Features and
figures are kept in the folder ``--work``: a run that was interrupted goes on where it
was. ``--solar-cells`` lays the package elpv-dataset out as two categories.

The autoencoder and the supervised classifier of tables 5 and 8 train networks for hours
without a GPU; they run with ``--trained`` only.
"""

import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
from _harness import make_parser
from _paper_figures import TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_7, TABLE_8
from _paper_protocol import SIGMAS, TRAINED, Protocol, Store, read_categories
from scipy.stats import norm, sem
from tqdm import tqdm

from skgaussad.datasets import load_solar_cells
from skgaussad.exceptions import FalseAlarmRateWarning

SUMMED = ("mahalanobis", "npca_1", "oc_svm")
NAMES = {
    "l2": "L2",
    "sed": "SED",
    "mahalanobis": "Mahalanobis",
    "pca_99": "PCA 99%",
    "pca_95": "PCA 95%",
    "npca_1": "NPCA 1%",
    "npca_0.1": "NPCA 0.1%",
    "npca_0.01": "NPCA 0.01%",
    "oc_svm": "oc-SVM",
    "autoencoder_mean": "MSE AE map-mean",
    "autoencoder_components": "MSE AE CCA",
    "classifier": "fine-tuned classifier",
}


def lay_out_solar_cells(root):
    """Copy the solar cells to a folder in the layout of MVTec AD.

    Two categories, mono and poly; functional cells are training images, and the test
    set holds defective cells only.
    """
    for cells in ("mono", "poly"):
        data = load_solar_cells(cells)
        for path, label in zip(data.paths, data.labels, strict=True):
            part = Path("train", "good") if label == 1 else Path("test", "defective")
            target = Path(root, cells, part, Path(path).name)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


def summarize(by_category):
    """Mean and standard error over categories, whose folds are averaged first.

    The paper gives no formula. All ten standard errors of its table VIII follow from
    the columns in this way; with denominator n_categories six of them do not.

    Parameters
    ----------
    by_category : dict of {str: list of float}

    Returns
    -------
    summary : tuple of (float, float)
        The SEM of a single category is NaN.
    """
    means = [np.mean(folds) for folds in by_category.values()]
    return float(np.mean(means)), float(sem(means)) if len(means) > 1 else np.nan


def show(summary, published=None):
    """Format a mean and its SEM, with the published pair in brackets."""
    mean, error = summary
    text = f"{mean:5.1f} {'   -' if np.isnan(error) else f'{error:4.1f}'}"
    if published is not None:
        text += f" ({published[0]:5.1f} {published[1]:4.1f})"
    return f"{text:>24}"


def print_levels(title, columns, published):
    """Print a table of AUROC by level.

    Parameters
    ----------
    title : str
    columns : dict of {str: dict of {str: list of list of float}}
        For each column and category the AUROCs of each fold: the levels', the sum's.
    published : dict of {str: list of (float, float)}
        The paper's means and SEMs, by column.
    """
    print(f"\n{title}\nAUROC in percent: mean SEM (paper's mean SEM)")
    print(f"{'level':>5}" + "".join(f"{NAMES.get(name, name):>24}" for name in columns))
    n_rows = max(
        len(folds[0]) for folds in (next(iter(c.values())) for c in columns.values())
    )
    for row in range(n_rows):
        cells = []
        for name, by_category in columns.items():
            figures = {c: [fold[row] for fold in f] for c, f in by_category.items()}
            paper = published.get(name)
            comparable = paper is not None and len(paper) == n_rows
            cells.append(show(summarize(figures), paper[row] if comparable else None))
        print(f"{'Sum' if row == n_rows - 1 else row + 1:>5}" + "".join(cells))


def print_working_points(title, by_method):
    """Print target and achieved rates, table 4."""
    print(f"\n{title}\nin percent: FPR TPR (paper's FPR TPR)")
    print(f"{'n':>5}{'target FPR':>12}" + "".join(f"{NAMES[m]:>28}" for m in by_method))
    means = {
        method: np.mean([np.mean(f, axis=0) for f in by_category.values()], axis=0)
        for method, by_category in by_method.items()
    }
    for row, sigma in enumerate(SIGMAS):
        cells = ""
        for method, figures in means.items():
            fpr, tpr = figures[2 * row : 2 * row + 2]
            paper = TABLE_4[method][0][row]
            cells += f"{f'{fpr:5.1f} {tpr:5.1f} ({paper[0]:5.1f} {paper[1]:5.1f})':>28}"
        print(f"{sigma:5d}{200 * norm.sf(sigma):12.2g}{cells}")
    cells = "".join(
        f"{f'{figures[-1]:5.1f} ({TABLE_4[method][1]:5.1f})':>28}"
        for method, figures in means.items()
    )
    print(f"{'AUROC':>17}{cells}")


def print_categories(title, by_method):
    """Print the AUROC of each category, table 8."""
    print(f"\n{title}\nAUROC in percent (paper's)")
    print(f"{'':16}" + "".join(f"{NAMES[method]:>24}" for method in by_method))
    categories = next(iter(by_method.values()))
    for category in categories:
        cells = ""
        for method, by_category in by_method.items():
            paper = TABLE_8[method].get(category)
            text = f"{np.mean(by_category[category]):5.1f}"
            cells += f"{text + (f' ({paper:5.1f})' if paper is not None else ''):>24}"
        print(f"{category:16}{cells}")
    summaries = {m: summarize(c) for m, c in by_method.items()}
    print(f"{'Mean SEM':16}" + "".join(show(summaries[m]) for m in by_method))


def run(arguments):
    """Compute and print the tables asked for."""
    root = arguments.data
    if arguments.solar_cells:
        root = str(Path(arguments.work) / "solar_cells")
        lay_out_solar_cells(root)
    categories = read_categories(root)
    protocol = Protocol(Store(arguments.work), arguments)
    print(
        f"{len(categories)} categories, backbone {arguments.backbone}, interpolation "
        f"{arguments.interpolation or 'native'}"
    )

    def collect(compute, what):
        bar = tqdm(
            categories, desc=what, file=sys.stderr, disable=arguments.quiet, unit="cat"
        )
        return {category.name: compute(category) for category in bar}

    def levels(methods, backbone=arguments.backbone):
        return {
            method: collect(
                lambda c, m=method: protocol.aurocs(c, backbone, m), NAMES[method]
            )
            for method in methods
        }

    def sums():
        found = {
            method: {
                c: [fold[-1] for fold in folds] for c, folds in by_category.items()
            }
            for method, by_category in levels(SUMMED).items()
        }
        for method in TRAINED if arguments.trained else ():
            trained = collect(
                lambda c, m=method: protocol.trained_aurocs(c, arguments.backbone, m),
                NAMES[method],
            )
            found[method] = {
                c: np.ravel(folds).tolist() for c, folds in trained.items()
            }
        return found

    for table in arguments.table:
        if table in (1, 3):
            published = {1: TABLE_1, 3: TABLE_3}[table]
            print_levels(
                f"Table {table} (paper: EfficientNet-B4)", levels(published), published
            )
        elif table in (2, 7):
            published = {2: TABLE_2, 7: TABLE_7}[table]
            columns = {
                backbone: levels(["mahalanobis"], backbone)["mahalanobis"]
                for backbone in arguments.backbones or published
            }
            print_levels(f"Table {table}, Mahalanobis distance", columns, published)
        elif table == 4:
            by_method = {
                method: collect(
                    lambda c, m=method: protocol.working_points(
                        c, arguments.backbone, m, arguments.level
                    ),
                    NAMES[method],
                )
                for method in TABLE_4
            }
            print_working_points(
                f"Table 4, level {arguments.level}, {arguments.augmented_epochs} "
                "epochs (paper: EfficientNet-B0, level 7, 100 epochs)",
                by_method,
            )
        elif table == 5:
            print("\nTable 5, sums over all levels (paper: EfficientNet-B4)")
            print("AUROC in percent: mean SEM (paper's mean SEM)")
            for method, by_category in sums().items():
                text = show(summarize(by_category), TABLE_5[method])
                print(f"{NAMES[method]:24}{text}")
        else:
            print_categories("Table 8 (paper: EfficientNet-B4)", sums())
    return 0


def main(argv=None):
    """Run the command line; return the exit status."""
    parser = make_parser(__doc__, "--quiet")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", metavar="ROOT", help="data set in MVTec AD's layout")
    source.add_argument("--solar-cells", action="store_true", help="elpv-dataset")
    tables = (1, 2, 3, 4, 5, 7, 8)
    parser.add_argument("--table", type=int, nargs="+", choices=tables, default=tables)
    parser.add_argument("--backbone", default="efficientnet_b4")
    parser.add_argument("--backbones", nargs="+", help="columns of tables 2 and 7")
    parser.add_argument("--interpolation", help="default: the network's own")
    parser.add_argument("--level", type=int, default=7, help="of table 4")
    parser.add_argument(
        "--augmented-epochs",
        type=int,
        default=1,
        help="of table 4; the paper has 100, and 1 is no augmentation",
    )
    parser.add_argument(
        "--trained", action="store_true", help="also methods that train a network"
    )
    parser.add_argument("--training-epochs", type=int, default=100)
    parser.add_argument("--image-size", type=int, default=224, help="of --trained")
    parser.add_argument(
        "--min-area", type=int, default=1, help="least pixels of an anomaly, MSE AE CCA"
    )
    parser.add_argument(
        "--work", default="paper-work", help="folder of features and figures"
    )
    # The tables set thresholds of their own, by the paper's equation 8.
    warnings.simplefilter("ignore", FalseAlarmRateWarning)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
