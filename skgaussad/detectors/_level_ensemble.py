"""One detector a level, or a level and cell, their scores aggregated."""

import warnings
from itertools import islice

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.array_api import like, namespace_of, score_dtype, to_host
from .._utils.validation import check_choice, check_real
from ..exceptions import FalseAlarmRateWarning
from ..features import DeepFeatureTransformer
from ._aggregation import AGGREGATIONS, aggregate
from ._base import HELD_OUT_THRESHOLDS, CalibratedMixin
from ._columns import resolve_columns
from ._hold_out import fit_and_score, gather, split_folds
from ._mahalanobis import MahalanobisDetector


class LevelEnsemble(MetaEstimatorMixin, CalibratedMixin, BaseEstimator):
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

    top_fraction : float, default=0.05
        Share of the groups averaged by ``aggregation="top"``, in (0, 1], rounded up to
        a whole number of groups.

    threshold : {"quantile", "leave_one_group_out", "tail"}, \
            default="quantile"
        How `fpr` becomes an aggregated distance, as in
        :class:`~skgaussad.MahalanobisDetector`.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1).

    confidence : float or None, default=None
        With ``threshold="quantile"``, a number in (0, 1) keeps `fpr` in that share
        of training sets, None on average over them.

    cv : "auto", int or cross-validation splitter, default="auto"
        Where the held-out distances come from. ``"auto"`` leaves out one sample (or
        group) at a time, exactly and without fitting again, if `estimator` is a
        :class:`~skgaussad.MahalanobisDetector`. For any other, such as a
        pipeline with :class:`~skgaussad.NegatedPCA`, all its steps are
        fitted again without each of 5 folds of samples (or without each group). An
        integer or splitter sets the folds;
        :class:`~sklearn.model_selection.LeaveOneOut` fits once for each sample.

    n_jobs : int or None, default=None
        Threads over which the fits are spread. None is 1 unless in a
        :obj:`joblib.parallel_config` context, -1 all processors.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted detectors, one a group.

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
    make_level_pipeline : Builds the transformer and the ensemble together.

    Notes
    -----
    No law is known for a sum of Mahalanobis distances, so the paper sets no threshold
    for it. Here each training sample is measured by detectors that were fitted without
    it, its distances are aggregated, and the threshold is the ceil((1 - fpr)
    (n + 1))-th smallest of the n sums. Detectors fitted on fewer samples, as with
    folds, lie a little farther from new ones, so that the achieved rate tends to be
    below `fpr` rather than above it.

    The detectors in `estimators_` have thresholds of their own, by their own
    parameters, that play no part in the ensemble's; that these lack samples for
    their rates is not warned of.

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

    # Groups may be meant for a splitter only; ``set_fit_request(groups=True)`` asks for
    # them.
    __metadata_request__fit = {"groups": False}  # noqa: RUF012

    def __init__(
        self,
        estimator=None,
        *,
        columns="level",
        aggregation="sum",
        top_fraction=0.05,
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
        y : Ignored
            Present for API consistency: all rows of `X` are taken to be normal.
        groups : array-like of shape (n_samples,) or None, default=None
            Lot, shift or capture run of each sample, at least two different ones, for
            ``threshold="leave_one_group_out"``.

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
        check_choice("aggregation", self.aggregation, AGGREGATIONS)
        check_real("top_fraction", self.top_fraction, 0, 1, closed="high")
        self._check_working_point(HELD_OUT_THRESHOLDS, groups)
        X = validate_data(self, to_host(X), ensure_min_samples=2)
        names = getattr(self, "feature_names_in_", None)
        self.columns_ = resolve_columns(self.columns, X.shape[1], names)
        groups = self._groups_to_hold_out(groups, X)
        estimator = MahalanobisDetector() if self.estimator is None else self.estimator
        blocks = [X[:, columns] for columns in self.columns_.values()]
        with warnings.catch_warnings():
            # The working points of the parts are not that of the ensemble.
            warnings.simplefilter("ignore", FalseAlarmRateWarning)
            if self._is_closed_form(estimator):
                held_out = self._leave_out(estimator, blocks, groups)
            else:
                folds = split_folds(self.cv, len(X), groups)
                held_out = self._fit_folds(estimator, blocks, folds)
        distances = aggregate(held_out, self.aggregation, self.top_fraction)
        self._set_held_out(distances, groups)
        self._set_held_out_threshold()
        return self

    def _is_closed_form(self, estimator):
        """Whether held-out distances come without fitting again."""
        automatic = isinstance(self.cv, str) and self.cv == "auto"
        return automatic and isinstance(estimator, MahalanobisDetector)

    def _leave_out(self, estimator, blocks, groups):
        """Fit the detectors; return the distances that they find by leaving out."""
        self.estimators_ = self._parallel(
            delayed(clone(estimator).fit)(block, groups=groups) for block in blocks
        )
        return np.column_stack(
            [
                detector.leave_one_out_distances_
                if groups is None
                else detector.leave_one_group_out_distances_
                for detector in self.estimators_
            ]
        )

    def _fit_folds(self, estimator, blocks, folds):
        """Fit the detectors, also without each fold; return distances of the folds."""
        self.estimators_ = self._parallel(
            delayed(clone(estimator).fit)(block) for block in blocks
        )
        parts = iter(
            self._parallel(
                delayed(fit_and_score)(clone(estimator), block, train, test)
                for block in blocks
                for train, test in folds
            )
        )
        return np.column_stack(
            [gather(folds, islice(parts, len(folds))) for _ in blocks]
        )

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
            What the detectors' ``score_samples`` give, in the order of `columns_`:
            for :class:`~skgaussad.MahalanobisDetector` minus the
            Mahalanobis distance (not squared).
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        scores = self._parallel(
            delayed(_score_columns)(detector, X, columns)
            for detector, columns in zip(
                self.estimators_, self.columns_.values(), strict=True
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
        """
        distances = -self.group_scores(X)
        return -aggregate(distances, self.aggregation, self.top_fraction)


def _score_columns(detector, X, columns):
    """Scores of a detector by some columns, in the namespace of `X`."""
    block = namespace_of(X).take(X, like(columns, X), axis=1)
    if isinstance(detector, MahalanobisDetector):
        return detector.score_samples(block)
    scores = np.asarray(detector.score_samples(to_host(block)), dtype=np.float64)
    return like(scores, X, score_dtype(X))


def make_level_pipeline(
    estimator=None,
    *,
    columns="level",
    aggregation="sum",
    top_fraction=0.05,
    threshold="quantile",
    fpr=0.05,
    confidence=None,
    cv="auto",
    n_jobs=None,
    levels="all",
    **features,
):
    """Build the pipeline from images to a detector a level, ready to fit.

    Its steps are ``"features"``, a
    :class:`~skgaussad.DeepFeatureTransformer` whose output carries the names
    of the levels (as a pandas data frame), and ``"ensemble"``, a
    :class:`LevelEnsemble`.

    Parameters
    ----------
    estimator : outlier detector or None, default=None
        What is fitted on each group; None is
        :class:`~skgaussad.MahalanobisDetector`.

    columns, aggregation, top_fraction, threshold, fpr, confidence, cv, n_jobs
        As for :class:`LevelEnsemble`.

    levels : int, list of int, "all" or "auto", default="all"
        As for :class:`~skgaussad.DeepFeatureTransformer`.

    **features
        Other parameters of the transformer, such as ``backbone`` or ``pooling``.

    Returns
    -------
    pipeline : :class:`~sklearn.pipeline.Pipeline`

    Examples
    --------
    The paper's sum over all levels:

    >>> from skgaussad.datasets import load_solar_cells
    >>> from skgaussad import make_level_pipeline
    >>> cells = load_solar_cells("mono")
    >>> good, bad = cells.paths[cells.labels == 1], cells.paths[cells.labels == -1]
    >>> pipe = make_level_pipeline(image_size=96).fit(good[:40])
    >>> pipe.predict(bad[:3])
    array([-1, -1, -1])

    A Gaussian for each level and cell of a 4 x 4 grid, the mean of the highest 5 % of
    their distances:

    >>> pipe = make_level_pipeline(
    ...     levels=[6, 7], pooling=4, columns="cell", aggregation="top"
    ... )
    """
    transformer = DeepFeatureTransformer(levels=levels, **features)
    ensemble = LevelEnsemble(
        estimator,
        columns=columns,
        aggregation=aggregation,
        top_fraction=top_fraction,
        threshold=threshold,
        fpr=fpr,
        confidence=confidence,
        cv=cv,
        n_jobs=n_jobs,
    )
    return Pipeline(
        [
            ("features", transformer.set_output(transform="pandas")),
            ("ensemble", ensemble),
        ]
    )
