"""The demonstration: defective solar cells found from functional ones alone."""

import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

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
_THRESHOLDS = ("quantile", "chi2")
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

    transformer = DeepFeatureTransformer(levels="all", verbose=verbose)
    features = transformer.fit_transform(data.paths)
    print(
        f"Features of {len(data.paths)} images from {transformer.backbone} in "
        f"{time.perf_counter() - started:.0f} s.\n\n"
        "AUROC in percent, by level and distance (100: perfect, 50: chance)\n"
        f"{'level':>5}" + "".join(f"{name:>13}" for name in _DISTANCES)
    )
    aurocs = {}
    for level, columns in transformer.level_slices_.items():
        for name, covariance in _DISTANCES.items():
            detector = MahalanobisDetector(covariance).fit(features[train, columns])
            scores = detector.score_samples(features[test, columns])
            aurocs[level, name] = roc_auc_score(y_test == 1, scores)
        row = "".join(f"{100 * aurocs[level, name]:13.1f}" for name in _DISTANCES)
        print(f"{level:5d}{row}")

    columns = transformer.level_slices_[_LEVEL]
    print(
        f"\nWorking point of level {_LEVEL} (the paper's best), "
        f"{100 * fpr:.1f} % of false alarms asked for\n"
        f"{'threshold':>15}{'false alarms':>16}{'defects found':>16}"
    )
    detectors = {}
    for threshold in _THRESHOLDS:
        detector = MahalanobisDetector(threshold=threshold, fpr=fpr)
        with warnings.catch_warnings():
            if threshold == "chi2":
                # The table shows that the distribution does not hold.
                warnings.simplefilter("ignore", FalseAlarmRateWarning)
            detectors[threshold] = detector.fit(features[train, columns])
        flagged = detector.predict(features[test, columns]) == -1
        achieved, found = (flagged[y_test == label].mean() for label in (1, -1))
        print(f"{threshold:>15}{100 * achieved:14.1f} %{100 * found:14.1f} %")
    print(
        f"With {len(held_out)} held-out functional cells, one is "
        f"{100 / len(held_out):.1f} %. The chi-square distribution\nholds for "
        "Gaussian features and many more images than features."
    )
    pipe = Pipeline(
        [
            ("features", DeepFeatureTransformer(levels=_LEVEL, verbose=verbose)),
            ("detector", detectors["quantile"]),
        ]
    )
    # It learns nothing from images, and the detector is fitted.
    pipe["features"].fit(data.paths[train])
    figure = _draw(
        pipe,
        data.paths[test],
        y_test,
        pipe["detector"].score_samples(features[test, columns]),
        fpr=fpr,
        title=f"Solar cells ({cells}), {transformer.backbone}, level {_LEVEL}: AUROC "
        f"{100 * aurocs[_LEVEL, 'Mahalanobis']:.1f} %",
    )
    figure.savefig(output, dpi=100)
    print(f"\nPicture: {output}")
    if report is not None:
        title = f"Solar cells ({cells}), fitted on {len(train)} functional ones"
        write_report(pipe, data.paths[test], report, y=y_test, title=title)
        print(f"Report: {report}")
    print(f"Done in {time.perf_counter() - started:.0f} s.")


def _draw(pipe, X, y_true, y_score, *, fpr, title):
    """Draw the distances, the ROC, and the most and least anomalous cells with maps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 14), layout="constrained")
    figure.suptitle(title, fontsize=14)
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.8))
    threshold = {"offset": pipe["detector"].offset_, "fpr": fpr}
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
        pipe,
        X[shown],
        titles=[f"{-y_score[i]:.1f}, {names[y_true[i]]}" for i in shown],
        n_columns=_N_SHOWN,
        ax=figure.add_subplot(grid[1, :]),
    )
    return figure
