"""A fitted pipeline as arrays: what is to be written into a graph."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..calibration import HeldOutDistances
from ..detectors import (
    AffineMap,
    find_decider,
    find_held_out,
    find_part,
    find_threshold,
    gaussian_parts,
    innermost,
)
from ..features import DeepFeatureTransformer
from ._score_nodes import CellNodes, PooledNodes


@dataclass(frozen=True)
class GaussianArrays:
    """A Gaussian of some features, after affine steps, as arrays.

    Attributes
    ----------
    columns : ndarray of shape (n_inputs,), dtype int
        The features it is of.
    matrix : ndarray of shape (n_outputs, n_inputs) or None
        What they are multiplied by; None where nothing is between.
    center : ndarray of shape (n_outputs,)
        The mean of the Gaussian, less the constants of the steps.
    source : ndarray of shape (n_inputs,)
        Features that the steps send to the mean.
    terms : tuple of ndarray
        Of the covariance, as ``Gaussian.terms`` gives them.
    """

    columns: np.ndarray
    matrix: np.ndarray | None
    center: np.ndarray
    source: np.ndarray
    terms: tuple

    @classmethod
    def of(cls, columns, steps, detector):
        """Take a detector, and the steps before it, apart."""
        affine = AffineMap.of(steps, len(columns))
        mean = detector.location_
        constants = affine.apply(np.zeros((1, len(columns))))[0] if steps else 0.0
        return cls(
            columns,
            affine.matrix,
            mean - constants,
            affine.source_of(mean),
            detector._gaussian.terms(),
        )


@dataclass(frozen=True)
class PooledScore:
    """The distance to one Gaussian, or the aggregated distances to several.

    Attributes
    ----------
    gaussians : list of GaussianArrays
    aggregation : str or None
        How the distances of several become one; None for a single Gaussian.
    top_fraction : float or None
        Of the aggregation.
    """

    gaussians: list
    aggregation: str | None
    top_fraction: float | None

    @classmethod
    def of(cls, steps, detector, n_features):
        """Take a detector of Gaussians, and the steps before it, apart."""
        ensemble = detector if hasattr(detector, "aggregation") else None
        if ensemble is not None:
            _refuse(steps)
        features = np.arange(n_features)
        parts = [
            (features[columns], [*steps, *own_steps], gaussian)
            for columns, own_steps, gaussian in _gaussians_of(detector).values()
        ]
        for columns, own_steps, _ in parts:
            _check_affine(own_steps, len(columns))
        return cls(
            [GaussianArrays.of(*part) for part in parts],
            ensemble and ensemble.aggregation,
            ensemble and ensemble.top_fraction,
        )

    def nodes(self, features):
        """Add the nodes of the score to the graph of the features."""
        return PooledNodes(features, self)


@dataclass(frozen=True)
class CellScore:
    """The mean of the largest residuals of cells.

    With u the features, taken in the order of the cells and after affine steps, less
    the center and times the factors, the residuals are the norms of u - u V' V in each
    cell: V are the axes, each times the root of the fraction that it explains.

    Attributes
    ----------
    columns : ndarray of shape (n_inputs,), dtype int
        The features in their order.
    matrix : ndarray of shape (n_outputs, n_inputs) or None
        What they are multiplied by; None where nothing is between.
    center, factors : ndarray of shape (n_outputs,)
    axes : ndarray of shape (rank, n_outputs)
    n_cells, n_top : int
        Cells, and those whose residuals are averaged.
    cell_places : callable
        Returns row and column of each cell, or raises where they have none.
    """

    columns: np.ndarray
    matrix: np.ndarray | None
    center: np.ndarray
    factors: np.ndarray
    axes: np.ndarray
    n_cells: int
    n_top: int
    cell_places: Callable

    @classmethod
    def of(cls, steps, detector, n_features):
        """Take a detector of cells, and the steps before it, apart."""
        _check_affine(steps, n_features)
        affine = AffineMap.of(steps, n_features)
        axes, explained, factor = detector._gaussian.residual_terms()
        scale = np.ones(axes.shape[1])
        if detector.scale_ is not None:
            scale = detector.scale_
        constants = affine.apply(np.zeros((1, n_features)))[0] if steps else 0.0
        order = detector._columns.ravel()
        return cls(
            order if affine.matrix is None else np.arange(n_features),
            None if affine.matrix is None else affine.matrix[order],
            (detector.location_ * scale - constants)[order],
            (factor / scale)[order],
            (axes * np.sqrt(explained)[:, np.newaxis])[:, order],
            len(detector.cells_),
            detector._n_top(),
            detector.cell_places,
        )

    def nodes(self, features):
        """Add the nodes of the score to the graph of the features."""
        return CellNodes(features, self)


@dataclass(frozen=True)
class Scoring:
    """What a fitted pipeline does.

    Attributes
    ----------
    transformer : DeepFeatureTransformer
    score : PooledScore or CellScore
    offset : float
        Minus the threshold on the distance (not squared).
    fpr : float or None
        That the threshold was set by.
    held_out : HeldOutDistances or None
        Where p-values come from; None where the detector has none.
    """

    transformer: DeepFeatureTransformer
    score: PooledScore | CellScore
    offset: float
    fpr: float | None
    held_out: HeldOutDistances | None

    @classmethod
    def of(cls, estimator):
        """Take an estimator apart.

        Parameters
        ----------
        estimator : Pipeline, or a meta-estimator around one
            Fitted.

        Returns
        -------
        scoring : Scoring

        Raises
        ------
        ValueError
            If a step is one that cannot be written, or there is no threshold.
        """
        check_is_fitted(estimator)
        steps, detector = innermost(estimator)
        decider = find_decider(estimator)
        threshold = find_threshold(estimator)
        if not steps or not isinstance(steps[0], DeepFeatureTransformer):
            raise ValueError(
                "to_onnx takes a fitted pipeline that begins with a "
                "DeepFeatureTransformer and ends with a detector; got "
                f"{type(estimator).__name__}"
                f"{' without one' if isinstance(estimator, Pipeline) else ''}."
            )
        transformer, *steps = steps
        if transformer.precision_ != "float32":
            raise ValueError(
                f"step DeepFeatureTransformer: precision={transformer.precision_!r} "
                "rounds in other places than a graph does. Fit it with "
                "precision='float32'."
            )
        by_folds = find_part(estimator, "fold_estimators_")
        if by_folds is not None:
            raise ValueError(
                f"step {type(by_folds).__name__}: it scores by the detectors of "
                f"{len(by_folds.fold_estimators_)} folds, and to_onnx writes one. Fit "
                "CellwiseMahalanobisDetector, MahalanobisDetector or a LevelEnsemble "
                "of the latter to the features, whose thresholds need no folds, or "
                "score in Python."
            )
        if threshold is None or not np.isfinite(threshold):
            raise ValueError(
                f"The threshold of {type(detector).__name__} is {threshold}, and a "
                "graph cannot tell normal from anomalous. Call calibrate, or fit."
            )
        kind = CellScore if hasattr(detector, "cell_residuals") else PooledScore
        return cls(
            transformer,
            kind.of(steps, detector, len(transformer.get_feature_names_out())),
            -float(threshold),
            getattr(decider, "fpr", None),
            find_held_out(estimator),
        )


def _refuse(steps):
    """Raise if there are steps before an ensemble."""
    for step in steps:
        raise ValueError(
            f"step {type(step).__name__}: to_onnx writes a LevelEnsemble with nothing "
            "between the DeepFeatureTransformer and it. Give the step to LevelEnsemble "
            "in a pipeline, which it fits for each group."
        )


def _gaussians_of(detector):
    """Find the Gaussians of a detector, or say that it has none to write."""
    try:
        return gaussian_parts(detector)
    except ValueError as error:
        if hasattr(detector, "aggregation"):
            _, detector = innermost(detector.estimators_[0])
        raise ValueError(
            f"step {type(detector).__name__}: to_onnx writes the distances of "
            "CellwiseMahalanobisDetector, of MahalanobisDetector, or of a "
            "LevelEnsemble of the latter. Fit one of them to the same features."
        ) from error


def _check_affine(steps, n_features):
    """Raise unless each of the steps is affine."""
    for step in steps:
        try:
            affine = AffineMap.of([step], n_features)
        except ValueError as error:
            raise ValueError(
                f"step {type(step).__name__}: to_onnx writes affine steps, such as "
                "StandardScaler, PCA and NegatedPCA, and this one is not. Leave it "
                "out, or put one of these in its place."
            ) from error
        n_features = len(affine.matrix)
