"""Speed and memory, against timm, anomalib, PyOD and scikit-learn, on real files.

    python benchmarks/speed.py
    python benchmarks/speed.py --peers ~/peers
    python benchmarks/speed.py extraction --images ~/photos --rounds 9
    python benchmarks/speed.py many grid
    python benchmarks/speed.py --quick

Without sections named, all are run but ``many``, which takes up to half an hour.

``extraction`` counts images per second, decoding included, at level 7 of
EfficientNet-Lite0 and 224 pixels, on solar cells in PNG and JPEG files, large ones too,
or on the images of a folder, by OpenVINO and by torch; and those of decoding and of the
network alone. A loop over timm's network and anomalib's extractor get the same files,
weights, size and filter; of batch sizes and workers they take what is fastest for
them, skgaussad takes its defaults. Neither offers level 7 (``blocks.5``) of this
network. They are asked for the level before it; timm then computes the levels after it,
too. So timm's network is also cut by hand where skgaussad cuts it.

``engines`` compares the features of OpenVINO with those of torch, and the speed of
both, at every level of several networks; then, with each engine and precision, AUROC
and false alarms of the default detector on all solar cells, in folds at random; and of
these cells as enlarged JPEG files, whole and reduced while they are decoded.

``latency`` takes the time from one file to its label by the default detector, of a
first one in a new process and of many others, each on its own.

``memory`` prints the peak memory of extraction by number of images.

``fit`` compares fits with scikit-learn's over numbers of samples and features, and says
how the time grows with both.

``pyod`` compares times and AUROC of PyOD's Gaussian-like detectors on the level-7
features of the solar cells. Each side's fit includes what it needs for a threshold.

``grid`` searches levels, covariances, reductions and false-positive rates with cached
features of EfficientNet-Lite2 at 448 pixels, and compares that with one extraction and
the detectors' own time.

``dask`` compares a fit, extraction included, on two worker processes with that on one.

``maps`` compares the time of anomaly maps with that of scores of the same images.

``cells`` compares the time from files to labels of ``make_detector()``, and of the
paper's method, with that of their extraction alone, and fits to cells of up to 10,000
images.

``many`` extracts and fits 100,000 small generated images, and a tenth of them.

``projection`` says what ten million images would take, from figures of this run.

The peers run in a virtual environment of their own, in the folder that ``--peers``
names. It is made if it is not there, with the versions stated below and the torch and
timm in use here. Sides are measured in turn, each in a process of its own, all with the
same number of threads (``OMP_NUM_THREADS``); figures are medians over rounds. Nothing
else should run meanwhile; where highest and lowest are far apart, something did.
Targets were set before the measurement. The exit status is 1 if one is missed.

"""

import sys
import tempfile
from functools import cached_property
from pathlib import Path

import _harness as harness
import _speed_extraction as extraction
from _speed_cells import (
    format_cell_fits,
    format_labels,
    measure_cell_fits,
    measure_labels,
)
from _speed_detectors import format_detectors, measure_detectors
from _speed_engines import (
    CELL_TYPES,
    format_networks,
    format_quality,
    measure_networks,
    measure_quality,
    measure_reduction,
)
from _speed_fit import (
    GRID,
    format_fit,
    growth_exponents,
    measure_fit,
    measure_growth,
    measure_real_fit,
)
from _speed_grid import format_grid, measure_grid
from _speed_latency import format_latency, measure_latency
from _speed_maps import format_maps, measure_maps
from _speed_processes import PEERS, Process, prepare_peers
from _speed_scale import (
    Projection,
    format_many,
    format_projection,
    measure_many,
    measure_row_cost,
)
from _speed_verdicts import (
    CELL_FIT_LIMITS,
    check_cell_fits,
    check_engines,
    check_fits,
    check_grid,
    check_labels,
    check_latency,
    check_many,
    check_maps,
    check_networks,
    check_quality,
    check_rates,
)

from skgaussad.datasets import load_solar_cells

