"""Whether the steps before a detector have learned from its training samples."""

import warnings

import numpy as np

from ..exceptions import FalseAlarmRateWarning
from ._base import RULES

# Means in standard deviations, and correlations, that no samples have by chance.
_CENTRED = 1e-4
_UNCORRELATED = 1e-3
_ROUNDING = 1e-7
# So many of the features are looked at.
_N_FEATURES = 200


def warn_of_learned_steps(detector, X):
    """Warn where features are principal components of the same samples.

    These have means and correlations of zero to rounding, as nothing else has. Who
    leaves out a sample of the detector alone measures it by directions that it has
    itself helped to choose.

    Parameters
    ----------
    detector : GaussianDetector or LevelEnsemble
    X : ndarray of shape (n_samples, n_features)
        Its training samples.

    Warns
    -----
    FalseAlarmRateWarning
        With what to do.
    """
    if detector.threshold not in RULES or not _are_components(X):
        return
    warnings.warn(
        "The features are uncorrelated with means of 0, as a step before the detector "
        "such as PCA or NegatedPCA makes them that has learned from the same samples. "
        "The threshold comes from samples that are left out of the detector, not of "
        "that step, and may have many times the rate asked for, or a fraction of it. "
        "Fit ConformalDetector(make_pipeline(step, detector)), which leaves them out "
        "of both.",
        FalseAlarmRateWarning,
        stacklevel=3,
    )


def _are_components(X):
    """Tell principal components by their means and correlations."""
    scales = X.std(axis=0)
    # The last of n components of n samples is rounding.
    vary = scales > _ROUNDING * scales.max()
    centred = vary & (np.abs(X.mean(axis=0)) <= _CENTRED * scales)
    # Whitened, the last component is rounding as large as the others.
    if np.count_nonzero(centred) < max(2, np.count_nonzero(vary) - 1) or len(X) <= 2:
        return False
    some = X[:, centred][:, :_N_FEATURES] / scales[centred][:_N_FEATURES]
    correlations = some.T @ some / len(some)
    np.fill_diagonal(correlations, 0)
    return np.abs(correlations).max() < _UNCORRELATED
