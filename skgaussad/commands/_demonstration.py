"""The demonstration: defective solar cells found from functional ones alone."""

import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, train_test_split

from .._make_detector import make_detector
from .._utils.validation import check_real
from ..datasets import load_solar_cells
from ..detectors import MahalanobisDetector
from ..exceptions import FalseAlarmRateWarning
from ..features import DeepFeatureTransformer
from ..inspection import (
    AnomalyMapDisplay,
    ScoreDistributionDisplay,
    WorkingPointDisplay,
    check_matplotlib,
)
from ..reporting import write_report

# The paper's three distances (table I) and the covariances they come from.
_DISTANCES = {
    "L2": "isotropic",
    "SED": "diagonal",
    "Mahalanobis": "ledoit_wolf",
}
# The paper's best level (tables I and II), chosen without these defects.
_LEVEL = 7
_N_FOLDS = 5
_N_SHOWN = 6
_N_BINS = 40


def run_demo(*, cells, fpr, output, report, verbose):
    """Fit on functional solar cells, and score held-out and defective ones.

    Parameters
    ----------
    cells : {"mono", "poly"}
        Type of solar cell.
    fpr : float
        Acceptable false-positive rate, in (0, 1).
    output : str or path-like
        Where the picture goes, a PNG file.
    report : str, path-like or None
        Where the report goes, an HTML file; None for none.
    verbose : bool
        Whether to show a progress bar.
    """
    check_real("fpr", fpr, 0, 1)
    check_matplotlib("The demo", extra="demo")
    for option, file in (("--output", output), ("--report", report)):
        if file is not None and not Path(file).parent.is_dir():
            raise FileNotFoundError(
                f"{option}: there is no folder {str(Path(file).parent)!r} to write to; "
                "create it or name another."
            )
    started = time.perf_counter()
    data = load_solar_cells(cells)
    normal, anomalous = (np.flatnonzero(data.labels == label) for label in (1, -1))
    train, held_out = train_test_split(normal, test_size=0.2, random_state=0)
    test = np.concatenate([held_out, anomalous])
    y_test = data.labels[test]
    print(
        f"Solar cells ({cells}): fit on {len(train)} functional, score "
        f"{len(held_out)} other functional and {len(anomalous)} defective ones."
    )

    _print_levels(data.paths, train, test, y_test, fpr=fpr, verbose=verbose)
    detector = make_detector(fpr=fpr, verbose=verbose)
    features = detector["features"].fit_transform(data.paths)
    detector["detector"].fit(features.iloc[train])
    scores = detector["detector"].score_samples(features.iloc[test])
    auroc = roc_auc_score(y_test == 1, scores)
    transformer = detector["features"]
    (level,) = transformer.levels_
    method = f"cells of level {level}"
    print(f"\nThe default detector, {method}: AUROC {100 * auroc:.1f} %")
    _print_rates({method: scores >= detector.offset_}, y_test)
    print(
        f"{100 * fpr:.1f} % of false alarms asked for. With {len(held_out)} held-out "
        f"functional cells, one is {100 / len(held_out):.1f} %."
    )
    _print_new_modules(detector["detector"], features, data)
    figure = _draw(
        detector,
        data.paths[test],
        y_test,
        scores,
        fpr=fpr,
        title=f"Solar cells ({cells}), {transformer.backbone}, {method}: AUROC "
        f"{100 * auroc:.1f} %",
    )
    figure.savefig(output, dpi=100)
    print(f"\nPicture: {output}")
    if report is not None:
        title = f"Solar cells ({cells}), fitted on {len(train)} functional ones"
        write_report(detector, data.paths[test], report, y=y_test, title=title)
        print(f"Report: {report}")
    print(f"Done in {time.perf_counter() - started:.0f} s.")


