"""The Mahalanobis distance to a Gaussian of normal samples, as an outlier detector."""

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from ..calibration._groups import number_groups
from ..calibration._mixin import CalibratedMixin
from ._base import BaseMahalanobisDetector
from ._estimation import CentredRows, estimate, mean_of
from ._leave_out import leave_out
from ._threshold import check_law, chi2_threshold, f_threshold

_THRESHOLDS = ("leave_one_out", "leave_one_group_out", "tail", "chi2", "f")


class MahalanobisDetector(CalibratedMixin, BaseMahalanobisDetector):
    """Detect anomalies by their Mahalanobis distance to normal samples.

    A multivariate Gaussian is fitted to the features of normal samples only. A new
    sample is anomalous when its distance to the Gaussian exceeds a threshold set by the
    share of normal samples that one accepts to lose [1]_.

    Parameters
    ----------
    covariance : {"ledoit_wolf", "oas", "shrunk", "empirical", "diagonal", \
            "isotropic"}, default="ledoit_wolf"
        How the covariance is estimated from n samples of D features. S is the sample
        covariance with denominator n (as in scikit-learn; the paper's equation 5 has
        n - 1) and nu = tr(S) / D.

        - ``"ledoit_wolf"``: (1 - rho) S + rho nu I, equation 6 of [1]_, with the
          intensity rho of Ledoit and Wolf. Works for n < D.
        - ``"oas"``: the same with the oracle approximating shrinkage.
        - ``"shrunk"``: the same with the intensity `shrinkage`.
        - ``"empirical"``: S itself, which must be invertible, so n > D.
        - ``"diagonal"``: the diagonal of S. The distance is the standardized Euclidean
          distance (SED), equation 9 of [1]_.
        - ``"isotropic"``: one variance for all features. The distance is the Euclidean
          (L2) distance to the mean in units of one standard deviation.

    shrinkage : float, default=0.1
        Shrinkage intensity in (0, 1], used by ``covariance="shrunk"`` only.

    threshold : {"leave_one_out", "leave_one_group_out", "tail", "chi2", "f"}, \
            default="leave_one_out"
        How `fpr` becomes a distance.

        - ``"leave_one_out"``: by the distance of each training sample to the Gaussian
          fitted to all others, the ceil((1 - fpr) (n + 1))-th smallest of them. It
          assumes no law, only that new normal samples are like the training samples.
        - ``"leave_one_group_out"``: the same with a whole group left out, for samples
          that come in lots, shifts or capture runs: the rate in a new group. `fit`
          takes the `groups`.
        - ``"tail"``: as ``"leave_one_out"``, and below 1 / (n + 1), which n samples
          cannot tell, by a generalised Pareto law fitted to the largest fifth of the
          distances. It assumes that the law goes on beyond the largest of them; see
          Notes.
        - ``"chi2"``: the chi-square law, equation 8 of [1]_, which holds for Gaussian
          features and n much larger than D. Deep features are neither: `fit` warns
          where the leave-one-out distances contradict it.
        - ``"f"``: Hotelling's law, exact for Gaussian features and n > D with
          ``covariance="empirical"``; warns likewise.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1): the share of normal samples that may
        be called anomalous.

    confidence : float or None, default=None
        With ``threshold="leave_one_out"``, None keeps `fpr` on average over training
        sets. A number in (0, 1) keeps it in that share of training sets, by a higher
        threshold: 0.95 for "at most `fpr` with 95 % confidence".

    Attributes
    ----------
    location_ : ndarray of shape (n_features,)
        Mean of the training samples.

    covariance_ : ndarray of shape (n_features, n_features)
        The estimated covariance, formed each time it is asked for.

    precision_ : ndarray of shape (n_features, n_features)
        Its inverse, formed each time it is asked for.

    shrinkage_ : float
        The intensity rho in use: 0 for ``"empirical"`` and ``"diagonal"``, 1 for
        ``"isotropic"``.

    n_dof_ : int
        Degrees of freedom of the chi-square law: the number of features that vary
        among the training samples.

    leave_one_out_distances_ : ndarray of shape (n_samples,)
        Mahalanobis distance (not squared) of each training sample to the Gaussian
        fitted to all others, mean, covariance and shrinkage included. Infinite where
        the others do not determine a Gaussian.

    leave_one_group_out_distances_ : ndarray of shape (n_samples,) or None
        The same with the whole group of the sample left out; None without `groups`.

    calibration_distances_ : ndarray of shape (n_samples,)
        Those of the two that the threshold and ``p_values`` come from:
        `leave_one_group_out_distances_` for ``threshold="leave_one_group_out"``.

    offset_ : float
        Minus the threshold on the distance (not squared):
        ``decision_function(X) = score_samples(X) - offset_``.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen in `fit`, if `X` had column names that are all
        strings.

    See Also
    --------
    skgaussad.features.DeepFeatureTransformer : Turns images into features.
    sklearn.covariance.EllipticEnvelope : A robust Gaussian for n >> D.

    Notes
    -----
    A feature that is constant among the training samples, as ReLU networks have them,
    says nothing of its own scale. So that the distance stays finite and a deviation in
    the feature counts, ``"diagonal"`` gives it the least variance of the others,
    ``"isotropic"`` the mean variance of the others, and the shrunk covariances rho nu.

    The leave-one-out distances are exact and cost little: removing a sample changes the
    covariance by one rank, so that nothing is decomposed again. Steps before the
    detector that learn from the data, such as
    :class:`~skgaussad.decomposition.NegatedPCA`, have seen the sample all the same;
    :class:`~skgaussad.calibration.ConformalDetector` leaves it out of these, too.

    On solar cells and simulated data with 100 to 700 samples, the mean rates that the
    tail gave for 0.3 and 0.1 % were within a factor of two of these in 71 of 76
    settings. In the others, all at 0.1 %, they were 0.20 to 0.23 % on sums of levels
    and heavy tails, and 0.03 and 0.04 % on Gaussian samples. `fit` warns where the rate
    is more than ten times below 1 / (n + 1).

    In a pipeline give groups as ``pipe.fit(X, detector__groups=groups)``, or through
    scikit-learn's metadata routing with ``set_fit_request(groups=True)``.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> rng = np.random.default_rng(0)
    >>> X_normal = rng.normal(size=(200, 3)) * [1, 2, 3] + [0, 5, 0]
    >>> detector = MahalanobisDetector(fpr=0.01).fit(X_normal)
    >>> detector.predict([[0, 5, 0], [0, 5, 30]])
    array([ 1, -1])
    >>> detector.score_samples([[0, 5, 0], [0, 5, 30]]).round(1)
    array([ -0.1, -10.5])
    >>> detector.p_values([[0, 5, 0], [0, 5, 30]]).round(3)
    array([1.   , 0.005])
    """

    # Groups may be meant for a splitter only; ``set_fit_request(groups=True)`` asks for
    # them.
    __metadata_request__fit = {"groups": False}  # noqa: RUF012

    def __init__(
        self,
        covariance="ledoit_wolf",
        *,
        shrinkage=0.1,
        threshold="leave_one_out",
        fpr=0.05,
        confidence=None,
    ):
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.threshold = threshold
        self.fpr = fpr
        self.confidence = confidence

    def fit(self, X, y=None, *, groups=None):
        """Fit the Gaussian and set the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of normal samples.
        y : Ignored
            Present for API consistency: all rows of `X` are taken to be normal.
        groups : array-like of shape (n_samples,) or None, default=None
            Lot, shift or capture run of each sample, at least two different ones.

        Returns
        -------
        self : MahalanobisDetector

        Raises
        ------
        ValueError
            If a parameter is out of its range, `X` holds NaN or infinity, all rows are
            identical, or the samples are too few for the covariance asked for.

        Warns
        -----
        FalseAlarmRateWarning
            If the samples are too few for `fpr`, with the number that would do, or if
            the leave-one-out distances contradict the law asked for, with both rates.
        """
        self._check_covariance()
        self._check_working_point(_THRESHOLDS, groups)
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        self.location_ = mean_of(X)
        centred = CentredRows.around(X, self.location_)
        estimated = estimate(centred, self.covariance, self.shrinkage)
        self._covariance, self.shrinkage_ = estimated.covariance, estimated.shrinkage
        self.n_dof_ = centred.n_dof

        def distances_without(groups):
            """Distances of the training samples without their groups, not squared."""
            return np.sqrt(
                leave_out(
                    centred,
                    self.covariance,
                    self.shrinkage,
                    estimated.spectrum,
                    groups,
                )
            )

        self.leave_one_out_distances_ = distances_without(None)
        self._set_held_out(self.leave_one_out_distances_)
        self.leave_one_group_out_distances_ = None
        if groups is not None:
            groups = number_groups(groups, X)
            self.leave_one_group_out_distances_ = distances_without(groups)
            if self.threshold == "leave_one_group_out":
                self._set_held_out(self.leave_one_group_out_distances_, groups)
        if self.threshold in ("chi2", "f"):
            self._set_law_threshold(len(X))
        else:
            self._set_held_out_threshold()
        return self

    def _set_law_threshold(self, n_samples):
        """Set ``offset_`` by the law for Gaussian samples that is asked for."""
        if self.threshold == "chi2":
            threshold = chi2_threshold(self.fpr, self.n_dof_)
        else:
            if self.covariance != "empirical":
                raise ValueError(
                    "threshold='f' needs covariance='empirical', whose law it is; got "
                    f"covariance={self.covariance!r}. Use threshold='leave_one_out'."
                )
            threshold = f_threshold(self.fpr, n_samples, self.n_features_in_)
        check_law(threshold, self.fpr, self.threshold, self.leave_one_out_distances_)
        self.offset_ = -threshold

    def mahalanobis(self, X):
        """Squared Mahalanobis distance to the Gaussian.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        squared_distances : ndarray of shape (n_samples,)
            The square of the paper's equation 2, float64, >= 0.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self._covariance.mahalanobis(X, self.location_)

    def score(self, X, y=None):
        """Mean log-likelihood of the samples under the Gaussian, equation 1.

        It compares covariances on the same features. It does not compare levels or
        poolings: densities in different spaces have different units.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
            Present for API consistency.

        Returns
        -------
        log_likelihood : float
            In nats per sample.
        """
        squared = self.mahalanobis(X)
        constant = self.n_features_in_ * np.log(2 * np.pi)
        return float(
            -(squared.mean() + self._covariance.log_determinant + constant) / 2
        )
