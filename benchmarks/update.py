"""What it takes to bring a fitted model up to date.

    python benchmarks/update.py

The default detector is fitted to 500 solar cells, and 50 more are added: by
`DetectorPipeline.update`, from their files and from their features, and by a new fit to
all 550. Prints seconds, the largest relative difference of scores and thresholds
between the two, and the size of the model file with and without what an update needs.
The exit status is 1 if the update is not equal to 1e-9, or takes five seconds.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _harness import Verdict, format_table, make_parser, print_verdicts
from sklearn.base import clone

from skgaussad import DetectorPipeline, make_detector, save
from skgaussad.datasets import load_solar_cells

_LIMIT = 5.0
_TOLERANCE = 1e-9


def _timed(call, *arguments):
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


def main(argv=None):
    """Run the benchmark; return the exit status."""
    parser = make_parser(__doc__, "--quick")
    quick = parser.parse_args(argv).quick
    n_fitted, n_added = (40, 5) if quick else (500, 50)
    data = load_solar_cells("mono")
    good = np.random.default_rng(0).permutation(data.paths[data.labels == 1])
    old, new = good[:n_fitted], good[n_fitted : n_fitted + n_added]
    tested = data.paths[data.labels == -1][: 5 if quick else 50]

    pipe = make_detector()
    rows = [("fit", _timed(pipe.fit, old))]
    with tempfile.TemporaryDirectory() as folder:
        sizes = {}
        for keep in (True, False):
            path = Path(folder) / f"{keep}.skgaussad"
            save(pipe, path, keep_samples=keep)
            sizes[keep] = path.stat().st_size / 1e6

    features = pipe[:-1].transform(np.concatenate([old, new]))
    of_features = DetectorPipeline([("detector", clone(pipe[-1]))])
    of_features.fit(features.iloc[:n_fitted])
    given = _timed(of_features.update, features.iloc[n_fitted:])
    rows.append(("update, features given", given))
    from_files = _timed(pipe.update, new)
    rows.append(("update, image files", from_files))
    again = clone(pipe)
    rows.append(("new fit to all", _timed(again.fit, np.concatenate([old, new]))))

    n_features = features.shape[1]
    print(f"\n{n_added} images on {n_fitted}, {n_features} features\n")
    print(format_table({"": "", "s": ".2f"}, rows))
    print(
        f"\nmodel file: {sizes[True]:.1f} MB, {sizes[False]:.1f} MB without the "
        "training samples"
    )
    scores, expected = pipe.score_samples(tested), again.score_samples(tested)
    off = max(
        np.max(np.abs(scores / expected - 1)), abs(pipe.offset_ / again.offset_ - 1)
    )
    return print_verdicts(
        "Update",
        [
            Verdict("equal to a new fit to 1e-9", off <= _TOLERANCE, f"{off:.0e}"),
            Verdict(
                f"within {_LIMIT:g} s, from features and from files",
                max(given, from_files) < _LIMIT,
                f"{given:.2f} and {from_files:.2f} s",
            ),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