def _print_levels(paths, train, test, y_test, *, fpr, verbose):
    """Print the paper's table of levels, and its working point."""
    transformer = DeepFeatureTransformer(levels="all", verbose=verbose)
    features = transformer.fit_transform(paths)
    print(
        "\nThe paper's distances of pooled features: AUROC in percent, by level (100: "
        f"perfect, 50: chance)\n{'level':>5}"
        + "".join(f"{name:>13}" for name in _DISTANCES)
    )
    for level, columns in transformer.level_slices_.items():
        aurocs = []
        for covariance in _DISTANCES.values():
            detector = MahalanobisDetector(covariance).fit(features[train, columns])
            scores = detector.score_samples(features[test, columns])
            aurocs.append(roc_auc_score(y_test == 1, scores))
        print(f"{level:5d}" + "".join(f"{100 * auroc:13.1f}" for auroc in aurocs))
    columns = transformer.level_slices_[_LEVEL]
    is_normal = {}
    for threshold in ("quantile", "chi2"):
        detector = MahalanobisDetector(threshold=threshold, fpr=fpr)
        with warnings.catch_warnings():
            if threshold == "chi2":
                # The table shows that the distribution does not hold.
                warnings.simplefilter("ignore", FalseAlarmRateWarning)
            detector.fit(features[train, columns])
        predicted = detector.predict(features[test, columns])
        is_normal[f"level {_LEVEL}, {threshold}"] = predicted == 1
    _print_rates(is_normal, y_test)
    print(
        "The chi-square distribution holds for Gaussian features and many more images "
        "than features."
    )


def _print_new_modules(detector, features, data):
    """Print what becomes of the default detector in modules that it has not seen."""
    n_modules = len(np.unique(data.modules))
    is_normal = {"left out by cell": [], "left out by module": []}
    tested, aurocs = [], []
    splitter = GroupKFold(min(_N_FOLDS, n_modules))
    for train, test in splitter.split(features, groups=data.modules):
        train = train[data.labels[train] == 1]
        for name, groups in zip(is_normal, (None, data.modules[train]), strict=True):
            with warnings.catch_warnings():
                # Of the order, and of too few modules: the table shows what it does.
                warnings.simplefilter("ignore", FalseAlarmRateWarning)
                fitted = clone(detector).fit(features.iloc[train], groups=groups)
            scores = fitted.score_samples(features.iloc[test])
            is_normal[name].append(scores >= fitted.offset_)
        tested.append(test)
        if len(set(data.labels[test])) > 1:
            aurocs.append(roc_auc_score(data.labels[test], scores))
    print(
        "\nCells of one module are alike. In modules that were not in the fit, by "
        f"{len(tested)} folds of the {n_modules} modules: AUROC "
        f"{100 * np.mean(aurocs):.1f} %"
    )
    tested = np.concatenate(tested)
    _print_rates(
        {name: np.concatenate(passed) for name, passed in is_normal.items()},
        data.labels[tested],
    )
    print(
        "So say of which lot your images are (skgaussad fit --lots), for a threshold "
        "that is for new lots. It misses defects where lots differ: add a few good "
        "images of each new lot (skgaussad update)."
    )


def _print_rates(is_normal, y_test):
    """Print false alarms and defects found of some detectors."""
    print(f"{'':>18}{'false alarms':>16}{'defects found':>16}")
    for name, passed in is_normal.items():
        achieved, found = (1 - passed[y_test == label].mean() for label in (1, -1))
        print(f"{name:>18}{100 * achieved:14.1f} %{100 * found:14.1f} %")


def _draw(detector, X, y_true, y_score, *, fpr, title):
    """Draw the distances, the ROC, and the most and least anomalous cells with maps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 14), layout="constrained")
    figure.suptitle(title, fontsize=14)
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.8))
    threshold = {"offset": detector.offset_, "fpr": fpr}
    distribution = ScoreDistributionDisplay.from_predictions(
        y_true,
        y_score,
        bins=np.geomspace(-y_score.max(), -y_score.min(), _N_BINS),
        ax=figure.add_subplot(grid[0, 0]),
        **threshold,
    )
    distribution.ax_.set_xscale("log")
    distribution.ax_.xaxis.set_major_formatter("{x:g}")
    WorkingPointDisplay.from_predictions(
        y_true, y_score, ax=figure.add_subplot(grid[0, 1]), **threshold
    )
    order = np.argsort(y_score)
    shown = [*order[:_N_SHOWN], *order[-_N_SHOWN:]]
    names = {1: "functional", -1: "defective"}
    AnomalyMapDisplay.from_estimator(
        detector,
        X[shown],
        titles=[f"{-y_score[i]:.1f}, {names[y_true[i]]}" for i in shown],
        n_columns=_N_SHOWN,
        ax=figure.add_subplot(grid[1, :]),
    )
    return figure
