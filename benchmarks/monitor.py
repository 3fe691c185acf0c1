"""False alarms and power of the monitor, by part and by lot.

    python benchmarks/monitor.py
    python benchmarks/monitor.py lots --streams 50

Each stream has a detector of its own, fitted to other samples. ``alpha`` is 0.05.

``lots``: share of streams without any change that alarm: of 40 simulated lots of 20 or
of 2 to 59 parts, whose means differ by 0 to 3 standard deviations of the parts, by a
detector fitted to 5, 10 or 30 other lots; and of the solar modules that were not in
the fit, in random order. By part and by lot.

``defects``: functional solar cells in random order, the last of them changed: some
replaced by real defective cells, or all darkened or blurred, so that the network sees
the change. The parts until the alarm, half and 95 % of the streams, and how often the
diagnosis 50 parts later is right.

``shifts``: lots until the alarm where all lots shift, by lot.
"""

import sys
import warnings

import numpy as np
from _calibration_lots import draw_lots
from _harness import Verdict, format_table, make_parser, print_verdicts
from PIL import Image, ImageFilter
from tqdm import tqdm

from skgaussad import DeepFeatureTransformer, MahalanobisDetector
from skgaussad.calibration import ConformalMonitor
from skgaussad.datasets import load_solar_cells
from skgaussad.exceptions import FalseAlarmRateWarning

TABLES = ("lots", "defects", "shifts")
ALPHA = 0.05
N_LOTS = (5, 10, 30)
EFFECTS = (0.0, 0.3, 1.0, 3.0)
_N_NEW_LOTS = 40
_N_IN_LOT = 20
_N_BEFORE = 100
_N_AFTER = 150
_N_TRAIN = 250
SHIFTS = (0.5, 1.0, 2.0)


def _streams_of_lots(monitored, distances, lots, by_lot, seed):
    """Feed a stream; return the number of units until the alarm, or None."""
    monitor = ConformalMonitor(ALPHA, random_state=seed).fit(monitored)
    if not by_lot:
        monitor.update_distances(distances)
        return monitor.alarm_index_
    for lot in np.unique(lots):
        monitor.update_lot(distances[lots == lot])
    return monitor.alarm_index_


