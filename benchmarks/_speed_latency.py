"""The time that one image takes, from its file to its label."""

from dataclasses import dataclass

import numpy as np
from _harness import format_table
from _speed_processes import Process

ENGINES = ("openvino", "torch")
# Answers before the first that counts.
N_WARM = 20


@dataclass(frozen=True)
class Latency:
    """Times of single images by one engine.

    Attributes
    ----------
    engine : str
    cold : float
        Seconds of a first answer in a new process, without the imports.
    median, slow : float
        Seconds; one image in a hundred takes longer than the second.
    """

    engine: str
    cold: float
    median: float
    slow: float


def measure_latency(paths, n_fitted, n_images):
    """Time `make_detector` on one file after the other, a process for each engine.

    Parameters
    ----------
    paths : list of str
        The first are fitted to, the others labelled.
    n_fitted, n_images : int

    Returns
    -------
    latencies : list of Latency
    """
    latencies = []
    for engine in ENGINES:
        with Process("_speed_sides.py") as process:
            answer = process.ask(
                "label_singly",
                paths=paths[: n_fitted + n_images],
                n_fitted=n_fitted,
                engine=engine,
            )
        seconds = np.array(answer["seconds"][N_WARM:])
        median, slow = np.quantile(seconds, [0.5, 0.99])
        latencies.append(Latency(engine, answer["cold"], median, slow))
    return latencies


def format_latency(latencies):
    """Format the times as a table, in milliseconds."""
    columns = {"engine": "", "first ms": ".0f", "median ms": ".1f", "p99 ms": ".1f"}
    rows = [(t.engine, 1e3 * t.cold, 1e3 * t.median, 1e3 * t.slow) for t in latencies]
    return format_table(columns, rows)
