"""Whether the steps before a detector have learned from its training samples."""

import warnings

import numpy as np

from ..exceptions import FalseAlarmRateWarning

# Means in standard deviations, and correlations, that no samples have by chance.
_CENTRED = 1e-4
_UNCORRELATED = 1e-3
_ROUNDING = 1e-7
# Scales that are equal by no chance, of features whose values mostly differ.
_EQUAL = 1e-5
_MOSTLY = 0.9
# Scaling shifts the distances by about D / n, and they scatter by the root of D. From
# this ratio of both on, 5 % became 6 % and more (7 to 67 at 0.1 to 0.8).
_SHIFT = 0.05
# Their distances do not depend on the scales of features.
_SCALE_FREE = ("empirical", "diagonal")
# So many of the features are looked at.
_N_FEATURES = 200


def warn_of_learned_steps(detector, X):
    """Warn where a step before the detector has learned from the same samples.

    Principal components have means and correlations of zero to rounding, and scaled
    features the same scale, as nothing else has. Who leaves out a sample of the
    detector alone measures it by what it has itself helped to choose.

    Parameters
    ----------
    detector : detector
    X : ndarray or data frame of shape (n_samples, n_features)
        Its training samples.

    Warns
    -----
    FalseAlarmRateWarning
        With what to do.
    """
    # Of columns of several types a data frame makes objects.
    X = np.asarray(X, dtype=np.float64)
    scales = X.std(axis=0)
    # The last of n components of n samples is rounding.
    vary = scales > _ROUNDING * scales.max()
    if len(X) <= 2 or np.count_nonzero(vary) < 2:
        return
    if _are_components(X, scales, vary):
        came = (
            "The features are uncorrelated with means of 0, as a step before the "
            "detector such as PCA or NegatedPCA makes them"
        )
        fails = f"instead of fpr={detector.fpr:g} many times as many, or a fraction,"
    elif (
        np.sqrt(np.count_nonzero(vary)) < _SHIFT * len(X)
        or getattr(detector, "covariance", None) in _SCALE_FREE
    ):
        return
    elif (scale := _find_equal_scale(X[:, vary])) is not None:
        came = (
            f"All features have the same {scale}, as a step before the detector such "
            "as StandardScaler, MinMaxScaler, RobustScaler or PowerTransformer makes it"
        )
        fails = (
            f"with {X.shape[1]} features of {len(X)} samples, more than "
            f"fpr={detector.fpr:g}"
        )
    else:
        return
    warnings.warn(
        f"{came}. Such a step has learned from the same samples, which the threshold "
        f"does not allow for: {fails} of new normal samples may be beyond it. Fit "
        "ConformalDetector(make_pipeline(step, detector)), which leaves samples out of "
        "both, or leave the step out.",
        FalseAlarmRateWarning,
        stacklevel=3,
    )


def _are_components(X, scales, vary):
    """Tell principal components by their means and correlations."""
    centred = vary & (np.abs(X.mean(axis=0)) <= _CENTRED * scales)
    # Whitened, the last component is rounding as large as the others.
    if np.count_nonzero(centred) < max(2, np.count_nonzero(vary) - 1):
        return False
    some = X[:, centred][:, :_N_FEATURES] / scales[centred][:_N_FEATURES]
    correlations = some.T @ some / len(some)
    np.fill_diagonal(correlations, 0)
    return np.abs(correlations).max() < _UNCORRELATED


def _find_equal_scale(X):
    """Name the measure of scale that all features have the same of, or None."""
    X = X[:, :_N_FEATURES]
    n_different = np.count_nonzero(np.diff(np.sort(X, axis=0), axis=0), axis=0) + 1
    if n_different.min() < _MOSTLY * len(X):
        # As pixels and counts are, which may well share their range.
        return None
    quarters = np.percentile(X, [25, 75], axis=0)
    measures = {
        "standard deviation": X.std(axis=0),
        "range": np.ptp(X, axis=0),
        "largest absolute value": np.abs(X).max(axis=0),
        "distance between quartiles": quarters[1] - quarters[0],
    }
    for name, scales in measures.items():
        if np.ptp(scales) <= _EQUAL * scales.max():
            return name
    return None
