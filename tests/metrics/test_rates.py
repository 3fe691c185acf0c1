import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skgaussad.metrics import achieved_fpr, tpr_at_fpr


def highest_tpr(y_true, y_score, fpr):
    """By trying every threshold, and the one that flags nothing."""
    y_true, y_score = np.array(y_true), np.array(y_score)
    rates = [(0.0, 0.0)]
    for threshold in y_score:
        flagged = y_score <= threshold
        rates.append((flagged[y_true == 1].mean(), flagged[y_true == -1].mean()))
    return max(tpr for false, tpr in rates if false <= fpr)


@given(
    samples=st.lists(
        # Few different scores, so that many are tied.
        st.tuples(st.sampled_from([1, -1]), st.integers(-5, 5)),
        min_size=2,
        max_size=30,
    ).filter(lambda samples: len({label for label, _ in samples}) == 2),
    fpr=st.one_of(st.floats(0, 1), st.integers(0, 10).map(lambda tenths: tenths / 10)),
)
def test_tpr_at_fpr_is_the_best_of_all_thresholds(samples, fpr):
    y_true, y_score = zip(*samples, strict=True)
    assert tpr_at_fpr(y_true, y_score, fpr=fpr) == highest_tpr(y_true, y_score, fpr)


@pytest.mark.parametrize(("fpr", "tpr"), [(0.0, 0.2), (0.1, 0.2), (0.3, 0.6), (1, 1)])
def test_rate_is_reached_to_the_last_sample(fpr, tpr):
    """Three of ten normal samples are exactly 0.3 of them."""
    y_true = np.repeat([1, -1], [10, 5])
    y_score = np.concatenate([-np.arange(10.0), [-20, -6.5, -6.5, 5, 6]])
    assert tpr_at_fpr(y_true, y_score, fpr=fpr) == tpr


@pytest.mark.parametrize(("fpr", "tpr"), [(0.3, 0), (0.5, 1 / 3), (0.9, 2 / 3)])
def test_points_on_a_straight_part_of_the_curve_count(fpr, tpr):
    y_true, y_score = [1, -1, 1, -1, 1, -1], [1, 1, 2, 2, 3, 3]
    assert tpr_at_fpr(y_true, y_score, fpr=fpr) == tpr


def test_scores_without_negative_numbers():
    scores = np.array([0, 1, 2], dtype=np.uint8)
    assert tpr_at_fpr([-1, 1, 1], scores, fpr=0) == 1


@pytest.mark.parametrize(
    ("y_true", "y_score", "fpr", "message"),
    [
        ([1, -1], [0, 1], 1.1, r"fpr must be a number in \[0, 1\]; got 1.1"),
        ([1, -1], [0, 1], None, r"fpr must be a number in \[0, 1\]; got None"),
        ([1, 1], [0, 1], 0.1, "all 2 labels are 1"),
        ([-1, -1], [0, 1], 0.1, "all 2 labels are -1"),
        ([1, 0], [0, 1], 0.1, r"y_true must hold.*got 0, 1.*np.where\(y_true == 1, -1"),
        ([1, -1], [0, np.nan], 0.1, "NaN"),
        ([1, -1], [0], 0.1, "inconsistent numbers of samples"),
    ],
)
def test_bad_input_of_tpr_at_fpr(y_true, y_score, fpr, message):
    with pytest.raises(ValueError, match=message):
        tpr_at_fpr(y_true, y_score, fpr=fpr)


def test_achieved_fpr_counts_normal_samples_only():
    y_true = [1, 1, 1, 1, 1, -1, -1, -1]
    y_pred = [1, -1, 1, -1, 1, -1, -1, 1]
    assert achieved_fpr(y_true, y_pred) == 0.4
    assert achieved_fpr([1, 1], [1, 1]) == 0
    assert achieved_fpr([1, 1, -1], [-1.0, -1.0, 1.0]) == 1


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([-1, -1], [1, -1], r"normal samples \(\+1\).*all 2 labels are -1"),
        ([1, -1], [1, -1, 1], "equal length; got 2 and 3"),
        ([1, -1], [1, 0], r"y_pred must hold \+1 for normal.*got 0, 1"),
        ([1, 2], [1, 1], r"y_true must hold \+1 .*got 1, 2\.$"),
        ([True, False], [1, -1], "got False, True.*np.where"),
        (["good", "bad"], [1, -1], "got 'bad', 'good'"),
        ([[1, -1], [1, 1]], [1, 1], "1d array"),
    ],
)
def test_bad_input_of_achieved_fpr(y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        achieved_fpr(y_true, y_pred)
