"""Rates of false alarms under drift: fixed, updated and adaptive thresholds.

Solar cells in file order, where neighbours are of one module and later modules differ:
the detector is fitted to the first good ones, or for ``reversed`` to the last, and 400
more come in ten days of 40, with 60 defective ones among them. On top of that the
images drift, as named. Each alarm is inspected at once, or at the end of its day.

static            the threshold of the fit
updated           fitted again each night to all good cells so far, thresholds by
                  leaving out one day at a time
adaptive          ``AdaptiveThreshold`` on the detector of the fit
adaptive updated  ``AdaptiveThreshold``, given each night's new detector

Simulated distances come without drift, with a slow one, a jump, and lots that differ at
random, many times over.

    python benchmarks/drift.py
    python benchmarks/drift.py simulated
"""

import sys
import warnings
from types import SimpleNamespace

import numpy as np
from _harness import (
    Verdict,
    describe_machine,
    format_table,
    make_parser,
    print_verdicts,
)
from PIL import Image, ImageFilter

from skgaussad import CellwiseMahalanobisDetector, MahalanobisDetector, make_detector
from skgaussad.calibration import AdaptiveThreshold
from skgaussad.datasets import load_solar_cells
from skgaussad.exceptions import FalseAlarmRateWarning

FPR, TOLERANCE = 0.05, 0.015
N_DAYS, N_GOOD, N_DEFECTIVE = 10, 400, 60
N_TRAINING = {"mono": 188, "poly": 300}
# Brightness, contrast and blur in pixels, by the time from 0 to 1.
DRIFTS = {
    "file order": lambda t: (1, 1, 0),
    "reversed": lambda t: (1, 1, 0),
    "drifting": lambda t: (1 - 0.4 * t, 1 - 0.4 * t, 2 * t),
    "jump": lambda t: (0.8, 0.8, 1.5) if t >= 0.4 else (1, 1, 0),
}
DETECTORS = {
    "cells": lambda: CellwiseMahalanobisDetector(cells=49, fpr=FPR),
    "paper": lambda: MahalanobisDetector(fpr=FPR),
}
RULES = ("static", "updated", "adaptive", "adaptive updated")
# What each distance is moved by, in standard deviations.
SIMULATED = {
    "no drift": lambda time, rng: 0 * time,
    "slow": lambda time, rng: 3 * time,
    "jump": lambda time, rng: 3.0 * (time > 0.4),
    "lots": lambda time, rng: np.repeat(rng.normal(size=len(time)), 20)[: len(time)],
}


