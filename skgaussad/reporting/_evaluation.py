"""How often a threshold is right on labelled images."""

from dataclasses import dataclass

from sklearn.metrics import roc_auc_score

from ..calibration import RateEstimate, estimate_rate, estimate_rates
from ..metrics import roc_auc_interval


@dataclass(frozen=True)
class Evaluation:
    """Rates on labelled images; None where there are no images for them.

    Attributes
    ----------
    false_alarms : RateEstimate or None
        Normal images flagged, against the rate asked for.
    found : RateEstimate or None
        Anomalous images flagged.
    found_by_type : dict of {str: RateEstimate}
        The same, by type of defect; empty where types are not known.
    roc_auc : float or None
        In [0, 1].
    roc_auc_interval : tuple of (float, float) or None
    """

    false_alarms: RateEstimate | None
    found: RateEstimate | None
    found_by_type: dict
    roc_auc: float | None
    roc_auc_interval: tuple | None


def evaluate(y_true, y_score, offset, *, defect_types=None, fpr=None, confidence=0.95):
    """Compare labels with scores, of which those below `offset` are flagged."""
    # As predict does, also where either is NaN.
    is_normal, is_flagged = y_true == 1, ~(y_score - offset >= 0)
    found_by_type, area, interval = {}, None, None
    if defect_types is not None:
        types = defect_types[~is_normal]
        found_by_type = estimate_rates(
            is_flagged[~is_normal], types, confidence=confidence
        )
    if is_normal.any() and not is_normal.all():
        area = float(roc_auc_score(is_normal, y_score))
        interval = roc_auc_interval(y_true, y_score, confidence=confidence)
    return Evaluation(
        estimate_rate(is_flagged[is_normal], fpr, confidence),
        estimate_rate(is_flagged[~is_normal], confidence=confidence),
        found_by_type,
        area,
        interval,
    )
