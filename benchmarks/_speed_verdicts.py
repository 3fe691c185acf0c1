"""Whether the measured speed reaches its targets, which were set beforehand."""

from _harness import Verdict
from _speed_engines import FPR

# Times anomalib's images per second.
RATE_TARGETS = {"skgaussad float32": 3.5, "skgaussad bfloat16": 5.5}
# Times our own by torch.
ENGINE_TARGET = 1.5
# Milliseconds of one image at the median, and times that of one in a hundred.
LATENCY_TARGET = 8
SLOWEST_LATENCY = 2
# Seconds that a first answer in a new process may take beyond that by torch.
COLD_START = 3
# Of the features at one level, relative.
ENGINE_TOLERANCE = 1e-4
# Points of AUROC, by what is compared with the first of its kind.
AUROC_TOLERANCES = {
    "float32 by openvino": 0.05,
    "bfloat16 by openvino": 0.3,
    "reduced JPEG": 0.3,
}
# Times faster than scikit-learn's fit, at this number of samples and features.
FIT_TARGET = 50
FIT_SIZE = (500, 3072)
# Times its time that a fit may take at most, up to so many features and with more: a
# network takes a hundred times as long for the features as either for so few.
FEW_FEATURES = 200
SLOWEST_FITS = {"few": 2.0, "many": 1.1}
# Relative, of squared distances.
FIT_TOLERANCE = 1e-9
MEMORY_TOLERANCE = 0.2
GRID_RATIO = 1.3
GRID_REPEAT = 0.05
MAP_RATIO = 1.5
LABEL_RATIO = 1.15
# Seconds and bytes that a fit may take, by its numbers of samples and features.
CELL_FIT_LIMITS = {
    (500, 5488): (3, 2e9),
    (500, 18816): (10, 4e9),
    (10_000, 5488): (120, 6e9),
}


def check_rates(kind, sides, ours, peer):
    """Check images per second against the peer's; `ours` as of `check_engines`."""
    verdicts = []
    for name, plain in ours.items():
        ratio, target = sides[name].times(peer), RATE_TARGETS[plain]
        verdicts.append(
            Verdict(
                f"{kind}: {name} at least {target:g} times the images per second of "
                f"{peer.name}",
                ratio >= target,
                f"{ratio:.2f} times",
            )
        )
    return verdicts


def check_engines(kind, sides, ours):
    """Check images per second against our own by torch.

    Parameters
    ----------
    kind : str
    sides : dict of {str: Side}
    ours : dict of {str: str}
        By the name of each side to check, that of the same without options.
    """
    verdicts = []
    for name, plain in ours.items():
        ratio = sides[name].times(sides[f"{plain} torch"])
        verdicts.append(
            Verdict(
                f"{kind}: {name} at least {ENGINE_TARGET} times that by torch",
                ratio >= ENGINE_TARGET,
                f"{ratio:.2f} times",
            )
        )
    return verdicts


def check_latency(latencies):
    """Check the time of one image."""
    by_engine = {found.engine: found for found in latencies}
    found = by_engine["openvino"]
    cold = found.cold - by_engine["torch"].cold
    return [
        Verdict(
            f"one file to its label within {LATENCY_TARGET} ms at the median",
            1e3 * found.median <= LATENCY_TARGET,
            f"{1e3 * found.median:.1f} ms",
        ),
        Verdict(
            f"99 of 100 within {SLOWEST_LATENCY} times that",
            found.slow <= SLOWEST_LATENCY * found.median,
            f"{found.slow / found.median:.2f} times",
        ),
        Verdict(
            f"a first answer at most {COLD_START} s later than by torch",
            cold <= COLD_START,
            f"{cold:.1f} s",
        ),
    ]


def check_networks(networks):
    """Check the features of an engine against those of torch."""
    return [
        Verdict(
            f"{found.name}: features at every level within {ENGINE_TOLERANCE:g}",
            found.difference <= ENGINE_TOLERANCE,
            f"{found.difference:.1e}",
        )
        for found in networks
    ]


def check_quality(qualities):
    """Check AUROC against what it is compared with, and false alarms by the rate."""
    by_name = {(q.kind, q.name): q.auroc for q in qualities}
    verdicts = []
    for q in qualities:
        name = f"{q.kind}, {q.name}"
        if q.base is not None:
            tolerance, expected = AUROC_TOLERANCES[q.name], by_name[q.kind, q.base]
            verdicts.append(
                Verdict(
                    f"{name}: AUROC within {tolerance} points of {q.base}",
                    abs(q.auroc - expected) <= tolerance,
                    f"{q.auroc:.2f} against {expected:.2f} %",
                )
            )
        highest = FPR + 3 * (FPR * (1 - FPR) / q.n_good) ** 0.5
        rate = q.n_flagged / q.n_good
        verdicts.append(
            Verdict(
                f"{name}: at most {100 * FPR:g} % false alarms plus three standard "
                "errors",
                rate <= highest,
                f"{100 * rate:.1f} % of {q.n_good}",
            )
        )
    return verdicts