PACKAGES = ("skgaussad", "numpy", "scipy", "scikit-learn", "torch", "timm", "pillow")
N_PROJECTED = 10_000_000
MACHINES = (1, 10)
FULL = {
    "n_images": 256,
    "n_tuned": 64,
    "cell_step": 1,
    "latency": (60, 500),
    "n_compared": 64,
    "memory": (32, 128, 512, 2048),
    "fit_grid": GRID,
    "real_rows": 500,
    # Sizes, with the other number fixed.
    "growth": {
        "samples": ((250, 500, 1_000, 2_000, 4_000), 192),
        "features": ((192, 384, 768, 1_536, 3_072), 500),
    },
    "dask_images": 800,
    "mapped": 100,
    "labelled": 200,
    "cell_fits": tuple(CELL_FIT_LIMITS),
    "many": (10_000, 100_000),
    "rows": (2_000, 20_000),
    "n_folds": 5,
    # A second search has the detectors' work only, a fraction that is the smaller the
    # more the network has.
    "grid_size": 448,
    # A round takes minutes.
    "grid_rounds": 1,
}
# To see that everything runs; the figures mean little.
QUICK = {
    "n_images": 8,
    "n_tuned": 2,
    "cell_step": 12,
    "latency": (30, 30),
    "n_compared": 4,
    "memory": (4, 8),
    "fit_grid": [(50, 80), (80, 50)],
    "real_rows": 30,
    "growth": {"samples": ((20, 40), 10), "features": ((20, 40), 10)},
    "dask_images": 220,
    "mapped": 4,
    "labelled": 4,
    "cell_fits": ((20, 98),),
    "many": (20, 200),
    "rows": (300, 3_000),
    "n_folds": 2,
    "grid_size": 64,
    "grid_rounds": 1,
}


