"""``skgaussad evaluate``: how often a model is right on labelled images."""

from ._arguments import add_command, add_model, add_quiet

_EXAMPLES = """
  # photos/good, photos/scratch, photos/dent
  skgaussad evaluate model.skgaussad photos
  # a category in the layout of MVTec AD
  skgaussad evaluate model.skgaussad mvtec/bottle --json
"""
_CONFIDENCE = 0.95


def add_parser(commands):
    """Add the command to those of the command line."""
    parser = add_command(
        commands,
        "evaluate",
        run,
        summary="tell how often a model is right on labelled images",
        description="Score labelled images that were not in the fit; print the AUROC, "
        "the share of false alarms and that of defects found, by type too, with "
        f"confidence intervals of {100 * _CONFIDENCE:g} percent.",
        examples=_EXAMPLES,
    )
    add_model(parser)
    parser.add_argument(
        "folder",
        metavar="DIR",
        help="folder with a folder good and one for each type of defect, or in the "
        "layout of MVTec AD, with these in its folder test",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_quiet(parser)


def run(arguments):
    """Run the command."""
    import json

    from .._utils.progress import progress_bar
    from ._inputs import list_labelled
    from ._scoring import Scorer

    paths, types = list_labelled(arguments.folder)
    scorer = Scorer(arguments.model)
    distances = []
    with progress_bar("scored", not arguments.quiet, total=len(paths)) as bar:
        for results in scorer.stream(paths, on_error="stop"):
            distances += [result.distance for result in results]
            bar.update(len(results))
    figures = _evaluate(distances, types, scorer)
    print(json.dumps(figures) if arguments.json else _as_table(figures))


def _evaluate(distances, types, scorer):
    """Compute the figures.

    Parameters
    ----------
    distances : list of float
    types : list of str
        ``"good"``, or the type of defect.
    scorer : Scorer

    Returns
    -------
    figures : dict
        Ready for JSON. All shares and the AUROC in [0, 1]; None where there are no
        images for them.
    """
    import numpy as np
    from sklearn.metrics import roc_auc_score

    from ..metrics import roc_auc_interval

    distances, types = np.array(distances), np.array(types)
    flagged, is_good = distances > scorer.threshold, types == "good"
    auroc = None
    if not is_good.all():
        y = np.where(is_good, 1, -1)
        low, high = roc_auc_interval(y, -distances, confidence=_CONFIDENCE)
        value = float(roc_auc_score(is_good, -distances))
        auroc = {"value": value, "low": low, "high": high}
    return {
        "n_images": len(types),
        "threshold": scorer.threshold,
        "fpr": scorer.fpr,
        "confidence": _CONFIDENCE,
        "auroc": auroc,
        "false_alarms": _share(flagged[is_good]),
        "found": _share(flagged[~is_good]),
        "found_by_type": {
            str(name): _share(flagged[types == name])
            for name in np.unique(types[~is_good])
        },
    }


def _share(flagged):
    from ..calibration import RateEstimate

    if not len(flagged):
        return None
    # The target plays no part in the interval.
    estimate = RateEstimate(int(flagged.sum()), len(flagged), 0.5, _CONFIDENCE)
    return {
        "n_flagged": estimate.n_flagged,
        "n_images": estimate.n_samples,
        "rate": estimate.rate,
        "low": estimate.low,
        "high": estimate.high,
    }


def _as_table(figures):
    asked = "" if figures["fpr"] is None else f"  {100 * figures['fpr']:g} asked for"
    rows = [("AUROC", figures["auroc"], "")]
    rows += [("false alarms", figures["false_alarms"], asked)]
    rows += [("defects found", figures["found"], "")]
    rows += [(f"  {name}", found, "") for name, found in _by_type(figures)]
    width = max(len(name) for name, _, _ in rows)
    lines = [
        f"{figures['n_images']} images, threshold {figures['threshold']:.4g}",
        f"{'in percent':<{width}}  value  {100 * _CONFIDENCE:g} % interval  images",
    ]
    for name, figure, note in rows:
        if figure is not None:
            value = figure.get("value", figure.get("rate"))
            low, high = 100 * figure["low"], 100 * figure["high"]
            counts = ""
            if "n_images" in figure:
                counts = f"{figure['n_flagged']} of {figure['n_images']}"
            line = f"{name:<{width}}  {100 * value:5.1f}  {low:5.1f} to {high:5.1f}"
            lines.append(f"{line}  {counts:>8}{note}".rstrip())
    return "\n".join(lines)


def _by_type(figures):
    return figures["found_by_type"].items()
