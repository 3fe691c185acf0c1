"""The time that one image takes, from its file to its label."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from _harness import format_table, take_turns
from _speed_processes import ask_once

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
        Seconds from reading the model to a first answer, in a new process.
    median, slow : float
        Seconds; one image in a hundred takes longer than the second.
    """

    engine: str
    cold: float
    median: float
    slow: float


def measure_latency(paths, n_fitted, n_images, folder, n_rounds):
    """Time `make_detector` on one file after the other, in processes of its own.

    Parameters
    ----------
    paths : list of str
        The first are fitted to, the others labelled.
    n_fitted, n_images : int
    folder : Path
        For the model.
    n_rounds : int
        How many processes each engine starts in.

    Returns
    -------
    latencies : list of Latency
    """
    file = str(folder / "model.skgaussad")
    ask_once("_speed_sides.py", "fit_default", paths=paths[:n_fitted], file=file)
    label = partial(ask_once, "_speed_sides.py", "label_singly", file=file)
    rest = paths[n_fitted : n_fitted + n_images]
    first = {
        engine: partial(_first_seconds, label, rest[:1], engine) for engine in ENGINES
    }
    cold = take_turns(first, n_rounds)
    latencies = []
    for engine in ENGINES:
        seconds = label(paths=rest, engine=engine)["seconds"][N_WARM:]
        median, slow = np.quantile(seconds, [0.5, 0.99])
        latencies.append(Latency(engine, np.median(cold[engine]), median, slow))
    return latencies


def _first_seconds(label, paths, engine):
    return label(paths=paths, engine=engine)["seconds"][0]


def format_latency(latencies):
    """Format the times as a table, in milliseconds."""
    columns = {"engine": "", "first ms": ".0f", "median ms": ".1f", "p99 ms": ".1f"}
    rows = [(t.engine, 1e3 * t.cold, 1e3 * t.median, 1e3 * t.slow) for t in latencies]
    return format_table(columns, rows)
