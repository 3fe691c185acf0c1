"""The main job in one call: from images to a detector."""

import numbers
import os
import warnings

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if

from ._utils.validation import check_choice
from .detectors import (
    CellwiseMahalanobisDetector,
    LevelEnsemble,
    MahalanobisDetector,
    find_part,
    send_to_part,
)
from .exceptions import FalseAlarmRateWarning
from .features import DeepFeatureTransformer
from .inspection import anomaly_maps

_METHODS = ("cells", "paper")
# Cells along each side of the grid: the accuracy hardly depends on it from 7 to 14.
_GRID = 7


def _name_of(X, row):
    """Name a training sample by its path, or else its position."""
    item = X[row] if isinstance(X, list | tuple | np.ndarray) else None
    return str(item) if isinstance(item, str | os.PathLike) else f"X[{row}]"


def _detector_has(attribute):
    """Return a function that tells whether a part of a pipeline has an attribute."""
    return lambda self: find_part(self, attribute) is not None


class DetectorPipeline(Pipeline):
    """Pipeline that ends in a detector and forwards what scikit-learn does not know.

    It is what :func:`make_detector` returns, and may be made of any steps, as
    :class:`~sklearn.pipeline.Pipeline` is.

    Parameters
    ----------
    steps, transform_input, memory, verbose
        As for :class:`~sklearn.pipeline.Pipeline`.

    Attributes
    ----------
    offset_ : float
        Minus the threshold of the detector.

    calibration_distances_ : ndarray of shape (n_samples,)
        Held-out distances of its training samples.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skgaussad import DetectorPipeline, MahalanobisDetector
    >>> X_normal = np.random.default_rng(0).normal(size=(199, 3))
    >>> steps = [("scale", StandardScaler()), ("detector", MahalanobisDetector())]
    >>> detector = DetectorPipeline(steps).fit(X_normal)
    >>> detector.p_values([[0, 0, 0], [9, 9, 9]])
    array([1.   , 0.005])
    """

    def fit(self, X, y=None, **params):
        """Fit the steps, as :meth:`sklearn.pipeline.Pipeline.fit` does.

        Parameters
        ----------
        X : sequence of n_images images, or array-like of shape (n_samples, n_features)
            Normal samples, as the first step takes them.
        y : array-like of shape (n_samples,) or None, default=None
            Ignored, with a warning where it holds -1.
        **params : dict of str -> object
            Parameters of the steps' ``fit``, such as ``detector__groups``.

        Returns
        -------
        self : DetectorPipeline

        Warns
        -----
        FalseAlarmRateWarning
            As the detector does, and if a single sample sets the threshold, one half
            farther out than the next; it is named.
        """
        super().fit(X, y, **params)
        lone = getattr(self[-1], "_find_lone_sample", lambda: None)()
        if lone is not None:
            row, distance, following = lone
            warnings.warn(
                f"{_name_of(X, row)} alone sets the threshold: its held-out distance "
                f"is {distance:.4g}, and the next smaller one {following:.4g}. If it "
                "is not normal, defects as far out as it will be missed. "
                "Look at it, and leave it out or use RobustDetector, or give more "
                "images.",
                FalseAlarmRateWarning,
                stacklevel=2,
            )
        return self

    @property
    def offset_(self):
        """Minus the threshold of the detector."""
        return self._ask("offset_")

    @property
    def calibration_distances_(self):
        """Held-out distances of the training samples, of shape (n_samples,)."""
        return self._ask("calibration_distances_")

    def _ask(self, attribute):
        """Ask the detector, or what is in it."""
        part = find_part(self, attribute)
        # Where none has it, the last step says why.
        return getattr(self[-1] if part is None else part, attribute)

    @available_if(_detector_has("p_values"))
    def p_values(self, X):
        """Conformal p-values: how unusual images are among normal ones.

        Parameters
        ----------
        X : sequence of n_images images, or array-like of shape (n_samples, n_features)
            As the first step takes it.

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            In (0, 1]; see :meth:`MahalanobisDetector.p_values
            <skgaussad.MahalanobisDetector.p_values>`.
        """
        detector, X = send_to_part(self, "p_values", X)
        return detector.p_values(X)

    @available_if(_detector_has("predict_batch"))
    def predict_batch(self, X, *, fdr=0.05):
        """Decide on a batch at once, with a limit on the fraction of false discoveries.

        Parameters
        ----------
        X : sequence of n_images images, or array-like of shape (n_samples, n_features)
            As the first step takes it.
        fdr : float, default=0.05
            Acceptable false discovery rate, in (0, 1).

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            +1 for normal, -1 for anomalous; see
            :meth:`MahalanobisDetector.predict_batch
            <skgaussad.MahalanobisDetector.predict_batch>`.
        """
        detector, X = send_to_part(self, "predict_batch", X)
        return detector.predict_batch(X, fdr=fdr)

    @available_if(_detector_has("fpr_bound"))
    def fpr_bound(self, confidence=0.95):
        """Upper bound on the false-positive rate of ``predict``.

        Parameters
        ----------
        confidence : float, default=0.95
            Fraction of training sets, in (0, 1), in which the rate is at most the
            bound.

        Returns
        -------
        bound : float
            In (0, 1].
        """
        return find_part(self, "fpr_bound").fpr_bound(confidence)

    def anomaly_maps(self, X, *, size="image"):
        """Draw where in each image its distance comes from.

        Parameters
        ----------
        X : sequence of n_images images
        size : "image" or tuple of (int, int), default="image"
            Height and width of the maps: each those of its image, or the same for all.

        Returns
        -------
        maps : list of n_images ndarrays of shape (height, width)
            See :func:`skgaussad.inspection.anomaly_maps`.
        """
        return anomaly_maps(self, X, size=size)