class Run:
    """One run of the benchmark, and what its sections share.

    Parameters
    ----------
    arguments : argparse.Namespace
    folder : Path
        For files that need not last.
    """

    def __init__(self, arguments, folder):
        self._arguments = arguments
        self._scale = QUICK if arguments.quick else FULL
        self._folder = folder
        self._rounds = arguments.rounds

    @cached_property
    def _peers(self):
        return self._arguments.peers and prepare_peers(self._arguments.peers)

    @cached_property
    def _weights(self):
        path = self._folder / "weights.pth"
        print(f"weights: {extraction.save_weights(path)}")
        return path

    @cached_property
    def _sides(self):
        """Measured sides, by kind of files, then name; prints the tables."""
        by_kind = {}
        (self._folder / "timed").mkdir()
        folders = extraction.copy_images(
            self._folder / "timed", self._scale["n_images"], self._arguments.images
        )
        for kind, folder in folders.items():
            sides = extraction.measure_rates(
                folder,
                self._weights,
                self._peers,
                self._rounds,
                self._scale["n_tuned"],
                is_large=kind == extraction.LARGE,
            )
            n_files = sides[0].answer["n_images"]
            print(f"\n{kind}: {n_files} files, {self._rounds} rounds")
            print(extraction.format_rates(sides))
            if kind != extraction.LARGE:
                # Of those, timm cuts off the border.
                difference = extraction.relative_difference(sides)
                print(f"float32 and the cut by hand differ by {100 * difference:.2g} %")
            by_kind[kind] = {side.name: side for side in sides}
            parts = extraction.measure_limits(folder, self._rounds)
            for name, rate in parts.items():
                print(f"{name}: {rate:.0f} images per second")
        return by_kind

    def extraction(self):
        """Images per second."""
        verdicts = []
        for kind, sides in self._sides.items():
            if kind == extraction.LARGE:
                ours = dict(zip(extraction.OURS_REDUCED, extraction.OURS, strict=True))
            else:
                ours = {name: name for name in extraction.OURS}
            verdicts += check_engines(kind, sides, ours)
            peer = sides.get(extraction.ANOMALIB)
            if peer is not None:
                verdicts += check_rates(kind, sides, ours, peer)
        return verdicts

    def engines(self):
        """Compare engines: features, AUROC, false alarms and other networks."""
        paths = list(map(str, load_solar_cells().paths))
        networks = measure_networks(paths[: self._scale["n_compared"]], self._rounds)
        print(f"All levels, {self._scale['n_compared']} images, images per second")
        print(format_networks(networks))
        qualities = measure_quality(self._folder, self._scale["cell_step"])
        qualities += measure_reduction(self._folder, self._scale["cell_step"])
        print("\nThe default detector on solar cells, in percent")
        print(format_quality(qualities))
        return check_networks(networks) + check_quality(qualities)

    def latency(self):
        """One image, from its file to its label."""
        paths = list(map(str, load_solar_cells().paths))
        latencies = measure_latency(
            paths, *self._scale["latency"], self._folder, self._rounds
        )
        print(format_latency(latencies))
        return check_latency(latencies)

    def memory(self):
        """Peak memory by number of images."""
        (self._folder / "counted").mkdir()
        folders = extraction.copy_images(
            self._folder / "counted", self._scale["memory"][-1], self._arguments.images
        )
        kind, folder = next(iter(folders.items()))
        peaks = extraction.measure_memory(folder, self._scale["memory"])
        print(f"Peak memory in MB, by number of images ({kind})")
        for precision, by_number in peaks.items():
            values = ", ".join(f"{n}: {p / 1e6:.0f}" for n, p in by_number.items())
            print(f"{precision:10}{values}")
        return []

    def fit(self):
        """Fits against scikit-learn's."""
        measurements = measure_fit(self._scale["fit_grid"], self._rounds)
        measurements += measure_real_fit(self._rounds, self._scale["real_rows"])
        print(format_fit(measurements))
        for axis, (sizes, fixed) in self._scale["growth"].items():
            grown = measure_growth(sizes, fixed, axis, self._rounds)
            print(f"\nGrowth with the {axis}: time as their number to the power of")
            exponents = growth_exponents(grown, axis)
            for low, high, exponent in zip(sizes, sizes[1:], exponents, strict=False):
                print(f"{low:6,d} to {high:6,d}: {exponent:5.2f}")
        return check_fits(measurements)

    def dask(self):
        """Fits on Dask clusters."""
        from _speed_dask import check_dask, format_dask, measure_dask

        paths = load_solar_cells().paths[: self._scale["dask_images"]]
        measurement = measure_dask(list(map(str, paths)), self._rounds)
        print(format_dask(measurement))
        return check_dask(measurement)

    def pyod(self):
        """Detectors of PyOD."""
        data = load_solar_cells()
        step = self._scale["cell_step"]
        labels, types = data.labels[::step], data.cell_types[::step]
        features = extraction.extract_cells(self._folder, step)
        for kind in CELL_TYPES:
            rows = types == kind
            timings = measure_detectors(
                features[rows],
                labels[rows],
                self._folder,
                self._peers,
                self._scale["n_folds"],
            )
            print(f"{kind}, level 7, {rows.sum()} images, median of folds")
            print(format_detectors(timings))
        return []

    def grid(self):
        """Grid search with cached features."""
        data = load_solar_cells()
        rows = slice(None, None, self._scale["cell_step"])
        measurement = measure_grid(
            data.paths[rows],
            data.labels[rows],
            self._folder,
            image_size=self._scale["grid_size"],
            n_folds=self._scale["n_folds"],
            n_rounds=self._scale["grid_rounds"],
        )
        print(format_grid(measurement))
        return check_grid(measurement)

    def maps(self):
        """Anomaly maps against scores."""
        paths = load_solar_cells().paths
        measurements = measure_maps(paths, self._scale["mapped"], self._rounds)
        print(format_maps(measurements))
        return check_maps(measurements)

    def cells(self):
        """Labels of the default detector, and its fits."""
        paths = load_solar_cells().paths
        labels = measure_labels(paths, self._scale["labelled"], self._rounds)
        print(format_labels(labels))
        fits = measure_cell_fits(self._scale["cell_fits"])
        print(f"\n{format_cell_fits(fits)}")
        return check_labels(labels) + check_cell_fits(fits)

    def many(self):
        """Very many images."""
        measurements = measure_many(self._folder, self._scale["many"])
        print(format_many(measurements))
        return check_many(measurements)

    def projection(self):
        """Ten million images, on paper."""
        kind, sides = next(iter(self._sides.items()))
        n_columns = 192
        seconds, memory = measure_row_cost(
            self._folder, n_columns, self._scale["rows"], self._rounds
        )
        for name in extraction.OURS:
            rate = sides[name].rate
            print(f"\n{name}, {kind}")
            print(
                format_projection(
                    [
                        Projection(N_PROJECTED, rate, n_columns, seconds, memory, n)
                        for n in MACHINES
                    ]
                )
            )
        return []

    def describe_peers(self):
        """Describe the environment of the peers in a line."""
        if self._peers is None:
            return "peers: none (--peers)"
        with Process("_speed_peers.py", self._peers) as process:
            found = process.ask("describe")
        versions = ", ".join(f"{n} {v}" for n, v in found["versions"].items())
        return f"peers: {versions}; torch threads {found['threads']}"


SECTIONS = (
    "extraction",
    "engines",
    "latency",
    "memory",
    "fit",
    "pyod",
    "grid",
    "dask",
    "maps",
    "cells",
    "many",
    "projection",
)
SLOW = ("many",)


def make_parser():
    """Make the parser of the command line."""
    parser = harness.make_parser(
        f"{__doc__}Packages of the peers: {', '.join(PEERS)}",
        "--rounds",
        "--quick",
        sections=SECTIONS,
        slow=SLOW,
    )
    parser.add_argument(
        "--peers", metavar="DIR", help="virtual environment of the peers"
    )
    parser.add_argument("--images", metavar="DIR", help="images to time, at any depth")
    return parser


def main(argv=None):
    """Run the benchmark; return the exit status."""
    arguments = make_parser().parse_args(argv)
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        run = Run(arguments, Path(folder))
        print(f"{harness.describe_machine(PACKAGES)}\n{run.describe_peers()}")
        for name in arguments.sections:
            print(f"\n== {name} ==", flush=True)
            verdicts += getattr(run, name)()
    return harness.print_verdicts("Targets", verdicts)


if __name__ == "__main__":
    sys.exit(main())
