"""The demonstration: defective solar cells found from functional ones alone."""

import time
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

from .._utils.validation import check_real
from ..datasets import load_solar_cells
from ..detectors import MahalanobisDetector
from ..exceptions import FalseAlarmRateWarning
from ..features import DeepFeatureTransformer
from ..inspection import check_matplotlib
from ..reporting import write_report

# The paper's three distances (table I) and the covariances they come from.
_DISTANCES = {
    "L2": "isotropic",
    "SED": "diagonal",
    "Mahalanobis": "ledoit_wolf",
}
# The paper's best level (tables I and II), so chosen without a look at the defects.
_LEVEL = 7
_THRESHOLDS = ("quantile", "chi2")
_N_SHOWN = 6


def run_demo(*, cells, fpr, output, report, verbose):
    """Fit on functional solar cells, score held-out and defective ones, report.

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
    working_points, detectors = {}, {}
    for threshold in _THRESHOLDS:
        detector = MahalanobisDetector(threshold=threshold, fpr=fpr)
        with warnings.catch_warnings():
            if threshold == "chi2":
                # That the law does not hold is what the table shows.
                warnings.simplefilter("ignore", FalseAlarmRateWarning)
            detectors[threshold] = detector.fit(features[train, columns])
        flagged = detector.predict(features[test, columns]) == -1
        achieved, found = (flagged[y_test == label].mean() for label in (1, -1))
        working_points[threshold] = (-detector.offset_, achieved, found)
        print(f"{threshold:>15}{100 * achieved:14.1f} %{100 * found:14.1f} %")
    print(
        f"With {len(held_out)} held-out functional cells, one is "
        f"{100 / len(held_out):.1f} %. The chi-square law holds for Gaussian\nfeatures "
        "and many more images than features."
    )
    threshold, achieved, found = working_points["quantile"]
    figure = _draw(
        title=f"Solar cells ({cells}), {transformer.backbone}, level {_LEVEL}: AUROC "
        f"{100 * aurocs[_LEVEL, 'Mahalanobis']:.1f} %",
        distances=-detector.score_samples(features[test, columns]),
        y=y_test,
        threshold=threshold,
        rates=(achieved, found),
        paths=data.paths[test],
    )
    figure.savefig(output, dpi=100)
    print(f"\nPicture: {output}")
    if report is not None:
        pipe = Pipeline(
            [
                ("features", DeepFeatureTransformer(levels=_LEVEL, verbose=verbose)),
                ("detector", detectors["quantile"]),
            ]
        )
        # It learns nothing from images, and the detector is fitted.
        pipe[0].fit(data.paths[train])
        title = f"Solar cells ({cells}): {len(train)} functional ones to learn from"
        write_report(pipe, data.paths[test], report, y=y_test, title=title)
        print(f"Report: {report}")
    print(f"Done in {time.perf_counter() - started:.0f} s.")


def _draw(*, title, distances, y, threshold, rates, paths):
    """Draw the score histogram, the ROC and the extreme images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 10), layout="constrained")
    figure.suptitle(title, fontsize=14)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.1))
    histogram, roc = upper.subplots(1, 2)

    colors = {1: "tab:blue", -1: "tab:red"}
    names = {1: "functional", -1: "defective"}
    bins = np.geomspace(distances.min(), distances.max(), 40)
    for label in (1, -1):
        group = distances[y == label]
        histogram.hist(
            group,
            bins,
            weights=np.full(len(group), 100 / len(group)),
            alpha=0.6,
            color=colors[label],
            label=f"{names[label]} ({len(group)})",
        )
    histogram.axvline(threshold, color="black", linestyle="--", label="threshold")
    histogram.set(
        xscale="log",
        xlabel="Mahalanobis distance (log scale)",
        ylabel="share of the cells of each kind, %",
        title="Distances of cells not seen in the fit",
    )
    for axis_part in (
        histogram.xaxis.set_major_formatter,
        histogram.xaxis.set_minor_formatter,
    ):
        axis_part("{x:g}")
    histogram.legend()

    fpr, tpr, _ = roc_curve(y == -1, distances)
    roc.plot(fpr, tpr, color="tab:green")
    roc.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    roc.plot(*rates, "o", color="black", label="working point")
    roc.set(
        xlabel="false alarms: share of functional cells flagged",
        ylabel="found: share of defective cells flagged",
        title="ROC",
        aspect="equal",
    )
    roc.legend(loc="lower right")

    order = np.argsort(distances)
    rows = {
        "most anomalous": order[::-1][:_N_SHOWN],
        "least anomalous": order[:_N_SHOWN],
    }
    for band, (heading, shown) in zip(
        lower.subfigures(2, 1), rows.items(), strict=True
    ):
        band.suptitle(f"The {heading} cells, with their distance")
        for axes, index in zip(band.subplots(1, _N_SHOWN), shown, strict=True):
            with Image.open(paths[index]) as image:
                axes.imshow(image, cmap="gray", vmin=0, vmax=255)
            axes.set_title(
                f"{distances[index]:.1f}  {names[y[index]]}",
                color=colors[y[index]],
                fontsize=10,
            )
            axes.set_axis_off()
    return figure
