"""Fits against scikit-learn's, over numbers of samples and features.

Both sides take turns in one process, another one being first each time, and see the
same rows. `MahalanobisDetector` also finds the leave-one-out distances of its samples
and its threshold, which the others do not.
"""

import itertools
import time
import tracemalloc

import numpy as np
from sklearn.covariance import EllipticEnvelope, LedoitWolf
from tqdm import tqdm

from skgaussad import MahalanobisDetector
from skgaussad.datasets import load_solar_cells

# How the standard deviations of the features fall, after a random rotation.
SPECTRA = {
    "white": lambda n_features: np.ones(n_features),
    "decaying": lambda n_features: np.geomspace(1, 1e-3, n_features),
}
GRID = [
    *((n, d) for n in (50, 200, 500, 1000, 2000) for d in (50, 192, 500, 1000, 2000)),
    *((n, d) for n in (5000, 20000) for d in (50, 192, 500, 1000, 2000)),
    *((n, 3072) for n in (50, 200, 500, 1000, 2000)),
]
# Beyond these its robust fit takes minutes.
_ROBUST_MOST_SAMPLES, _ROBUST_MOST_FEATURES = 2000, 200
# Short fits are repeated until they have taken this long, or both sides that long.
_LEAST_SECONDS = 0.2
_MOST_SECONDS = 5


