"""The warning that a false-alarm rate will not be met."""


class FalseAlarmRateWarning(UserWarning):
    """The training samples do not support, or contradict, the false-alarm rate.

    Examples
    --------
    A rate of 0.1 % cannot be told from 50 samples:

    >>> import warnings
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.calibration import FalseAlarmRateWarning
    >>> X_normal = np.random.default_rng(0).normal(size=(50, 3))
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", FalseAlarmRateWarning)
    ...     detector = MahalanobisDetector(fpr=0.001).fit(X_normal)
    >>> print(str(caught[0].message).split(".  ")[0][:66])
    fpr=0.001 needs at least 999 training samples, and there are 50. T
    """
