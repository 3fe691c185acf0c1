"""What a fit sees of scaling steps and of an order before it, for limits.py."""

import warnings
from itertools import product

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

from skgaussad import ConformalDetector, MahalanobisDetector
from skgaussad.exceptions import FalseAlarmRateWarning

SCALERS = {
    "none": None,
    "standard": StandardScaler(),
    "min-max": MinMaxScaler(),
    "robust": RobustScaler(),
    "power": PowerTransformer(),
}
SHAPES = (
    (30, 600),
    (60, 60),
    (100, 4),
    (100, 16),
    (100, 40),
    (100, 150),
    (100, 600),
    (300, 36),
    (300, 81),
    (300, 150),
)
# Numbers of lots, and the deviation of their means from each other.
LOTS = ((0, 0), (2, 1), (3, 1), (6, 0.3), (6, 1), (10, 1), (30, 0.3), (30, 1))
_N_NEW = 1_000
_SLOW_FIT = 30_000


def measure_scaling(n_sets, shapes=SHAPES):
    """Yield rows of the table of scaling steps."""
    for kind, (n_train, width) in product(("normal", "exponential"), shapes):
        rng = np.random.default_rng(0)
        draw = getattr(rng, kind)
        scales = 1 / np.sqrt(np.arange(1, width + 1))
        rates = {name: [] for name in (*SCALERS, "power, diagonal", "CV+")}
        for _ in range(n_sets):
            rows = draw(size=(n_train + _N_NEW, width)) * scales
            train, new = np.split(rows, [n_train])
            for name, step in SCALERS.items():
                if name == "power" and n_train * width > _SLOW_FIT:
                    continue
                steps = [] if step is None else [step]
                pipe = make_pipeline(*steps, MahalanobisDetector())
                rates[name].append(np.mean(pipe.fit(train).predict(new) == -1))
                if name == "power":
                    pipe = make_pipeline(step, MahalanobisDetector("diagonal"))
                    labels = pipe.fit(train).predict(new)
                    rates["power, diagonal"].append(np.mean(labels == -1))
                if name == "standard":
                    labels = ConformalDetector(pipe).fit(train).predict(new)
                    rates["CV+"].append(np.mean(labels == -1))
        means = [100 * np.mean(each) if each else None for each in rates.values()]
        yield kind, n_train, width, np.sqrt(width) / n_train, *means


def measure_order(sources, n_sets):
    """Yield rows of the table of orders.

    Parameters
    ----------
    sources : dict of {str: ndarray of shape (n_samples, n_features)}
        Normal samples in the order of their files.
    n_sets : int
    """
    for fpr in (0.01, 0.05, 0.1):
        for name, features in sources.items():
            told = _told(features, fpr)
            yield f"{name}, file order", len(features), fpr, *_sum_up([told]), None
            for n_train in (100, 300):
                if n_train > len(features):
                    continue
                shuffled = [
                    _told(features[rng.permutation(len(features))[:n_train]], fpr)
                    for rng in map(np.random.default_rng, range(n_sets))
                ]
                yield f"{name}, shuffled", n_train, fpr, *_sum_up(shuffled), None
    for n_train, width in ((100, 20), (300, 50), (100, 300)):
        for n_lots, effect in LOTS:
            drawn = [
                _draw_lots(n_train, width, n_lots, effect, s) for s in range(n_sets)
            ]
            told, came = zip(*drawn, strict=True)
            name = f"{n_lots} lots, {effect:g} sd" if n_lots else "independent"
            name += f", {width} features"
            yield name, n_train, 0.05, *_sum_up(told), 100 * np.mean(came)


def _sum_up(told):
    """Return how often there was a warning, and the mean rate told in it."""
    rates = [rate for rate in told if rate is not None]
    return 100 * len(rates) / len(told), 100 * np.mean(rates) if rates else None


def _told(X, fpr, new=None):
    """Return the rate that a warning of the order tells, or None without one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FalseAlarmRateWarning)
        detector = MahalanobisDetector(fpr=fpr).fit(X)
    told = [str(w.message) for w in caught if "in their order" in str(w.message)]
    rate = float(told[0].partition("calls ")[2].split()[0]) if told else None
    return rate if new is None else (rate, np.mean(detector.predict(new) == -1))


def _draw_lots(n_train, width, n_lots, effect, seed):
    """Draw lots in order; return the rate told and that in a hundred new lots."""
    rng = np.random.default_rng(seed)
    scales = 1 / np.sqrt(np.arange(1, width + 1))
    lots = np.arange(n_train) * max(n_lots, 1) // n_train
    means = effect * rng.normal(size=(max(n_lots, 1), width))[lots]
    train = (means + rng.normal(size=(n_train, width))) * scales
    new = effect * rng.normal(size=(100, 1, width)) + rng.normal(size=(100, 10, width))
    return _told(train, 0.05, (new * scales).reshape(-1, width))
