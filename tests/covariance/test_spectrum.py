import pickle

import numpy as np
import pytest
from scipy import linalg

from skgaussad.covariance._covariance import SpectralCovariance
from skgaussad.covariance._spectrum import DeferredAxes, Spectrum


@pytest.mark.parametrize("shape", [(12, 40), (30, 40), (40, 12)], ids=str)
@pytest.mark.parametrize("rank", [3, 8])
def test_spectrum_rebuilds_the_sample_covariance(shape, rank):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))
    centred = X - X.mean(axis=0)
    spectrum = Spectrum.of(centred)
    assert spectrum.rank == rank
    assert (spectrum.n_samples, spectrum.n_features) == shape
    np.testing.assert_allclose(
        spectrum.axes @ spectrum.axes.T, np.eye(rank), atol=1e-12
    )
    assert (np.diff(spectrum.eigenvalues) <= 0).all()
    np.testing.assert_allclose(
        (spectrum.axes.T * spectrum.eigenvalues) @ spectrum.axes,
        np.cov(X.T, bias=True),
        atol=1e-12 * spectrum.eigenvalues[0],
    )
    assert spectrum.mean_variance == pytest.approx(X.var(axis=0).mean())


@pytest.mark.parametrize("shape", [(12, 40), (35, 40), (40, 40), (60, 40)], ids=str)
@pytest.mark.parametrize("decay", [1, 7, 12], ids="spread 1e-{}".format)
def test_every_way_gives_the_singular_value_decomposition(shape, decay):
    """Eigenvalues over up to 24 orders; the way is chosen by shape and spread."""
    rng = np.random.default_rng(0)
    n_samples, n_features = shape
    X = rng.normal(size=shape)
    left, _, right = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    rank = min(n_samples - 1, n_features)
    values = np.geomspace(1, 10.0**-decay, rank)
    centred = (left[:, :rank] * values) @ right[:rank]
    spectrum = Spectrum.of(centred)
    # The D x D matrix is for n close to D and above, and knows the larger ones only.
    kept = spectrum.rank
    if n_samples < 2 / 3 * n_features or decay == 1:
        assert kept == rank
    np.testing.assert_allclose(
        np.sqrt(n_samples * spectrum.eigenvalues),
        values[:kept],
        rtol=1e-9,
        atol=1e-15 if n_samples < 2 / 3 * n_features else 1e-7,
    )
    large = values[:kept] > 1e-3
    rows = spectrum.row_vectors
    for found, expected in ((spectrum.axes, right), (rows.T, left.T)):
        cosines = np.abs(np.einsum("kj,kj->k", found[large], expected[:kept][large]))
        np.testing.assert_allclose(cosines, 1, rtol=1e-9)
    np.testing.assert_allclose(spectrum.axes @ spectrum.axes.T, np.eye(kept), atol=1e-9)


def test_the_decomposition_leaves_its_input_alone():
    centred = np.random.default_rng(0).normal(size=(10, 4))
    before = centred.copy()
    Spectrum.of(centred)
    np.testing.assert_array_equal(centred, before)


