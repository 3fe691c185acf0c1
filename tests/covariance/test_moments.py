import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skgaussad.covariance import Gaussian, Moments, Spectrum, mean_of
from skgaussad.covariance._moments import centre


def brute_force(X):
    """Mean and central sums in extended precision: S, t and f."""
    X = np.asarray(X, dtype=np.longdouble)
    mean = X.mean(axis=0)
    rows = X - mean
    norms = (rows**2).sum(axis=1)
    return mean, rows.T @ rows, norms @ rows, (norms**2).sum()


def sums(moments):
    """The same of moments, in the units of the features."""
    unit = np.longdouble(moments.unit)
    scatter = moments.scatter
    if isinstance(scatter, Spectrum):
        scatter = moments.n_samples * scatter.matrix()
    return (
        moments.location,
        scatter * unit**2,
        moments.cubic * unit**3,
        moments.fourth * unit**4,
    )


def assert_moments_of(moments, X, rtol=1e-12):
    """Up to rounding of what the largest deviation contributes."""
    assert moments.n_samples == len(X)
    np.testing.assert_array_equal(moments.varies, np.ptp(X, axis=0) > 0)
    mean, scatter, cubic, fourth = brute_force(X)
    size = np.sqrt(np.trace(scatter))
    digits = np.abs(X).max() * np.finfo(float).eps
    found = sums(moments)
    np.testing.assert_allclose(
        found[0].astype(np.longdouble), mean, rtol=0, atol=rtol * size + 2 * digits
    )
    for power, (value, expected) in enumerate(
        zip(found[1:], (scatter, cubic, fourth), strict=True), start=2
    ):
        np.testing.assert_allclose(value, expected, rtol=0, atol=rtol * size**power)


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_are_centred_in_a_unit_of_their_own(order):
    rng = np.random.default_rng(0)
    X = np.asarray(rng.normal(size=(83, 7)) * np.geomspace(1, 1e3, 7) + 5, order=order)
    X[:, 2] = 0.1
    before = X.copy()
    rows, placed = centre(X)
    np.testing.assert_allclose(
        placed["unit"] * rows, X - X.mean(axis=0), rtol=0, atol=1e-12
    )
    assert 0.5 <= np.abs(rows).max() < 1
    assert np.log2(placed["unit"]).is_integer(), "no digits are lost"
    np.testing.assert_allclose(rows.sum(axis=0), 0, atol=1e-13)
    assert (rows[:, 2] == 0).all()
    np.testing.assert_allclose(mean_of(X), X.mean(axis=0), rtol=1e-14)
    assert mean_of(X)[2] == 0.1
    np.testing.assert_array_equal(placed["low"], X.min(axis=0))
    np.testing.assert_array_equal(placed["high"], X.max(axis=0))
    np.testing.assert_array_equal(X, before)


@st.composite
def samples(draw):
    """Any shape and unit; constant features, duplicates, an origin far away."""
    n_samples = draw(st.integers(1, 20))
    n_features = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.standard_t(3, size=(n_samples, n_features))
    if draw(st.booleans()):
        X[:, : n_features // 2] = draw(st.sampled_from([0.0, 0.1, -7.3]))
    if draw(st.booleans()):
        X[n_samples // 2 :] = X[0]
    return 10.0 ** draw(st.integers(-60, 60)) * X


@settings(deadline=None, max_examples=200)
@given(X=samples(), data=st.data())
def test_merging_equals_the_moments_of_all(X, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(X) - 1)))) if len(X) > 1 else []
    parts = [Moments.of(part) for part in np.split(X, cuts)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    assert_moments_of(merged, X)
    # A tree of merges, as machines make it.
    while len(parts) > 1:
        pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
        parts = [p[0] if len(p) == 1 else p[1].merge(p[0]) for p in pairs]
    assert_moments_of(parts[0], X)
    diagonal = [Moments.of(part, diagonal=True) for part in np.split(X, cuts)]
    whole = diagonal[0]
    for part in diagonal[1:]:
        whole = whole.merge(part)
    assert whole.scatter.shape == (X.shape[1],)
    np.testing.assert_allclose(
        whole.scatter * whole.unit**2,
        merged.scatter.diagonal() * merged.unit**2,
        rtol=1e-12,
    )


@settings(deadline=None, max_examples=200)
@given(X=samples(), data=st.data())
def test_taking_out_gives_the_moments_of_those_left(X, data):
    if len(X) < 2:
        return
    out = np.arange(len(X)) < data.draw(st.integers(1, len(X) - 1))
    moments = Moments.of(X)
    left = moments.without(Moments.of(X[out]))
    np.testing.assert_array_equal(left.varies, np.ptp(X[~out], axis=0) > 0)
    size = np.sqrt(np.trace(brute_force(X)[1]))
    for power, (value, expected) in enumerate(
        zip(sums(left), brute_force(X[~out]), strict=True), start=1
    ):
        # Digits are those of the moments that were there.
        tolerance = 1e-9 * size**power + 4 * np.finfo(float).eps * np.abs(X).max() * (
            power == 1
        )
        np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance)
    assert (left.scatter[~left.varies] == 0).all(), "exactly, not to rounding"
    assert (left.scatter[:, ~left.varies] == 0).all()


