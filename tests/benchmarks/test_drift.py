from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("elpv_dataset")

from drift import changed, decide, judge_simulated, measure_simulated, stream_of
from PIL import Image


def test_adaptive_rates_hold_on_simulated_streams():
    verdicts = judge_simulated(measure_simulated(3))
    assert all(verdict.holds for verdict in verdicts)


def test_a_fixed_threshold_fails_the_same_criteria():
    results = measure_simulated(3)
    for drift in {drift for drift, _ in results}:
        fixed = results[drift, "static"]
        results[drift, "adaptive"] = np.column_stack([fixed[:, :2], fixed[:, 2]])
    by_drift = {v.criterion.split(":")[0]: v.holds for v in judge_simulated(results)}
    assert not by_drift["slow"]
    assert not by_drift["jump"]


def test_each_day_is_decided_by_its_own_detector():
    detectors = [
        SimpleNamespace(
            offset_=-threshold, calibration_distances_=np.linspace(0, 1, 50), fpr=0.05
        )
        for threshold in (1, 3)
    ]
    distances, days = np.array([0.5, 2, 2, 4]), np.array([0, 0, 1, 1])
    for is_adaptive in (False, True):
        is_flagged, _ = decide(
            distances, np.full(4, -1), days, detectors, is_adaptive, False
        )
        assert is_flagged.tolist() == [False, True, False, True]


def test_a_stream_has_each_image_once_and_good_ones_in_order(tmp_path):
    training, images, labels, days = stream_of("mono", "file order")
    assert len(training) == 188
    assert len(images) == 460
    assert (labels == 1).sum() == 400
    assert np.all(np.bincount(days) == 46)
    assert len({image.tobytes() for image in images}) == 460
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[100, 200]], dtype=np.uint8)).save(path)
    assert changed(path, 0.5, 0.5).tolist() == [[62, 88]]
