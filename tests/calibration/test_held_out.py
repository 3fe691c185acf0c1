import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from skgaussad.calibration._held_out import HeldOutDistances
from skgaussad.calibration._tail import GeneralizedParetoTail

# Few different values, so that there are ties.
distances = arrays(
    float, st.integers(1, 60), elements=st.sampled_from([0.5, 1, 1.5, 2, 4, np.inf])
)


@given(distances=distances, fpr=st.floats(0.005, 0.995))
def test_threshold_is_the_order_statistic(distances, fpr):
    held_out = HeldOutDistances(distances)
    n_samples = len(distances)
    rank = int(np.ceil((1 - fpr) * (n_samples + 1) - 1e-7))
    assert held_out.supports(fpr) == (rank <= n_samples)
    expected = np.sort(distances)[min(rank, n_samples) - 1]
    assert held_out.threshold(fpr) == expected


@given(distances=distances, groups=st.data(), fpr=st.floats(0.01, 0.99))
def test_groups_count_alike(distances, groups, fpr):
    n_samples = len(distances)
    names = groups.draw(arrays(int, n_samples, elements=st.integers(0, 5)))
    numbers = np.unique(names, return_inverse=True)[1]
    held_out = HeldOutDistances(distances, numbers)
    n_groups = numbers.max() + 1

    def weight(above):
        return sum(above[numbers == group].mean() for group in range(n_groups))

    threshold = held_out.threshold(fpr)
    limit = fpr * (n_groups + 1) - 1
    assert held_out.supports(fpr) == (limit >= 1 - 1e-9)
    if not held_out.supports(fpr):
        # No more than one whole group in all.
        limit = min(fpr * n_groups, 1)
    assert weight(distances > threshold) <= limit + 1e-6
    smaller = distances[distances < threshold]
    if len(smaller):
        assert weight(distances > smaller.max()) > limit - 1e-6
    np.testing.assert_allclose(
        held_out.p_values(distances),
        [(1 + weight(distances >= d)) / (n_groups + 1) for d in distances],
    )


@given(
    distances=distances,
    groups=st.data(),
    rates=st.tuples(st.floats(0.001, 0.999), st.floats(0.001, 0.999)),
)
def test_a_higher_rate_never_has_a_higher_threshold(distances, groups, rates):
    names = groups.draw(arrays(int, len(distances), elements=st.integers(0, 20)))
    for numbers in (None, np.unique(names, return_inverse=True)[1]):
        held_out = HeldOutDistances(distances, numbers)
        lower, higher = sorted(rates)
        assert held_out.threshold(lower) >= held_out.threshold(higher)


@settings(max_examples=50)
@given(
    n_samples=st.integers(1, 400),
    fpr=st.sampled_from([0.01, 0.05, 0.2]),
    confidence=st.sampled_from([0.5, 0.9, 0.95]),
)
def test_confidence_is_the_least_rank_with_the_beta_law(n_samples, fpr, confidence):
    held_out = HeldOutDistances(np.arange(1.0, n_samples + 1))
    # The share above the k-th smallest of n follows a beta law over training sets.
    kept = [
        stats.beta.cdf(fpr, n_samples - rank + 1, rank) >= confidence
        for rank in range(1, n_samples + 1)
    ]
    assert held_out.supports(fpr, confidence) == kept[-1]
    expected = kept.index(True) + 1 if kept[-1] else n_samples
    assert held_out.threshold(fpr, confidence) == expected


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_rate_exceeds_its_bound_as_often_as_the_confidence_says(confidence):
    """Uniform distances, whose rate above a threshold is known, for many sets."""
    rng = np.random.default_rng(0)
    n_failed = sum(
        1 - HeldOutDistances(rng.uniform(size=150)).threshold(0.1, confidence) > 0.1
        for _ in range(2000)
    )
    low, high = stats.binom.ppf([0.001, 0.999], 2000, 1 - confidence)
    # The ranks are discrete: fewer failures, but not many fewer.
    assert 0.5 * low <= n_failed <= high


def test_p_values_are_uniform_on_a_grid():
    rng = np.random.default_rng(0)
    p_values = np.concatenate(
        [
            HeldOutDistances(rng.uniform(size=9)).p_values(rng.uniform(size=1))
            for _ in range(4000)
        ]
    )
    counts = np.bincount(np.round(10 * p_values).astype(int), minlength=11)[1:]
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("n_groups", [3, 10, 30])
def test_the_threshold_of_groups_never_rises_with_the_rate(n_groups):
    """Nor where the promise begins: at 1 / (K + 1), by the rule with a theorem."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(n_groups), 20)
    held_out = HeldOutDistances(rng.gamma(4, size=len(groups)), groups)
    rates = np.linspace(0.001, 0.9, 400)
    thresholds = [held_out.threshold(rate) for rate in rates]
    assert np.all(np.diff(thresholds) <= 0)
    assert len(set(thresholds)) > n_groups


def test_few_samples_for_a_tail_are_doubted():
    distances = np.random.default_rng(0).gamma(4, size=100)
    for n_samples, is_doubted in ((59, True), (60, False)):
        some = distances[:n_samples]
        held_out = HeldOutDistances(some, tail=GeneralizedParetoTail.fit(some))
        assert held_out.doubt(0.05) is None
        doubt = held_out.doubt(0.005)
        assert (doubt is not None) == is_doubted
        if is_doubted:
            assert "59 training samples can tell" in doubt
            assert "at least 60" in doubt
