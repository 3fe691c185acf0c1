"""P-values of a detector that may stand at the end of a pipeline."""

from ._walk import send_to_part


def p_values(estimator, X):
    """How unusual samples are: what fraction of normal ones is expected to be so.

    The ``p_values`` of the detector in a pipeline, meta-estimator or search, which do
    not all forward it.

    Parameters
    ----------
    estimator : outlier detector, Pipeline, meta-estimator or search around one
        Fitted, around a detector with a method ``p_values``, such as
        :class:`~skgaussad.MahalanobisDetector`.

    X : array-like of shape (n_samples, n_features), or sequence of images
        As `estimator` takes it.

    Returns
    -------
    p_values : ndarray of shape (n_samples,)
        In (0, 1]. Of n held-out distances d_i of the training samples, a sample at the
        distance d gets (1 + the number of d_i >= d) / (n + 1), so that normal samples
        have a p-value of at most a with a probability of at most a [1]_.

    Raises
    ------
    TypeError
        If the detector has no p-values.

    See Also
    --------
    skgaussad.reporting.calibration_report : Checks the false-alarm rate on good images.
    skgaussad.inspection.PValueDisplay : Shows how p-values are distributed.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a Random
       World", Springer 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.detectors import p_values
    >>> X_normal = np.random.default_rng(0).normal(size=(199, 3))
    >>> pipe = make_pipeline(FunctionTransformer(np.cbrt), MahalanobisDetector())
    >>> pipe = pipe.fit(X_normal)
    >>> p_values(pipe, [[0, 0, 0], [9, 9, 9]])
    array([1.   , 0.005])
    """
    detector, X = send_to_part(estimator, "p_values", X)
    return detector.p_values(X)


def offers(detector, method):
    """Whether a detector has a method that takes held-out distances, and has these.

    One that was fitted in parts may not have been calibrated.
    """
    return hasattr(detector, method) and hasattr(detector, "calibration_distances_")


def n_calibration_units(detector):
    """Count what was held out of a detector's fit, one by one, for its p-values.

    Parameters
    ----------
    detector : outlier detector
        Fitted, with p-values.

    Returns
    -------
    n_units : int
        Number of training samples, or of groups where whole groups were held out. No
        p-value is below 1 / (n_units + 1), but for one from a fitted tail.
    """
    held_out = getattr(detector, "_held_out", None)
    if held_out is None:
        return len(detector.calibration_distances_)
    return int(held_out.n_units)
