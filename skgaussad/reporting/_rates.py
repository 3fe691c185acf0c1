"""How often a detector is right, with intervals and in words."""

import numpy as np

from ..calibration import estimate_rate, estimate_rates, required_units
from ..detectors import find_held_out
from ._calibration_report import describe_rate, of_each_group
from ._evaluation import evaluate
from ._text import asked, percent

# Beside the one in use.
_RATES = (0.01, 0.02, 0.05, 0.1)
_COMPARISONS = {
    "around": " The {} asked for lie within the interval.",
    "above": " More than the {} asked for: these images differ from those of the fit.",
    "below": " Less than the {} asked for: these images vary less than those of the "
    "fit.",
}


def evaluate_images(scored, fpr, confidence):
    """Return the `Evaluation` of images; None without labels."""
    if scored.y is None:
        return None
    return evaluate(
        scored.y,
        -scored.distances,
        -scored.threshold,
        defect_types=scored.defect_types,
        fpr=fpr,
        confidence=confidence,
    )


def rate_rows(scored, figures, fpr, confidence):
    """Rates at the threshold, and the AUROC.

    Parameters
    ----------
    scored : ScoredImages
    figures : Evaluation or None
        Of these.
    fpr : float or None
        The false-positive rate asked for.
    confidence : float

    Returns
    -------
    rows : list of dict
        With ``"name"``, ``"value"``, ``"counts"``, ``"interval"`` and ``"meaning"``,
        all str.
    """
    if figures is None:
        estimate = estimate_rate(scored.flagged, confidence=confidence)
        return [_row("Flagged", estimate, _of_unlabelled(fpr))]
    rows = []
    if figures.false_alarms is not None:
        meaning = "Normal images that were flagged." + _compare(figures.false_alarms)
        rows.append(_row("False alarms", figures.false_alarms, meaning))
    if figures.found is not None:
        rows.append(_row("Defects found", figures.found, "Anomalous images flagged."))
    rows += [
        _row(f"Found: {name}", estimate, f"Images of type {name} flagged.")
        for name, estimate in figures.found_by_type.items()
    ]
    if figures.roc_auc is not None:
        low, high = figures.roc_auc_interval
        rows.append(
            {
                "name": "AUROC",
                "value": percent(figures.roc_auc),
                "counts": "",
                "interval": f"{100 * low:.1f} to {percent(high)}",
                "meaning": "How often an anomalous image has a larger distance than a "
                "normal one, whatever the threshold: 100 % is perfect, 50 % is chance.",
            }
        )
    return rows


def verdict(figures):
    """Say what an acceptance test finds.

    Parameters
    ----------
    figures : Evaluation or None

    Returns
    -------
    sentences : list of str
    """
    if figures is None:
        return [
            "Without labels, nothing tells defects from false alarms: inspect the "
            "images before you sign."
        ]
    sentences = []
    found, alarms = figures.found, figures.false_alarms
    if found is not None:
        sentences.append(
            f"{found.n_flagged} of {found.n_samples} defects "
            f"{'was' if found.n_flagged == 1 else 'were'} found, "
            f"{found.n_samples - found.n_flagged} missed: {percent(found.rate)} "
            f"({asked(found.confidence)} interval {100 * found.low:.1f} to "
            f"{percent(found.high)})."
        )
    if alarms is not None and alarms.target is not None:
        in_words = describe_rate(alarms).replace(" %", "\N{NO-BREAK SPACE}%")
        sentences.append(in_words)
    return sentences


def lot_rows(scored, groups, fpr, confidence):
    """Count what is flagged in each lot.

    Parameters
    ----------
    scored : ScoredImages
    groups : ndarray of shape (n_images,)
        The lot of each image.
    fpr : float or None
        The false-positive rate asked for.
    confidence : float
        Of the intervals of all lots together.

    Returns
    -------
    rows : list of dict
        With ``"lot"``; ``"alarms"``, what `rate_rows` has of the normal images of the
        lot, or of all its images without labels (None where there are none); and
        ``"found"``, the count of its defects found (empty where there are none).
    """
    y = np.ones(len(groups)) if scored.y is None else scored.y
    of_each = of_each_group(confidence, len(set(groups[y == 1].tolist())))
    target = None if scored.y is None else fpr
    estimates = estimate_rates(scored.flagged[y == 1], groups[y == 1], target, of_each)
    rows = []
    for lot in np.unique(groups).tolist():
        alarms = estimates.get(lot)
        if alarms is not None:
            alarms = _row("", alarms, _compare(alarms).strip())
        is_bad = (groups == lot) & (y == -1)
        found = _of(scored.flagged[is_bad]) if is_bad.any() else ""
        rows.append({"lot": str(lot), "alarms": alarms, "found": found})
    return rows


def other_rate_rows(estimator, scored):
    """Say what would be flagged at some false-positive rates.

    Parameters
    ----------
    estimator : Pipeline or detector
    scored : ScoredImages

    Returns
    -------
    rows : list of dict
        With ``"rate"`` and ``"threshold"`` in words, and ``"flagged"``, a dict of what
        is flagged; empty without held-out distances.
    """
    held_out = find_held_out(estimator)
    if held_out is None:
        return []
    return [_at(rate, held_out, scored) for rate in _RATES]


def _at(rate, held_out, scored):
    """Make a row of what would be flagged at a rate."""
    parts = {"Flagged": np.full(len(scored.distances), True)}
    if scored.y is not None:
        parts = {"False alarms": scored.y == 1, "Defects found": scored.y == -1}
    parts = {name: rows for name, rows in parts.items() if rows.any()}
    row = {"rate": asked(rate)}
    if not held_out.supports(rate):
        unit = "training images" if held_out.groups is None else "lots"
        needed = required_units(rate, None, held_out.groups is not None)
        nothing = dict.fromkeys(parts, "")
        return row | {"threshold": f"takes {needed} {unit}", "flagged": nothing}
    threshold = held_out.threshold(rate)
    flagged = scored.distances > threshold
    counts = {name: _of(flagged[rows]) for name, rows in parts.items()}
    return row | {"threshold": f"{threshold:.4g}", "flagged": counts}


def _of(flagged):
    return f"{np.count_nonzero(flagged)} of {len(flagged)}"


def _compare(estimate):
    """Say how a rate compares with the one asked for, if one was."""
    if estimate.target is None:
        return ""
    return _COMPARISONS[estimate.comparison].format(asked(estimate.target))


def _of_unlabelled(fpr):
    meaning = (
        "Images above the threshold. Without labels, nothing tells defects from false "
        "alarms"
    )
    if fpr is None:
        return f"{meaning}."
    return f"{meaning}; if all were normal, about {asked(fpr)} would be flagged."


def _row(name, estimate, meaning):
    return {
        "name": name,
        "value": percent(estimate.rate),
        "counts": f"{estimate.n_flagged} of {estimate.n_samples}",
        "interval": f"{100 * estimate.low:.1f} to {percent(estimate.high)}",
        "meaning": meaning,
    }
