"""A working point for any detector, by fitting it again without some samples."""

from functools import partial

import numpy as np
from sklearn.base import MetaEstimatorMixin
from sklearn.utils.validation import check_is_fitted

from ._base import BaseDetector
from ._copies import find_copies
from ._hold_out import (
    fit_clone,
    hold_out,
    number_folds,
    number_groups,
    split_folds,
    validate_named,
)
from ._learned_steps import warn_of_learned_steps
from ._order import warn_of_order


class ConformalDetector(MetaEstimatorMixin, BaseDetector):
    """Give any outlier detector a false-positive rate that holds, and p-values.

    The detector is fitted without each of several folds of the training samples. Each
    of these is measured by the detector that has not seen it, in no step: not in a
    scaling, a :class:`~sklearn.decomposition.PCA` or a :class:`~skgaussad.NegatedPCA`
    before it either. A new sample is measured by the same detectors, and compared with
    each training sample by the one that did not see that: CV+ [1]_.

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
    fold_estimators_ : list of outlier detectors
        Fitted without each fold; these score.

    estimator_ : outlier detector
        Fitted to all samples, for maps and figures of what is inside.

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
    With s_k(x) the distance of x to the detector fitted without fold k, k(i) the fold
    of training sample i, and R_i = s_k(i)(x_i), the p-value of x is

        (1 + number of i with R_i >= s_k(i)(x)) / (n + 1).

    For exchangeable samples it is at most `fpr` with a probability of at most about
    twice `fpr` for certain, and in practice at most `fpr` [1]_: 0.1 to 5.1 % for 5 % on
    solar cells and Gaussian samples (``benchmarks/calibration.py folds``). Distances by
    the detector of all samples, ranked among the held-out ones, have no such bound, and
    gave 0 to 99.8 % there.

    The distance, minus `score_samples`, is the mean of s_k(x) over the folds, moved by
    as little as gives it that p-value by its rank among the R_i, so that `offset_` and
    all else is as for other detectors. Scoring takes as many times as long as there are
    folds.

    References
    ----------
    .. [1] R. F. Barber, E. J. Candès, A. Ramdas and R. J. Tibshirani, "Predictive
       inference with the jackknife+", Annals of Statistics 49 (2021), 486-507.

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
            If the samples are too few for `fpr`, with the number that would do; or as
            :class:`~skgaussad.MahalanobisDetector` warns of copies, of order, which
            takes two fits to half of the samples, and of learned steps before this
            detector.
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
        held_out, self.fold_estimators_ = hold_out(fit, X, folds, n_jobs=self.n_jobs)
        self._set_held_out(held_out, groups, copies, number_folds(folds))
        self._set_threshold()
        warn_of_learned_steps(self, X)
        if groups is None:
            warn_of_order(self, X, copies)
        return self

    def score_samples(self, X):
        """Score by the detectors of the folds: higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Minus the mean distance by `fold_estimators_`, moved to the rank of CV+
            among the held-out distances: see Notes.
        """
        check_is_fitted(self, "fold_estimators_")
        X = validate_named(self, X, reset=False)
        scores = [detector.score_samples(X) for detector in self.fold_estimators_]
        by_fold = -np.column_stack(scores).astype(np.float64)
        return -self._held_out.join_folds(by_fold)