def check_fits(measurements):
    """Check fits against scikit-learn's."""
    slowness = {
        (m["n_samples"], m["n_features"], m["spectrum"]): m["seconds"]
        / m["sklearn_seconds"]
        for m in measurements
    }
    verdicts = [
        Verdict(
            f"fit at {size} at least {FIT_TARGET} times as fast as scikit-learn's",
            ratio * FIT_TARGET <= 1,
            f"{1 / ratio:.1f} times",
        )
        for size, ratio in slowness.items()
        if size[:2] == FIT_SIZE
    ]
    for name, slowest in SLOWEST_FITS.items():
        ratios = {
            size: ratio
            for size, ratio in slowness.items()
            if (size[1] <= FEW_FEATURES) == (name == "few")
        }
        slower = {size: ratio for size, ratio in ratios.items() if ratio > slowest}
        listed = [f"\n        - {size}: {r:.2f} times" for size, r in slower.items()]
        bound = "at most" if name == "few" else "more than"
        verdicts.append(
            Verdict(
                f"no fit to {bound} {FEW_FEATURES} features takes more than {slowest} "
                "times as long as scikit-learn's",
                not slower,
                f"{len(slower)} of {len(ratios)} do{''.join(listed)}",
            )
        )
    worst = max(m["difference"] for m in measurements)
    verdicts.append(
        Verdict(
            f"squared distances within {FIT_TOLERANCE:g} of scikit-learn's",
            worst <= FIT_TOLERANCE,
            f"{worst:.1e}",
        )
    )
    return verdicts


def check_many(measurements):
    """Check how peak memory grows from the fewest images to the most."""
    few, many = measurements[0], measurements[-1]
    verdicts = []
    for name in ("extraction", "fit"):
        low, high = (getattr(m, f"{name}_peak") for m in (few, many))
        verdicts.append(
            Verdict(
                f"peak memory of the {name} of {many.n_images:,d} images within "
                f"{100 * MEMORY_TOLERANCE:.0f} % of that of {few.n_images:,d}",
                high <= (1 + MEMORY_TOLERANCE) * low,
                f"{high / low:.2f} times: {high / 1e6:.0f} against {low / 1e6:.0f} MB",
            )
        )
    return verdicts


def check_grid(measurement):
    """Check a grid search with cached features."""
    return [
        Verdict(
            f"grid search within {GRID_RATIO} times one extraction and the detectors' "
            "own time",
            measurement.ratio <= GRID_RATIO,
            f"{measurement.ratio:.2f} times",
        ),
        Verdict(
            f"second grid search within {100 * GRID_REPEAT:.0f} % of the first",
            measurement.repeat_fraction <= GRID_REPEAT,
            f"{100 * measurement.repeat_fraction:.1f} %; without the detectors' own "
            f"time {100 * measurement.overhead_fraction:.1f} %",
        ),
    ]


def check_maps(measurements):
    """Check what anomaly maps cost."""
    return [
        Verdict(
            f"anomaly maps of {m.n_images} images, {m.name}, within {MAP_RATIO} times "
            "their scores",
            m.ratio <= MAP_RATIO,
            f"{m.ratio:.2f} times",
        )
        for m in measurements
    ]


def check_labels(measurements):
    """Check what the default detector costs beside the extraction."""
    return [
        Verdict(
            f"labels of {m.n_images} images by make_detector() within {LABEL_RATIO} "
            "times the extraction alone",
            m.ratio <= LABEL_RATIO,
            f"{m.ratio:.2f} times",
        )
        for m in measurements
        if m.name == "cells"
    ]


def check_cell_fits(fits):
    """Check time and memory of fits to cells."""
    verdicts = []
    for fit in fits:
        size = fit.n_samples, fit.n_features
        if size not in CELL_FIT_LIMITS:
            continue
        seconds, peak = CELL_FIT_LIMITS[size]
        verdicts.append(
            Verdict(
                f"fit to the cells of {size[0]:,d} images at {size[1]:,d} features "
                f"within {seconds} s and {peak / 1e9:g} GB",
                fit.seconds <= seconds and fit.peak <= peak,
                f"{fit.seconds:.1f} s, {fit.peak / 1e9:.2f} GB",
            )
        )
    return verdicts
