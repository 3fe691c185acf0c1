"""A working point for any detector, by fitting it again without some samples."""

from functools import partial

import numpy as np
from sklearn.base import MetaEstimatorMixin
from sklearn.utils.validation import check_is_fitted

from ._base import BaseDetector
from ._copies import find_copies
from ._hold_out import fit_clone, hold_out, number_groups, split_folds, validate_named


class ConformalDetector(MetaEstimatorMixin, BaseDetector):
    """Give any outlier detector a false-positive rate that holds, and p-values.

    The detector is fitted to all training samples, and again without each of several
    folds of them. The distances of the samples held out set the threshold, so that no
    step has seen the samples it is measured by: not a scaling, a
    :class:`~sklearn.decomposition.PCA` or
    :class:`~skgaussad.NegatedPCA` before the detector either.

    Parameters
    ----------
    estimator : outlier detector
        A pipeline that ends in a detector, or anything else with ``score_samples`` that
        is higher for more normal samples, of scikit-learn or other packages.

    threshold : {"quantile", "tail"}, default="quantile"
        How `fpr` becomes a distance, which is minus the score: see
        :class:`~skgaussad.MahalanobisDetector`.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1).

    confidence : float or None, default=None
        With ``threshold="quantile"`` and without groups, a number in (0, 1) keeps `fpr`
        in that fraction of training sets, None on average over them.

    cv : "auto", int or cross-validation splitter, default="auto"
        Folds that are held out. ``"auto"`` takes 5, or each group on its own; an
        integer shuffles the samples, always the same way.
        :class:`~sklearn.model_selection.LeaveOneOut` leaves out one sample at a time.

    n_jobs : int or None, default=None
        Fits at a time. None is 1 unless in a :obj:`joblib.parallel_config` context, -1
        all processors.

    Attributes
    ----------
    estimator_ : outlier detector
        Fitted to all samples.

    calibration_distances_ : ndarray of shape (n_samples,)
        Minus the score of each training sample by a detector fitted without its fold.

    offset_ : float
        Minus the threshold on the distance.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen in `fit`, if all are strings.

    See Also
    --------
    skgaussad.MahalanobisDetector : Has leave-one-out distances without
        fitting again, where no step before it learns from the samples.

    Notes
    -----
    Cross-conformal prediction [1]_. Detectors fitted on fewer samples lie a little
    farther from new ones, so that the achieved rate tends to be below `fpr`.

    References
    ----------
    .. [1] V. Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial
       Intelligence 74 (2015), 9-28.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad import ConformalDetector
    >>> from skgaussad import NegatedPCA
    >>> X_normal = np.random.default_rng(0).normal(size=(200, 4)) * [9, 3, 0.2, 0.1]
    >>> pipe = make_pipeline(NegatedPCA(n_components=2), MahalanobisDetector())
    >>> detector = ConformalDetector(pipe, fpr=0.02).fit(X_normal)
    >>> detector.predict([[20, 5, 0, 0], [0, 0, 0, 1]])
    array([ 1, -1])
    """

    def __init__(
        self,
        estimator,
        *,
        threshold="quantile",
        fpr=0.05,
        confidence=None,
        cv="auto",
        n_jobs=None,
    ):
        self.estimator = estimator
        self.threshold = threshold
        self.fpr = fpr
        self.confidence = confidence
        self.cv = cv
        self.n_jobs = n_jobs

    def fit(self, X, y=None, *, groups=None):
        """Fit the detector, and set the threshold by samples held out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of normal samples.
        y : array-like of shape (n_samples,) or None, default=None
            Ignored, with a warning where it holds -1: all rows of `X` are taken to be
            normal.
        groups : array-like of shape (n_samples,) or None, default=None
            Lot, shift or capture run of each sample, at least two different ones. Whole
            groups are then held out, and `fpr` is the rate in a new group.

        Returns
        -------
        self : ConformalDetector

        Raises
        ------
        ValueError
            If a parameter is out of its range, or the detector cannot be fitted.

        Warns
        -----
        FalseAlarmRateWarning
            If the samples are too few for `fpr`, with the number that would do.
        """
        self._check_working_point(groups)
        self._check_inner(self.estimator)
        self._warn_of_anomalies(y)
        X = validate_named(self, X, ensure_min_samples=2)
        copies = find_copies(X)
        groups = number_groups(groups, X, copies)
        folds = split_folds(self.cv, len(X), groups, copies)
        self._discard_threshold()
        self.estimator_ = fit_clone(self.estimator, X)
        fit = partial(fit_clone, self.estimator)
        held_out = hold_out(fit, X, folds, n_jobs=self.n_jobs)
        self._set_held_out(held_out, groups, copies)
        self._set_threshold()
        return self

    def score_samples(self, X):
        """Score of the detector: higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        X = validate_named(self, X, reset=False)
        return np.asarray(self.estimator_.score_samples(X), dtype=np.float64)
