"""One detector a level, or a level and cell, their scores aggregated."""

from functools import partial

import numpy as np
from sklearn.base import MetaEstimatorMixin
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from .._utils.array_api import like, namespace_of, score_dtype, to_host
from .._utils.validation import check_choice, check_real, validate_data
from ._aggregation import AGGREGATIONS, aggregate
from ._base import BaseDetector
from ._columns import resolve_columns
from ._copies import find_copies
from ._gaussian_detector import fit_part
from ._hold_out import (
    fit_clone,
    fitting_inner,
    hold_out,
    is_automatic,
    number_folds,
    number_groups,
    split_folds,
)
from ._learned_steps import warn_of_learned_steps
from ._mahalanobis import MahalanobisDetector
from ._order import warn_of_order
from ._walk import innermost


class LevelEnsemble(MetaEstimatorMixin, BaseDetector):
    """Fit one detector on each level of the features and aggregate their scores.

    With the defaults this is the sum predictor of the paper [1]_ (figure 1): a Gaussian
    a level, the Mahalanobis distances of an image added over the levels.

    Parameters
    ----------
    estimator : outlier detector or None, default=None
        Cloned once for each group of columns: a detector such as
        :class:`~skgaussad.MahalanobisDetector` (taken for None), a pipeline
        that ends in one, or anything else with ``score_samples`` that is higher for
        more normal samples.

    columns : {"level", "cell"} or dict of {str: slice or array-like of int}, \
            default="level"
        The groups of columns. ``"level"`` makes one of each level, ``"cell"`` one of
        each level and grid cell (or level and statistic, where several were pooled);
        both read the names that
        :class:`~skgaussad.DeepFeatureTransformer` gives its output. A dict
        names the columns of each group, which may overlap.

    aggregation : {"sum", "mean", "max", "top"}, default="sum"
        How the distances of the groups become one: ``"top"`` is the mean of the
        highest ones. A distance is minus the score of a group's detector.

    top_fraction : float or None, default=None
        Fraction of the groups averaged by ``aggregation="top"``, in (0, 1], rounded up
        to a whole number of groups. None is 0.05; other aggregations take no other.

    threshold : {"quantile", "tail"}, default="quantile"
        How `fpr` becomes an aggregated distance, as in
        :class:`~skgaussad.MahalanobisDetector`.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1).

    confidence : float or None, default=None
        With ``threshold="quantile"`` and without groups, a number in (0, 1) keeps `fpr`
        in that fraction of training sets, None on average over them.

    cv : "auto", int or cross-validation splitter, default="auto"
        Where the held-out distances come from. ``"auto"`` leaves out one sample (or
        group) at a time, exactly and without fitting again, if `estimator` is a
        :class:`~skgaussad.MahalanobisDetector` or
        :class:`~skgaussad.CellwiseMahalanobisDetector`. For any other, such as a
        pipeline with :class:`~skgaussad.NegatedPCA`, all its steps are
        fitted again without each of 5 folds of samples (or without each group), and
        samples are scored by the detectors of the folds as
        :class:`~skgaussad.ConformalDetector` does. An integer or splitter sets the
        folds; :class:`~sklearn.model_selection.LeaveOneOut` fits once for each sample.

    n_jobs : int or None, default=None
        Threads over which the fits are spread. None is 1 unless in a
        :obj:`joblib.parallel_config` context, -1 all processors.

    Attributes
    ----------
    estimators_ : list of estimators
        The detectors fitted to all samples, one a group.

    fold_estimators_ : list of lists of estimators, or None
        Those fitted without each fold, which score where folds are held out; None where
        `estimators_` do.

    columns_ : dict of {str: ndarray of int}
        The columns of each group, by its name, in the order of `estimators_`.

    calibration_distances_ : ndarray of shape (n_samples,)
        Aggregated distance of each training sample to detectors fitted without it (or
        without its group, or fold).

    offset_ : float
        Minus the threshold on the aggregated distance:
        ``decision_function(X) = score_samples(X) - offset_``.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen in `fit`, if all are strings.

    See Also
    --------
    make_detector : Builds the transformer and the ensemble together.

    Notes
    -----
    No distribution is known for a sum of Mahalanobis distances, so the paper sets no
    threshold for it. Here each training sample is measured by detectors that were
    fitted without it, its distances are aggregated, and the threshold is the ceil((1 -
    fpr) (n + 1))-th smallest of the n sums.

    The detectors in `estimators_` have thresholds of their own that play no part, so
    `threshold`, `fpr` and `confidence` of `estimator` must be left at their defaults.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import LevelEnsemble
    >>> X_normal = np.random.default_rng(0).normal(size=(100, 5))
    >>> columns = {"shallow": slice(0, 2), "deep": slice(2, 5)}
    >>> ensemble = LevelEnsemble(columns=columns).fit(X_normal)
    >>> ensemble.predict([[0, 0, 0, 0, 0], [0, 0, 4, 4, 0]])
    array([ 1, -1])
    >>> ensemble.group_scores([[0, 0, 4, 4, 0]]).round(1)
    array([[-0.1, -5.5]])
    """

    _scoring_parameters = ("aggregation", "top_fraction")

    def __init__(
        self,
        estimator=None,
        *,
        columns="level",
        aggregation="sum",
        top_fraction=None,
        threshold="quantile",
        fpr=0.05,
        confidence=None,
        cv="auto",
        n_jobs=None,
    ):
        self.estimator = estimator
        self.columns = columns
        self.aggregation = aggregation
        self.top_fraction = top_fraction
        self.threshold = threshold
        self.fpr = fpr
        self.confidence = confidence
        self.cv = cv
        self.n_jobs = n_jobs

    def fit(self, X, y=None, *, groups=None):
        """Fit a detector on each group of columns, and set the threshold.

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
        self : LevelEnsemble

        Raises
        ------
        ValueError
            If a parameter is out of its range, the groups cannot be found, or a
            detector cannot be fitted.

        Warns
        -----
        FalseAlarmRateWarning
            If the samples are too few for `fpr`, with the number that would do.
        """
        self._check_parameters(groups)
        self._warn_of_anomalies(y)
        given = X
        X = validate_data(self, to_host(X), ensure_min_samples=2)
        copies = find_copies(X)
        self._fit_samples(X, number_groups(groups, X, copies), copies)
        self._set_threshold()
        if self._is_closed_form:
            warn_of_learned_steps(self, X)
        if groups is None:
            warn_of_order(self, given, copies)
        return self

    def _check_parameters(self, groups=None):
        """Check the parameters."""
        check_choice("aggregation", self.aggregation, AGGREGATIONS)
        if self.top_fraction is not None:
            check_real("top_fraction", self.top_fraction, 0, 1, closed="high")
            if self.aggregation != "top":
                raise ValueError(
                    f"top_fraction={self.top_fraction:g} has no effect with "
                    f"aggregation={self.aggregation!r}. Set aggregation='top', or "
                    "top_fraction=None."
                )
        self._check_working_point(groups)
        self._check_inner(self._estimator())

    def _fit_samples(self, X, groups, copies):
        """Fit to validated samples, and measure each without its group or copies."""
        estimator = self._estimator()
        names = getattr(self, "feature_names_in_", None)
        self.columns_ = resolve_columns(self.columns, X.shape[1], names)
        blocks = [X[:, columns] for columns in self.columns_.values()]
        self._discard_threshold()
        self.fold_estimators_, numbers = None, None
        with fitting_inner():
            if self._is_closed_form:
                self.estimators_ = self._parallel(
                    delayed(fit_part)(estimator, block, groups, copies)
                    for block in blocks
                )
                held_out = [part.calibration_distances_ for part in self.estimators_]
            else:
                folds = split_folds(self.cv, len(X), groups, copies)
                self.estimators_ = self._parallel(
                    delayed(fit_clone)(estimator, block) for block in blocks
                )
                fit = partial(fit_clone, estimator)
                held_out, of_columns = zip(
                    *(
                        # Threads: NumPy and SciPy release the interpreter's lock.
                        hold_out(
                            fit, block, folds, n_jobs=self.n_jobs, prefer="threads"
                        )
                        for block in blocks
                    ),
                    strict=True,
                )
                self.fold_estimators_ = [list(f) for f in zip(*of_columns, strict=True)]
                numbers = number_folds(folds)
        distances = self._aggregate(np.column_stack(held_out))
        self._set_held_out(distances, groups, copies, numbers)

    def _estimator(self):
        """Return what is cloned for each group."""
        return MahalanobisDetector() if self.estimator is None else self.estimator

    @property
    def _is_closed_form(self):
        """Whether held-out distances come without fitting again."""
        closed = getattr(self._estimator(), "_is_closed_form", False)
        return is_automatic(self.cv) and closed

    def _aggregate(self, distances):
        """Make one distance of those of the groups."""
        return aggregate(distances, self.aggregation, self.top_fraction)

    def _gaussian_parts(self):
        """Columns, steps and detector of each group, see `gaussian_parts`."""
        return {
            name: (columns, *innermost(fitted))
            for (name, columns), fitted in zip(
                self.columns_.items(), self.estimators_, strict=True
            )
        }

    def _parallel(self, tasks):
        # Threads: the work is in NumPy and SciPy, which release the interpreter lock.
        return Parallel(n_jobs=self.n_jobs, prefer="threads")(tasks)

    def group_scores(self, X):
        """Score of each group of columns: higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples, n_groups)
            What ``score_samples`` of `estimators_` gives, in the order of `columns_`:
            for :class:`~skgaussad.MahalanobisDetector` minus the
            Mahalanobis distance (not squared).
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return self._score_groups(X, self.estimators_)

    def _score_groups(self, X, estimators):
        """Scores of each group of columns by its detector."""
        scores = self._parallel(
            delayed(_score_columns)(detector, X, columns)
            for detector, columns in zip(
                estimators, self.columns_.values(), strict=True
            )
        )
        return namespace_of(X).stack(scores, axis=1)

    def score_samples(self, X):
        """Minus the aggregated distance: higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            With held-out folds that of CV+, see :class:`~skgaussad.ConformalDetector`.
        """
        if getattr(self, "fold_estimators_", None) is None:
            return -self._aggregate(-self.group_scores(X))
        X = validate_data(self, X, reset=False)
        by_fold = [
            to_host(self._aggregate(-self._score_groups(X, estimators)))
            for estimators in self.fold_estimators_
        ]
        distances = self._held_out.join_folds(np.column_stack(by_fold))
        return like(-distances, X, score_dtype(X))


def _score_columns(detector, X, columns):
    """Scores of a detector by some columns, in the namespace of `X`."""
    block = namespace_of(X).take(X, like(columns, X), axis=1)
    if hasattr(detector, "_gaussian_parts"):
        return detector.score_samples(block)
    scores = np.asarray(detector.score_samples(to_host(block)), dtype=np.float64)
    return like(scores, X, score_dtype(X))
