"""How often a detector is right, with intervals and in words."""

import numpy as np
from sklearn.metrics import roc_auc_score

from ..calibration import RateEstimate
from ..metrics import roc_auc_interval
from ._text import asked, percent


def rate_rows(judged, fpr, confidence):
    """Rates at the threshold, and the AUROC.

    Parameters
    ----------
    judged : Judged
    fpr : float or None
        The false-positive rate asked for.
    confidence : float

    Returns
    -------
    rows : list of dict
        With ``"name"``, ``"value"``, ``"counts"``, ``"interval"`` and ``"meaning"``,
        all str.
    """
    if judged.y is None:
        return [_share("Flagged", judged.flagged, confidence, _of_unlabelled(fpr))]
    rows = []
    is_good = judged.y == 1
    if is_good.any():
        estimate = _estimate(judged.flagged[is_good], confidence, fpr)
        meaning = "Good images that were flagged."
        if fpr is not None:
            meaning += {
                "around": " The {} asked for lie within the interval.",
                "above": " More than the {} asked for: these images differ from those "
                "of the fit.",
                "below": " Less than the {} asked for: these images are more even than "
                "those of the fit.",
            }[estimate.comparison].format(asked(fpr))
        rows.append(_row("False alarms", estimate, meaning))
    if not is_good.all():
        found = judged.flagged[~is_good]
        rows.append(
            _share("Defects found", found, confidence, "Anomalous images flagged.")
        )
        rows += _by_type(judged, confidence)
    if is_good.any() and not is_good.all():
        scores = -judged.distances
        low, high = roc_auc_interval(judged.y, scores, confidence=confidence)
        rows.append(
            {
                "name": "AUROC",
                "value": percent(roc_auc_score(is_good, scores)),
                "counts": "",
                "interval": f"{100 * low:.1f} to {percent(high)}",
                "meaning": "How often an anomalous image has a larger distance than a "
                "good one, whatever the threshold: 100 % is perfect, 50 % is chance.",
            }
        )
    return rows


def _of_unlabelled(fpr):
    meaning = (
        "Images above the threshold. Without labels, nothing tells defects from false "
        "alarms"
    )
    if fpr is None:
        return f"{meaning}."
    return f"{meaning}; if all were good, about {asked(fpr)} would be flagged."


def _by_type(judged, confidence):
    if judged.defect_types is None:
        return []
    is_defect = judged.y == -1
    return [
        _share(
            f"Found: {kind}",
            judged.flagged[is_defect & (judged.defect_types == kind)],
            confidence,
            f"Images of type {kind} flagged.",
        )
        for kind in np.unique(judged.defect_types[is_defect])
    ]


def _share(name, flagged, confidence, meaning):
    return _row(name, _estimate(flagged, confidence), meaning)


def _estimate(flagged, confidence, target=None):
    # Without a target there is nothing to compare with, which the rows do not.
    return RateEstimate(
        int(flagged.sum()), len(flagged), 0.5 if target is None else target, confidence
    )


def _row(name, estimate, meaning):
    return {
        "name": name,
        "value": percent(estimate.rate),
        "counts": f"{estimate.n_flagged} of {estimate.n_samples}",
        "interval": f"{100 * estimate.low:.1f} to {percent(estimate.high)}",
        "meaning": meaning,
    }
