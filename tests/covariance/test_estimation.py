import numpy as np
import pytest

from skgaussad.covariance import _estimation
from skgaussad.covariance._estimation import CentredRows, summarise


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("block_values", [1, 70, 2**15])
def test_rows_are_centred_a_block_at_a_time(block_values, order, monkeypatch):
    monkeypatch.setattr(_estimation, "_BLOCK_VALUES", block_values)
    rng = np.random.default_rng(0)
    X = np.asarray(rng.normal(size=(83, 7)) * np.geomspace(1, 1e3, 7) + 5, order=order)
    X[:, 2] = 0.1
    before = X.copy()
    low, high, mean = summarise(X)
    np.testing.assert_array_equal(low, X.min(axis=0))
    np.testing.assert_array_equal(high, X.max(axis=0))
    np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-14)
    assert mean[2] == 0.1
    for centred in (CentredRows.of(X), CentredRows.around(X, np.tile(mean, (83, 1)))):
        unit = np.sqrt(centred.squared_unit)
        rows, norms = centred.rows, centred.squared_norms
        np.testing.assert_allclose(unit * rows, X - X.mean(axis=0), atol=1e-12)
        assert 0.5 <= np.abs(rows).max() < 1
        assert centred.n_dof == 6
        np.testing.assert_allclose(norms, (rows**2).sum(axis=1))
        np.testing.assert_allclose(centred.total, rows.sum(axis=0), atol=1e-15)
        np.testing.assert_allclose(centred.cubic, norms @ rows, atol=1e-15)
        np.testing.assert_array_equal(centred.low, low)
        np.testing.assert_array_equal(centred.high, high)
    np.testing.assert_array_equal(X, before)
