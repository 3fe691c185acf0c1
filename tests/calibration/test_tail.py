import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from skgaussad import ConformalDetector, LevelEnsemble, MahalanobisDetector
from skgaussad.calibration._held_out import HeldOutDistances
from skgaussad.calibration._tail import GeneralizedParetoTail
from skgaussad.exceptions import FalseAlarmRateWarning

# Of squared distances.
LAWS = {
    "two Gaussian features": stats.chi2(2),
    "twenty Gaussian features": stats.chi2(20),
    "ten features, t with 5 degrees of freedom": stats.f(10, 5),
    "log-normal": stats.lognorm(0.6),
}


@pytest.mark.parametrize("shape", [-0.2, 0.1, 0.5])
def test_recovers_a_generalised_pareto_law(shape):
    law = stats.genpareto(shape, scale=2.0, loc=3.0)
    distances = law.rvs(20_000, random_state=0)
    tail = GeneralizedParetoTail.fit(distances)
    assert tail.mass == pytest.approx(0.2, rel=1e-3)
    assert tail.start == pytest.approx(law.isf(0.2), rel=0.02)
    assert tail.shapes @ tail.weights == pytest.approx(shape, abs=0.04)
    # Of a generalised Pareto law, the excesses over u have scale + shape u.
    scale = 2.0 + shape * (tail.start - 3.0)
    assert tail.scales @ tail.weights == pytest.approx(scale, rel=0.05)
    for fpr in (0.05, 0.001):
        assert law.sf(tail.threshold(fpr)) == pytest.approx(fpr, rel=0.15)


@pytest.mark.parametrize("fpr", [0.003, 0.001])
@pytest.mark.parametrize("name", LAWS)
def test_mean_rate_beyond_the_largest_distance(name, fpr):
    """Within a factor of two, over training sets of 100, where the law is known."""
    law, rng = LAWS[name], np.random.default_rng(0)
    rates = []
    for _ in range(200):
        distances = np.sqrt(law.rvs(100, random_state=rng))
        held_out = HeldOutDistances(
            distances, tail=GeneralizedParetoTail.fit(distances)
        )
        rates.append(law.sf(held_out.threshold(fpr) ** 2))
    assert fpr / 2 < np.mean(rates) < 2 * fpr


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_samples=st.integers(20, 200),
    law=st.sampled_from(sorted(LAWS)),
    fprs=st.lists(st.floats(1e-5, 0.5), min_size=2, max_size=2).map(sorted),
)
def test_thresholds_and_p_values_agree(seed, n_samples, law, fprs):
    """A distance is above the threshold where its p-value is at most the rate."""
    rng = np.random.default_rng(seed)
    distances = np.sqrt(LAWS[law].rvs(n_samples, random_state=rng))
    tail = GeneralizedParetoTail.fit(distances)
    held_out = HeldOutDistances(distances, tail=tail)
    low, high = (held_out.threshold(fpr) for fpr in reversed(fprs))
    assert low <= high, "a lower rate has the higher threshold"
    for fpr, threshold in zip(reversed(fprs), (low, high), strict=True):
        beside = threshold * np.array([1 - 1e-6, 1 + 1e-6])
        p_values = held_out.p_values(beside)
        assert p_values[1] <= fpr * (1 + 1e-6)
        assert p_values[0] >= fpr * (1 - 1e-4) or p_values[0] > p_values[1]
        if held_out.supports(fpr):
            assert threshold == HeldOutDistances(distances).threshold(fpr)
        else:
            assert threshold >= distances.max()
    grid = np.linspace(0, 4 * distances.max(), 300)
    p_values = held_out.p_values(grid)
    assert (np.diff(p_values) <= 0).all()
    assert (p_values[grid <= distances.max()] >= 1 / (n_samples + 1) - 1e-12).all()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-15, 1e-6, 0.3, 1e9]))
def test_the_law_has_the_units_of_the_distances(seed, scale):
    distances = np.random.default_rng(seed).chisquare(5, size=50)
    one, other = (GeneralizedParetoTail.fit(d) for d in (distances, scale * distances))
    assert other.threshold(1e-3) / scale == pytest.approx(one.threshold(1e-3))


