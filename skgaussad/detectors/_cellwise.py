"""One Gaussian over all cells of a map, scored cell by cell."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.array_api import like, namespace_of, score_dtype
from .._utils.validation import check_choice, check_real, validate_data
from ..covariance import leave_out_residuals
from ._aggregation import count_top
from ._columns import place_cells, resolve_cells
from ._gaussian_detector import GaussianDetector

# Values of residuals held at a time, beside which those of the cells are few.
_BLOCK_VALUES = 2**23
_COVARIANCES = ("ledoit_wolf", "oas", "shrunk")


class CellwiseMahalanobisDetector(GaussianDetector):
    """Detect anomalies by the cells of a map that the rest of it does not explain.

    The cells of a grid over the feature map, such as 7 x 7 cells of level 6, are taken
    as one vector, and one shrunk Gaussian is fitted to these vectors of normal images.
    Of a new image each cell has a residual: what the rest of it, by the Gaussian,
    does not predict of it. The distance of the image is the mean of the largest
    residuals. What moves all cells together, such as light, pose or the texture as a
    whole, counts for little, and a scratch in one cell for much: such a cell is called
    a cellwise outlier [1]_.

    The most accurate detector of this package where a defect covers a part of the
    image, and the one that :func:`~skgaussad.make_detector` returns by default.

    Parameters
    ----------
    covariance : {"ledoit_wolf", "oas", "shrunk"}, default="ledoit_wolf"
        How the covariance of the whole map is estimated, as for
        :class:`~skgaussad.MahalanobisDetector`. Those without correlations have no rest
        of the image to predict a cell from, and the empirical one would need more
        images than there are features.

    shrinkage : float or None, default=None
        Shrinkage intensity in (0, 1] for ``covariance="shrunk"``, where None is 0.1.
        The others take no other than None.

    cells : "auto", int or dict of {str: slice or array-like of int}, default="auto"
        Which columns are a cell. ``"auto"`` reads it from the names that
        :class:`~skgaussad.DeepFeatureTransformer` gives features pooled on a grid, such
        as ``level6_grid7_r0c1_0012``; cells of several levels are joined, see Notes.
        For features without names, the number of cells, of equal width and one after
        the other, as the grid of one level is; or the columns of each. All cells have
        as many columns.

    top_fraction : float or None, default=None
        Fraction of the cells whose residuals are averaged, in (0, 1], rounded up to a
        whole number of cells. None is 0.05: 3 of 49 cells. Those that ``ignore`` of the
        transformer covers are counted, and have no residual.

    threshold : {"quantile", "tail"}, default="quantile"
        How `fpr` becomes a distance, as for :class:`~skgaussad.MahalanobisDetector`.
        `groups` go with ``"quantile"`` only.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1): the fraction of normal samples that
        may be called anomalous.

    confidence : float or None, default=None
        With ``threshold="quantile"`` and without groups, a number in (0, 1) keeps `fpr`
        in that fraction of training sets, None on average over them.

    Attributes
    ----------
    cells_ : list of str
        Names of the cells, such as ``"grid7_r0c1"`` for row 0, column 1 of a 7 x 7
        grid, in the order of their residuals.

    location_ : ndarray of shape (n_features,)
        Mean of the training samples, each feature over its `scale_`.

    scale_ : ndarray of shape (n_features,) or None
        Root mean square deviation of the level of each feature; None for one level.

    covariance_, precision_ : ndarray of shape (n_features, n_features)
        The estimated covariance of the features over `scale_`, and its inverse, formed
        each time they are asked for. Large: 241 MB each for 5,488 features.

    shrinkage_ : float
        The intensity rho in use.

    n_samples_seen_ : int
        Number of samples that the Gaussian is fitted to.

    calibration_residuals_ : ndarray of shape (n_samples, n_cells)
        Residuals of each training sample by the Gaussian fitted to all others, or to
        all other groups: mean, covariance and shrinkage included.

    calibration_distances_ : ndarray of shape (n_samples,)
        Distance of each training sample, from its `calibration_residuals_`. Infinite
        where the others do not determine a Gaussian.

    offset_ : float
        Minus the threshold on the distance:
        ``decision_function(X) = score_samples(X) - offset_``.

    n_features_in_ : int
        Number of features seen in `fit` or `partial_fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` had column names that are all strings.

    See Also
    --------
    MahalanobisDetector : The paper's distance, of one vector an image.
    PositionDetector : A Gaussian for each position, or one for all.
    skgaussad.inspection.anomaly_maps : The residuals as a map of the image.

    Notes
    -----
    With the mean m and the shrunk covariance C = (1 - rho) S + rho nu I, see
    :class:`~skgaussad.MahalanobisDetector`, let r = C^-1 (x - m). The residual of cell
    j is

        e_j = sqrt(rho nu) times the norm of r_j,

    with the entries r_j of r that belong to the cell. With P = C^-1, r_j is P_jj times
    the difference of the cell to what all other cells predict of it. The factor makes
    it a number without unit. Of n samples in D >> n features, C^-1 is formed in the
    space of the samples, so that a fit costs O(n^2 D).

    Leaving out a sample multiplies C^-1 x by a number and changes the shrinkage, so
    that the residuals of all training samples without themselves are exact and follow
    from the one decomposition of `fit`, as the distances of
    :class:`~skgaussad.MahalanobisDetector` do.

    Several levels on one grid are each divided by their root mean square deviation, or
    the loudest would rule. This scale is that of all training samples, also where one
    is left out, so that the residuals left out are no longer exact, and samples cannot
    be added later. One level has no scale, and is about as accurate.

    A fitted detector holds the axes of its covariance, at most min(n - 1, D) times D
    numbers of 8 bytes, and n_cells residuals a sample: 22 MB for 500 images on the 7 x
    7 cells of level 6. Axes of 4 bytes would give the same scores to 1e-8, and make
    `partial_fit` inexact. None are cut off: on solar cells three quarters of them gave
    the same AUROC, but 6.1 % of false alarms instead of 4.6 %, and half of them 9.4 %,
    because new images lose more by the cut than the training images do. See
    `partial_fit` for what a detector holds when samples are added.

    References
    ----------
    .. [1] P. J. Rousseeuw and W. Van den Bossche, "Detecting Deviating Data Cells",
       Technometrics 60 (2018), 135-145.
    .. [2] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    Four cells of five features each, which move together but for one:

    >>> import numpy as np
    >>> from skgaussad import CellwiseMahalanobisDetector
    >>> rng = np.random.default_rng(0)
    >>> common = rng.normal(size=(101, 1)) * np.tile(rng.normal(size=5), 4)
    >>> X = common + 0.1 * rng.normal(size=(101, 20))
    >>> X[100, 5:10] += 1
    >>> detector = CellwiseMahalanobisDetector(cells=4).fit(X[:100])
    >>> detector.predict(X[[0, 100]])
    array([ 1, -1])
    >>> int(detector.cell_residuals(X[100:]).argmax())
    1
    """

    _scoring_parameters = ("top_fraction",)

    def __init__(
        self,
        covariance="ledoit_wolf",
        *,
        shrinkage=None,
        cells="auto",
        top_fraction=None,
        threshold="quantile",
        fpr=0.05,
        confidence=None,
    ):
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.cells = cells
        self.top_fraction = top_fraction
        self.threshold = threshold
        self.fpr = fpr
        self.confidence = confidence

    def _check_parameters(self, groups=None):
        """Check the parameters."""
        check_choice("covariance", self.covariance, _COVARIANCES)
        super()._check_parameters(groups)
        if self.top_fraction is not None:
            check_real("top_fraction", self.top_fraction, 0, 1, closed="high")

    def _learn_features(self, X):
        """Return the rows over the scale of each level, and cells and scale."""
        names = getattr(self, "feature_names_in_", None)
        cells, levels = resolve_cells(self.cells, X.shape[1], names)
        scale = None
        if np.unique(levels).size > 1:
            scale = np.empty(X.shape[1])
            for level in np.unique(levels):
                of_level = levels == level
                deviations = X[:, of_level] - X[:, of_level].mean(axis=0)
                scale[of_level] = np.sqrt(np.mean(deviations**2)) or 1.0
            X = X / scale
        columns = np.array(list(cells.values()))
        return X, {"cells_": list(cells), "_columns": columns, "scale_": scale}

    def _check_additive(self):
        """Raise if moments do not tell all, as the scale of levels."""
        super()._check_additive()
        if self.scale_ is not None:
            raise ValueError(
                "The features are of several levels, each divided by its deviation "
                "over all training samples, so that samples cannot be added or taken "
                "out. Use fit with all samples, or a single level."
            )

    def _measure_left_out(self, gaussian, X, groups=None, **options):
        """Cell residuals of training samples by the Gaussian without their group."""
        # Raises where there is no shrinkage.
        gaussian.residual_terms()
        measured = np.full((len(X), len(self._columns)), np.inf)
        blocks = leave_out_residuals(gaussian, X, groups, **options)
        for members, residuals in blocks:
            measured[members] = self._norms(residuals)
        return measured

    def _set_left_out(self, measured, groups=None, copies=None):
        """Keep the residuals, and the distances of the samples by these."""
        self._calibration_residuals = measured
        super()._set_left_out(measured, groups, copies)

    def _distances_of(self, measured):
        """Distances of samples, from their residuals."""
        return self._mean_of_top(measured)

    def _discard_threshold(self):
        """Drop what held for other training samples."""
        super()._discard_threshold()
        vars(self).pop("_calibration_residuals", None)

    @property
    def calibration_residuals_(self):
        """Held-out residuals of the training samples, (n_samples, n_cells)."""
        return self._calibrated("_calibration_residuals")

    def _norms(self, residuals):
        """Norm of the residuals of each cell, array of shape (..., n_cells)."""
        xp = namespace_of(residuals)
        order = like(self._columns.ravel(), residuals)
        shape = (*residuals.shape[:-1], *self._columns.shape)
        by_cell = xp.reshape(xp.take(residuals, order, axis=-1), shape)
        return xp.sqrt(xp.sum(by_cell**2, axis=-1))

    def _mean_of_top(self, residuals):
        """Mean of the largest residuals of each sample."""
        xp = namespace_of(residuals)
        return xp.mean(xp.sort(residuals, axis=1)[:, -self._n_top() :], axis=1)

    def _n_top(self):
        """Count the cells whose residuals are averaged."""
        return count_top(len(self.cells_), self.top_fraction)

    def cell_residuals(self, X):
        """Residual of each cell: what the rest of the sample does not explain of it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        residuals : ndarray of shape (n_samples, n_cells)
            Float64, >= 0, in the order of `cells_`. Compare them with
            `calibration_residuals_`, those of normal samples.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=score_dtype(X), reset=False)
        if self.scale_ is not None:
            X = X / like(self.scale_, X, X.dtype)
        n_samples, n_features = X.shape
        step = max(1, _BLOCK_VALUES // n_features)
        starts = range(0, n_samples, step)
        blocks = (X[start : min(start + step, n_samples), :] for start in starts)
        norms = [self._norms(self._gaussian.residuals(block)) for block in blocks]
        xp = namespace_of(X)
        # NumPy has concat from 2.0 on.
        return np.concatenate(norms) if xp is np else xp.concat(norms)

    def cell_places(self):
        """Row and column of each cell on its grid.

        Returns
        -------
        places : ndarray of shape (n_cells, 2), dtype int
            Counted from 0, in the order of `cells_`.

        Raises
        ------
        ValueError
            If the names of the cells do not tell, as those of two grids.
        """
        check_is_fitted(self)
        return place_cells(self.cells_)

    def score_samples(self, X):
        """Minus the mean of the largest residuals: higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Float64, <= 0.
        """
        return -self._mean_of_top(self.cell_residuals(X))
