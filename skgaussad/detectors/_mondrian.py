"""A working point for each product, camera or shift."""

import warnings

import numpy as np
from scipy.stats import false_discovery_control
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.utils.validation import (
    _num_samples,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from .._utils.labels import check_present, number_labels
from .._utils.validation import check_real
from ..calibration import fpr_bound, required_units
from ..exceptions import FalseAlarmRateWarning
from ._base import BaseDetector
from ._copies import find_copies
from ._hold_out import (
    fitting_inner,
    number_groups,
    take_rows,
    validate_named,
)
from ._learned_steps import warn_of_learned_steps
from ._mahalanobis import MahalanobisDetector
from ._order import warn_of_order


class MondrianDetector(MetaEstimatorMixin, BaseDetector):
    """Keep the false-positive rate in each category: product, camera or shift.

    A threshold for all keeps the rate over all, and may exceed it many times in one
    product and find nothing in another. Here each category has a threshold of its own,
    from the held-out distances of its samples: Mondrian conformal prediction [1]_.

    Parameters
    ----------
    estimator : outlier detector or None, default=None
        A detector with held-out distances that are positive, such as
        :class:`~skgaussad.MahalanobisDetector` (taken for None),
        :class:`~skgaussad.CellwiseMahalanobisDetector` or
        :class:`~skgaussad.LevelEnsemble`. Its working point must be left at its
        defaults.

    shared : bool, default=False
        Whether one detector is fitted to the samples of all categories, or one to each.

    threshold : {"quantile", "tail"}, default="quantile"
        How `fpr` becomes a distance in each category, as in
        :class:`~skgaussad.MahalanobisDetector`.

    fpr : float, default=0.05
        Acceptable false-positive rate in each category, in (0, 1).

    confidence : float or None, default=None
        With ``threshold="quantile"`` and without groups, a number in (0, 1) keeps `fpr`
        in that fraction of training sets, None on average over them.

    Attributes
    ----------
    categories_ : ndarray of shape (n_categories,)
        The categories seen in `fit`, sorted.

    thresholds_ : ndarray of shape (n_categories,)
        Threshold on the distance of each.

    estimators_ : list of outlier detectors
        That of each category; the same one where it is shared.

    calibration_distances_ : ndarray of shape (n_samples,)
        Held-out distance of each training sample over the threshold of its category.

    offset_ : float
        -1: minus the threshold on the distance over that of the category.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen in `fit`, if all are strings.

    See Also
    --------
    VariantMahalanobisDetector : Kinds of normal samples that are not told apart when
        scored.

    Notes
    -----
    A category has too few samples (or groups), copies left out, where `fpr` takes more,
    1 / `fpr` - 1 without `confidence`. It then gets the detector of all samples, and
    the threshold of all of them together, and `fit` warns which categories these are.
    The rate is then kept over all and not in the category.

    In a pipeline give ``pipe.fit(X, detector__categories=categories)`` and
    ``pipe.predict(X, categories=categories)``;
    :class:`~skgaussad.DetectorPipeline`, which :func:`~skgaussad.make_detector`
    returns, takes `categories` in ``score_samples``, ``decision_function`` and
    ``p_values``, too.

    References
    ----------
    .. [1] V. Vovk, D. Lindsay, I. Nouretdinov and A. Gammerman, "Mondrian confidence
       machine", working paper of the On-line Compression Modelling project, 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import MondrianDetector
    >>> rng = np.random.default_rng(0)
    >>> products = np.repeat(["bolt", "nut"], 100)
    >>> scales = np.where(products == "bolt", 1, 5)[:, np.newaxis]
    >>> X = scales * rng.normal(size=(200, 4))
    >>> detector = MondrianDetector().fit(X, categories=products)
    >>> detector.predict([[6, 0, 0, 0], [6, 0, 0, 0]], categories=["bolt", "nut"])
    array([-1,  1])
    """

    def __init__(
        self,
        estimator=None,
        *,
        shared=False,
        threshold="quantile",
        fpr=0.05,
        confidence=None,
    ):
        self.estimator = estimator
        self.shared = shared
        self.threshold = threshold
        self.fpr = fpr
        self.confidence = confidence

    def fit(self, X, y=None, *, categories=None, groups=None):
        """Fit the detectors, and set the threshold of each category.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of normal samples.
        y : array-like of shape (n_samples,) or None, default=None
            Ignored, with a warning where it holds -1: all rows of `X` are taken to be
            normal.
        categories : array-like of shape (n_samples,) or None, default=None
            Product, camera or shift of each sample. None takes all for one category.
        groups : array-like of shape (n_samples,) or None, default=None
            Lot or capture run of each sample. Whole groups are then held out, and
            `fpr` is the rate in a new group of the category.

        Returns
        -------
        self : MondrianDetector

        Raises
        ------
        ValueError
            If a parameter is out of its range, or a detector cannot be fitted.

        Warns
        -----
        FalseAlarmRateWarning
            If categories have too few samples for `fpr`; names them, and says how many
            would do.
        """
        self._check_working_point(groups)
        if not isinstance(self.shared, bool | np.bool_):
            raise ValueError(f"shared must be True or False; got {self.shared!r}.")
        inner = self._inner()
        self._check_inner(inner)
        self._warn_of_anomalies(y)
        X = validate_named(self, X, ensure_min_samples=2)
        names, numbers = _number(categories, X)
        self._discard_threshold()
        copies = find_copies(X)
        lots = number_groups(groups, X, copies)
        if copies is not None:
            # Equal samples of two categories have another ratio in each.
            pairs = np.column_stack([numbers, copies])
            copies = np.unique(pairs, axis=0, return_inverse=True)[1].ravel()
        groups = None if groups is None else column_or_1d(groups)
        sizes = _count_units(numbers, copies if lots is None else lots)
        needed = required_units(self.fpr, self.confidence, groups is not None)
        few = sizes < needed
        if len(names) == 1:
            few[:] = False
        together = _fit_part(inner, X, groups) if self.shared or few.any() else None
        estimators, ratios, thresholds = [], np.empty(len(numbers)), []
        held_outs = []
        of_all = None if together is None else self._hold(together)
        for number in range(len(names)):
            rows = np.flatnonzero(numbers == number)
            if few[number]:
                fitted, held_out = together, of_all
                distances = fitted.calibration_distances_[rows]
            elif self.shared:
                fitted = together
                distances = fitted.calibration_distances_[rows]
                held_out = self._hold(fitted, rows)
            else:
                some = None if groups is None else groups[rows]
                fitted = _fit_part(inner, take_rows(X, rows), some)
                distances = fitted.calibration_distances_
                held_out = self._hold(fitted)
            threshold = held_out.threshold(self.fpr, self.confidence)
            if not 0 < threshold < np.inf:
                raise ValueError(
                    f"The threshold of category {str(names[number])!r} is "
                    f"{threshold:.4g}, and distances are divided by it. Take a "
                    "detector whose distances are positive and finite, such as "
                    "MahalanobisDetector, and give more samples."
                )
            ratios[rows] = distances / threshold
            estimators.append(fitted)
            thresholds.append(threshold)
            held_outs.append(held_out)
        self.categories_, self.estimators_ = names, estimators
        self.thresholds_ = np.array(thresholds)
        self._held_outs, self._has_categories = held_outs, categories is not None
        self._set_held_out(ratios, lots, copies)
        self.offset_ = -1.0
        self._warn_of_few(names, sizes, few, needed, groups)
        warn_of_learned_steps(self, X)
        if groups is None:
            # The order in each category: samples may well be sorted by these.
            rehearse = self._make_rehearsal(X, categories, numbers)
            warn_of_order(self, X, copies, rehearse=rehearse, categories=numbers)
        return self

    def _make_rehearsal(self, X, categories, numbers):
        """Return what fits to some samples and measures others."""

        def rehearse(rows, others):
            of_rows, of_others = (
                {} if categories is None else {"categories": numbers[some]}
                for some in (rows, others)
            )
            fitted = clone(self).fit(take_rows(X, rows), **of_rows)
            scores = fitted.score_samples(take_rows(X, others), **of_others)
            return fitted.calibration_distances_, -scores

        return rehearse

    def _inner(self):
        """Return the detector that is cloned."""
        return MahalanobisDetector() if self.estimator is None else self.estimator

    def _hold(self, fitted, rows=slice(None)):
        """Keep held-out distances of some samples of a detector."""
        held_out, copies = fitted._held_out, fitted._copies
        distances, groups = fitted.calibration_distances_[rows], held_out.groups
        if groups is not None:
            groups = np.unique(groups[rows], return_inverse=True)[1]
        elif copies is not None:
            copies = copies[rows]
        return self._hold_distances(distances, groups, copies)

    def _warn_of_few(self, names, sizes, few, needed, groups):
        """Warn of categories that have too few samples of their own."""
        unit = "samples" if groups is None else "groups"
        if few.any():
            listed = ", ".join(
                f"{name} ({size})"
                for name, size in zip(names[few], sizes[few], strict=True)
            )
            warnings.warn(
                f"fpr={self.fpr:g} takes at least {needed} {unit} of a category, and "
                f"there are fewer of: {listed}. They get the detector and the "
                "threshold of all categories together, which keeps the rate over all "
                f"and not in them. Give more {unit} of these, or accept a higher fpr.",
                FalseAlarmRateWarning,
                stacklevel=3,
            )
        for name, is_few, held_out in zip(names, few, self._held_outs, strict=True):
            doubt = held_out.doubt(self.fpr, self.confidence)
            if doubt is not None and not is_few:
                warnings.warn(
                    f"Category {name}: {doubt}", FalseAlarmRateWarning, stacklevel=3
                )

    def _find(self, categories, X):
        """Return the number of the category of each sample."""
        check_is_fitted(self)
        if self._has_categories and categories is None:
            raise ValueError(
                "categories are missing: say of which each sample is, of "
                f"{_list(self.categories_)}."
            )
        if not self._has_categories and categories is not None:
            raise ValueError(
                "categories have no effect: the detector was fitted without. "
                "Call fit(X, categories=...)."
            )
        if categories is None:
            return np.zeros(_num_samples(X), dtype=int)
        if np.ndim(categories) == 0:
            raise ValueError(
                f"categories must hold one for each sample; got {categories!r}. Give "
                "[category] * n_samples if all are of one."
            )
        check_present("categories", categories)
        categories = column_or_1d(categories)
        check_consistent_length(X, categories)
        known = {name: number for number, name in enumerate(self.categories_.tolist())}
        numbers = [known.get(name) for name in categories.tolist()]
        if None in numbers:
            row = numbers.index(None)
            raise ValueError(
                f"categories[{row}] is {categories.tolist()[row]!r}, which fit has not "
                f"seen; it has {_list(self.categories_)}. Fit with images of it."
            )
        return np.array(numbers, dtype=int)

    def _measure(self, X, categories):
        """Return the number of the category of each sample, and its distance."""
        numbers = self._find(categories, X)
        X = validate_named(self, X, reset=False)
        distances = np.empty(len(numbers))
        for number in np.unique(numbers):
            rows = np.flatnonzero(numbers == number)
            scores = self.estimators_[number].score_samples(take_rows(X, rows))
            distances[rows] = -np.asarray(scores, dtype=np.float64)
        return numbers, distances

    def score_samples(self, X, *, categories=None):
        """Minus the distance over the threshold of the category: higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        categories : array-like of shape (n_samples,) or None, default=None
            Category of each sample, one of `categories_`; None where `fit` had none.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Below -1 for anomalies, in all categories alike.

        Raises
        ------
        ValueError
            If a category was not seen in `fit`, or categories are missing.
        """
        numbers, distances = self._measure(X, categories)
        return -distances / self.thresholds_[numbers]

    def decision_function(self, X, *, categories=None):
        """Score relative to the threshold: negative for anomalies.

        Parameters
        ----------
        X, categories
            As for `score_samples`.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            ``score_samples(X, categories=categories) - offset_``.
        """
        return self.score_samples(X, categories=categories) - self.offset_

    def predict(self, X, *, categories=None):
        """Tell normal samples from anomalies.

        Parameters
        ----------
        X, categories
            As for `score_samples`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            +1 for normal, -1 for anomalous.
        """
        return np.where(self.decision_function(X, categories=categories) >= 0, 1, -1)

    def fit_predict(self, X, y=None, *, categories=None, groups=None):
        """Fit, and tell normal samples from anomalies among those fitted to.

        Parameters
        ----------
        X, y, categories, groups
            As for `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            +1 for normal, -1 for anomalous samples, by detectors that have seen them.
        """
        self.fit(X, y, categories=categories, groups=groups)
        return self.predict(X, categories=categories)

    def p_values(self, X, *, categories=None):
        """Conformal p-values among the samples of the same category.

        Parameters
        ----------
        X, categories
            As for `score_samples`.

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            In (0, 1]; see :meth:`MahalanobisDetector.p_values
            <skgaussad.MahalanobisDetector.p_values>`.
        """
        numbers, distances = self._measure(X, categories)
        # That the working point is the fitted one.
        self._held_out  # noqa: B018
        p_values = np.empty(len(distances))
        for number in np.unique(numbers):
            rows = numbers == number
            p_values[rows] = self._held_outs[number].p_values(distances[rows])
        return p_values

    def predict_batch(self, X, *, fdr=0.05, categories=None):
        """Decide on a batch at once, with a limit on the fraction of false discoveries.

        Parameters
        ----------
        X, categories
            As for `score_samples`.
        fdr : float, default=0.05
            Acceptable false discovery rate over all categories, in (0, 1).

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            +1 for normal, -1 for anomalous samples; see
            :meth:`MahalanobisDetector.predict_batch
            <skgaussad.MahalanobisDetector.predict_batch>`.
        """
        check_real("fdr", fdr, 0, 1)
        adjusted = false_discovery_control(self.p_values(X, categories=categories))
        return np.where(adjusted <= fdr, -1, 1)

    def fpr_bound(self, confidence=0.95):
        """Upper bound on the false-positive rate in a category: the largest of them.

        Parameters
        ----------
        confidence : float, default=0.95
            Fraction of training sets, in (0, 1), in which the rate of a category is at
            most its bound.

        Returns
        -------
        bound : float
            In (0, 1].
        """
        check_is_fitted(self)
        return max(
            fpr_bound(held_out.n_exceeding(threshold), held_out.n_units, confidence)
            for held_out, threshold in zip(
                self._held_outs, self.thresholds_, strict=True
            )
        )


def _number(categories, X):
    """Return the names of categories, and the number of each sample's."""
    if categories is None:
        return np.array(["all"]), np.zeros(_num_samples(X), dtype=int)
    return number_labels("categories", categories, X)


def _count_units(numbers, units):
    """Count the samples of each category, or the different units of them."""
    if units is not None:
        numbers = np.unique(np.column_stack([numbers, units]), axis=0)[:, 0]
    return np.bincount(numbers)


def _fit_part(estimator, X, groups):
    """Fit a clone, whose own working point plays no part."""
    with fitting_inner():
        fitted = clone(estimator)
        fitted = fitted.fit(X) if groups is None else fitted.fit(X, groups=groups)
    if getattr(fitted, "_held_out_distances", None) is None:
        raise ValueError(
            f"estimator must have held-out distances, such as MahalanobisDetector; "
            f"{type(fitted).__name__} has none. Put it into a ConformalDetector."
        )
    return fitted


def _list(names):
    return ", ".join(repr(name) for name in names.tolist())
