import numpy as np
import pytest
from scipy import linalg

from skgaussad.covariance import Spectrum


@pytest.mark.parametrize("shape", [(12, 40), (30, 40), (40, 12)], ids=str)
@pytest.mark.parametrize("rank", [3, 8])
def test_spectrum_rebuilds_the_sample_covariance(shape, rank):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))
    spectrum, _ = Spectrum.of_rows(X - X.mean(axis=0))
    assert spectrum.rank == rank
    assert spectrum.axes.shape == (rank, shape[1])
    np.testing.assert_allclose(
        spectrum.axes @ spectrum.axes.T, np.eye(rank), atol=1e-12
    )
    assert (np.diff(spectrum.eigenvalues) <= 0).all()
    np.testing.assert_allclose(
        spectrum.matrix(),
        np.cov(X.T, bias=True),
        atol=1e-12 * spectrum.eigenvalues[0],
    )


@pytest.mark.parametrize("shape", [(12, 40), (35, 40), (40, 40), (90, 40)], ids=str)
@pytest.mark.parametrize("decay", [1, 5, 12], ids="spread 1e-{}".format)
def test_every_way_gives_the_singular_value_decomposition(shape, decay):
    """Eigenvalues over up to 24 orders; the way is chosen by shape and spread."""
    rng = np.random.default_rng(0)
    n_samples, n_features = shape
    X = rng.normal(size=shape)
    left, _, right = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    rank = min(n_samples - 1, n_features)
    values = np.geomspace(1, 10.0**-decay, rank)
    centred = (left[:, :rank] * values) @ right[:rank]
    before = centred.copy()
    spectrum, row_vectors = Spectrum.of_rows(centred)
    np.testing.assert_array_equal(centred, before)
    assert spectrum.rank == rank
    np.testing.assert_allclose(
        np.sqrt(n_samples * spectrum.eigenvalues), values, rtol=1e-9, atol=1e-15
    )
    assert spectrum.least_floor == 0
    assert spectrum.is_precise == (decay < 12)
    vectors = [(spectrum.axes, right)]
    if row_vectors is not None:
        vectors.append((row_vectors.T, left.T))
    assert len(vectors) == 1 + (n_samples <= n_features)
    large = values > 1e-3
    for found, expected in vectors:
        cosines = np.abs(np.einsum("kj,kj->k", found[large], expected[:rank][large]))
        np.testing.assert_allclose(cosines, 1, rtol=1e-9)
        np.testing.assert_allclose(found @ found.T, np.eye(rank), atol=1e-9)


def dependent_rows(n_samples, n_features, seed=0):
    """Centred rows, half of them copies, with variances over 16 orders."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) * np.geomspace(1, 1e-8, n_features)
    X[n_samples // 2 :] = X[: n_samples - n_samples // 2]
    return X - X.mean(axis=0)


@pytest.mark.parametrize("shape", [(30, 90), (60, 61), (60, 60), (60, 45), (90, 30)])
@pytest.mark.parametrize("floor", [1e-4, 0.1, 1e4], ids="floor {:.0e}".format)
def test_a_floor_spares_the_decomposition_of_the_rows(shape, floor, monkeypatch):
    """The covariance with it is exact, though eigenvalues far below it are not."""
    monkeypatch.delattr(linalg, "svd")
    rows = dependent_rows(*shape)
    matrix = np.cov(rows.T, bias=True)
    expected = np.linalg.eigvalsh(matrix)[::-1]
    floor *= expected[0]
    spectrum, row_vectors = Spectrum.of_rows(rows, floor)
    np.testing.assert_allclose(
        spectrum.eigenvalues, expected[: spectrum.rank], atol=1e-11 * floor
    )
    # Singular vectors are given only where they are accurate.
    assert row_vectors is None
    assert not spectrum.is_precise
    np.testing.assert_allclose(spectrum.matrix(), matrix, atol=1e-11 * floor)


@pytest.mark.parametrize("shape", [(30, 90), (60, 45), (90, 30)], ids=str)
def test_a_floor_that_is_too_low_takes_the_decomposition_of_the_rows(shape):
    rows = dependent_rows(*shape)
    exact, _ = Spectrum.of_rows(rows)
    assert exact.least_floor == 0
    least = Spectrum.of_rows(rows, np.inf)[0].least_floor
    assert least == pytest.approx(1e-5 * exact.eigenvalues[0])
    spectrum, _ = Spectrum.of_rows(rows, least)
    np.testing.assert_array_equal(spectrum.eigenvalues, exact.eigenvalues)
    assert Spectrum.of_rows(rows, 2 * least)[0].least_floor == least