def stream_of(kind, drift):
    """Return training images, and images, labels and days of a stream of cells."""
    data, rng = load_solar_cells(kind), np.random.default_rng(0)
    good, defective = (data.paths[data.labels == label] for label in (1, -1))
    good = good[::-1] if drift == "reversed" else good
    training, good = np.split(good[: N_TRAINING[kind] + N_GOOD], [N_TRAINING[kind]])
    defective = np.sort(rng.choice(defective, N_DEFECTIVE, replace=False))
    images, labels, days = [], [], []
    for day in range(N_DAYS):
        paths = np.concatenate([good.reshape(N_DAYS, -1)[day], defective[day::N_DAYS]])
        kinds = np.repeat([1, -1], [N_GOOD // N_DAYS, N_DEFECTIVE // N_DAYS])
        # Good cells keep their order.
        order = np.argsort(
            np.where(kinds == 1, np.cumsum(kinds == 1), rng.uniform(1, 40, len(kinds)))
        )
        change = DRIFTS[drift](day / (N_DAYS - 1))
        images += [changed(path, *change) for path in paths[order]]
        labels.extend(kinds[order])
        days.extend(np.full(len(kinds), day))
    return (
        [changed(path) for path in training],
        images,
        np.array(labels),
        np.array(days),
    )


def changed(path, brightness=1, contrast=1, blur=0):
    """Read an image and change it."""
    image = Image.open(path).convert("L")
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(float(blur)))
    pixels = np.asarray(image, dtype=np.float64)
    pixels = pixels.mean() + contrast * (pixels - pixels.mean())
    return np.clip(np.rint(brightness * pixels), 0, 255).astype(np.uint8)


def fit_by_day(make, training, features, labels, days):
    """Return the detector of the fit, and those of each morning."""
    blocks = np.arange(len(training)) // (N_GOOD // N_DAYS)
    updated = []
    with warnings.catch_warnings():
        # Few days keep no promise, and neighbours are alike: both are the subject.
        warnings.simplefilter("ignore", FalseAlarmRateWarning)
        fitted = make().fit(training)
        for day in range(N_DAYS):
            known = (days < day) & (labels == 1)
            groups = np.concatenate([blocks, blocks.max() + 1 + days[known]])
            X = np.concatenate([training, features[known]])
            updated.append(make().fit(X, groups=groups))
    return fitted, updated


def decide(distances, labels, days, detectors, is_adaptive, at_once=True):
    """Decide a stream.

    Parameters
    ----------
    distances : ndarray of shape (n_parts,)
        To the detector of each part's day.
    labels, days : ndarray of shape (n_parts,)
    detectors : list of detectors
        One, or one a day.
    is_adaptive : bool
    at_once : bool, default=True
        Whether alarms are inspected at once, or at the end of the day.

    Returns
    -------
    is_flagged : ndarray of shape (n_parts,)
    adaptive : AdaptiveThreshold or None
    """
    if not is_adaptive:
        by_day = np.array([-detector.offset_ for detector in detectors])
        return distances > by_day[days if len(detectors) > 1 else 0], None
    adaptive, waiting = AdaptiveThreshold(detectors[0]), []
    for number, distance in enumerate(distances):
        if number and days[number] != days[number - 1]:
            adaptive.feedback(waiting, labels[waiting])
            waiting = []
            if len(detectors) > 1:
                adaptive.replace_detector(detectors[days[number]])
        if adaptive.decide([distance])[0] == -1:
            waiting.append(number)
        if at_once:
            adaptive.feedback(waiting, labels[waiting])
            waiting = []
    adaptive.feedback(waiting, labels[waiting])
    return adaptive.history()["label"] == -1, adaptive


def measure_cells(kinds, verbose):
    """Run all rules on all streams of cells; return a row of results for each."""
    rows = []
    for kind in kinds:
        for method, make in DETECTORS.items():
            transformer = make_detector(method=method)[0]
            transformer.set_params(verbose=verbose).set_output(transform="default")
            for drift in DRIFTS:
                training, images, labels, days = stream_of(kind, drift)
                training = transformer.fit_transform(training)
                features = transformer.transform(images)
                fitted, updated = fit_by_day(make, training, features, labels, days)
                distances = -fitted.score_samples(features)
                by_day = np.concatenate(
                    [
                        -updated[d].score_samples(features[days == d])
                        for d in range(N_DAYS)
                    ]
                )
                for at_once in (True, False):
                    for rule in RULES:
                        is_updated = "updated" in rule
                        is_flagged, adaptive = decide(
                            by_day if is_updated else distances,
                            labels,
                            days,
                            updated if is_updated else [fitted],
                            "adaptive" in rule,
                            at_once,
                        )
                        rows.append(
                            SimpleNamespace(
                                stream=f"{kind}, {method}, {drift}",
                                at_once=at_once,
                                rule=rule,
                                adaptive=adaptive,
                                rate=is_flagged[labels == 1].mean(),
                                detection=is_flagged[labels == -1].mean(),
                                by_day=is_flagged[labels == 1].reshape(N_DAYS, -1),
                            )
                        )
    return rows


def measure_simulated(n_streams):
    """Return rates and detection of simulated streams, by drift and rule."""
    results = {}
    for drift, move in SIMULATED.items():
        for seed in range(n_streams):
            rng = np.random.default_rng(seed)
            n_parts = N_GOOD + N_DEFECTIVE
            labels = rng.permutation(np.repeat([1, -1], [N_GOOD, N_DEFECTIVE]))
            time = np.arange(n_parts) / n_parts
            days = (N_DAYS * time).astype(int)
            # Standard deviation 1, as of few independent squares; defects 4 farther.
            held_out, distances = rng.gamma(16, 0.25, 300), rng.gamma(16, 0.25, n_parts)
            distances += move(time, rng) + np.where(labels == -1, 4, 0)
            # The 286th of 300 distances: the conformal quantile.
            detector = SimpleNamespace(
                offset_=-np.sort(held_out)[285],
                calibration_distances_=held_out,
                fpr=FPR,
            )
            for rule in ("static", "adaptive"):
                is_flagged, adaptive = decide(
                    distances, labels, days, [detector], rule == "adaptive"
                )
                results.setdefault((drift, rule), []).append(
                    (
                        is_flagged[labels == 1].mean(),
                        is_flagged[labels == -1].mean(),
                        adaptive is None
                        or abs(adaptive.excess_) <= adaptive.excess_bound_,
                    )
                )
    return {key: np.array(values) for key, values in results.items()}


def print_cells(rows):
    """Print tables of rates and detection, by stream and by day."""
    for at_once in (True, False):
        print(f"\nAlarms inspected {'at once' if at_once else 'at the end of the day'}")
        print("False alarms / defects found, in percent")
        table = {}
        for row in rows:
            if row.at_once == at_once:
                cell = f"{100 * row.rate:.1f} / {100 * row.detection:.0f}"
                table.setdefault(row.stream, []).append(cell)
        columns = dict.fromkeys(["stream", *RULES], "")
        print(format_table(columns, [[name, *cells] for name, cells in table.items()]))
    print("\nFalse alarms by day in percent, alarms inspected at once")
    columns = {"stream": "", "rule": "", **{str(d + 1): ".0f" for d in range(N_DAYS)}}
    lines = [
        [row.stream, row.rule, *100 * row.by_day.mean(axis=1)]
        for row in rows
        if row.at_once
    ]
    print(format_table(columns, lines))


def print_simulated(results):
    """Print means over simulated streams, with standard errors."""
    print(
        "\nSimulated: false alarms and defects found in percent, with standard errors"
    )
    columns = {"drift": "", "rule": "", "rate": ".2f", "se": ".2f", "worst": ".1f"}
    columns |= {"found": ".1f", "se ": ".1f"}
    lines = []
    for key, values in results.items():
        mean, error = values.mean(axis=0), values.std(axis=0) / len(values) ** 0.5
        worst = values[np.argmax(abs(values[:, 0] - FPR)), 0]
        figures = (mean[0], error[0], worst, mean[1], error[1])
        lines.append([*key, *(100 * figure for figure in figures)])
    print(format_table(columns, lines))


def judge_cells(rows):
    """Return the verdicts on streams of cells."""
    verdicts = []
    for rule in ("adaptive", "adaptive updated"):
        rates = {r.stream: r.rate for r in rows if r.rule == rule and r.at_once}
        worst = max(rates, key=lambda stream: abs(rates[stream] - FPR))
        verdicts.append(
            Verdict(
                f"{rule}: within 1.5 points of 5 % over 400 good cells, each stream",
                abs(rates[worst] - FPR) <= TOLERANCE + 1e-9,
                f"{100 * rates[worst]:.1f} % at worst, {worst}",
            )
        )
    kept = [
        abs(row.adaptive.excess_) <= row.adaptive.excess_bound_
        for row in rows
        if row.adaptive is not None
    ]
    verdicts.append(
        Verdict(
            "the excess is within its bound, however late the verdicts",
            all(kept),
            f"{sum(kept)} of {len(kept)} streams",
        )
    )
    return verdicts


def judge_simulated(results):
    """Return the verdicts on simulated streams."""
    verdicts = []
    for drift in SIMULATED:
        rate, _, within = results[drift, "adaptive"].T
        worst = 100 * np.abs(rate - FPR).max()
        verdicts.append(
            Verdict(
                f"{drift}: each rate within 1.5 points of 5 %, and within its bound",
                worst <= 100 * TOLERANCE + 1e-9 and within.all(),
                f"{worst:.2f} points at worst",
            )
        )
    cost = results["no drift", "static"][:, 1] - results["no drift", "adaptive"][:, 1]
    verdicts.append(
        Verdict(
            "without drift: at most 3 points fewer defects found than by the threshold "
            "of the fit",
            cost.mean() <= 0.03,
            f"{100 * cost.mean():.1f} points, standard error "
            f"{100 * cost.std() / len(cost) ** 0.5:.1f}",
        )
    )
    return verdicts


def main():
    """Run the benchmark; return the exit status."""
    parser = make_parser(
        __doc__, "--quick", "--quiet", sections=("mono", "poly", "simulated")
    )
    arguments = parser.parse_args()
    print(describe_machine(["skgaussad", "torch", "timm", "numpy"]))
    verdicts = []
    kinds = [kind for kind in N_TRAINING if kind in arguments.sections]
    if kinds:
        rows = measure_cells(kinds, not arguments.quiet)
        print_cells(rows)
        verdicts += judge_cells(rows)
    if "simulated" in arguments.sections:
        results = measure_simulated(4 if arguments.quick else 100)
        print_simulated(results)
        verdicts += judge_simulated(results)
    return print_verdicts("Criteria", verdicts)


if __name__ == "__main__":
    sys.exit(main())
