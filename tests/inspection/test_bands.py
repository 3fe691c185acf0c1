import numpy as np
import pytest
from scipy import stats

from skgaussad.inspection._bands import fraction_band


@pytest.mark.parametrize("n_calibration", [None, 30, 400])
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_band_holds_the_fraction_of_p_values(n_calibration, confidence):
    """Simulated from distances, those of each training set used for all samples."""
    n_samples, n_sets = 100, 4000
    rng = np.random.default_rng(0)
    if n_calibration is None:
        fractions = np.array([0.01, 0.1, 0.5, 1])
        p_values = rng.uniform(size=(n_sets, n_samples))
    else:
        fractions = np.array([1, 3, 15, n_calibration + 1]) / (n_calibration + 1)
        held_out = np.sort(rng.uniform(size=(n_sets, n_calibration)), axis=1)
        distances = rng.uniform(size=(n_sets, n_samples))
        n_below = [
            np.searchsorted(*pair) for pair in zip(held_out, distances, strict=True)
        ]
        p_values = 1 - np.array(n_below) / (n_calibration + 1)
    low, high = fraction_band(fractions, n_samples, confidence, n_calibration)
    # The least count whose probability reaches the level, so the tails are no larger.
    tail = (1 - confidence) / 2
    slack = 4 * np.sqrt(tail * (1 - tail) / n_sets)
    for index, fraction in enumerate(fractions):
        achieved = (p_values <= fraction + 1e-12).mean(axis=1)
        assert (achieved < low[index] - 1e-12).mean() <= tail + slack
        assert (achieved > high[index] + 1e-12).mean() <= tail + slack
        # And no wider than that: one count further in leaves out more.
        if fraction < 1:
            assert (achieved <= low[index] + 1e-12).mean() >= tail - slack
            assert (achieved >= high[index] - 1e-12).mean() >= tail - slack


def test_fractions_of_zero_and_one_are_certain():
    for n_calibration in (None, 9):
        low, high = fraction_band(np.array([0.0, 1.0]), 50, 0.9, n_calibration)
        np.testing.assert_array_equal(low, [0, 1])
        np.testing.assert_array_equal(high, [0, 1])


def test_many_training_samples_make_the_band_binomial():
    fractions = np.array([0.05, 0.5])
    np.testing.assert_allclose(
        fraction_band(fractions, 200, 0.95, 10**7 - 1),
        stats.binom.interval(0.95, 200, fractions) / np.array(200),
    )