@pytest.mark.parametrize("n_rows", [1, 7], ids="{} at a time".format)
def test_an_origin_far_away_costs_no_digits(n_rows):
    """With raw sums about 0 nothing would be left of fourth powers: (1e6)^4 = 1e24."""
    rng = np.random.default_rng(0)
    # Multiples of 2^-20 are held exactly near 1e6.
    deviations = np.round(rng.normal(size=(300, 5)) * 2**20) / 2**20
    X = deviations + 1e6
    merged = Moments.of(X[:n_rows])
    for start in range(n_rows, len(X), n_rows):
        merged = merged.merge(Moments.of(X[start : start + n_rows]))
    mean, scatter, cubic, fourth = brute_force(deviations)
    found = sums(merged)
    np.testing.assert_allclose(found[1], scatter, rtol=1e-12, atol=1e-12 * len(X))
    np.testing.assert_allclose(found[2], cubic, rtol=1e-12, atol=1e-11 * len(X))
    assert found[3] == pytest.approx(float(fourth), rel=1e-12)
    np.testing.assert_allclose(
        (merged.origin - 1e6) + merged.mean, mean.astype(float), atol=1e-13
    )


@pytest.mark.parametrize("scale", [1e-140, 1e140])
def test_no_moment_over_or_underflows(scale):
    """The fourth powers of these numbers are not float64."""
    X = np.random.default_rng(0).normal(size=(10, 3))
    for part in (Moments.of(scale * X), Moments.of(scale * X[:4])):
        assert 0 < part.fourth < np.inf
    merged = Moments.of(scale * X[:4]).merge(Moments.of(scale * X[4:]))
    assert merged.fourth / Moments.of(scale * X).fourth == pytest.approx(
        (Moments.of(scale * X).unit / merged.unit) ** 4
    )


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (30, 30)], ids=str)
def test_what_a_fit_keeps_are_its_moments(shape):
    rng = np.random.default_rng(0)
    X = rng.normal(size=shape) * np.geomspace(1, 1e-3, shape[1]) + 5
    X[:, 3] = 0.1
    kept = Gaussian.fit(X, "ledoit_wolf")[0].moments
    assert_moments_of(kept, X)
    expected = Moments.of(X)
    assert kept.trace == pytest.approx(expected.trace)
    assert kept.squared_norm == pytest.approx(expected.squared_norm)
    assert_moments_of(kept.merge(Moments.of(X[:5] + 1)), np.vstack([X, X[:5] + 1]))
    variances = Gaussian.fit(X, "diagonal")[0].moments
    np.testing.assert_allclose(
        variances.scatter * variances.unit**2, len(X) * X.var(axis=0), atol=1e-15
    )


