"""``skgaussad evaluate``: error rates and AUROC on labelled images."""

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
        summary="measure error rates and AUROC on labelled images",
        description="Score labelled images that were not in the fit; print the AUROC, "
        "the rate of false alarms and that of defects found, by type too, with "
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
    from ..detectors import count_learned, learned_files, say_learned
    from ..persistence import Scorer
    from ._inputs import list_labelled
    from ._streams import print_message

    paths, types = list_labelled(arguments.folder)
    scorer = Scorer(arguments.model)
    distances = []
    with progress_bar("scored", not arguments.quiet, total=len(paths)) as bar:
        for _, rows in scorer.stream(paths, on_error="raise"):
            distances += [row["distance"] for row in rows]
            bar.update(len(rows))
    n_learned = count_learned(paths, learned_files(scorer.model))
    if n_learned:
        print_message(f"warning: {say_learned(n_learned, len(paths))}")
    figures = _evaluate(distances, types, scorer)
    print(json.dumps(figures) if arguments.json else _as_table(figures))


def _evaluate(distances, types, scorer):
    """Return the figures, ready for JSON: fractions and the AUROC in [0, 1]."""
    import numpy as np

    from ..reporting import evaluate

    types = np.array(types)
    figures = evaluate(
        np.where(types == "good", 1, -1),
        -np.array(distances),
        -scorer.threshold,
        defect_types=types,
        fpr=scorer.fpr,
        confidence=_CONFIDENCE,
    )
    auroc = None
    if figures.roc_auc is not None:
        low, high = figures.roc_auc_interval
        auroc = {"value": figures.roc_auc, "low": low, "high": high}
    return {
        "n_images": len(types),
        "threshold": scorer.threshold,
        "fpr": scorer.fpr,
        "confidence": _CONFIDENCE,
        "auroc": auroc,
        "false_alarms": _as_dict(figures.false_alarms),
        "found": _as_dict(figures.found),
        "found_by_type": {
            name: _as_dict(estimate) for name, estimate in figures.found_by_type.items()
        },
    }


def _as_dict(estimate):
    if estimate is None:
        return None
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
    found_by_type = figures["found_by_type"].items()
    rows += [(f"  {name}", found, "") for name, found in found_by_type]
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
