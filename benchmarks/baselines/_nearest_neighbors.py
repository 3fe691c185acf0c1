"""Distance to the nearest training samples, as an outlier detector."""

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_is_fitted, validate_data

from skgaussad._utils.validation import check_integer, check_real
from skgaussad.detectors._base import BaseDetector


class NearestNeighborDetector(BaseDetector):
    """Detect anomalies by their distance to the nearest training samples.

    The distance of a sample is the mean of its Euclidean distances (not squared) to the
    `n_neighbors` training samples nearest to it, as in [1]_ and in the first stage of
    SPADE [2]_, with which the paper [3]_ compares (table V).

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of training samples to measure the distance to, at least 1.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1).

    Attributes
    ----------
    calibration_distances_ : ndarray of shape (n_samples,)
        Distance of each training sample to the others: a training sample is not its
        own neighbour.

    offset_ : float
        Minus the threshold on the distance:
        ``decision_function(X) = score_samples(X) - offset_``. The threshold is the
        ceil((1 - fpr) (n + 1))-th smallest of the n `calibration_distances_`.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen in `fit`, if all are strings.

    Notes
    -----
    A training sample that is given to `score_samples` is a new sample with a neighbour
    at distance 0. What `predict` says of training samples is therefore too favourable.

    References
    ----------
    .. [1] L. Bergman, N. Cohen and Y. Hoshen, "Deep Nearest Neighbor Anomaly
       Detection", arXiv:2002.10445, 2020.
    .. [2] N. Cohen and Y. Hoshen, "Sub-Image Anomaly Detection with Deep Pyramid
       Correspondences", arXiv:2005.02357, 2020.
    .. [3] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from baselines import NearestNeighborDetector
    >>> X_normal = np.random.default_rng(0).normal(size=(100, 3))
    >>> detector = NearestNeighborDetector().fit(X_normal)
    >>> detector.predict([[0, 0, 0], [0, 5, 0]])
    array([ 1, -1])
    >>> detector.score_samples([[0, 0, 0], [0, 5, 0]]).round(1)
    array([-0.6, -2.9])
    """

    # The rate is kept on average over training sets.
    threshold, confidence = "quantile", None

    def __init__(self, n_neighbors=5, *, fpr=0.05):
        self.n_neighbors = n_neighbors
        self.fpr = fpr

    def fit(self, X, y=None):
        """Keep the training samples and set the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of normal samples, more than `n_neighbors` of them.
        y : Ignored
            Present for API consistency: all rows of `X` are taken to be normal.

        Returns
        -------
        self : NearestNeighborDetector

        Raises
        ------
        ValueError
            If a parameter is out of its range, `X` holds NaN or infinity, or there are
            too few samples.
        """
        check_integer("n_neighbors", self.n_neighbors, 1)
        check_real("fpr", self.fpr, 0, 1)
        X = validate_data(
            self, X, dtype=np.float64, ensure_min_samples=self.n_neighbors + 1
        )
        self._neighbors = NearestNeighbors(n_neighbors=self.n_neighbors).fit(X)
        distances, _ = self._neighbors.kneighbors()
        self._set_held_out(distances.mean(axis=1))
        self._set_threshold()
        return self

    def score_samples(self, X):
        """Minus the mean distance to the nearest training samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Float64, <= 0: higher is more normal.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        distances, _ = self._neighbors.kneighbors(X)
        return -distances.mean(axis=1)
