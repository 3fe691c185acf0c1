"""Several kinds of normal samples in one model: a mean each, one pooled covariance."""

import numpy as np
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.utils.validation import check_is_fitted

from .._utils.array_api import like, score_dtype, to_host
from .._utils.labels import number_labels
from .._utils.validation import check_integer, validate_data
from ..calibration import chi2_threshold
from ..covariance import Gaussian, mean_of
from ._base import RULES, BaseDetector
from ._copies import find_copies
from ._gaussian_detector import MahalanobisMixin
from ._hold_out import clone_for_rows, hold_out, number_groups, split_folds
from ._learned_steps import warn_of_learned_steps
from ._order import warn_of_order


class VariantMahalanobisDetector(MahalanobisMixin, BaseDetector):
    """Detect anomalies by their distance to the nearest of several normal variants.

    Normal parts may come in variants, such as colours, sizes or cell types, so that
    their features gather around several means. Each variant gets its own mean, and all
    share one covariance, pooled over the variants: the class-conditional Gaussian of
    [1]_, which carries over to the multi-modal normality that [2]_ leaves as an
    outlook.

    Parameters
    ----------
    n_variants : int, default=2
        Number of variants to find where `fit` gets no labels of them.

    covariance : {"ledoit_wolf", "oas", "shrunk", "empirical", "diagonal", \
            "isotropic"}, default="ledoit_wolf"
        How the pooled covariance is estimated, as in
        :class:`MahalanobisDetector`. The shrunk ones work for n < D.

    shrinkage : float or None, default=None
        Shrinkage intensity in (0, 1] for ``covariance="shrunk"``, where None is 0.1.
        The others take no other than None.

    threshold : {"quantile", "tail", "chi2"}, default="quantile"
        How `fpr` becomes a distance, as in :class:`MahalanobisDetector`, by the
        distance of each training sample to a detector fitted without its fold.
        ``"chi2"`` is the chi-square distribution: `fit` warns where these distances
        contradict it.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1).

    confidence : float or None, default=None
        With ``threshold="quantile"`` and without groups, a number in (0, 1) keeps `fpr`
        in that fraction of training sets, None on average over them.

    cv : "auto", int or cross-validation splitter, default="auto"
        Folds that are held out. ``"auto"`` takes 5, or each group on its own; an
        integer shuffles the samples, always the same way.
        :class:`~sklearn.model_selection.LeaveOneOut` leaves out one sample at a time.

    n_init : int, default=10
        Starts of the k-means clustering that the search for variants begins with.

    max_iter : int, default=100
        Most rounds of the search for variants.

    random_state : int, RandomState instance or None, default=None
        Seed of the search for variants.

    Attributes
    ----------
    variants_ : ndarray of shape (n_variants,)
        Labels of the variants: those given, or 0 to ``n_variants - 1``.

    locations_ : ndarray of shape (n_variants, n_features)
        Mean of each variant.

    weights_ : ndarray of shape (n_variants,)
        Fraction of the training samples in each variant.

    training_variants_ : ndarray of shape (n_samples,)
        Variant of each training sample, given or found.

    covariance_ : ndarray of shape (n_features, n_features)
        The pooled covariance, formed each time it is asked for.

    precision_ : ndarray of shape (n_features, n_features)
        Its inverse, formed each time it is asked for.

    shrinkage_ : float
        Shrinkage intensity in use.

    n_dof_ : int
        Degrees of freedom of the chi-square distribution: the number of features that
        vary within variants.

    n_iter_ : int
        Rounds that the search for variants took; 0 where labels were given.

    calibration_distances_ : ndarray of shape (n_samples,)
        Distance of each training sample to a detector fitted without its fold, or
        group: to the nearest of the variants that were found in, or given for, the
        others.

    offset_ : float
        Minus the threshold on the distance (not squared).

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen in `fit`, if all are strings.

    See Also
    --------
    MahalanobisDetector : One kind of good part.

    Notes
    -----
    New samples are measured by the model of all training samples, and these by models
    of folds, which has no theorem. With 2 and 4 variants, 100 to 300 solar cells and
    Gaussian samples, the rate was 3.6 to 5.6 % for 5 %, at most one standard error
    above it.

    Without labels this is a Gaussian mixture with a common covariance, fitted by the
    classification form of the EM algorithm [3]_: from a k-means clustering, samples are
    given to the variant of highest posterior density and the means and the shrunk
    covariance are estimated again, until no sample moves. Where n < D the covariance
    follows its own samples closely and few move, so the clustering decides much.

    In a pipeline give labels as ``pipe.fit(X, detector__variants=labels)``.

    References
    ----------
    .. [1] K. Lee, K. Lee, H. Lee and J. Shin, "A simple unified framework for detecting
       out-of-distribution samples and adversarial attacks", NeurIPS 2018.
    .. [2] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020, section V.
    .. [3] G. Celeux and G. Govaert, "A classification EM algorithm for clustering and
       two stochastic versions", Computational Statistics & Data Analysis 14 (1992),
       315-332.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import VariantMahalanobisDetector
    >>> rng = np.random.default_rng(0)
    >>> variants = np.repeat(["red", "blue"], 50)
    >>> centres = np.where(variants[:, np.newaxis] == "red", [0, 0], [20, 0])
    >>> X_normal = rng.normal(size=(100, 2)) + centres
    >>> detector = VariantMahalanobisDetector(fpr=0.01).fit(X_normal, variants=variants)
    >>> X = [[0, 0], [20, 0], [10, 0]]
    >>> detector.predict(X)
    array([ 1,  1, -1])
    >>> detector.predict_variant(X[:2])
    array(['red', 'blue'], dtype='<U4')
    """

    def __init__(
        self,
        n_variants=2,
        *,
        covariance="ledoit_wolf",
        shrinkage=None,
        threshold="quantile",
        fpr=0.05,
        confidence=None,
        cv="auto",
        n_init=10,
        max_iter=100,
        random_state=None,
    ):
        self.n_variants = n_variants
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.threshold = threshold
        self.fpr = fpr
        self.confidence = confidence
        self.cv = cv
        self.n_init = n_init
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X, y=None, *, variants=None, groups=None):
        """Fit a mean for each variant and the pooled covariance, and set the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of normal samples.
        y : array-like of shape (n_samples,) or None, default=None
            Ignored, with a warning where it holds -1: all rows of `X` are taken to be
            normal.
        variants : array-like of shape (n_samples,) or None, default=None
            Which variant each sample is of. None finds `n_variants` of them.
        groups : array-like of shape (n_samples,) or None, default=None
            Lot, shift or capture run of each sample, at least two different ones. Whole
            groups are then held out, and `fpr` is the rate in a new group.

        Returns
        -------
        self : VariantMahalanobisDetector

        Raises
        ------
        ValueError
            If a parameter is out of its range, the samples within variants are
            identical, or there are too few of them.

        Warns
        -----
        FalseAlarmRateWarning
            If the samples are too few for `fpr`, with the number that would do, or if
            the held-out distances contradict the chi-square distribution.
        """
        self._check_covariance()
        self._check_working_point(groups, (*RULES, "chi2"))
        check_integer("n_variants", self.n_variants, 1)
        check_integer("n_init", self.n_init, 1)
        check_integer("max_iter", self.max_iter, 1)
        self._warn_of_anomalies(y)
        X = validate_data(self, to_host(X), dtype=np.float64, ensure_min_samples=2)
        copies = find_copies(X)
        groups = number_groups(groups, X, copies)
        if variants is not None:
            names, numbers = number_labels("variants", variants, X)
            variants = names[numbers]
        folds = split_folds(self.cv, len(X), groups, copies)
        self._discard_threshold()
        self._fit_variants(X, variants)

        def fit(X, rows):
            """Fit to some of the samples, without a threshold."""
            others = clone(self)
            others.n_features_in_ = self.n_features_in_
            return others._fit_variants(X, None if variants is None else variants[rows])

        self._set_held_out(hold_out(fit, X, folds)[0], groups, copies)
        self._set_threshold()
        warn_of_learned_steps(self, X)
        if groups is None:
            # The order in each variant: samples may well be sorted by these.
            rehearse = self._make_rehearsal(X, variants, copies)
            assigned = np.unique(self.training_variants_, return_inverse=True)[1]
            warn_of_order(self, X, copies, rehearse=rehearse, categories=assigned)
        return self

    def _make_rehearsal(self, X, variants, copies):
        """Return what fits to some samples and measures others."""

        def rehearse(rows, others):
            given = None if variants is None else variants[rows]
            fitted = clone_for_rows(self, len(X), rows, copies)
            fitted.fit(X[rows], variants=given)
            return fitted.calibration_distances_, -fitted.score_samples(X[others])

        return rehearse

    def _parametric_threshold(self):
        """Threshold by a distribution of Gaussian samples, or None by held-out ones."""
        return (
            chi2_threshold(self.fpr, self.n_dof_) if self.threshold == "chi2" else None
        )

    def _fit_variants(self, X, variants):
        """Find the variants, or take those given, and estimate what they have."""
        if variants is None:
            self.variants_ = np.arange(self.n_variants)
            assigned = self._search(X)
        else:
            self.variants_, assigned = np.unique(variants, return_inverse=True)
            self.n_iter_ = 0
            self._estimate(X, assigned)
        self.training_variants_ = self.variants_[assigned]
        return self

    def _estimate(self, X, assigned):
        """Estimate all but the variants themselves, from the variant of each sample."""
        counts = np.bincount(assigned, minlength=len(self.variants_))
        self.weights_ = counts / len(X)
        self.locations_ = np.stack(
            [mean_of(X[assigned == index]) for index in range(len(self.variants_))]
        )
        deviations = X - self.locations_[assigned]
        self._gaussian, _ = Gaussian.fit(deviations, self.covariance, self._shrinkage)
        self.shrinkage_, self.n_dof_ = self._gaussian.shrinkage, self._gaussian.n_dof

    def _search(self, X):
        """Find variants among unlabelled samples; return the variant of each."""
        n_distinct = len(np.unique(X, axis=0))
        if n_distinct <= self.n_variants:
            raise ValueError(
                f"n_variants={self.n_variants} needs more different training samples "
                f"than variants, and there are n_samples={len(X)}, {n_distinct} of "
                "them different. Give more samples or ask for fewer variants."
            )
        clustering = KMeans(
            self.n_variants, n_init=self.n_init, random_state=self.random_state
        )
        assigned = clustering.fit_predict(X)
        self._estimate(X, assigned)
        for n_iter in range(1, self.max_iter + 1):
            self.n_iter_ = n_iter
            moved = np.argmax(self._log_posteriors(X), axis=1)
            still = np.array_equal(moved, assigned)
            # A variant that would lose its last sample ends the search, too.
            if still or len(np.unique(moved)) < self.n_variants:
                break
            assigned = moved
            self._estimate(X, assigned)
        return assigned

    def _squared_distances(self, X):
        """Squared distance of each row to each variant, a column each."""
        return np.column_stack(
            [self._gaussian.mahalanobis(X, location) for location in self.locations_]
        )

    def _log_posteriors(self, X):
        """Logarithm of weight times density, up to a constant common to all."""
        return np.log(self.weights_) - self._squared_distances(X) / 2

    def mahalanobis(self, X):
        """Squared Mahalanobis distance to the nearest variant.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        squared_distances : ndarray of shape (n_samples,)
            Float64, >= 0.
        """
        squared = self._squared_distances(self._validate(X)).min(axis=1)
        return like(squared, X, score_dtype(X))

    def predict_variant(self, X):
        """Variant whose mean is nearest.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        variants : ndarray of shape (n_samples,)
            Entries of `variants_`.
        """
        nearest = self._squared_distances(self._validate(X)).argmin(axis=1)
        return self.variants_[nearest]

    def _validate(self, X):
        check_is_fitted(self)
        return validate_data(self, to_host(X), dtype=np.float64, reset=False)