def make_detector(
    *,
    method="cells",
    levels="auto",
    pooling=None,
    standardize_intensity=None,
    detector=None,
    threshold="quantile",
    fpr=0.05,
    confidence=None,
    **features,
):
    """Build the pipeline from images to a detector, ready to fit.

    Its steps are ``"features"``, a :class:`~skgaussad.DeepFeatureTransformer`, and
    ``"detector"``.

    Parameters
    ----------
    method : {"cells", "paper"}, default="cells"
        ``"cells"`` fits one Gaussian to all cells of a 7 x 7 grid over a feature map,
        and scores an image by the cells that the rest of it does not explain: see
        :class:`~skgaussad.CellwiseMahalanobisDetector`. ``"paper"`` is the distance of
        the mean over the map, as in [1]_: see :class:`~skgaussad.MahalanobisDetector`.

    levels : int, list of int, "all" or "auto", default="auto"
        As for :class:`~skgaussad.DeepFeatureTransformer`. ``"auto"`` is, of the default
        network, level 6 for ``method="cells"`` and level 7 for ``"paper"``. Several are
        joined in each cell, or with ``"paper"`` their distances are summed by a
        :class:`~skgaussad.LevelEnsemble`, as in [1]_.

    pooling : str, int, list of these or None, default=None
        As for :class:`~skgaussad.DeepFeatureTransformer`. None is 7, for a 7 x 7 grid,
        with ``method="cells"`` and ``"average"`` with ``"paper"``.

    standardize_intensity : bool or None, default=None
        As for :class:`~skgaussad.DeepFeatureTransformer`. None is True with
        ``method="cells"``, which sees next to nothing of a change of light over the
        whole image in any case, and finds more defects so, and False with ``"paper"``.

    detector : outlier detector or None, default=None
        None is the one of `method`; another one gets the features of `method`. It has a
        working point of its own, and `threshold`, `fpr` and `confidence` are left at
        their defaults here.

    threshold : {"quantile", "tail"}, default="quantile"
        How `fpr` becomes a distance, as for :class:`~skgaussad.MahalanobisDetector`,
        which knows others for one level of ``method="paper"``.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1).

    confidence : float or None, default=None
        As for :class:`~skgaussad.MahalanobisDetector`.

    **features
        Other parameters of the transformer, such as ``backbone`` or ``device``.

    Returns
    -------
    detector : DetectorPipeline
        With ``fit``, ``score_samples``, ``decision_function`` and ``predict``, and what
        a plain pipeline does not forward: ``offset_``, ``p_values``, ``predict_batch``,
        ``fpr_bound`` and ``anomaly_maps``.

    Raises
    ------
    ValueError
        If `method` is none of these, `pooling` or `threshold` does not go with it, or a
        working point is given beside a detector that has its own.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> from skgaussad import LevelEnsemble, make_detector
    >>> from skgaussad.datasets import load_solar_cells
    >>> cells = load_solar_cells("mono")
    >>> normal = cells.paths[cells.labels == 1]
    >>> anomalous = cells.paths[cells.labels == -1]
    >>> detector = make_detector(fpr=0.05).fit(normal[:40])
    >>> detector.predict(anomalous[:3])
    array([-1, -1, -1])
    >>> [anomaly_map.shape for anomaly_map in detector.anomaly_maps(anomalous[:1])]
    [(300, 300)]

    The paper's sum over all levels:

    >>> detector = make_detector(method="paper", levels="all", image_size=96)
    >>> len(detector.fit(normal[:40])[-1].estimators_)
    9

    A Gaussian for each level and cell of a 4 x 4 grid, the mean of the highest 5 % of
    their distances:

    >>> cells = LevelEnsemble(columns="cell", aggregation="top", fpr=0.01)
    >>> detector = make_detector(detector=cells, levels=[6, 7], pooling=4)
    """
    check_choice("method", method, _METHODS)
    has_cells = method == "cells"
    if pooling is None:
        pooling = _GRID if has_cells else "average"
    elif has_cells and detector is None and not isinstance(pooling, numbers.Integral):
        raise ValueError(
            "pooling must be the number of cells along a side of the grid for "
            f"method='cells'; got {pooling!r}. Use method='paper' for other poolings."
        )
    if standardize_intensity is None:
        standardize_intensity = has_cells
    transformer = DeepFeatureTransformer(
        levels=levels,
        pooling=pooling,
        standardize_intensity=standardize_intensity,
        **features,
    )
    several = not (isinstance(levels, numbers.Integral) or levels == "auto")
    if has_cells or several or detector is not None:
        # The names of the features tell a detector the cells and levels.
        transformer.set_output(transform="pandas")
    working_point = {"threshold": threshold, "fpr": fpr, "confidence": confidence}
    if detector is None:
        kind = LevelEnsemble if several else MahalanobisDetector
        if has_cells:
            kind = CellwiseMahalanobisDetector
        if threshold in ("chi2", "f") and kind is not MahalanobisDetector:
            raise ValueError(
                f"threshold={threshold!r} is the distribution of a Mahalanobis "
                "distance, which one level of method='paper' has; got "
                f"method={method!r} and levels={levels!r}. Use threshold='quantile'."
            )
        detector = kind(**working_point)
    elif not get_tags(detector).input_tags.two_d_array:
        raise ValueError(
            f"detector={detector!r} takes images itself. Fit it without make_detector."
        )
    elif working_point != {"threshold": "quantile", "fpr": 0.05, "confidence": None}:
        raise ValueError(
            "threshold, fpr and confidence of make_detector have no effect beside "
            f"detector={detector!r}. Set them there."
        )
    return DetectorPipeline([("features", transformer), ("detector", detector)])
