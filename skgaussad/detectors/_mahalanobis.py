"""The Mahalanobis distance to a Gaussian of normal samples, as an outlier detector."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.array_api import score_dtype
from .._utils.validation import validate_data
from ..calibration import chi2_threshold, f_threshold
from ..covariance import leave_out
from ._base import RULES
from ._gaussian_detector import GaussianDetector


class MahalanobisDetector(GaussianDetector):
    """Detect anomalies by their Mahalanobis distance to normal samples.

    A multivariate Gaussian is fitted to the features of normal samples only. A new
    sample is anomalous when its distance to the Gaussian exceeds a threshold set by the
    fraction of normal samples that one accepts to lose [1]_. Samples may be added,
    joined and taken out again without keeping them: see `partial_fit`, `merge` and
    `remove_samples`.

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

    shrinkage : float or None, default=None
        Shrinkage intensity in (0, 1] for ``covariance="shrunk"``, where None is 0.1.
        The others take no other than None.

    threshold : {"quantile", "tail", "chi2", "f"}, default="quantile"
        How `fpr` becomes a distance.

        - ``"quantile"``: by the distance of each training sample to the Gaussian fitted
          to all others, the ceil((1 - fpr) (n + 1))-th smallest of them. It assumes no
          distribution, only that new normal samples are like the training samples.
          Where `fit` gets `groups`, whole groups are left out, and it is the rate in a
          new group.
        - ``"tail"``: as ``"quantile"``, and below 1 / (n + 1), which n samples cannot
          tell, by a generalised Pareto distribution fitted to the largest fifth of the
          distances. It assumes that the distribution goes on beyond the largest of
          them; see Notes.
        - ``"chi2"``: the chi-square distribution, equation 8 of [1]_, which holds for
          Gaussian features and n much larger than D. Deep features are neither: `fit`
          warns where the left-out distances contradict it.
        - ``"f"``: Hotelling's distribution, exact for Gaussian features and n > D with
          ``covariance="empirical"``; warns likewise.

        `groups` go with ``"quantile"`` only.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1): the fraction of normal samples that
        may be called anomalous.

    confidence : float or None, default=None
        With ``threshold="quantile"`` and without groups, None keeps `fpr` on average
        over training sets. A number in (0, 1) keeps it in that fraction of training
        sets, by a higher threshold: 0.95 for "at most `fpr` with 95 % confidence".

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
        Degrees of freedom of the chi-square distribution: the number of features that
        vary among the training samples.

    n_samples_seen_ : int
        Number of samples that the Gaussian is fitted to: those of `fit` and
        `partial_fit`, and those merged, without those removed.

    calibration_distances_ : ndarray of shape (n_samples,)
        Mahalanobis distance (not squared) of each training sample to the Gaussian
        fitted to all others, or to all other groups: mean, covariance and shrinkage
        included. Infinite where the others do not determine a Gaussian. From `fit` or
        `calibrate`.

    offset_ : float
        Minus the threshold on the distance (not squared):
        ``decision_function(X) = score_samples(X) - offset_``. After `partial_fit`,
        `merge` and `remove_samples` it is there at once for ``"chi2"`` and ``"f"``, and
        otherwise from `calibrate`.

    n_features_in_ : int
        Number of features seen in `fit` or `partial_fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` had column names that are all strings.

    See Also
    --------
    skgaussad.DeepFeatureTransformer : Turns images into features.
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
    :class:`~skgaussad.NegatedPCA`, have seen the sample all the same;
    :class:`~skgaussad.ConformalDetector` leaves it out of these, too.

    On solar cells and simulated data with 100 to 700 samples, the mean rates that the
    tail gave for 0.3 and 0.1 % were within a factor of two of these in 100 of 110
    settings. In the others, all at 0.1 %, they were 0.20 to 0.23 % on images and heavy
    tails, and 0.04 % on Gaussian samples. That is on average over training sets: in one
    set of twenty the rate was 3 to 10 times that asked for on solar cells, with 60 to
    300 samples and rates below 1 / (n + 1). With 20 and 30 samples it was up to 2.7
    times on average for 1 %, and 8 to 11 times in one set of twenty. `fit` warns where
    such a rate is asked of fewer than 60 samples, or one more than ten times below
    1 / (n + 1).

    A fitted detector, and a pickle of it, holds the axes of its covariance, at most
    min(n - 1, D) times D numbers, a few numbers a feature, and the leave-one-out
    distances. From `partial_fit`, `merge` or `remove_samples` on it holds a matrix of D
    times D numbers as well, but for ``"diagonal"`` and ``"isotropic"``.

    Where distances are equal, as of few binary features that are mostly 0, hardly any
    rate but 0 can be had, and the one that comes may lie far below `fpr`: 0 to 5.6 %
    for 5 % in simulations of 30 to 300 samples of 5 to 500 such features, with each
    covariance.

    In a pipeline give groups as ``pipe.fit(X, detector__groups=groups)``, or through
    scikit-learn's metadata routing with ``set_fit_request(groups=True)``.

    With scikit-learn's array API dispatch, samples in an array of another library, such
    as a tensor on a GPU, are scored in that library on its device, and the scores are
    arrays of the same kind: in float64, or float32 on a device that lacks it. For each
    call the Gaussian is copied to the device. `fit` copies its samples to the host, and
    p-values are counted there, from the distances.

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

    _rules = (*RULES, "chi2", "f")

    def __init__(
        self,
        covariance="ledoit_wolf",
        *,
        shrinkage=None,
        threshold="quantile",
        fpr=0.05,
        confidence=None,
    ):
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.threshold = threshold
        self.fpr = fpr
        self.confidence = confidence

    @property
    def n_dof_(self):
        """Number of features that vary among the training samples."""
        check_is_fitted(self)
        return self._gaussian.n_dof

    def _check_parameters(self, groups=None):
        """Check the parameters."""
        super()._check_parameters(groups)
        if self.threshold == "f" and self.covariance != "empirical":
            raise ValueError(
                "threshold='f' needs covariance='empirical', whose distribution it is; "
                f"got covariance={self.covariance!r}. Use threshold='quantile'."
            )

    def _measure_left_out(self, gaussian, X, groups=None, **options):
        """Distances of training samples by the Gaussian without their group."""
        return np.sqrt(leave_out(gaussian, X, groups, **options))

    def _parametric_threshold(self):
        """Threshold by a distribution of Gaussian samples, or None by held-out ones."""
        if self.threshold == "chi2":
            return chi2_threshold(self.fpr, self.n_dof_)
        if self.threshold == "f":
            return f_threshold(self.fpr, self.n_samples_seen_, self.n_features_in_)
        return None

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
        X = validate_data(self, X, dtype=score_dtype(X), reset=False)
        return self._gaussian.mahalanobis(X)

    def _gaussian_parts(self):
        """Columns, steps and detector, see `gaussian_parts`."""
        return {"all": (slice(None), [], self)}
