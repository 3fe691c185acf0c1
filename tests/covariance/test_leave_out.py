from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import OAS, EmpiricalCovariance, LedoitWolf, ShrunkCovariance

from skgaussad.covariance import (
    COVARIANCES,
    DIAGONAL_COVARIANCES,
    Gaussian,
    Moments,
    TooFewSamplesError,
    _leave_out,
    leave_out,
    leave_out_residuals,
)

SHRINKAGE = 0.1
REFERENCES = {
    "ledoit_wolf": LedoitWolf(),
    "oas": OAS(),
    "shrunk": ShrunkCovariance(shrinkage=SHRINKAGE),
    "empirical": EmpiricalCovariance(),
}
SHAPES = [(50, 200), (200, 50), (80, 80), (60, 100), (4, 30), (40, 1)]


def correlated(n_samples, n_features, seed=0, decay=3.0):
    rng = np.random.default_rng(seed)
    mixing = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    scales = np.exp(-decay * np.arange(n_features) / n_features)
    return rng.normal(size=(n_samples, n_features)) @ (mixing * scales).T


def left_out(X, covariance, groups=None):
    """Squared leave-out distances by the closed form; None if the fit is refused."""
    try:
        gaussian, row_vectors = Gaussian.fit(X, covariance, SHRINKAGE)
    except ValueError:
        return None
    return leave_out(gaussian, X, groups, row_vectors=row_vectors)


def refitted(X, covariance, groups=None):
    """The same by a fit to the others for each group; infinite if it is refused."""
    groups = np.arange(len(X)) if groups is None else groups
    squared = np.full(len(X), np.inf)
    for group in np.unique(groups):
        out = groups == group
        try:
            gaussian, _ = Gaussian.fit(X[~out], covariance, SHRINKAGE)
        except ValueError:
            continue
        squared[out] = gaussian.mahalanobis(X[out])
    return squared


