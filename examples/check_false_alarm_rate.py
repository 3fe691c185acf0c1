"""
===========================================
Check the false-alarm rate on normal images
===========================================

Plan how many images a rate takes, and check whether a detector keeps the rate.

Run it with ``python examples/check_false_alarm_rate.py``. It leaves a picture,
``false_alarm_rate.png``, in the working directory.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import Pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector
from skgaussad.calibration import fpr_bound, planning_table
from skgaussad.datasets import load_solar_cells
from skgaussad.detectors import p_values
from skgaussad.exceptions import FalseAlarmRateWarning
from skgaussad.inspection import (
    ChiSquareQQDisplay,
    FalsePositiveRateDisplay,
    PValueDisplay,
)
from skgaussad.reporting import CalibrationReport, calibration_report

# %%
# Before any image is taken: how many normal images a rate needs, on average over
# training sets and with some confidence.
print(planning_table([0.1, 0.05, 0.01], [0.9, 0.95]), end="\n\n")

# %%
# Fit on some of the functional cells, and keep others to check with. Here a rate that
# the images do not support is an error, not a warning.
cells = load_solar_cells("mono")
rng = np.random.default_rng(0)
functional = rng.permutation(np.flatnonzero(cells.labels == 1))
defective = rng.permutation(np.flatnonzero(cells.labels == -1))[:60]
train, held_out = functional[:200], functional[200:400]
detector = MahalanobisDetector(fpr=0.05)
pipe = Pipeline(
    [
        ("features", DeepFeatureTransformer(levels=7, image_size=96)),
        ("detector", detector),
    ]
)
with warnings.catch_warnings():
    warnings.simplefilter("error", FalseAlarmRateWarning)
    pipe.fit(cells.paths[train])
bound = detector.fpr_bound(confidence=0.95)
print(f"5 % asked for on average, at most {bound:.1%} with 95 % confidence")
print(f"with 1000 images it would be {fpr_bound(49, 1000):.1%}\n")

# %%
# Groups are what may make a difference, such as lots or cameras. The data set is sorted
# by module, so its halves are of different modules.
halves = np.where(held_out < np.median(held_out), "first half", "second half")
report: CalibrationReport = calibration_report(
    pipe, cells.paths[held_out], groups=halves
)
print(report, end="\n\n")
first = report.groups["first half"]
print(f"first half: {first.rate:.1%}, from {first.low:.1%} to {first.high:.1%}")
print("p-values of defective cells:", p_values(pipe, cells.paths[defective[:5]]))

# %%
# The features are computed once for the three pictures. The third has the chi-square
# distribution that threshold="chi2" assumes.
normal, anomalous = (
    pipe[:-1].transform(cells.paths[rows]) for rows in (held_out, defective)
)
figure, axes = plt.subplots(1, 3, figsize=(15, 5), layout="constrained")
FalsePositiveRateDisplay.from_estimator(detector, normal, ax=axes[0], name="level 7")
PValueDisplay.from_estimator(
    detector,
    np.concatenate([normal, anomalous]),
    np.repeat([1, -1], [len(normal), len(anomalous)]),
    ax=axes[1],
    name="level 7",
)
ChiSquareQQDisplay.from_estimator(detector, normal, ax=axes[2], name="level 7")
figure.savefig("false_alarm_rate.png", dpi=80)