def dependent_rows(n_samples, n_features, seed=0):
    """Centred rows, half of them copies, with variances over 16 orders."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) * np.geomspace(1, 1e-8, n_features)
    X[n_samples // 2 :] = X[: n_samples - n_samples // 2]
    return X - X.mean(axis=0)


@pytest.mark.parametrize("shape", [(30, 90), (60, 61), (60, 60), (60, 45), (90, 30)])
@pytest.mark.parametrize("floor", [1e-4, 0.1, 1e4], ids="floor {:.0e}".format)
def test_a_floor_spares_the_decomposition_of_the_rows(shape, floor, monkeypatch):
    """Distances with it are exact, though eigenvalues far below it are not."""
    monkeypatch.delattr(linalg, "svd")
    rows = dependent_rows(*shape)
    n_features = shape[1]
    matrix = np.cov(rows.T, bias=True)
    floor *= np.linalg.eigvalsh(matrix)[-1]
    spectrum = Spectrum.of(rows).above(floor)
    np.testing.assert_allclose(
        spectrum.eigenvalues,
        np.linalg.eigvalsh(matrix)[::-1][: spectrum.rank],
        atol=1e-11 * floor,
    )
    variances = spectrum.eigenvalues + floor
    complement = floor if spectrum.rank < n_features else None
    covariance = SpectralCovariance(spectrum.deferred_axes, variances, complement)
    X = np.vstack([rows, np.random.default_rng(1).normal(size=(9, n_features))])
    expected = np.einsum(
        "ij,ij->i", X, np.linalg.solve(matrix + floor * np.eye(n_features), X.T).T
    )
    distances = covariance.mahalanobis(X, np.zeros(n_features))
    np.testing.assert_allclose(distances, expected, rtol=1e-9)


@pytest.mark.parametrize("shape", [(30, 90), (60, 60)], ids=str)
def test_vectors_of_dependent_rows_are_orthogonal_to_the_ones(shape):
    rows = dependent_rows(*shape)
    spectrum = Spectrum.of(rows).above(1.0)
    vectors = spectrum.row_vectors
    assert spectrum.rank == len(rows) - 1
    assert spectrum.spans_rows
    np.testing.assert_allclose(vectors.sum(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(spectrum.rank), atol=1e-13)


@pytest.mark.parametrize("shape", [(30, 90), (60, 45)], ids=str)
def test_coordinates_of_rows_keep_their_digits(shape):
    """They are as long as the rows, also outside the first axis of a row far off."""
    rows = dependent_rows(*shape)
    rows[3] *= 1e4
    rows -= rows.mean(axis=0)
    floor = 1e-2 * rows.var(axis=0).mean()
    spectrum = Spectrum.of(rows).above(floor)
    right = np.linalg.svd(rows)[2]
    expected = rows - np.outer(rows @ right[0], right[0])
    outside = (spectrum.coordinates[:, 1:] ** 2).sum(axis=1)
    np.testing.assert_allclose(
        outside, (expected**2).sum(axis=1), rtol=1e-6, atol=1e-10 * floor
    )
    every_third = slice(None, None, 3)
    coordinates, vectors = spectrum.of_rows(every_third)
    np.testing.assert_allclose(
        coordinates, spectrum.coordinates[every_third], atol=1e-12
    )
    if vectors is not None:
        np.testing.assert_array_equal(vectors, spectrum.row_vectors[every_third])


@pytest.mark.parametrize("shape", [(30, 90), (60, 45)], ids=str)
def test_a_floor_that_is_too_low_takes_the_decomposition_of_the_rows(shape):
    rows = dependent_rows(*shape)
    exact = Spectrum.of(rows)
    least = Spectrum.of(rows).above(1e4).least_floor
    assert least == pytest.approx(1e-6 * exact.eigenvalues[0])
    spectrum = Spectrum.of(rows).above(least)
    np.testing.assert_array_equal(spectrum.eigenvalues, exact.eigenvalues)
    assert spectrum.least_floor == 0
    assert Spectrum.of(rows).above(2 * least).least_floor == least


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (2500, 12)], ids=str)
def test_moments_take_no_decomposition(shape):
    rows = dependent_rows(*shape)
    covariance = np.cov(rows.T, bias=True)
    spectrum = Spectrum.of(rows)
    assert spectrum.squared_norm == pytest.approx((covariance**2).sum())
    assert spectrum.mean_variance == pytest.approx(rows.var(axis=0).mean())
    np.testing.assert_allclose(
        spectrum.squared_norms_by_covariance(),
        np.einsum("ij,jk,ik->i", rows, covariance, rows),
    )
    assert "_parts" not in vars(spectrum)


def test_axes_are_formed_when_they_are_used():
    rng = np.random.default_rng(0)
    coefficients, rows = rng.normal(size=(3, 50)), rng.normal(size=(50, 7))
    axes = DeferredAxes(coefficients, rows)
    assert axes.shape == (3, 7)
    copy = pickle.loads(pickle.dumps(axes))
    np.testing.assert_array_equal(copy.array, coefficients @ rows)
    assert axes.array is axes.array
    np.testing.assert_array_equal(axes.array, copy.array)
    assert len(pickle.dumps(copy)) < rows.nbytes
