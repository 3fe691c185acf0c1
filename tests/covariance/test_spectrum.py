import numpy as np
import pytest

from skgaussad.covariance._spectrum import Spectrum


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