def _fit_both(train, lots):
    """Fit by sample and by lot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FalseAlarmRateWarning)
        return [MahalanobisDetector().fit(train, groups=g) for g in (None, lots)]


def measure_lots(sources, n_streams):
    """Yield rows: source, training lots, share of alarms by part and by lot.

    Parameters
    ----------
    sources : dict of {str: tuple of (ndarray, ndarray)}
        Features and modules of functional cells, by cell type.
    n_streams : int
    """

    def alarms(draw):
        found = np.zeros(2)
        for seed in range(n_streams):
            train, lots, new, new_lots = draw(np.random.default_rng(seed))
            for by_lot, detector in enumerate(_fit_both(train, lots)):
                distances = -detector.score_samples(new)
                at = _streams_of_lots(detector, distances, new_lots, by_lot, seed)
                found[by_lot] += at is not None
        return 100 * found / n_streams

    for n_lots in N_LOTS:
        for effect in EFFECTS:
            for kind in ("equal", "unequal"):

                def draw(rng, n_lots=n_lots, effect=effect, kind=kind):
                    sizes = np.full(n_lots + _N_NEW_LOTS, _N_IN_LOT)
                    if kind == "unequal":
                        sizes = rng.integers(2, 3 * _N_IN_LOT, len(sizes))
                    rows, lots = draw_lots(rng, len(sizes), sizes, effect)
                    order = np.argsort(lots, kind="stable")
                    rows, lots = rows[order], lots[order]
                    old = lots < n_lots
                    # Not in the order of the lots, which the fit would warn of.
                    mixed = rng.permutation(np.flatnonzero(old))
                    return rows[mixed], lots[mixed], rows[~old], lots[~old]

                yield f"simulated, effect {effect:g}, {kind}", n_lots, *alarms(draw)
    for name, (features, modules) in sources.items():
        for n_lots in (5, 10):

            def draw(rng, n_lots=n_lots, features=features, modules=modules):
                renamed = rng.permutation(modules.max() + 1)[modules]
                names = np.unique(renamed)
                old = renamed < names[n_lots]
                mixed = rng.permutation(np.flatnonzero(old))
                new = np.flatnonzero(~old)
                new = new[np.argsort(renamed[new], kind="stable")]
                return features[mixed], renamed[mixed], features[new], renamed[new]

            yield name, n_lots, *alarms(draw)


def measure_defects(cells, n_streams):
    """Yield rows: change, alarms before it and after, parts until these, diagnosis."""
    changes = {f"{share} % defective": share / 100 for share in (5, 10, 20, 40)}
    changes |= {"darker by 30 %": "dark", "blurred by 3 pixels": "blur"}
    for kind, by_name in cells.items():
        for name, change in changes.items():
            before, waits, right, after = 0, [], 0, 0
            for seed in range(n_streams):
                rng = np.random.default_rng(seed)
                order = rng.permutation(len(by_name["good"]))
                train, rest = order[:_N_TRAIN], order[_N_TRAIN:]
                detector = MahalanobisDetector().fit(by_name["good"][train])
                quiet, changed = rest[:_N_BEFORE], rest[_N_BEFORE:][:_N_AFTER]
                if isinstance(change, str):
                    changed = by_name[change][changed]
                else:
                    replaced = rng.random(len(changed)) < change
                    changed = by_name["good"][changed].copy()
                    others = rng.permutation(by_name["bad"])
                    changed[replaced] = others[: replaced.sum()]
                monitor = ConformalMonitor(ALPHA, random_state=seed).fit(detector)
                if monitor.update_distances(
                    -detector.score_samples(by_name["good"][quiet])
                ):
                    before += 1
                    continue
                distances = -detector.score_samples(changed)
                number = next(
                    (
                        number
                        for number, distance in enumerate(distances, 1)
                        if monitor.update_distances(distance)
                    ),
                    None,
                )
                if number is None:
                    continue
                after += 1
                waits.append(number)
                monitor.update_distances(distances[number : number + 50])
                truth = "drift" if isinstance(change, str) else "burst"
                right += monitor.diagnosis_ == truth
            half, most = np.quantile(waits, [0.5, 0.95]) if waits else (None, None)
            yield (
                f"{kind}, {name}",
                100 * before / n_streams,
                100 * after / max(n_streams - before, 1),
                half,
                most,
                100 * right / after if after else None,
            )


def measure_shifts(n_streams):
    """Yield rows: training lots, effect, shift, share of alarms, lots until these."""
    for n_lots in N_LOTS[1:]:
        for effect in EFFECTS[1:3]:
            for shift in SHIFTS:
                waits = []
                for seed in range(n_streams):
                    rng = np.random.default_rng(seed)
                    train, lots = draw_lots(rng, n_lots, _N_IN_LOT, effect)
                    _, detector = _fit_both(train, lots)
                    new, new_lots = draw_lots(rng, _N_NEW_LOTS, _N_IN_LOT, effect)
                    direction = rng.normal(size=new.shape[1])
                    spread = np.sqrt(1 + effect**2)
                    new += shift * spread * np.sign(direction)
                    distances = -detector.score_samples(new)
                    at = _streams_of_lots(detector, distances, new_lots, True, seed)
                    if at is not None:
                        waits.append(at + 1)
                half, most = np.quantile(waits, [0.5, 0.95]) if waits else (None, None)
                share = 100 * len(waits) / n_streams
                yield n_lots, effect, shift, share, half, most


def extract(image_size=None, verbose=True):
    """Features of level 7 of the solar cells, as they are and changed."""
    cells = {}
    for kind in ("mono", "poly"):
        data = load_solar_cells(kind)
        network = DeepFeatureTransformer(
            levels=7, image_size=image_size, verbose=verbose
        )
        good = data.paths[data.labels == 1]
        network.fit(good)
        images = [Image.open(path).convert("L") for path in good]
        cells[kind] = {
            "good": network.transform(good),
            "bad": network.transform(data.paths[data.labels == -1]),
            "dark": network.transform([image.point(_darker) for image in images]),
            "blur": network.transform(
                [image.filter(ImageFilter.GaussianBlur(3)) for image in images]
            ),
            "modules": data.modules[data.labels == 1],
        }
    return cells


def _darker(value):
    return 0.7 * value


def main(argv=None):
    """Run the benchmark; return the exit status."""
    # Modules have from 4 cells on in a stream.
    warnings.filterwarnings("ignore", "The lot has", FalseAlarmRateWarning)
    parser = make_parser(__doc__, "--quick", "--quiet", sections=TABLES)
    parser.add_argument("--streams", type=int, default=100)
    arguments = parser.parse_args(argv)
    n_streams = 2 if arguments.quick else arguments.streams
    cells = {}
    if {"lots", "defects"} & set(arguments.sections):
        cells = extract(64 if arguments.quick else None, not arguments.quiet)
    tables = {
        "lots": (
            {"": "", "lots": "d", "by part %": ".0f", "by lot %": ".0f"},
            measure_lots(
                {kind: (c["good"], c["modules"]) for kind, c in cells.items()},
                n_streams,
            ),
        ),
        "defects": (
            {
                "": "",
                "before %": ".0f",
                "alarmed %": ".0f",
                "half": ".0f",
                "95 %": ".0f",
                "diagnosis %": ".0f",
            },
            measure_defects(cells, n_streams),
        ),
        "shifts": (
            {
                "lots": "d",
                "effect": ".1f",
                "shift": ".1f",
                "alarmed %": ".0f",
                "half": ".0f",
                "95 %": ".0f",
            },
            measure_shifts(n_streams),
        ),
    }
    for name in arguments.sections:
        columns, rows = tables[name]
        rows = list(tqdm(rows, desc=name, disable=arguments.quiet))
        print(f"\n{name}, {n_streams} streams\n{format_table(columns, rows)}")
        if name == "lots":
            print_verdicts("Lots", check_lots(rows, n_streams))
    return 0


def check_lots(rows, n_streams):
    """Whether lots alarm no more often than alpha and three standard errors."""
    most = 100 * (ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / n_streams))
    above = [
        f"{name}, {n_lots} lots: {by_lot:.0f} %"
        for name, n_lots, _, by_lot in rows
        if by_lot > most
    ]
    return [
        Verdict(
            f"by lot at most {100 * ALPHA:g} % of streams, and three standard errors",
            not above,
            "; ".join(above) or f"all of {len(rows)}",
        )
    ]


if __name__ == "__main__":
    sys.exit(main())
