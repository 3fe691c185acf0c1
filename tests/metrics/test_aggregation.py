import numpy as np
import pytest
from scipy import stats

from skgaussad.metrics import mean_and_sem

# AUROC in percent of ten models (columns) in the 15 categories of MVTec AD, each a mean
# over five folds: table VIII of Rippel, Mertens and Merhof, ICPR 2020.
TABLE_8 = np.array(
    [
        [65.9, 80.5, 97.5, 96.8, 97.2, 98.9, 100.0, 100.0, 61.1, 89.2],
        [80.9, 92.9, 90.2, 89.3, 97.8, 98.4, 81.7, 89.7, 23.7, 44.7],
        [46.0, 90.5, 99.8, 98.4, 98.8, 99.1, 99.7, 100.0, 75.8, 86.7],
        [55.4, 75.7, 97.7, 99.1, 99.2, 97.8, 99.8, 99.8, 91.6, 95.7],
        [91.8, 91.4, 98.1, 95.0, 95.6, 99.6, 98.6, 99.6, 92.5, 79.1],
        [97.5, 85.5, 94.9, 98.2, 99.5, 99.5, 99.8, 100.0, 98.4, 97.7],
        [79.5, 58.3, 91.1, 90.8, 92.2, 92.0, 95.5, 95.0, 78.3, 81.0],
        [74.5, 76.7, 92.4, 93.0, 89.0, 96.3, 93.8, 95.1, 66.1, 73.0],
        [90.0, 91.1, 98.6, 98.8, 98.4, 99.8, 99.6, 99.1, 83.5, 81.7],
        [58.2, 64.6, 95.6, 95.4, 94.6, 96.8, 94.7, 94.7, 73.4, 77.3],
        [80.1, 58.0, 86.0, 83.3, 89.8, 93.6, 88.4, 88.7, 66.7, 69.0],
        [95.7, 93.7, 85.0, 88.8, 90.3, 95.2, 85.4, 85.2, 19.5, 31.0],
        [94.2, 100.0, 82.0, 86.9, 80.7, 85.4, 96.4, 96.9, 90.5, 86.3],
        [85.9, 79.1, 92.4, 89.7, 90.0, 94.1, 96.3, 95.5, 82.0, 83.8],
        [86.8, 88.8, 97.9, 98.3, 98.8, 97.9, 97.8, 97.9, 91.7, 94.7],
    ]
)
MEAN = [78.8, 81.8, 93.3, 93.4, 94.1, 96.3, 95.2, 95.8, 73.0, 78.1]
SEM = [4.1, 3.4, 1.4, 1.3, 1.4, 1.0, 1.5, 1.2, 6.1, 4.7]


@pytest.mark.parametrize("model", range(10))
def test_rows_of_the_papers_table_follow_from_its_columns(model):
    mean, sem = mean_and_sem(TABLE_8[:, [model]])
    # Printed figures are off by up to 0.05, those of the categories and their mean.
    assert mean == pytest.approx(MEAN[model], abs=0.1)
    assert round(sem, 1) == SEM[model]


def test_folds_are_averaged_before_categories():
    values = np.random.default_rng(0).normal(size=(6, 5))
    mean, sem = mean_and_sem(values)
    assert mean == pytest.approx(values.mean())
    assert sem == pytest.approx(stats.sem(values.mean(axis=1)))
    assert sem != pytest.approx(stats.sem(values.ravel()), rel=0.01)
    assert mean_and_sem(dict(enumerate(values))) == pytest.approx((mean, sem))
    assert mean_and_sem(values.tolist()) == pytest.approx((mean, sem))


def test_categories_count_alike_whatever_their_folds():
    mean, sem = mean_and_sem({"screw": [0.5, 0.5, 0.5, 0.5], "pill": [0.7]})
    assert mean == pytest.approx(0.6)
    assert sem == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.9, 0.8], r"shape \(n_categories, n_folds\).*got shape \(2,\).*one column"),
        ([[0.9, 0.8]], "at least 2 of them; values has 1"),
        ({}, "at least 2 of them; values has 0"),
        ({"a": [1.0], "b": []}, "Found array with 0 sample"),
        ({"a": [1.0], "b": [np.nan]}, r"values\['b'\] contains NaN"),
        ({"a": [1.0], "b": [[1.0]]}, r"values\['b'\] must be of shape \(n_folds,\)"),
        ([[1.0], [np.inf]], r"values\[1\] contains infinity"),
    ],
)
def test_values_that_have_no_standard_error(values, message):
    with pytest.raises(ValueError, match=message):
        mean_and_sem(values)
