"""Principal components of least variance."""

import numbers

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_array, check_is_fitted

from .._utils.validation import check_integer, check_real, validate_data
from ..covariance import Spectrum


def _first_kept(explained_variance_ratio, fraction):
    """Return the index of the first component to keep for a fraction of the variance.

    The leading components pass ``1 - fraction`` of the variance within one component;
    the one before it is kept as well, as in the implementation of the authors.
    """
    cumulative = np.cumsum(explained_variance_ratio)
    straddling = np.searchsorted(cumulative, 1 - fraction, side="right")
    return max(int(straddling) - 1, 0)


def _with_fixed_signs(axes):
    """Flip axes so that the entry of largest magnitude of each is positive."""
    largest = np.argmax(np.abs(axes), axis=1)
    return axes * np.sign(axes[np.arange(len(axes)), largest])[:, np.newaxis]


class NegatedPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Keep the principal components of least variance.

    The counterpart of :class:`~sklearn.decomposition.PCA`. Anomalies differ from normal
    images mainly in directions in which normal images hardly vary, so a Gaussian may be
    fitted to these directions alone, with fewer parameters to estimate. See section
    IV-A and table III of [1]_.

    Parameters
    ----------
    n_components : float or int, default=0.01
        How much to keep.

        - A float in (0, 1) is a fraction of the variance of the training samples: 0.01
          is "NPCA 1 %" of [1]_. The leading components that together explain at most
          ``1 - n_components`` are left out, except the last of them: see Notes.
        - An int, at least 1, is the number of components.

    Attributes
    ----------
    components_ : ndarray of shape (`n_components_`, n_features)
        The axes kept, orthonormal, by decreasing variance. The entry of largest
        magnitude of each is positive.

    explained_variance_ : ndarray of shape (`n_components_`,)
        Variance of the training samples along each axis, with denominator n - 1 as in
        :class:`~sklearn.decomposition.PCA`.

    explained_variance_ratio_ : ndarray of shape (`n_components_`,)
        The same as a fraction of the total variance.

    mean_ : ndarray of shape (n_features,)
        Mean of the training samples.

    n_components_ : int
        Number of components kept.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen in `fit`, if `X` had column names that are all
        strings.

    See Also
    --------
    sklearn.decomposition.PCA : Keeps the components of most variance.
    skgaussad.MahalanobisDetector : The Gaussian to fit to the result.

    Notes
    -----
    The explained variance of the leading components crosses ``1 - n_components`` within
    one component. As in the authors' implementation for table III, `NegatedPCA` keeps
    that component and the one before it. If ``PCA(n_components=0.99)`` keeps k
    components, ``NegatedPCA(0.01)`` starts with number k - 1, counted from 1, so that
    the two have two components in common. With few features this matters: if two
    components explain 99 %, all are kept.

    Components without variance are not kept. n samples vary in at most n - 1
    directions, fewer if features are constant or linear combinations of others. In the
    space orthogonal to these, principal components are not determined, and their
    variance would be rounding error.

    The output is float64 for any input, because rounding affects directions of little
    variance first.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from skgaussad import ConformalDetector, MahalanobisDetector, NegatedPCA
    >>> rng = np.random.default_rng(0)
    >>> X_normal = rng.normal(size=(200, 4)) * [9, 3, 0.2, 0.1]
    >>> reduction = NegatedPCA(n_components=2).fit(X_normal)
    >>> reduction.explained_variance_.round(2)
    array([0.04, 0.01])

    It learns from the samples, so that they have to be left out of it as well:

    >>> pipe = make_pipeline(reduction, MahalanobisDetector())
    >>> detector = ConformalDetector(pipe, fpr=0.01).fit(X_normal)
    >>> detector.predict([[20, 5, 0, 0], [0, 0, 0, 1]])
    array([ 1, -1])
    """

    def __init__(self, n_components=0.01):
        self.n_components = n_components

    def fit(self, X, y=None):
        """Find the components of least variance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of normal samples, at least 2.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : NegatedPCA

        Raises
        ------
        ValueError
            If `n_components` is out of its range or larger than the number of
            components with variance, `X` holds NaN or infinity, or all rows are
            identical.
        """
        self._check_parameters()
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        n_samples = len(X)
        if not np.ptp(X, axis=0).any():
            raise ValueError(
                f"All {n_samples} training samples are identical, so they have no "
                "principal components. Check that the images or features differ."
            )
        self.mean_ = X.mean(axis=0)
        centred = X - self.mean_
        # The rounding error of the mean, relative to the features, would appear as a
        # component of little variance; this removes it relative to the deviations.
        centred -= centred.mean(axis=0)
        # Scaled so that squares neither overflow nor underflow.
        unit = np.abs(centred).max()
        centred /= unit
        spectrum, _ = Spectrum.of_rows(centred)
        ratio = spectrum.eigenvalues / spectrum.eigenvalues.sum()
        first = self._choose_first(ratio, n_samples)
        self.components_ = _with_fixed_signs(spectrum.axes[first:])
        self.n_components_ = len(self.components_)
        variances = spectrum.eigenvalues[first:] * (n_samples / (n_samples - 1))
        self.explained_variance_ = variances * unit * unit
        self.explained_variance_ratio_ = ratio[first:]
        return self

    def _check_parameters(self):
        if isinstance(self.n_components, numbers.Integral):
            check_integer("n_components", self.n_components, 1)
        else:
            check_real("n_components, unless it is an int,", self.n_components, 0, 1)

    def _choose_first(self, ratio, n_samples):
        if not isinstance(self.n_components, numbers.Integral):
            return _first_kept(ratio, self.n_components)
        rank = len(ratio)
        if self.n_components > rank:
            raise ValueError(
                f"n_components={self.n_components} is more than the {rank} components "
                f"with variance that {n_samples} samples in {self.n_features_in_} "
                "features have. Ask for fewer, or give more samples."
            )
        return rank - self.n_components

    @property
    def _n_features_out(self):
        return self.n_components_

    def transform(self, X):
        """Project onto the kept components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_reduced : ndarray of shape (n_samples, `n_components_`)
            Float64. Coordinates along `components_`, zero at `mean_`, in the units of
            the features, not scaled to unit variance.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return (X - self.mean_) @ self.components_.T

    def inverse_transform(self, X):
        """Map coordinates back to features.

        Parameters
        ----------
        X : array-like of shape (n_samples, `n_components_`)
            What `transform` returns.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Float64. After `transform`, the projection of the samples onto the plane
            through `mean_` along `components_`, with the mean along the components left
            out.

        Raises
        ------
        ValueError
            If `X` does not have `n_components_` columns.
        """
        check_is_fitted(self)
        X = check_array(X, dtype=np.float64, estimator=self, input_name="X")
        if X.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {X.shape[1]} columns, but {type(self).__name__} keeps "
                f"{self.n_components_} components. Give the output of transform."
            )
        return X @ self.components_ + self.mean_
