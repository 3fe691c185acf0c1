from types import SimpleNamespace

import numpy as np
import pytest

from skgaussad.calibration import AdaptiveThreshold
from skgaussad.inspection import AdaptiveThresholdDisplay

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close_figures():
    with plt.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


@pytest.fixture
def adaptive():
    detector = SimpleNamespace(
        calibration_distances_=np.linspace(0, 10, 99), offset_=-9.5, fpr=0.05
    )
    return AdaptiveThreshold(detector)


def test_each_part_is_drawn_once_as_what_it_is(adaptive):
    adaptive.decide([5.0, 20.0, 21.0, 22.0, 6.0])
    adaptive.feedback([1, 2, 4], [1, -1, -1])
    _, ax = plt.subplots()
    display = AdaptiveThresholdDisplay.from_threshold(adaptive, ax=ax, color="red")
    drawn = {
        name: points.get_xydata().tolist() for name, points in display.points_.items()
    }
    assert drawn == {
        "passed": [[0, 5]],
        "false alarm": [[1, 20]],
        "defect found": [[2, 21]],
        "alarm that waits": [[3, 22]],
        "defect missed": [[4, 6]],
    }
    assert display.ax_ is ax
    assert display.line_.get_color() == "red"
    thresholds = adaptive.history()["threshold"]
    assert np.array_equal(display.line_.get_ydata(), thresholds)


def test_nothing_decided_is_an_error(adaptive):
    with pytest.raises(ValueError, match="No part has been decided"):
        AdaptiveThresholdDisplay.from_threshold(adaptive)
