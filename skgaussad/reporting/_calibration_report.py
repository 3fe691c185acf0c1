"""Achieved and target false-positive rate on normal images that were not in the fit."""

import textwrap
from dataclasses import dataclass, field

from .._utils.labels import number_labels
from .._utils.validation import check_real
from ..calibration import (
    RateEstimate,
    estimate_rate,
    estimate_rates,
    required_samples,
)
from ..detectors import n_calibration_units, offers, send_to_part

_LINE_WIDTH = 80
# Thresholds from a parametric distribution, not from held-out distances.
_PARAMETRIC = ("chi2", "f")
_OTHER_TARGETS = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class CalibrationReport:
    """Result of :func:`calibration_report`.

    ``print(report)`` shows it as a table and a sentence.

    Parameters
    ----------
    overall : RateEstimate
        All samples, against the detector's `fpr`. Its attributes are ``n_flagged``,
        ``n_samples``, ``target``, ``rate``, the ends ``low`` and ``high`` of the
        interval, its ``confidence``, and ``comparison``: whether the interval lies
        ``"above"``, ``"below"`` or ``"around"`` the target.

    groups : dict of {label: RateEstimate}
        The same for the samples of each group, sorted by label; empty where none were
        given. Their intervals hold jointly with the confidence of the report
        (Bonferroni): each one of m has the confidence 1 - (1 - confidence) / m and is
        wider for it.

    other_targets : tuple of RateEstimate
        The same for all samples against other false-positive rates, by their p-values;
        empty where the detector has none.

    advice : str
        The likely cause and remedy where the rate is above the target, else empty.

    See Also
    --------
    calibration_report : Makes the report.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.reporting import calibration_report
    >>> rng = np.random.default_rng(0)
    >>> detector = MahalanobisDetector(fpr=0.05).fit(rng.normal(size=(30, 2)))
    >>> report = calibration_report(detector, 9 * np.eye(2))
    >>> print(report.sentence)
    2 of 2 normal images were flagged: 100.0 % (95 % interval 15.8 to 100.0 %), more
    than the 5 % asked for. These images differ from the training images: fit on images
    of both kinds.
    >>> report.to_frame()[["scope", "n_flagged", "n_samples", "comparison"]]
              scope  n_flagged  n_samples comparison
    0       overall          2          2      above
    1  other target          2          2      above
    2  other target          2          2     around
    """

    overall: RateEstimate
    groups: dict = field(default_factory=dict)
    other_targets: tuple = ()
    advice: str = ""

    @property
    def deviating_groups(self):
        """Labels of the groups whose interval does not contain the target."""
        return [
            label
            for label, estimate in self.groups.items()
            if estimate.comparison != "around"
        ]

    @property
    def sentence(self):
        """The figures in plain English."""
        parts = [describe_rate(self.overall), self.advice]
        for comparison in ("above", "below"):
            labels = [
                f"{label!r} ({_measured(self.groups[label].rate)})"
                for label in self.deviating_groups
                if self.groups[label].comparison == comparison
            ]
            if labels:
                parts.append(f"Groups {comparison} the target: {', '.join(labels)}.")
        return " ".join(part for part in parts if part)

    def to_frame(self):
        """Return the figures as a table.

        Returns
        -------
        frame : pandas.DataFrame
            A row each for all samples, for each group and for each other target, which
            the column ``"scope"`` (``"overall"``, ``"group"``, ``"other target"``)
            tells apart. The others are ``"group"`` (label or None), ``"target"``,
            ``"n_samples"``, ``"n_flagged"``, ``"rate"``, ``"low"``, ``"high"``,
            ``"confidence"`` (of the interval from low to high) and ``"comparison"``.
        """
        import pandas as pd

        rows = [("overall", None, self.overall)]
        rows += [("group", label, estimate) for label, estimate in self.groups.items()]
        rows += [("other target", None, estimate) for estimate in self.other_targets]
        columns = (
            "target",
            "n_samples",
            "n_flagged",
            "rate",
            "low",
            "high",
            "confidence",
            "comparison",
        )
        return pd.DataFrame(
            [
                {"scope": scope, "group": label}
                | {column: getattr(estimate, column) for column in columns}
                for scope, label, estimate in rows
            ]
        )

    def __str__(self):
        target, confidence = self.overall.target, self.overall.confidence
        rows = [("all images", self.overall)]
        rows += [
            (f"group {label}", estimate) for label, estimate in self.groups.items()
        ]
        rows += [
            (f"all, at {_target(estimate.target)}", estimate)
            for estimate in self.other_targets
        ]
        width = max(len(name) for name, _ in rows)
        lines = [
            f"False alarms on normal images, {_target(target)} asked for",
            "",
            f"{'':{width}} {'images':>7} {'flagged':>8} {'rate %':>8}  interval %",
        ]
        for name, estimate in rows:
            mark = "" if estimate.comparison == "around" else f"  {estimate.comparison}"
            lines.append(
                f"{name:{width}} {estimate.n_samples:7d} {estimate.n_flagged:8d} "
                f"{100 * estimate.rate:8.1f}  {100 * estimate.low:.1f} to "
                f"{100 * estimate.high:.1f}{mark}"
            )
        lines += ["", f"Intervals have a confidence of {_target(confidence)}."]
        if len(self.groups) > 1:
            lines[-1] += (
                f" Those of the {len(self.groups)} groups hold jointly (Bonferroni)."
            )
        lines[-1] = textwrap.fill(lines[-1], _LINE_WIDTH)
        return "\n".join([*lines, textwrap.fill(self.sentence, _LINE_WIDTH)])