@pytest.mark.parametrize("far", [False, True], ids=["near", "far"])
def test_the_law_begins_beyond_the_largest_distance(far):
    """Whether the largest distance is nearer than the law expects it, or farther."""
    distances = np.sort(np.sqrt(stats.chi2(20).rvs(99, random_state=0)))
    distances[-1] = distances[-2] + (3.0 if far else 1e-3)
    largest = distances[-1]
    tail = GeneralizedParetoTail.fit(distances)
    assert tail.mass == 21 / 100
    assert (tail.rate(largest) < 0.006) == far
    held_out = HeldOutDistances(distances, tail=tail)
    assert held_out.threshold(0.01) == largest
    assert held_out.threshold(0.0099) == pytest.approx(
        largest if far else tail.threshold(0.0099)
    )
    grid = largest + np.linspace(0, 10, 500)
    p_values = held_out.p_values(grid)
    np.testing.assert_allclose(
        p_values[1:], np.minimum(0.01, tail.rate(grid[1:])), rtol=1e-12
    )
    assert p_values[0] == pytest.approx(0.02)
    assert (p_values[1:] <= 0.01).all()


def test_p_values_stay_positive_where_the_law_ends():
    distances = np.random.default_rng(0).uniform(size=30_000)
    held_out = HeldOutDistances(distances, tail=GeneralizedParetoTail.fit(distances))
    assert (held_out.p_values(np.array([1.5, 10.0, np.inf])) > 0).all()


def test_doubt_begins_beyond_ten_times_the_least_rate():
    distances = np.random.default_rng(0).chisquare(5, size=99)
    held_out = HeldOutDistances(distances, tail=GeneralizedParetoTail.fit(distances))
    assert held_out.doubt(0.00101) is None
    assert "10 times below what 99" in held_out.doubt(0.00099)


def test_the_rate_is_an_average_over_laws():
    """Against numerical survival functions of SciPy."""
    tail = GeneralizedParetoTail.fit(np.random.default_rng(0).chisquare(5, size=60))
    distances = tail.start + np.array([0.0, 1.0, 5.0, 50.0])
    survival = [
        stats.genpareto.sf(distances - tail.start, shape, scale=scale)
        for shape, scale in zip(tail.shapes, tail.scales, strict=True)
    ]
    expected = tail.mass * tail.weights @ survival
    np.testing.assert_allclose(tail.rate(distances), expected, rtol=1e-9)
    assert tail.rate(distances)[0] == pytest.approx(tail.mass)


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        (np.arange(19.0), "needs at least 20 training samples, and there are 19"),
        (np.ones(50), "finite, different distances.*largest 11 lie between 1 and 1"),
        (np.append(np.arange(49.0), np.inf), "finite, different.*and inf"),
    ],
    ids=["few", "equal", "infinite"],
)
def test_distances_without_a_tail(distances, message):
    with pytest.raises(ValueError, match=message):
        GeneralizedParetoTail.fit(distances)


def test_detectors_extrapolate_and_say_how_far():
    X = np.random.default_rng(0).normal(size=(100, 6))
    columns = {"first": slice(0, 3), "second": slice(3, 6)}
    for detector in (
        MahalanobisDetector(),
        LevelEnsemble(columns=columns),
        ConformalDetector(MahalanobisDetector()),
    ):
        detector.set_params(threshold="tail", fpr=0.05).fit(X)
        conformal = -detector.offset_
        detector.set_params(threshold="quantile").fit(X)
        assert conformal == -detector.offset_, "a rate that 100 samples can tell"
        detector.set_params(threshold="tail", fpr=0.002).fit(X)
        tail = GeneralizedParetoTail.fit(detector.calibration_distances_)
        assert -detector.offset_ == pytest.approx(tail.threshold(0.002))
        far = X[:1] + 3
        p_value = detector.p_values(far)[0]
        assert p_value < 0.002
        assert p_value == pytest.approx(tail.rate(-detector.score_samples(far))[0])
        detector.set_params(fpr=0.0005)
        message = "fpr=0.0005 is 20 times below what 100.*at least 199 training"
        with pytest.warns(FalseAlarmRateWarning, match=message):
            detector.fit(X)