def make_rows(n_samples, n_features, spectrum, seed=0):
    """Draw Gaussian samples.

    Parameters
    ----------
    n_samples, n_features : int
    spectrum : {"white", "decaying"}
    seed : int, default=0

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) * SPECTRA[spectrum](n_features)
    if spectrum == "white":
        return X
    # Two reflections mix all features, and do not cost the cube of their number.
    for vector in rng.normal(size=(2, n_features)):
        X -= np.outer(X @ vector, 2 / (vector @ vector) * vector)
    return X


def solar_cell_rows(n_samples, level=7):
    """Features of real images: the first of the solar cells, at one level."""
    from skgaussad import DeepFeatureTransformer

    paths = load_solar_cells().paths[:n_samples]
    return DeepFeatureTransformer(levels=level).fit_transform(paths).astype(np.float64)


def compare_fits(X, repeats):
    """Time the fits of both sides to the same rows, in turns.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    repeats : int
        Least number of fits of each side.

    Returns
    -------
    measurement : dict
        ``seconds`` and ``sklearn_seconds``, medians; ``score_seconds``, the same for
        the first score after a fit;
        ``sklearn_both_seconds``, for scikit-learn's fit and the distances of the same
        rows, the least that a threshold takes;
        ``peak`` and ``sklearn_peak``, most memory allocated in a fit, in bytes;
        ``difference``, the largest relative one of squared distances of new rows; and
        ``robust_seconds`` of `EllipticEnvelope`, or None where it cannot be fitted.
    """
    n_samples, n_features = X.shape
    ours, theirs = MahalanobisDetector(fpr=0.5), LedoitWolf()
    peak, sklearn_peak = _peak(ours, X), _peak(theirs, X)
    seconds, sklearn_seconds, score_seconds, both_seconds = [], [], [], []
    rows = X[:200] + X.std(axis=0) / 3
    start = time.perf_counter()

    def are_few():
        few = sum(seconds) < _LEAST_SECONDS
        return few and time.perf_counter() - start < _MOST_SECONDS

    sides = [(ours, seconds), (theirs, sklearn_seconds)]
    while len(seconds) < repeats or are_few():
        # The second one finds the rows in the processor's cache.
        sides.reverse()
        for side, taken in sides:
            taken.append(_time(side.fit, X))
        score_seconds.append(_time(ours.score_samples, rows))
        both_seconds.append(sklearn_seconds[-1] + _time(theirs.mahalanobis, X))
    expected = theirs.mahalanobis(rows)
    robust_seconds = None
    few = n_samples <= _ROBUST_MOST_SAMPLES and n_features <= _ROBUST_MOST_FEATURES
    if few and n_features < n_samples:
        robust_seconds = _time(EllipticEnvelope(random_state=0).fit, X)
    return {
        "n_samples": n_samples,
        "n_features": n_features,
        "seconds": float(np.median(seconds)),
        "score_seconds": float(np.median(score_seconds)),
        "sklearn_seconds": float(np.median(sklearn_seconds)),
        "sklearn_both_seconds": float(np.median(both_seconds)),
        "robust_seconds": robust_seconds,
        "peak": peak,
        "sklearn_peak": sklearn_peak,
        "difference": float(np.abs(ours.mahalanobis(rows) / expected - 1).max()),
    }


def measure_fit(grid=GRID, repeats=3, spectra=tuple(SPECTRA)):
    """Compare fits to Gaussian samples over a grid.

    Parameters
    ----------
    grid : sequence of (int, int)
        Numbers of samples and features.
    repeats : int, default=3
        Least number of fits of each side.
    spectra : sequence of {"white", "decaying"}

    Returns
    -------
    measurements : list of dict
        As of `compare_fits`, with ``spectrum``.
    """
    return [
        {"spectrum": spectrum, **compare_fits(make_rows(*shape, spectrum), repeats)}
        for shape, spectrum in tqdm([*itertools.product(grid, spectra)], "fits")
    ]


def measure_real_fit(repeats=3, n_samples=500):
    """Compare fits to features of real images.

    Parameters
    ----------
    repeats : int, default=3
    n_samples : int, default=500

    Returns
    -------
    measurements : list of dict
        As of `compare_fits`, with ``spectrum`` ``"solar cells"``.
    """
    measurement = compare_fits(solar_cell_rows(n_samples), repeats)
    return [{"spectrum": "solar cells", **measurement}]


def measure_growth(sizes, fixed, axis, repeats=3):
    """Compare fits along one axis of the grid.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of samples or of features.
    fixed : int
        The other number.
    axis : {"samples", "features"}
        What `sizes` counts.
    repeats : int, default=3

    Returns
    -------
    measurements : list of dict
        As of `measure_fit`.
    """
    grid = [(s, fixed) if axis == "samples" else (fixed, s) for s in sizes]
    return measure_fit(grid, repeats, ("decaying",))


def growth_exponents(measurements, axis):
    """Exponents p of a cost that grows as size^p, from each size to the next.

    Parameters
    ----------
    measurements : list of dict
        Of `measure_growth`.
    axis : {"samples", "features"}

    Returns
    -------
    exponents : ndarray of shape (n_sizes - 1,)
    """
    sizes = [m[f"n_{axis}"] for m in measurements]
    seconds = [m["seconds"] for m in measurements]
    return np.diff(np.log(seconds)) / np.diff(np.log(sizes))


def format_fit(measurements):
    """Lay out comparisons of fits as a table.

    Parameters
    ----------
    measurements : list of dict

    Returns
    -------
    table : str
        Times in milliseconds, memory in MB. The ratio is scikit-learn's time over ours,
        without and with the distances of the training rows on its side.
    """
    lines = [
        "samples  features  spectrum     skgaussad  + score  LedoitWolf   ratio"
        "  + distances    MB  LedoitWolf  difference  EllipticEnvelope"
    ]
    for m in measurements:
        robust = m["robust_seconds"]
        lines.append(
            f"{m['n_samples']:7}  {m['n_features']:8}  {m['spectrum']:11}"
            f"  {1e3 * m['seconds']:9.2f}  {1e3 * m['score_seconds']:7.2f}"
            f"  {1e3 * m['sklearn_seconds']:10.2f}"
            f"  {m['sklearn_seconds'] / m['seconds']:6.2f}"
            f"  {m['sklearn_both_seconds'] / m['seconds']:11.2f}"
            f"  {m['peak'] / 1e6:4.0f}  {m['sklearn_peak'] / 1e6:10.0f}"
            f"  {m['difference']:10.1e}"
            f"  {'' if robust is None else f'{1e3 * robust:16.0f}'}".rstrip()
        )
    return "\n".join(lines)


def _time(function, X):
    start = time.perf_counter()
    function(X)
    return time.perf_counter() - start


def _peak(estimator, X):
    """Most memory allocated in a fit, in bytes. It also warms up."""
    tracemalloc.start()
    try:
        estimator.fit(X)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
