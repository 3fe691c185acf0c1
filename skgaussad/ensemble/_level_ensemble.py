"""One detector a level, or a level and cell, their scores aggregated."""

import numbers

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.model_selection import KFold, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from .._decisions import ThresholdMixin
from .._validation import check_choice, check_real
from ..covariance import MahalanobisDetector
from ..covariance._threshold import conformal_threshold
from ..features import DeepFeatureTransformer
from ._aggregation import AGGREGATIONS, aggregate
from ._columns import resolve_columns


class LevelEnsemble(MetaEstimatorMixin, ThresholdMixin, BaseEstimator):
    """Fit one detector on each level of the features and aggregate their scores.

    With the defaults this is the sum predictor of the paper [1]_ (figure 1): a Gaussian
    a level, the Mahalanobis distances of an image added over the levels.

    Parameters
    ----------
    estimator : outlier detector or None, default=None
        Cloned once for each group of columns: a detector such as
        :class:`~skgaussad.covariance.MahalanobisDetector` (taken for None), a pipeline
        that ends in one, or anything else with ``score_samples`` that is higher for
        more normal samples.

    columns : {"level", "cell"} or dict of {str: slice or array-like of int}, \
            default="level"
        The groups of columns. ``"level"`` makes one of each level, ``"cell"`` one of
        each level and grid cell (or level and statistic, where several were pooled);
        both read the names that
        :class:`~skgaussad.features.DeepFeatureTransformer` gives its output. A dict
        names the columns of each group, which may overlap.

    aggregation : {"sum", "mean", "max", "top"}, default="sum"
        How the distances of the groups become one: ``"top"`` is the mean of the
        highest ones. A distance is minus the score of a group's detector.

    top_share : float, default=0.05
        Share of the groups averaged by ``aggregation="top"``, in (0, 1], rounded up to
        a whole number of groups.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1).

    cv : int or cross-validation splitter, default=5
        Folds for the threshold. An integer shuffles the rows, always the same way.

    n_jobs : int or None, default=None
        Threads over which the fits are spread. None is 1 unless in a
        :obj:`joblib.parallel_config` context, -1 all processors.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted detectors, one a group.

    columns_ : dict of {str: ndarray of int}
        The columns of each group, by its name, in the order of `estimators_`.

    held_out_distances_ : ndarray of shape (n_samples,)
        Aggregated distance of each training sample to detectors fitted without its
        fold.

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
    for it. Here the detectors are also fitted without each of `cv` folds, and the
    threshold is the ceil((1 - fpr) (n + 1))-th smallest of the n aggregated distances
    of the samples that were held out. Detectors fitted on fewer samples lie a little
    farther from new ones, so the achieved rate tends to be below `fpr` rather than
    above it. Where (n + 1) fpr < 1 the samples cannot tell such a rate: the largest
    held-out distance is taken, with a warning.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad.ensemble import LevelEnsemble
    >>> X_normal = np.random.default_rng(0).normal(size=(100, 5))
    >>> columns = {"shallow": slice(0, 2), "deep": slice(2, 5)}
    >>> ensemble = LevelEnsemble(columns=columns).fit(X_normal)
    >>> ensemble.predict([[0, 0, 0, 0, 0], [0, 0, 4, 4, 0]])
    array([ 1, -1])
    >>> ensemble.group_scores([[0, 0, 4, 4, 0]]).round(1)
    array([[-0.1, -5.5]])
    """

    def __init__(
        self,
        estimator=None,
        *,
        columns="level",
        aggregation="sum",
        top_share=0.05,
        fpr=0.05,
        cv=5,
        n_jobs=None,
    ):
        self.estimator = estimator
        self.columns = columns
        self.aggregation = aggregation
        self.top_share = top_share
        self.fpr = fpr
        self.cv = cv
        self.n_jobs = n_jobs

    def fit(self, X, y=None):
        """Fit a detector on each group of columns, and set the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of normal samples.
        y : Ignored
            Present for API consistency: all rows of `X` are taken to be normal.

        Returns
        -------
        self : LevelEnsemble

        Raises
        ------
        ValueError
            If a parameter is out of its range, the groups cannot be found, or a
            detector cannot be fitted.
        """
        check_choice("aggregation", self.aggregation, AGGREGATIONS)
        check_real("top_share", self.top_share, 0, 1, closed="high")
        check_real("fpr", self.fpr, 0, 1)
        X = validate_data(self, X, ensure_min_samples=2)
        names = getattr(self, "feature_names_in_", None)
        self.columns_ = resolve_columns(self.columns, X.shape[1], names)
        folds = list(self._split(X))
        everything = np.arange(len(X))
        runs = [(everything, everything[:0]), *folds]
        estimator = MahalanobisDetector() if self.estimator is None else self.estimator
        # Threads: the work is in NumPy and SciPy, which release the interpreter lock.
        fitted = Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(_fit_and_score)(clone(estimator), block, train, test)
            for block in (X[:, group] for group in self.columns_.values())
            for train, test in runs
        )
        self.estimators_ = []
        held_out = np.empty((len(X), len(self.columns_)))
        for column in range(len(self.columns_)):
            start = column * len(runs)
            self.estimators_.append(fitted[start][0])
            scores = [scores for _, scores in fitted[start + 1 : start + len(runs)]]
            for (_, test), part in zip(folds, scores, strict=True):
                held_out[test, column] = -part
        self.held_out_distances_ = aggregate(held_out, self.aggregation, self.top_share)
        self.offset_ = -conformal_threshold(self.held_out_distances_, self.fpr)
        return self

    def _split(self, X):
        """Split the rows into folds that hold out each of them once."""
        if isinstance(self.cv, numbers.Integral) and self.cv >= 2:
            n_splits = min(self.cv, len(X))
            return KFold(n_splits, shuffle=True, random_state=0).split(X)
        folds = list(check_cv(self.cv).split(X))
        held_out = np.sort(np.concatenate([test for _, test in folds]))
        if not np.array_equal(held_out, np.arange(len(X))):
            raise ValueError(
                f"cv must hold out each of the {len(X)} training samples exactly once, "
                f"as KFold does; got {self.cv!r}."
            )
        return folds

    def group_scores(self, X):
        """Score of each group of columns: higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples, n_groups)
            What the detectors' ``score_samples`` give, in the order of `columns_`:
            for :class:`~skgaussad.covariance.MahalanobisDetector` minus the
            Mahalanobis distance (not squared).
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        scores = Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(detector.score_samples)(X[:, group])
            for detector, group in zip(
                self.estimators_, self.columns_.values(), strict=True
            )
        )
        return np.column_stack(scores).astype(np.float64, copy=False)

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
        return -aggregate(distances, self.aggregation, self.top_share)


def _fit_and_score(estimator, X, train, test):
    estimator.fit(X[train])
    return estimator, estimator.score_samples(X[test]) if len(test) else None


def make_level_pipeline(
    estimator=None,
    *,
    columns="level",
    aggregation="sum",
    top_share=0.05,
    fpr=0.05,
    n_jobs=None,
    levels="all",
    **features,
):
    """Build the pipeline from images to a detector a level, ready to fit.

    Its steps are ``"features"``, a
    :class:`~skgaussad.features.DeepFeatureTransformer` whose output carries the names
    of the levels (as a pandas data frame), and ``"ensemble"``, a
    :class:`LevelEnsemble`.

    Parameters
    ----------
    estimator : outlier detector or None, default=None
        What is fitted on each group; None is
        :class:`~skgaussad.covariance.MahalanobisDetector`.

    columns, aggregation, top_share, fpr, n_jobs
        As for :class:`LevelEnsemble`.

    levels : int, list of int, "all" or "auto", default="all"
        As for :class:`~skgaussad.features.DeepFeatureTransformer`.

    **features
        Other parameters of the transformer, such as ``backbone`` or ``pooling``.

    Returns
    -------
    pipeline : :class:`~sklearn.pipeline.Pipeline`

    Examples
    --------
    The paper's sum over all levels:

    >>> from skgaussad.datasets import load_solar_cells
    >>> from skgaussad.ensemble import make_level_pipeline
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
        top_share=top_share,
        fpr=fpr,
        n_jobs=n_jobs,
    )
    return Pipeline(
        [
            ("features", transformer.set_output(transform="pandas")),
            ("ensemble", ensemble),
        ]
    )
