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


def test_the_decomposition_leaves_its_input_alone():
    centred = np.random.default_rng(0).normal(size=(10, 4))
    before = centred.copy()
    Spectrum.of(centred)
    np.testing.assert_array_equal(centred, before)
