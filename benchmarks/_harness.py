"""What the benchmark scripts have in common: options, turns, tables and verdicts."""

import argparse
import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

_OPTIONS = {
    "--rounds": {"type": int, "default": 5, "help": "of each side"},
    "--quick": {"action": "store_true", "help": "few images, to see that it runs"},
    "--quiet": {"action": "store_true", "help": "no progress bars"},
}


def make_parser(description, *options, sections=(), slow=()):
    """Make a parser with options that several scripts have.

    Parameters
    ----------
    description : str
    *options : {"--rounds", "--quick", "--quiet"}
    sections, slow : sequence of str
        Parts of the script that can be chosen by name; `slow` ones run only then.
    """

    def section(name):
        if name not in sections:
            raise argparse.ArgumentTypeError(
                f"no section {name!r}; there are {', '.join(sections)}"
            )
        return name

    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if sections:
        parser.add_argument(
            "sections",
            nargs="*",
            type=section,
            default=[name for name in sections if name not in slow],
            metavar="SECTION",
            help=f"{', '.join(sections)}; default: all but slow ones",
        )
    for option in options:
        parser.add_argument(option, **_OPTIONS[option])
    return parser


def time_call(function, *args):
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def take_turns(sides, n_rounds):
    """Call the sides one after the other, so that what else runs slows all of them.

    Parameters
    ----------
    sides : dict of {str: callable}
    n_rounds : int

    Returns
    -------
    results : dict of {str: list}
        What each side returned, one a round.
    """
    rounds = [[call() for call in sides.values()] for _ in range(n_rounds)]
    return dict(zip(sides, map(list, zip(*rounds, strict=True)), strict=True))


def median_seconds(sides, n_rounds):
    """Return the median of the seconds that each of the sides returns, in turns."""
    seconds = take_turns(sides, n_rounds)
    return {side: float(np.median(taken)) for side, taken in seconds.items()}


def format_table(columns, rows):
    """Lay out rows as a table.

    Parameters
    ----------
    columns : dict of {str: str}
        Headings, and the format specification of what stands below, such as
        ``".1f"``; empty for text.
    rows : iterable of sequence
        A value for each column; None for no value.
    """
    lines = [list(columns)]
    for row in rows:
        pairs = zip(row, columns.values(), strict=True)
        lines.append(["-" if value is None else f"{value:{s}}" for value, s in pairs])
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    aligned = [
        f"{{:{'>' if spec else '<'}{width}}}"
        for spec, width in zip(columns.values(), widths, strict=True)
    ]
    return "\n".join("  ".join(aligned).format(*line).rstrip() for line in lines)


@dataclass(frozen=True)
class Verdict:
    """Whether a criterion, set before the measurement, holds, and the figures for it.

    Attributes
    ----------
    criterion : str
    holds : bool
    finding : str
    """

    criterion: str
    holds: bool
    finding: str

    def __str__(self):
        return (
            f"[{'holds' if self.holds else 'FAILS'}] {self.criterion}\n"
            f"        {self.finding}"
        )


def print_verdicts(title, verdicts):
    """Print verdicts under a title; return the exit status: 1 if one fails."""
    print(f"\n{title}")
    for verdict in verdicts:
        print(verdict)
    n_failed = sum(not verdict.holds for verdict in verdicts)
    print(f"{n_failed} of {len(verdicts)} criteria failed")
    return int(n_failed > 0)


def describe_machine(packages):
    """Describe processor, threads and versions of packages."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = (line.partition(":")[2] for line in lines if "model name" in line)
        processor = next(names, "").strip()
    except OSError:
        processor = ""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{processor or platform.processor() or platform.machine()}, "
        f"{os.cpu_count()} CPUs, torch threads {torch.get_num_threads()}, "
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}\n"
        f"{platform.platform()}, Python {platform.python_version()}, {versions}"
    )
