"""Tests of the confidence interval of an AUROC."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from skgaussad.metrics import roc_auc_interval


def hanley_mcneil_error(area, n_normal, n_anomalous):
    """Standard error by their formula, with the mean of the sizes in each term."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    n_others = (n_normal + n_anomalous) / 2 - 1
    variance = area * (1 - area) + n_others * ((q1 - area**2) + (q2 - area**2))
    return np.sqrt(variance / (n_normal * n_anomalous))


def make_scores(rng, distance, n_normal, n_anomalous):
    y_true = np.repeat([1, -1], [n_normal, n_anomalous])
    return y_true, rng.normal(np.where(y_true == 1, distance, 0))


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("distance", [-0.5, 0, 1, 2.5])
def test_ends_are_as_far_as_the_quantile_says(distance, confidence):
    y_true, y_score = make_scores(np.random.default_rng(0), distance, 30, 17)
    low, high = roc_auc_interval(y_true, y_score, confidence=confidence)
    found = roc_auc_score(y_true == 1, y_score)
    z = norm.ppf((1 + confidence) / 2)
    assert 0 < low < found < high < 1
    for end in (low, high):
        error = hanley_mcneil_error(end, 30, 17)
        assert abs(end - found) == pytest.approx(z * error, rel=1e-8)


@pytest.mark.parametrize("direction", [1, -1])
def test_perfect_scores(direction):
    y_true = [1] * 12 + [-1] * 8
    low, high = roc_auc_interval(y_true, direction * np.arange(20, 0, -1))
    inner = high if direction == -1 else low
    assert (low == 0) == (direction == -1)
    assert (high == 1) == (direction == 1)
    found = (1 + direction) / 2
    error = hanley_mcneil_error(inner, 12, 8)
    assert abs(inner - found) == pytest.approx(1.959964 * error, rel=1e-5)


@pytest.mark.parametrize("distance", [0.5, 2])
def test_holds_as_often_as_it_says(distance):
    """Within four standard errors of 95 % in 400 draws."""
    rng = np.random.default_rng(1)
    area = norm.cdf(distance / np.sqrt(2))
    intervals = [
        roc_auc_interval(*make_scores(rng, distance, 40, 25)) for _ in range(400)
    ]
    covered = np.mean([low <= area <= high for low, high in intervals])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 400)


@pytest.mark.parametrize(
    ("y_true", "options", "message"),
    [
        ([1, 1], {}, "at least one of each; got 2 and 0"),
        ([-1, -1], {}, "at least one of each; got 0 and 2"),
        ([1, 0], {}, "y_true must hold"),
        ([1, -1], {"confidence": 1}, "confidence"),
    ],
)
def test_what_is_refused(y_true, options, message):
    with pytest.raises(ValueError, match=message):
        roc_auc_interval(y_true, [1.0, 2.0], **options)
