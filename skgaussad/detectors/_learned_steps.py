"""Whether the steps before a detector have learned from its training samples."""

import warnings

import numpy as np

from ..exceptions import FalseAlarmRateWarning
from ._hold_out import is_inner

# Means in standard deviations, and correlations, that no samples have by chance.
_CENTRED = 1e-4
_UNCORRELATED = 1e-3
_ROUNDING = 1e-7
# Scales that are equal by no chance, of features that are no copies of each other.
_EQUAL = 2e-4
_FEWEST = 3
_DIGITS = 6
# Whole numbers, such as counts, grey levels and tenths of a percent, have so many.
_STEPS = (*range(1, 256), 360, 1000, 1023, 4095, 16383, 65535)
_WHOLE = 0.01
# In ranges.
_NEAR = 1e-3
# Scaling shifts the distances by about D / n, and they scatter by the root of D. From
# about this ratio of both on it shows: at three times 5 % had become 5 to 8 %.
_SHIFT = 0.003
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
    if is_inner():
        return
    if getattr(X, "dtype", None) not in (np.float32, np.float64):
        # Of columns of several types a data frame makes objects.
        X = np.asarray(X, dtype=np.float64)
    with np.errstate(all="ignore"):
        _warn_of_learned_steps(detector, X)


def _warn_of_learned_steps(detector, X):
    """Warn of what the features show."""
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
    elif np.sqrt(np.count_nonzero(vary)) < _SHIFT * len(X):
        return
    elif (scale := _find_equal_scale(X[:, vary])) is not None:
        came = (
            f"Most features have the same {scale}, as a step before the detector such "
            "as StandardScaler, MinMaxScaler, RobustScaler, PowerTransformer or "
            "QuantileTransformer makes it"
        )
        fails = (
            f"with {X.shape[1]} features of {len(X)} samples, another share than "
            f"fpr={detector.fpr:g}"
        )
    else:
        return
    warnings.warn(
        f"{came}. Such a step has learned from the same samples, which the threshold "
        f"does not allow for: {fails} of new normal samples may be beyond it. Fit "
        "ConformalDetector(make_pipeline(step, detector)), which leaves samples out of "
        "both, or leave the step out; mere scaling changes nothing before "
        "covariance='diagonal' and 'empirical'.",
        FalseAlarmRateWarning,
        stacklevel=4,
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
    """Name the measure of scale that most features have the same of, or None."""
    X = X[:, :_N_FEATURES]
    ranked = np.sort(X, axis=0)
    span = ranked[-1] - ranked[0]
    shapes = (ranked - ranked[0]) / span
    # One of a feature and its mirror image.
    mirrored = shapes.mean(axis=0) > 0.5
    upright = np.where(mirrored, 1 - shapes[::-1], shapes)
    _, first, shape, n_equal = np.unique(
        upright.round(_DIGITS),
        axis=1,
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    commonest = n_equal.argmax()
    if 2 * n_equal[commonest] > X.shape[1] and _are_ranks(X[:, shape == commonest]):
        return "values in another order"
    # A feature again, or its multiple, has the same scale by nature.
    ranked, shapes, span = ranked[:, first], shapes[:, first], span[first]
    quarters = np.percentile(ranked, [25, 75], axis=0)
    measures = {
        "standard deviation": ranked.std(axis=0),
        "range": span,
        "largest absolute value": np.abs(ranked).max(axis=0),
        "distance between quartiles": quarters[1] - quarters[0],
    }
    # More than one sample is at the limit of a sensor or an activation, or near it.
    magnitudes = np.sort(np.abs(ranked), axis=0)
    is_single = {
        "range": ranked[-1] - ranked[-2] > _NEAR * span,
        "largest absolute value": magnitudes[-1] - magnitudes[-2] > _NEAR * span,
    }
    for name, scales in measures.items():
        middle = np.sort(scales)[len(scales) // 2]
        agree = (np.abs(scales - middle) <= _EQUAL * middle) & (scales > 0)
        if 2 * np.count_nonzero(agree) <= len(scales):
            continue
        has_unit = np.zeros(len(scales), dtype=bool)
        has_unit[agree] = _share_unit(shapes[:, agree], span[agree])
        agree &= has_unit | is_single.get(name, True)
        n_agree = np.count_nonzero(agree & ~has_unit)
        n_others = len(scales) - np.count_nonzero(has_unit)
        if n_agree >= _FEWEST and 2 * n_agree > n_others:
            return name
    return None


def _are_ranks(X):
    """Tell features with the same values, most of them different, in other orders."""
    mostly_different = 2 * len(np.unique(X[:, 0])) > len(X)
    orders = np.unique(np.argsort(X, axis=0, kind="stable"), axis=1)
    return mostly_different and orders.shape[1] >= _FEWEST


def _share_unit(shapes, span):
    """Tell features of whole numbers of one unit, the commonest."""
    units = np.full(len(span), np.nan)
    for n_steps in reversed(_STEPS):
        steps = shapes * n_steps
        is_whole = (np.abs(steps - np.rint(steps)) < _WHOLE).all(axis=0)
        units[is_whole] = span[is_whole] / n_steps
    found, numbers, counts = np.unique(
        units.round(12), return_inverse=True, return_counts=True, equal_nan=True
    )
    counts[np.isnan(found)] = 0
    return (numbers == counts.argmax()) & ~np.isnan(units)