def groups_of(n_samples, seed=0):
    """Groups of different sizes, members scattered over the rows."""
    n_groups = max(2, n_samples // 6)
    numbers = np.random.default_rng(seed).integers(0, n_groups, n_samples)
    return np.unique(numbers, return_inverse=True)[1]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("covariance", REFERENCES)
def test_equals_refits_of_scikit_learn(covariance, shape):
    if covariance == "empirical" and shape[0] <= shape[1]:
        pytest.skip("the empirical covariance of n <= D samples is singular")
    X = correlated(*shape)
    expected = [
        REFERENCES[covariance].fit(np.delete(X, i, 0)).mahalanobis(X[i : i + 1])[0]
        for i in range(len(X))
    ]
    np.testing.assert_allclose(left_out(X, covariance), expected, rtol=1e-9)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("covariance", REFERENCES)
def test_equals_refits_of_scikit_learn_without_groups(covariance, shape):
    groups = groups_of(shape[0])
    if covariance == "empirical" and shape[0] <= 2 * shape[1]:
        pytest.skip("without a group n <= D")
    if shape[0] == 4:
        pytest.skip("two samples left: scikit-learn inverts what is singular")
    X = correlated(*shape)
    expected = np.empty(len(X))
    for group in range(groups.max() + 1):
        out = groups == group
        expected[out] = REFERENCES[covariance].fit(X[~out]).mahalanobis(X[out])
    np.testing.assert_allclose(left_out(X, covariance, groups), expected, rtol=1e-9)


@pytest.mark.parametrize("groups", [None, groups_of(40)], ids=["samples", "groups"])
@pytest.mark.parametrize("covariance", ["diagonal", "isotropic"])
def test_diagonal_covariances(covariance, groups):
    X = correlated(40, 12) * np.geomspace(1, 100, 12)
    names = np.arange(40) if groups is None else groups
    expected = np.empty(40)
    for name in np.unique(names):
        rest, out = X[names != name], X[names == name]
        variances = rest.var(axis=0)
        if covariance == "isotropic":
            variances = np.full(12, variances.mean())
        expected[names == name] = ((out - rest.mean(axis=0)) ** 2 / variances).sum(1)
    np.testing.assert_allclose(left_out(X, covariance, groups), expected, rtol=1e-9)


def awkward_rows(
    shape, seed, decay=0.0, kind="plain", constant=0.0, copies=False, factor=1.0
):
    """Rows with constant, rare and dependent features, copies, and one far off."""
    n_samples, n_features = shape
    X = correlated(n_samples, n_features, seed, decay)
    if kind == "constant":
        X[:, : n_features // 2] = constant
    elif kind == "rare":
        X[:, 0] = 0.0
        X[0, 0] = 1.0
    elif kind == "rectified":
        X = np.maximum(X - X.std(), 0)
    elif kind == "low rank" and n_features > 2:
        X = X[:, :2] @ correlated(2, n_features, seed + 1)
    if copies:
        X[n_samples // 2 :] = X[: n_samples - n_samples // 2]
    X[-1] *= factor
    return X


@st.composite
def training_rows(draw):
    """Any shape and scale; constant, rare and duplicate rows and features."""
    X = awkward_rows(
        shape=(draw(st.integers(3, 40)), draw(st.integers(1, 60))),
        seed=draw(st.integers(0, 2**32 - 1)),
        decay=draw(st.sampled_from([0.0, 3.0])),
        kind=draw(
            st.sampled_from(["plain", "constant", "rare", "rectified", "low rank"])
        ),
        constant=draw(st.sampled_from([0.0, 0.1, -7.0])),
        copies=draw(st.booleans()),
        factor=draw(st.sampled_from([1.0, 10.0, 300.0])),
    )
    return 10.0 ** draw(st.integers(-30, 30)) * X


@settings(deadline=None, max_examples=300)
@given(
    X=training_rows(),
    covariance=st.sampled_from([c for c in COVARIANCES if c != "empirical"]),
    grouped=st.booleans(),
)
def test_equals_a_fit_without_them(X, covariance, grouped):
    if not np.ptp(X, axis=0).any():
        return
    groups = groups_of(len(X)) if grouped else None
    closed = left_out(X, covariance, groups)
    if closed is not None:
        np.testing.assert_allclose(closed, refitted(X, covariance, groups), rtol=1e-9)


@settings(deadline=None, max_examples=100)
@given(
    n_features=st.integers(1, 20),
    # With barely more samples than features a refit has lost digits itself.
    n_extra=st.integers(25, 60),
    seed=st.integers(0, 2**32 - 1),
    grouped=st.booleans(),
)
def test_empirical_equals_a_fit_without_them(n_features, n_extra, seed, grouped):
    X = correlated(n_features + n_extra, n_features, seed)
    groups = groups_of(len(X), seed) if grouped else None
    closed = left_out(X, "empirical", groups)
    expected = refitted(X, "empirical", groups)
    np.testing.assert_allclose(closed, expected, rtol=1e-9)


def test_a_sample_that_alone_varies_in_a_feature_is_infinitely_far():
    X = correlated(50, 4)
    X[:, 2] = 0.0
    X[7, 2] = 1.0
    squared = left_out(X, "empirical")
    assert np.isinf(squared[7])
    assert np.isfinite(np.delete(squared, 7)).all()
    assert np.isfinite(left_out(X, "ledoit_wolf")).all()


@pytest.mark.parametrize(
    "X",
    [
        [[0.05684321, 0, 0], [0, 0.19189523, 0.23935188], [0, 0, 0]],
        [[1, 2, 0.3], [4, 0.1, 7], [1, 2, 0.3], [4, 0.1, 7], [90, -300, 50]],
    ],
    ids=["two", "copies of two"],
)
def test_two_different_samples_left_determine_no_shrinkage(X):
    """Their error is exactly zero, and must not be rounded to a tiny one."""
    X = np.array(X)
    expected = refitted(X, "ledoit_wolf")
    assert np.isinf(expected).any()
    np.testing.assert_allclose(left_out(X, "ledoit_wolf"), expected, rtol=1e-9)


def test_a_dominant_sample_keeps_the_digits_of_the_others():
    """What is left without it is a millionth of a millionth of the moments."""
    X = correlated(30, 12)
    X[3] *= 1e6
    for covariance in ("ledoit_wolf", "oas", "diagonal", "isotropic"):
        squared = left_out(X, covariance)
        expected = refitted(X, covariance)
        assert squared[3] == pytest.approx(expected[3], rel=1e-9)


@pytest.mark.parametrize("covariance", ["ledoit_wolf", "diagonal"])
def test_many_rows_are_worked_on_like_few(covariance, monkeypatch):
    X, groups = correlated(40, 15), groups_of(40)
    whole = [left_out(X, covariance, g) for g in (None, groups)]
    monkeypatch.setattr(_leave_out, "_BLOCK_VALUES", 50)
    blocks = [left_out(X, covariance, g) for g in (None, groups)]
    np.testing.assert_allclose(blocks, whole, rtol=1e-12)


def test_a_group_of_more_rows_than_directions():
    X = correlated(60, 5)
    groups = np.repeat([0, 1], [20, 40])
    np.testing.assert_allclose(
        left_out(X, "oas", groups), refitted(X, "oas", groups), rtol=1e-9
    )


@pytest.mark.parametrize("seed", [6, 30, 35])
def test_samples_without_which_there_are_correlations(seed):
    """The intensity is 1 for all samples, but not for all but one of a few."""
    X = np.random.default_rng(seed).normal(size=(60, 12))
    expected = np.empty(len(X))
    intensities = np.empty(len(X))
    for index in range(len(X)):
        reference = LedoitWolf().fit(np.delete(X, index, axis=0))
        intensities[index] = reference.shrinkage_
        expected[index] = reference.mahalanobis(X[[index]])[0]
    assert LedoitWolf().fit(X).shrinkage_ == 1
    assert 1 <= np.count_nonzero(intensities < 1) <= 3
    assert left_out(X, "ledoit_wolf") == pytest.approx(expected, rel=1e-12)


def test_sample_that_hides_correlations_by_its_distance():
    """The intensity is 1 because of it, and without it far from that."""
    X = np.random.default_rng(0).normal(size=(60, 12)) * np.geomspace(1, 0.1, 12)
    X[7] *= 20
    assert LedoitWolf().fit(X).shrinkage_ == 1
    others = LedoitWolf().fit(np.delete(X, 7, axis=0))
    assert others.shrinkage_ < 0.5
    found = left_out(X, "ledoit_wolf")
    np.testing.assert_allclose(found, refitted(X, "ledoit_wolf"), rtol=1e-12)
    assert found[7] == pytest.approx(others.mahalanobis(X[[7]])[0], rel=1e-12)


@pytest.mark.parametrize("shape", [(30, 60), (60, 30)], ids=str)
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_moments_give_what_the_rows_give(covariance, shape):
    if covariance == "empirical" and shape[0] <= shape[1]:
        pytest.skip("the empirical covariance of n <= D samples is singular")
    X, groups = correlated(*shape), groups_of(shape[0])
    moments = Moments.of(X, diagonal=covariance in DIAGONAL_COVARIANCES)
    gaussian = Gaussian.from_moments(moments, covariance, SHRINKAGE)
    some = np.arange(20)
    for found, expected in [
        (leave_out(gaussian, X), left_out(X, covariance)),
        (leave_out(gaussian, X, groups), left_out(X, covariance, groups)),
        (leave_out(gaussian, X[some], are_all=False), left_out(X, covariance)[some]),
    ]:
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("covariance", "grouped", "rows"),
    [
        # Directions that no row has any part in.
        ("ledoit_wolf", True, {"shape": (34, 58), "seed": 2096313600, "decay": 3.0}),
        ("shrunk", True, {"shape": (30, 52), "seed": 2473279346, "decay": 3.0}),
        # One row more than features, and not all directions.
        ("oas", False, {"shape": (29, 28), "seed": 2225218611, "decay": 3.0}),
    ],
    ids=str,
)
def test_rows_that_are_nearly_dependent(covariance, grouped, rows):
    X = awkward_rows(**rows, kind="low rank", factor=10.0)
    groups = groups_of(len(X)) if grouped else None
    np.testing.assert_allclose(
        left_out(X, covariance, groups), refitted(X, covariance, groups), rtol=1e-9
    )


@pytest.mark.parametrize(
    "rows",
    [
        {"shape": (18, 35), "seed": 847819478},
        {"shape": (26, 53), "seed": 3363931223},
        {"shape": (26, 18), "seed": 924873730},
    ],
    ids=str,
)
def test_a_group_with_a_sample_far_off(rows):
    """Against it all others vary next to nothing."""
    X = awkward_rows(**rows, kind="rare", factor=300.0)
    groups = groups_of(len(X))
    np.testing.assert_allclose(
        left_out(X, "shrunk", groups), refitted(X, "shrunk", groups), rtol=1e-9
    )


def test_where_too_little_is_added_a_group_is_fitted_anew(monkeypatch):
    """The vectors of a decomposition are accurate enough for what is added with all."""
    X = correlated(20, 30)
    refits = []
    fit = Gaussian.fit
    gaussian, row_vectors = fit(X, "shrunk", SHRINKAGE)
    counted = staticmethod(lambda *args: refits.append(1) or fit(*args))
    monkeypatch.setattr(Gaussian, "fit", counted)
    expected = leave_out(gaussian, X, row_vectors=row_vectors)
    assert not refits
    spectrum = replace(gaussian.spectrum, least_floor=np.inf)
    moments = replace(gaussian.moments, scatter=spectrum)
    gaussian = replace(gaussian, moments=moments)
    found = leave_out(gaussian, X, row_vectors=row_vectors)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert len(refits) == len(X)


def test_copies_and_a_sample_far_off():
    """Coordinates of a long row are inexact along axes of short ones."""
    X = correlated(10, 15, 457)
    X[5:] = X[:5]
    X[-1] *= 100
    for groups in (None, np.arange(10) // 2):
        found = left_out(X, "shrunk", groups)
        np.testing.assert_allclose(found, refitted(X, "shrunk", groups), rtol=1e-10)


def test_a_dominant_sample_is_left_out_of_the_trace():
    X = correlated(30, 12)
    X[3] *= 1e6
    gaussian, row_vectors = Gaussian.fit(X, "shrunk", 1.0)
    squared = leave_out(gaussian, X, row_vectors=row_vectors)
    others, _ = Gaussian.fit(np.delete(X, 3, axis=0), "shrunk", 1.0)
    np.testing.assert_allclose(squared[3], others.mahalanobis(X[3:4])[0], rtol=1e-9)


def test_little_shrinkage_of_few_samples():
    """Each sample is nearly as far out as one can be, and nothing may cancel."""
    X = correlated(30, 60)
    gaussian = Gaussian.from_moments(Moments.of(X), "shrunk", 1e-9)
    expected = [
        Gaussian.fit(np.delete(X, i, 0), "shrunk", 1e-9)[0].mahalanobis(X[[i]])[0]
        for i in range(20)
    ]
    found = leave_out(gaussian, X[:20], are_all=False)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


# Residuals


def residuals_left_out(X, covariance, groups=None):
    """Residuals by the closed form; None if the fit is refused or has none."""
    try:
        gaussian, row_vectors = Gaussian.fit(X, covariance, SHRINKAGE)
        gaussian.residual_terms()
    except ValueError:
        return None
    residuals = np.full(X.shape, np.inf)
    blocks = leave_out_residuals(gaussian, X, groups, row_vectors=row_vectors)
    for members, block in blocks:
        residuals[members] = block
    return residuals


def residuals_refitted(X, covariance, groups=None):
    """The same by a fit to the others for each group; infinite if it is refused."""
    groups = np.arange(len(X)) if groups is None else groups
    residuals = np.full(X.shape, np.inf)
    for group in np.unique(groups):
        out = groups == group
        try:
            gaussian, _ = Gaussian.fit(X[~out], covariance, SHRINKAGE)
            residuals[out] = gaussian.residuals(X[out])
        except ValueError:
            continue
    return residuals


def assert_same_residuals(found, expected, rtol=1e-9):
    """Relative to the largest residual of each row."""
    finite = np.isfinite(expected).all(axis=1)
    np.testing.assert_array_equal(np.isfinite(found).all(axis=1), finite)
    found, expected = found[finite], expected[finite]
    errors = np.abs(found - expected).max(axis=1, initial=0)
    assert (errors <= rtol * np.abs(expected).max(axis=1, initial=0)).all()


@pytest.mark.parametrize("grouped", [False, True], ids=["samples", "groups"])
@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
@pytest.mark.parametrize("covariance", ["ledoit_wolf", "oas", "shrunk"])
def test_residuals_equal_refits_of_scikit_learn(covariance, shape, grouped):
    """sqrt(rho nu) C^-1 (x - mean), by a dense solve."""
    X = correlated(*shape)
    groups = groups_of(shape[0]) if grouped else np.arange(shape[0])
    expected = np.empty(X.shape)
    for group in np.unique(groups):
        out = groups == group
        rest = X[~out]
        fitted = REFERENCES[covariance].fit(rest)
        rho = SHRINKAGE if covariance == "shrunk" else fitted.shrinkage_
        floor = rho * rest.var(axis=0).mean()
        deviations = X[out] - fitted.location_
        solved = np.linalg.solve(fitted.covariance_, deviations.T).T
        expected[out] = np.sqrt(floor) * solved
    assert_same_residuals(residuals_left_out(X, covariance, groups), expected)


@settings(deadline=None, max_examples=300)
@given(
    X=training_rows(),
    covariance=st.sampled_from(["ledoit_wolf", "oas", "shrunk"]),
    grouped=st.booleans(),
)
def test_residuals_equal_a_fit_without_them(X, covariance, grouped):
    if not np.ptp(X, axis=0).any():
        return
    groups = groups_of(len(X)) if grouped else None
    closed = residuals_left_out(X, covariance, groups)
    if closed is not None:
        assert_same_residuals(closed, residuals_refitted(X, covariance, groups))


@pytest.mark.parametrize(
    ("covariance", "grouped", "rows"),
    [
        ("shrunk", True, {"shape": (27, 29), "seed": 3165932427, "decay": 3.0}),
        ("shrunk", False, {"shape": (34, 43), "seed": 2475424534, "decay": 3.0}),
        ("oas", False, {"shape": (30, 34), "seed": 3685904223, "decay": 3.0}),
    ],
    ids=str,
)
def test_residuals_with_a_sample_far_off(covariance, grouped, rows):
    """Against it all others vary next to nothing, along axes that are inexact."""
    X = awkward_rows(**rows, kind="rectified", factor=300.0)
    groups = groups_of(len(X)) if grouped else None
    found = residuals_left_out(X, covariance, groups)
    assert_same_residuals(found, residuals_refitted(X, covariance, groups), 1e-11)


def test_residuals_of_moments_are_those_of_the_rows():
    for shape in ((30, 60), (60, 30)):
        X, some = correlated(*shape), np.arange(20)
        gaussian = Gaussian.from_moments(Moments.of(X), "oas")
        found = np.empty((20, shape[1]))
        for members, block in leave_out_residuals(gaussian, X[some], are_all=False):
            found[members] = block
        assert_same_residuals(found, residuals_left_out(X, "oas")[some])


def test_of_one_feature_there_is_no_shrinkage_and_no_residual():
    assert residuals_left_out(correlated(40, 1), "shrunk") is None
    gaussian, _ = Gaussian.fit(correlated(40, 1), "shrunk", SHRINKAGE)
    with pytest.raises(TooFewSamplesError, match=r"shrinkage .* is 0 .*n_features=1"):
        gaussian.residual_terms()
