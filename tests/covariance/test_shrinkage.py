import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf_shrinkage, oas

from skgaussad.covariance import _shrinkage


def moments(X):
    centred = X - X.mean(axis=0)
    scatter = centred.T @ centred / len(X)
    squared_norms = (centred**2).sum(axis=1)
    return {
        "n_samples": X.shape[0],
        "n_features": X.shape[1],
        "trace": np.trace(scatter),
        "squared_norm": (scatter**2).sum(),
    }, (squared_norms**2).mean()


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_samples=st.integers(3, 40),
    n_features=st.integers(2, 40),
    spread=st.floats(0, 3),
)
def test_intensities_equal_scikit_learn(seed, n_samples, n_features, spread):
    rng = np.random.default_rng(seed)
    scales = 10 ** (spread * rng.random(n_features))
    X = rng.normal(size=(n_samples, n_features)) * scales
    given_moments, mean_fourth = moments(X)
    found = _shrinkage.ledoit_wolf(**given_moments, mean_fourth=mean_fourth)
    assert found == pytest.approx(ledoit_wolf_shrinkage(X), rel=1e-9, abs=1e-12)
    assert _shrinkage.oas(**given_moments) == pytest.approx(oas(X)[1], rel=1e-9)
    assert 0 <= found <= 1


def test_an_isotropic_sample_covariance_needs_no_shrinkage():
    X = np.vstack([np.eye(4), -np.eye(4)])
    given_moments, mean_fourth = moments(X)
    assert _shrinkage.ledoit_wolf(**given_moments, mean_fourth=mean_fourth) == 0
    assert _shrinkage.oas(**given_moments) == 1


def test_rows_that_differ_in_sign_only_give_no_estimate():
    row = np.random.default_rng(0).normal(size=(1, 9))
    given_moments, mean_fourth = moments(np.vstack([row, -row, row, -row]))
    assert _shrinkage.ledoit_wolf(**given_moments, mean_fourth=mean_fourth) == 0