def test_spectrum_of_a_scatter_matrix():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8, 20))
    moments = Moments.of(X)
    spectrum = Spectrum.of_scatter(moments.scatter, len(X))
    assert spectrum.axes.shape == (7, 20)
    np.testing.assert_allclose(spectrum.axes @ spectrum.axes.T, np.eye(7), atol=1e-12)
    np.testing.assert_allclose(
        8 * spectrum.matrix(), moments.scatter, atol=1e-12 * moments.trace
    )
    # What rounding leaves along further axes is none of n - 1.
    noise = 1e-12 * moments.trace * rng.normal(size=(20, 20))
    noisy = Spectrum.of_scatter(moments.scatter + noise + noise.T, len(X))
    assert noisy.rank == 7


def test_a_feature_that_only_samples_taken_out_varied_in_is_constant_again():
    X = np.random.default_rng(0).normal(size=(50, 4)) + 10
    X[10:, 2] = 0.1
    left = Moments.of(X).without(Moments.of(X[:10]))
    assert not left.varies[2]
    assert left.location[2] == pytest.approx(0.1, abs=1e-12)
    # The value is an end of its range, as the 0 of a rectified feature: then exactly.
    X[:, 2] = np.maximum(X[:, 2], 0.1)
    left = Moments.of(X).without(Moments.of(X[:10]))
    assert left.location[2] == 0.1
    again = left.merge(Moments.of(X[10:20]))
    assert not again.varies[2]
    assert again.scatter[2, 2] == 0


@pytest.mark.parametrize("diagonal", [False, True])
def test_samples_that_were_not_there_are_found_out(diagonal):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3)) @ np.array([[1, 0.99, 0], [0, 0.1, 0], [0, 0, 1]])

    def without(rows):
        return Moments.of(X, diagonal=diagonal).without(
            Moments.of(np.asarray(rows), diagonal=diagonal)
        )

    outside = X[:5].copy()
    outside[2, 1] = 7.5
    with pytest.raises(ValueError, match=r"feature 1 goes from .* to 7\.5.*trained on"):
        without(outside)
    extremes = np.stack([X.min(axis=0), X.max(axis=0)] * 10)
    with pytest.raises(ValueError, match="negative variance"):
        without(extremes)
    with pytest.raises(ValueError, match="30 samples cannot be taken out of 30"):
        without(X)
    with pytest.raises(ValueError, match="31 samples cannot be taken out of 30"):
        without(np.vstack([X, X[:1]]))
    with pytest.raises(ValueError, match="single sample would be left with a variance"):
        without(X[1:] * 0.9)


def test_impossible_correlations_and_norms_are_found_out():
    rng = np.random.default_rng(0)
    common = rng.normal(size=(40, 1))
    X = common + 0.01 * rng.normal(size=(40, 2))
    against = X[:10] * [1, -1]
    with pytest.raises(ValueError, match="covariance that is not positive"):
        Moments.of(X).without(Moments.of(against))
    # A row within the range that has a larger norm than any row left to share it.
    line = np.zeros((40, 1))
    line[:20], line[20:] = 1, -1
    line[0], line[1] = 3, -3
    with pytest.raises(ValueError, match="norms would be left with a negative"):
        Moments.of(line).without(
            Moments.of(np.array([[3.0], [-3.0], [1.0], [-1.0], [2.0], [-2.0]]))
        )


def test_a_rest_without_digits_is_refused():
    X = np.random.default_rng(0).normal(size=(40, 3))
    X[:3] *= 1e4
    with pytest.raises(ValueError, match="of the fourth moment.*Call fit"):
        Moments.of(X).without(Moments.of(X[:3]))
    X[:3] /= 100
    left = Moments.of(X).without(Moments.of(X[:3]))
    assert left.fourth * left.unit**4 == pytest.approx(
        float(brute_force(X[3:])[3]), rel=1e-6
    )


def test_samples_too_far_apart_for_numbers():
    far = np.array([[1e308], [-1e308]])
    with pytest.raises(ValueError, match="Rescale"):
        Moments.of(far)
    with pytest.raises(ValueError, match="Rescale"):
        Moments.of(far[:1]).merge(Moments.of(far[1:]))


def test_all_samples_are_told_from_some():
    X = np.random.default_rng(0).normal(size=(40, 3)) + 1e5
    moments = Moments.of(X)
    assert moments.are_of(X[::-1])
    assert not moments.are_of(X[:39])
    assert not moments.are_of(X[np.arange(40) // 2])