def calibration_report(estimator, X, *, groups=None, confidence=0.95):
    """Count false alarms on normal images and compare them with the rate asked for.

    Parameters
    ----------
    estimator : outlier detector or Pipeline
        Fitted, with the parameter `fpr`, or a :class:`~sklearn.pipeline.Pipeline` that
        ends in such a detector.

    X : array-like of shape (n_samples, n_features), or sequence of images
        Normal samples that were not in the fit, at least one.

    groups : array-like of shape (n_samples,) or None, default=None
        What may make a difference, such as camera, lot or shift of each sample.

    confidence : float, default=0.95
        Confidence level of the intervals, in (0, 1).

    Returns
    -------
    report : CalibrationReport

    Raises
    ------
    TypeError
        If the detector has no parameter `fpr`.
    ValueError
        If `X` is empty, `groups` is of another length or cannot be sorted, or
        `confidence` is out of its range.

    See Also
    --------
    skgaussad.calibration.required_samples : How many normal images a rate takes.
    skgaussad.inspection.FalsePositiveRateDisplay : Achieved against target rates.

    Notes
    -----
    The intervals are Clopper and Pearson's. They assume independent samples and
    say how precisely the rate of this fitted detector is known. Were it fitted anew on
    other images, its rate would differ too: where the detector has a method
    ``fpr_bound``, the advice tells apart a rate above the target that the number of
    training images explains from one that it does not.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.reporting import calibration_report
    >>> rng = np.random.default_rng(0)
    >>> detector = MahalanobisDetector(fpr=0.05).fit(rng.normal(size=(500, 4)))
    >>> X = rng.normal(size=(400, 4))
    >>> X[300:] *= 2
    >>> camera = np.repeat(["A", "B"], [300, 100])
    >>> report = calibration_report(detector, X, groups=camera)
    >>> report.deviating_groups
    ['B']
    >>> report.groups["A"].comparison
    'around'
    """
    check_real("confidence", confidence, 0, 1)
    n_samples = len(X)
    if n_samples == 0:
        raise ValueError("X is empty; give normal images that were not in the fit.")
    if groups is not None:
        names, numbers = number_labels("groups", groups, X)

    detector, X = send_to_part(estimator, "fpr", X)
    flagged = detector.predict(X) == -1
    overall = estimate_rate(flagged, detector.fpr, confidence)
    by_group = {}
    if groups is not None:
        of_each = of_each_group(confidence, len(names))
        by_group = estimate_rates(flagged, names[numbers], overall.target, of_each)
    return CalibrationReport(
        overall,
        groups=by_group,
        other_targets=_at_other_targets(detector, X, overall),
        advice=_advice(detector, overall),
    )


def of_each_group(confidence, n_groups):
    """Confidence of each of some intervals that hold together, by Bonferroni."""
    return 1 - (1 - confidence) / max(n_groups, 1)


def _at_other_targets(detector, X, overall):
    if not offers(detector, "p_values"):
        return ()
    p_values = detector.p_values(X)
    n_units = n_calibration_units(detector)
    return tuple(
        estimate_rate(p_values <= target, target, overall.confidence)
        for target in _OTHER_TARGETS
        # There is no p-value below 1 / (n + 1).
        if target != overall.target and required_samples(target) <= n_units
    )


def describe_rate(estimate):
    """Compare the count with the target, in a sentence."""
    n_flagged, n_samples = estimate.n_flagged, estimate.n_samples
    interval = (
        f"{_measured(estimate.rate)} ({_target(estimate.confidence)} interval "
        f"{100 * estimate.low:.1f} to {_measured(estimate.high)})"
    )
    counted = (
        f"{n_flagged} of {n_samples} normal images "
        f"{'was' if n_flagged == 1 else 'were'} flagged: {interval}"
    )
    target = _target(estimate.target)
    if estimate.comparison == "above":
        return f"{counted}, more than the {target} asked for."
    if estimate.comparison == "below":
        return (
            f"{counted}, fewer than the {target} asked for: a lower threshold would "
            "find more anomalies."
        )
    # The upper end of the two-sided interval of no false alarm at all.
    needed = required_samples(estimate.target, (1 + estimate.confidence) / 2)
    if n_samples < needed:
        return (
            f"Too few normal images to tell: with {n_flagged or 'none'} flagged among "
            f"{n_samples} the rate may be up to {_measured(estimate.high)}; it takes "
            f"at least {needed} to show that it is at most {target}."
        )
    return f"{counted}, in line with the {target} asked for."


def _advice(detector, overall):
    """Return the likely cause of a rate above the target."""
    if overall.comparison != "above":
        return ""
    threshold = getattr(detector, "threshold", None)
    if threshold in _PARAMETRIC:
        return (
            f"The distribution that threshold={threshold!r} assumes does not fit: try "
            "threshold='quantile'."
        )
    if offers(detector, "fpr_bound"):
        bound = detector.fpr_bound(overall.confidence)
        if overall.low <= bound:
            return (
                f"A threshold from {len(detector.calibration_distances_)} training "
                f"images may have a rate of up to {_measured(bound)}: more of them "
                "would set it more precisely."
            )
    return "These images differ from the training images: fit on images of both kinds."


def _target(rate):
    """Write a chosen rate, as precisely as it was given."""
    return f"{100 * rate:.6g} %"


def _measured(rate):
    return f"{100 * rate:.1f} %"
