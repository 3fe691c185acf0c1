"""The Mahalanobis distance to a Gaussian of normal samples, as an outlier detector."""

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from ._base import BaseMahalanobisDetector
from ._estimation import COVARIANCES, CentredRows, estimate, mean_of


class MahalanobisDetector(BaseMahalanobisDetector):
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

    threshold : {"chi2"}, default="chi2"
        How `fpr` becomes a distance. ``"chi2"`` takes the squared distances of normal
        samples to follow a chi-square law, equation 8 of [1]_. The law holds for
        Gaussian data with n much larger than D. Deep features are neither: expect more
        false alarms than asked for, and check on held-out normal samples.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1): the share of normal samples that may
        be called anomalous.

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
    """

    def __init__(
        self,
        covariance="ledoit_wolf",
        *,
        shrinkage=0.1,
        threshold="chi2",
        fpr=0.05,
    ):
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.threshold = threshold
        self.fpr = fpr

    def fit(self, X, y=None):
        """Fit the Gaussian and set the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of normal samples.
        y : Ignored
            Present for API consistency: all rows of `X` are taken to be normal.

        Returns
        -------
        self : MahalanobisDetector

        Raises
        ------
        ValueError
            If a parameter is out of its range, `X` holds NaN or infinity, all rows are
            identical, or the samples are too few for the covariance asked for.
        """
        self._check_parameters(COVARIANCES)
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        self.location_ = mean_of(X)
        centred = CentredRows.around(X, self.location_)
        self._covariance, self.shrinkage_ = estimate(
            centred, self.covariance, self.shrinkage
        )
        self._set_threshold(centred.n_dof)
        return self

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
