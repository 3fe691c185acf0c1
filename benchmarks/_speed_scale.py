"""Many images: measured up to 100,000, and beyond on paper."""

from dataclasses import dataclass

import numpy as np
from _harness import format_table
from _speed_processes import Process, ask_once
from PIL import Image

MANY_SIZE = 64
MANY_LEVELS = (2, 3)
# Side of the files, in pixels.
FILE_SIZE = 80
_DAY = 86_400


def make_images(folder, n_images, seed=0):
    """Write small grey JPEG files of smooth noise.

    Parameters
    ----------
    folder : Path
        Made here.
    n_images : int
    seed : int, default=0
    """
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(n_images):
        coarse = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((FILE_SIZE, FILE_SIZE))
        image.save(folder / f"{number:07d}.jpg", quality=85)


@dataclass(frozen=True)
class ManyMeasurement:
    """What so many images took.

    Attributes
    ----------
    n_images, n_columns : int
    extraction, fit : float
        Seconds.
    extraction_peak, fit_peak : int
        Most bytes that the process held; for the fit, without those of the matrix of
        features, which it maps from a file.
    """

    n_images: int
    n_columns: int
    extraction: float
    fit: float
    extraction_peak: int
    fit_peak: int

    @property
    def peak(self):
        """The higher of both, in bytes."""
        return max(self.extraction_peak, self.fit_peak)


def measure_many(folder, numbers):
    """Extract the features of many small images to a file, and fit to them.

    Parameters
    ----------
    folder : Path
    numbers : sequence of int
        Of images, taken from the same files; rising.

    Returns
    -------
    measurements : list of ManyMeasurement
    """
    images = folder / "many"
    make_images(images, numbers[-1])
    measurements = []
    for number in numbers:
        extracted = ask_once(
            "_speed_sides.py",
            "extract",
            folder=str(images),
            image_size=MANY_SIZE,
            levels=MANY_LEVELS,
            limit=number,
            memmap_folder=str(folder),
        )
        fitted = ask_once("_speed_sides.py", "fit", matrix=extracted["matrix"])
        measurements.append(
            ManyMeasurement(
                number,
                extracted["n_columns"],
                extracted["seconds"],
                fitted["seconds"],
                extracted["peak"],
                fitted["peak"] - fitted["mapped"],
            )
        )
    return measurements


def format_many(measurements):
    """Format the measurements as a table."""
    columns = {"images": ",d", "extract s": ".1f", "per second": ".0f"}
    columns |= {"extract MB": ".0f", "fit s": ".2f", "fit MB": ".0f"}
    return format_table(
        columns,
        [
            (
                m.n_images,
                m.extraction,
                m.n_images / m.extraction,
                m.extraction_peak / 1e6,
                m.fit,
                m.fit_peak / 1e6,
            )
            for m in measurements
        ],
    )


def measure_row_cost(folder, n_columns, numbers, n_rounds):
    """Time that a row adds to a fit, and the bytes that it adds to the process.

    Parameters
    ----------
    folder : Path
        For the matrices, random ones.
    n_columns : int
    numbers : tuple of (int, int)
        Few rows and many, more than columns both. The slope between them leaves out
        what does not depend on the rows.
    n_rounds : int

    Returns
    -------
    seconds, memory : float
        Per row, the memory in bytes.
    """
    rng = np.random.default_rng(0)
    matrices = [str(folder / f"rows_{number}.npy") for number in numbers]
    for matrix, number in zip(matrices, numbers, strict=True):
        np.save(matrix, rng.standard_normal((number, n_columns), dtype=np.float32))
    peaks = [ask_once("_speed_sides.py", "fit", matrix=m)["peak"] for m in matrices]
    with Process("_speed_sides.py") as process:

        def seconds():
            return [process.ask("fit", matrix=m)["seconds"] for m in matrices]

        # The first fit of a process takes longer.
        seconds()
        medians = np.median([seconds() for _ in range(n_rounds)], axis=0)
    n_added = numbers[1] - numbers[0]
    return float(np.diff(medians)[0] / n_added), float(np.diff(peaks)[0] / n_added)


@dataclass(frozen=True)
class Projection:
    """What many images would take, by proportion.

    Attributes
    ----------
    n_images : int
    rate : float
        Images per second of one machine such as this.
    n_columns : int
        Of the features.
    fit_seconds, fit_memory : float
        Per row, in a fit to some rows at a time; the memory in bytes.
    n_machines : int, default=1
        Among which the images are divided.
    """

    n_images: int
    rate: float
    n_columns: int
    fit_seconds: float
    fit_memory: float
    n_machines: int = 1

    @property
    def extraction_days(self):
        """Days until all images have gone through the network."""
        return self.n_images / self.rate / self.n_machines / _DAY

    @property
    def matrix_bytes(self):
        """Size of the features, in float32."""
        return 4 * self.n_images * self.n_columns

    @property
    def fit_minutes(self):
        """Minutes of the fit, each machine summing its rows."""
        return self.n_images * self.fit_seconds / self.n_machines / 60

    @property
    def fit_bytes(self):
        """Memory that the rows add to a fit, on each machine."""
        return self.n_images * self.fit_memory / self.n_machines

    @property
    def moments_bytes(self):
        """Size of the sums from which the Gaussian follows, in float64."""
        return 8 * (self.n_columns**2 + 2 * self.n_columns + 2)


def format_projection(projections):
    """Format projections that differ in their numbers of machines, with assumptions.

    Parameters
    ----------
    projections : list of Projection

    Returns
    -------
    text : str
    """
    first = projections[0]
    lines = [
        f"{first.n_images:,d} images on paper, assuming that",
        f"- a machine extracts {first.rate:.1f} images per second however many there "
        "are, and reading them",
        "  keeps up (measured above, files in the page cache);",
        f"- a row of {first.n_columns} features adds "
        f"{1e6 * first.fit_seconds:.1f} microseconds and "
        f"{first.fit_memory:,.0f} bytes to a fit to some",
        "  rows at a time (measured, random rows);",
        "- machines share nothing but sums of "
        f"{first.moments_bytes / 1e6:.1f} MB, which take no time.",
        "",
        format_table(
            {
                "machines": "d",
                "extraction, days": ".2f",
                "matrix, GB": ".2f",
                "fit, minutes": ".2f",
                "memory, GB": ".2f",
            },
            [
                (
                    p.n_machines,
                    p.extraction_days,
                    p.matrix_bytes / 1e9,
                    p.fit_minutes,
                    p.fit_bytes / 1e9,
                )
                for p in projections
            ],
        ),
    ]
    return "\n".join(lines)
