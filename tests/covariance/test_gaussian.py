import numpy as np
import pytest
from sklearn.covariance import (
    OAS,
    EmpiricalCovariance,
    LedoitWolf,
    ShrunkCovariance,
)

from skgaussad.covariance import DIAGONAL_COVARIANCES, Gaussian, Moments
from skgaussad.covariance._gaussian import squared_distances
from skgaussad.covariance._moments import TooFewSamplesError

REFERENCES = {
    "ledoit_wolf": LedoitWolf(),
    "oas": OAS(),
    "shrunk": ShrunkCovariance(shrinkage=0.1),
    "empirical": EmpiricalCovariance(),
}


def samples(n_samples, n_features, seed=0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_features, n_features)) / np.sqrt(n_features)
    return rng.normal(size=(n_samples, n_features)) @ mixing + 5


def both_ways(X, covariance):
    """From rows, and from moments."""
    moments = Moments.of(X, diagonal=covariance in DIAGONAL_COVARIANCES)
    return [
        Gaussian.fit(X, covariance, 0.1)[0],
        Gaussian.from_moments(moments, covariance, 0.1),
    ]


@pytest.mark.parametrize("shape", [(12, 30), (30, 30), (90, 12)], ids=str)
@pytest.mark.parametrize("covariance", REFERENCES)
def test_equals_scikit_learn_both_ways(covariance, shape):
    if covariance == "empirical" and shape[0] <= shape[1]:
        pytest.skip("the empirical covariance of n <= D samples is singular")
    X, X_test = samples(*shape), samples(9, shape[1], 1)
    reference = REFERENCES[covariance].fit(X)
    for gaussian in both_ways(X, covariance):
        np.testing.assert_allclose(gaussian.location, reference.location_, rtol=1e-12)
        np.testing.assert_allclose(gaussian.matrix(), reference.covariance_, atol=1e-12)
        assert gaussian.shrinkage == pytest.approx(
            getattr(reference, "shrinkage_", getattr(reference, "shrinkage", 0.0))
        )
        np.testing.assert_allclose(
            gaussian.mahalanobis(X_test), reference.mahalanobis(X_test), rtol=1e-9
        )


@pytest.mark.parametrize("shape", [(12, 30), (90, 12)], ids=str)
@pytest.mark.parametrize("covariance", ["ledoit_wolf", "shrunk", "isotropic"])
def test_all_forms_are_of_one_covariance(covariance, shape):
    X, deviations = samples(*shape), samples(9, shape[1], 1) - 5
    for gaussian in both_ways(X, covariance):
        matrix, precision = gaussian.matrix(), gaussian.precision()
        np.testing.assert_allclose(matrix @ precision, np.eye(shape[1]), atol=1e-9)
        solved = np.linalg.solve(matrix, deviations.T).T
        np.testing.assert_allclose(gaussian.solve(deviations), solved, rtol=1e-8)
        expected = np.einsum("ij,ij->i", solved, deviations)
        for found in (
            gaussian.mahalanobis(deviations, np.zeros(shape[1])),
            gaussian.mahalanobis(deviations + gaussian.location),
            squared_distances(deviations.copy(), *gaussian.terms()),
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_rows_close_to_the_span_of_the_axes_keep_their_digits():
    """A difference of squared norms would have none left."""
    X = samples(12, 30)
    gaussian, _ = Gaussian.fit(X, "shrunk", 1e-9)
    centred = X - X.mean(axis=0)
    deviations = 1e3 * centred[:5] + 1e-2 * (samples(5, 30, 1) - 5)
    basis = np.linalg.svd(centred)[2][:11].T
    left = deviations.copy()
    for _ in range(2):
        left -= (left @ basis) @ basis.T
    expected = (left**2).sum(axis=1) / gaussian.complement_variance
    expected += ((deviations @ gaussian.axes.T) ** 2 / gaussian.variances).sum(axis=1)
    found = gaussian.mahalanobis(deviations, np.zeros(30))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("covariance", ["diagonal", "isotropic"])
def test_constant_features_get_a_variance_of_others(covariance):
    X = samples(40, 5)
    X[:, 2] = 0.1
    variances = X.var(axis=0)
    for gaussian in both_ways(X, covariance):
        assert gaussian.n_dof == 4
        others = np.delete(variances, 2)
        if covariance == "diagonal":
            np.testing.assert_allclose(np.delete(gaussian.variances, 2), others)
            assert gaussian.variances[2] == pytest.approx(others.min())
        else:
            np.testing.assert_allclose(gaussian.variances, others.mean())


def test_what_cannot_be_inverted_is_refused():
    X = samples(12, 30)
    collinear = samples(200, 6)
    collinear[:, 5] = collinear[:, :2].sum(axis=1)
    constant = samples(40, 6)
    constant[:, 2] = 3
    pair = np.vstack([X[:2], X[:2]])
    for rows, covariance, message in [
        (X, "empirical", "12 samples in 30 features has rank 11.*ledoit_wolf"),
        (collinear, "empirical", "200 samples in 6 features has rank 5"),
        (constant, "empirical", "rank 5 .*inverted; 1 features are constant"),
        (pair, "ledoit_wolf", "estimated by covariance='ledoit_wolf' is 0"),
        (np.ones((5, 3)), "oas", "All 5 training samples are identical"),
    ]:
        with pytest.raises(TooFewSamplesError, match=message):
            Gaussian.fit(rows, covariance)
        with pytest.raises(TooFewSamplesError, match=message):
            Gaussian.from_moments(Moments.of(rows), covariance)
    for scale in (1e-200, 1e200):
        with pytest.raises(ValueError, match="Rescale"):
            Gaussian.fit(scale * X, "oas")


@pytest.mark.parametrize("shape", [(12, 30), (30, 30), (90, 12)], ids=str)
@pytest.mark.parametrize("covariance", ["ledoit_wolf", "oas", "shrunk"])
def test_residuals_are_those_of_a_dense_solve(covariance, shape):
    X, X_test = samples(*shape), 3 * samples(20, shape[1], seed=1)
    reference = REFERENCES[covariance].fit(X)
    rho = 0.1 if covariance == "shrunk" else reference.shrinkage_
    deviations = X_test - X.mean(axis=0)
    solved = np.linalg.solve(reference.covariance_, deviations.T).T
    expected = np.sqrt(rho * X.var(axis=0).mean()) * solved
    for gaussian in both_ways(X, covariance):
        np.testing.assert_allclose(
            gaussian.residuals(X_test), expected, rtol=0, atol=1e-11 * expected.max()
        )


def test_residuals_need_shrinkage():
    gaussian, _ = Gaussian.fit(samples(90, 12), "empirical")
    with pytest.raises(TooFewSamplesError, match="is 0 .* set the intensity with"):
        gaussian.residuals(samples(3, 12))
