"""
=======================
Watch a production line
=======================

An alarm when parts are no longer as they were, and whether that is a drift or a burst
of defects.

Run it with ``python examples/watch_production.py``. It leaves a picture,
``watch_production.png``, in the working directory.
"""

import matplotlib.pyplot as plt
import numpy as np

from skgaussad import MahalanobisDetector
from skgaussad.calibration import ConformalMonitor

# %%
# Features of normal parts, here random numbers. The held-out distances of the detector
# are what distances to come are compared with.
rng = np.random.default_rng(0)
n_features = 30


def produce(n_parts, spread=1.0):
    """Features of normal parts; a spread other than 1 makes all of them different."""
    return rng.normal(scale=spread, size=(n_parts, n_features))


detector = MahalanobisDetector().fit(produce(400))


def distances_of(parts):
    """Distances to the Gaussian of normal parts, not squared."""
    return -detector.score_samples(parts)


monitor = ConformalMonitor(alpha=0.01, random_state=0).fit(detector)


evidence = {}


def watch(title, parts):
    """Hand parts to the monitor one by one, as a line does."""
    print(title)
    evidence[title] = []
    for number, distance in enumerate(distances_of(parts), start=1):
        if monitor.update_distances(distance) and monitor.alarm_index_ == (
            monitor.n_seen_ - 1
        ):
            print(f"alarm at part {number}")
        evidence[title].append(monitor.log_martingale_)
    print(f"after {len(parts)} parts: {monitor.diagnosis_ or 'no alarm'}")


# %%
# As long as nothing changes, the probability of ever raising an alarm is 1 % at most.
watch("a quiet week", produce(2000))

# %%
# A tool breaks: every fifth part is defective, the others are as before. The kind of
# change is told at the alarm and revised while the evidence grows.
parts = produce(150)
parts[::5] += 2
watch("a burst of defects", parts)

# %%
# The tool is replaced. The defects must not stay in the reference, so that the
# monitor is given the first one again.
monitor.fit(detector)
watch("the tool replaced", produce(500))

# %%
# A lamp ages: all parts look a little different from those of the fit.
watch("a drift", produce(150, spread=1.1))

# %%
# The evidence that something has changed, and where it becomes an alarm.
figure, axes = plt.subplots(4, 1, figsize=(7, 8), sharey=True, layout="constrained")
for ax, (title, values) in zip(axes, evidence.items(), strict=True):
    ax.plot(np.arange(1, len(values) + 1), values)
    ax.axhline(np.log(1 / monitor.alpha), color="black", linestyle="--", label="alarm")
    ax.set(title=title, ylabel="log evidence")
axes[-1].set_xlabel("parts")
axes[0].legend()
figure.savefig("watch_production.png")
