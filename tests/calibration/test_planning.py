import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from skgaussad.calibration import fpr_bound, planning_table, required_samples


@pytest.mark.parametrize(
    ("fpr", "confidence", "n_samples"),
    [
        (0.05, None, 19),
        (0.01, None, 99),
        (0.1, None, 9),
        (0.003, None, 333),
        (0.9, None, 1),
        (0.01, 0.95, 299),
        (0.05, 0.95, 59),
        # Whole numbers of which rounding must make no more.
        (0.5, 0.75, 2),
        (0.1, 1 - 0.9**7, 7),
        (0.01, 1 - 0.99**300, 300),
        (0.9, 0.01, 1),
    ],
)
def test_required_samples(fpr, confidence, n_samples):
    assert required_samples(fpr, confidence) == n_samples


@given(
    denominator=st.integers(2, 10_000),
    confidence=st.one_of(st.none(), st.floats(0.01, 0.999)),
)
def test_required_samples_is_the_least_number(denominator, confidence):
    fpr = 1 / denominator
    n_samples = required_samples(fpr, confidence)
    if confidence is None:
        assert n_samples == denominator - 1
        return

    def best_probability(n):
        """Over all ranks k of the n distances."""
        ranks = np.unique(np.geomspace(1, n, 50).astype(int))
        return stats.beta.cdf(fpr, n - ranks + 1, ranks).max()

    assert best_probability(n_samples) >= confidence - 1e-9
    assert n_samples == 1 or best_probability(n_samples - 1) < confidence


def test_planning_table_holds_the_required_samples():
    table = planning_table([0.1, 0.002], [0.8, 0.99])
    assert list(table.columns) == ["average", 0.8, 0.99]
    for fpr in (0.1, 0.002):
        assert table.loc[fpr].tolist() == [
            required_samples(fpr),
            required_samples(fpr, 0.8),
            required_samples(fpr, 0.99),
        ]
    assert planning_table().notna().all(axis=None)


@given(
    counts=st.integers(1, 5000).flatmap(
        lambda n: st.tuples(st.integers(0, n), st.just(n))
    ),
    confidence=st.floats(0.5, 0.999),
)
def test_fpr_bound_is_the_one_sided_clopper_pearson_bound(counts, confidence):
    n_exceeding, n_samples = counts
    test = stats.binomtest(n_exceeding, n_samples, alternative="less")
    expected = test.proportion_ci(confidence, method="exact").high
    assert fpr_bound(n_exceeding, n_samples, confidence) == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize(("n_exceeding", "n_samples"), [(0, 40), (2, 50), (9, 200)])
def test_fpr_bound_holds_in_its_fraction_of_training_sets(n_exceeding, n_samples):
    """The rate of a uniform distance above the threshold is one minus the threshold."""
    n_sets = 10_000
    distances = np.random.default_rng(0).uniform(size=(n_sets, n_samples))
    threshold = np.sort(distances, axis=1)[:, n_samples - n_exceeding - 1]
    assert (distances > threshold[:, np.newaxis]).sum(axis=1).tolist() == (
        [n_exceeding] * n_sets
    )
    for confidence in (0.5, 0.9, 0.99):
        n_held = (1 - threshold <= fpr_bound(n_exceeding, n_samples, confidence)).sum()
        low, high = stats.binom.ppf([0.0005, 0.9995], n_sets, confidence)
        assert low <= n_held <= high


def test_fpr_bound_of_arrays():
    bounds = fpr_bound([[0], [3], [5]], [5, 50], 0.9)
    assert bounds.shape == (3, 2)
    assert bounds[2, 0] == 1
    assert bounds[1, 1] == fpr_bound(3, 50, 0.9)
    assert isinstance(fpr_bound(np.int64(3), 50), float)


@pytest.mark.parametrize("fpr", [0.2, 0.01, 0.001])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_the_largest_of_the_required_samples_keeps_the_rate(fpr, confidence):
    n_samples = required_samples(fpr, confidence)
    assert fpr_bound(0, n_samples, confidence) <= fpr
    assert fpr_bound(0, max(1, n_samples - 1), confidence) > fpr


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: required_samples(0), r"fpr must be a number in \(0, 1\); got 0"),
        (lambda: required_samples(1), r"fpr must be a number in \(0, 1\); got 1"),
        (lambda: required_samples(0.1, 1), r"confidence must be a number.*got 1"),
        (lambda: planning_table([0.1, 2]), r"fpr must be a number in \(0, 1\); got 2"),
        (lambda: fpr_bound(0, 5, 1.0), r"confidence must be a number.*got 1.0"),
        (lambda: fpr_bound(6, 5), "n_exceeding must be at most n_samples; got 6 and 5"),
        (lambda: fpr_bound(-1, 5), "n_exceeding must be an integer of at least 0.*-1"),
        (lambda: fpr_bound(0, 0), "n_samples must be an integer of at least 1.*got 0"),
        (lambda: fpr_bound(0.5, 5), "n_exceeding must be an integer.*got 0.5"),
    ],
)
def test_numbers_out_of_range(call, message):
    with pytest.raises(ValueError, match=message):
        call()
