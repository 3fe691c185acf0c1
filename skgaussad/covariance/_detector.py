"""The Mahalanobis distance to a Gaussian of normal samples, as an outlier detector."""

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from .._validation import check_choice, check_real
from . import _shrinkage
from ._gaussian import DiagonalGaussian, SpectralGaussian
from ._spectrum import Spectrum
from ._threshold import chi2_threshold

_SHRUNK = ("ledoit_wolf", "oas", "shrunk")
_COVARIANCES = (*_SHRUNK, "empirical", "diagonal", "isotropic")
_THRESHOLDS = ("chi2",)


class MahalanobisDetector(OutlierMixin, BaseEstimator):
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
        check_choice("covariance", self.covariance, _COVARIANCES)
        check_choice("threshold", self.threshold, _THRESHOLDS)
        check_real("fpr", self.fpr, 0, 1)
        if self.covariance == "shrunk":
            check_real("shrinkage", self.shrinkage, 0, 1, closed="high")
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)

        varies = np.ptp(X, axis=0) > 0
        self.n_dof_ = int(np.count_nonzero(varies))
        if self.n_dof_ == 0:
            raise ValueError(
                f"All {len(X)} training samples are identical, so they have no spread "
                "to measure a distance by. Check that the images or features differ."
            )
        # A constant column is centred by its value: its mean may differ by rounding.
        self.location_ = np.where(varies, X.mean(axis=0), X[0])
        centred = X - self.location_
        # Moments up to the fourth order are taken in units in which they neither
        # overflow nor vanish.
        unit = np.abs(centred).max()
        centred /= unit
        with np.errstate(over="ignore", under="ignore"):
            squared_unit = unit * unit
        if not np.isfinite(squared_unit) or squared_unit < np.finfo(float).tiny:
            raise ValueError(
                f"The features deviate from their mean by up to {unit:.3g}, and the "
                "square of that is not a finite, positive float64. Rescale them, for "
                "example with sklearn.preprocessing.StandardScaler."
            )
        if self.covariance in ("diagonal", "isotropic"):
            self._gaussian = self._fit_diagonal(centred, varies, squared_unit)
        else:
            self._gaussian = self._fit_spectral(centred, varies, squared_unit)
        self.offset_ = -chi2_threshold(self.fpr, self.n_dof_)
        return self

    def _fit_diagonal(self, centred, varies, squared_unit):
        variances = np.einsum("ij,ij->j", centred, centred) / len(centred)
        if self.covariance == "isotropic":
            self.shrinkage_ = 1.0
            variances = np.full_like(variances, variances.sum() / self.n_dof_)
        else:
            self.shrinkage_ = 0.0
            variances[~varies] = variances[varies].min()
        return DiagonalGaussian(self.location_, variances * squared_unit)

    def _fit_spectral(self, centred, varies, squared_unit):
        spectrum = Spectrum.of(centred)
        rho = self.shrinkage_ = self._choose_shrinkage(spectrum)
        complement = None
        if spectrum.rank < spectrum.n_features:
            if rho == 0:
                raise ValueError(self._explain_singular(spectrum, varies))
            complement = rho * spectrum.mean_variance * squared_unit
        variances = (1 - rho) * spectrum.eigenvalues + rho * spectrum.mean_variance
        return SpectralGaussian(
            self.location_, spectrum.axes, variances * squared_unit, complement
        )

    def _choose_shrinkage(self, spectrum):
        n_samples, n_features = spectrum.n_samples, spectrum.n_features
        # A single variance has no other to shrink towards.
        if self.covariance == "empirical" or n_features == 1:
            return 0.0
        if self.covariance == "shrunk":
            return float(self.shrinkage)
        trace = spectrum.squared_norms.mean()
        squared_norm = (spectrum.eigenvalues**2).sum()
        if self.covariance == "oas":
            rho = _shrinkage.oas(n_samples, n_features, trace, squared_norm)
        else:
            mean_fourth = (spectrum.squared_norms**2).mean()
            rho = _shrinkage.ledoit_wolf(
                n_samples, n_features, trace, squared_norm, mean_fourth
            )
        return float(rho)

    def _explain_singular(self, spectrum, varies):
        n_samples, n_features = spectrum.n_samples, spectrum.n_features
        came = (
            f"The covariance of {n_samples} samples in {n_features} features has rank "
            f"{spectrum.rank} and cannot be inverted"
        )
        n_constant = np.count_nonzero(~varies)
        if n_constant:
            came += f"; {n_constant} features are constant"
        if self.covariance == "empirical":
            return (
                f"{came}. covariance='empirical' needs more samples than features, "
                "none of them constant or a combination of others. Use "
                "covariance='ledoit_wolf', or give more samples."
            )
        return (
            f"{came}, and the shrinkage estimated by covariance={self.covariance!r} is "
            "0, because there are too few different samples to estimate it. Give more "
            "samples, or set the intensity with covariance='shrunk'."
        )

    @property
    def covariance_(self):
        """Estimated covariance, of shape (n_features, n_features)."""
        check_is_fitted(self)
        return self._gaussian.covariance()

    @property
    def precision_(self):
        """Inverse of the estimated covariance, of shape (n_features, n_features)."""
        check_is_fitted(self)
        return self._gaussian.precision()

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
        return self._gaussian.mahalanobis(X)

    def score_samples(self, X):
        """Minus the Mahalanobis distance (not squared): higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Float64, <= 0.
        """
        return -np.sqrt(self.mahalanobis(X))

    def decision_function(self, X):
        """Score relative to the threshold: negative for anomalies.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Tell normal samples from anomalies.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            +1 for normal, -1 for anomalous.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

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
        return float(-(squared.mean() + self._gaussian.log_determinant + constant) / 2)
