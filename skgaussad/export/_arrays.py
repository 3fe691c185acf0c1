"""A fitted pipeline as arrays: what is to be written into a graph."""

from dataclasses import dataclass

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..calibration import HeldOutDistances
from ..detectors import (
    AffineMap,
    find_decider,
    find_part,
    find_threshold,
    gaussian_parts,
    innermost,
)
from ..features import DeepFeatureTransformer


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
class CellArrays:
    """A Gaussian over all cells of a map, as arrays.

    Attributes
    ----------
    location : ndarray of shape (n_features,)
        Mean of the features over their `scale`.
    scale : ndarray of shape (n_features,) or None
    terms : tuple of ndarray
        As ``Gaussian.residual_terms`` gives them.
    columns : ndarray of shape (n_cells, width), dtype int
        Features of each cell.
    n_top : int
        Cells whose residuals are averaged.
    places : ndarray of shape (n_cells, 2), dtype int, or None
        Row and column of each cell; None where they have no places.
    """

    location: np.ndarray
    scale: np.ndarray | None
    terms: tuple
    columns: np.ndarray
    n_top: int
    places: np.ndarray | None

    @classmethod
    def of(cls, detector):
        """Take a detector apart."""
        try:
            places = detector.cell_places()
        except ValueError:
            places = None
        gaussian = detector._gaussian
        return cls(
            gaussian.location,
            detector.scale_,
            gaussian.residual_terms(),
            detector._columns,
            detector._n_top,
            places,
        )


@dataclass(frozen=True)
class Scoring:
    """What a fitted pipeline does.

    Attributes
    ----------
    transformer : DeepFeatureTransformer
    cells : CellArrays or None
        Of a detector that scores cells; the others have `gaussians`.
    gaussians : list of GaussianArrays
    aggregation : str or None
        How the distances of several become one; None for a single Gaussian.
    top_fraction : float or None
        Of the aggregation.
    offset : float
        Minus the threshold on the distance (not squared).
    fpr : float or None
        That the threshold was set by.
    held_out : HeldOutDistances or None
        Where p-values come from; None where the detector has none.
    """

    transformer: DeepFeatureTransformer
    cells: CellArrays | None
    gaussians: list
    aggregation: str | None
    top_fraction: float | None
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
        if threshold is None or not np.isfinite(threshold):
            raise ValueError(
                f"The threshold of {type(detector).__name__} is {threshold}, and a "
                "graph cannot tell normal from anomalous. Call calibrate, or fit."
            )
        ensemble = detector if hasattr(detector, "aggregation") else None
        has_cells = hasattr(detector, "cell_residuals")
        if ensemble is not None or has_cells:
            _refuse(steps, detector)
        return cls(
            transformer,
            CellArrays.of(detector) if has_cells else None,
            [] if has_cells else _list_gaussians(transformer, steps, detector),
            ensemble and ensemble.aggregation,
            ensemble and ensemble.top_fraction,
            -float(threshold),
            getattr(decider, "fpr", None),
            getattr(find_part(estimator, "_held_out"), "_held_out", None),
        )


def _refuse(steps, detector):
    """Raise if there are steps before a detector that tells features apart."""
    name = type(detector).__name__
    for step in steps:
        raise ValueError(
            f"step {type(step).__name__}: to_onnx writes a {name} with nothing between "
            "the DeepFeatureTransformer and it. Fit it without the step, or, for a "
            "LevelEnsemble, give it the step in a pipeline, which it fits for each "
            "group."
        )


def _list_gaussians(transformer, steps, detector):
    """List the Gaussians of a detector with the steps before them, as arrays."""
    features = np.arange(len(transformer.get_feature_names_out()))
    parts = [
        (features[columns], [*steps, *own_steps], gaussian)
        for columns, own_steps, gaussian in _gaussians_of(detector).values()
    ]
    for columns, own_steps, _ in parts:
        _check_affine(own_steps, len(columns))
    return [GaussianArrays.of(*part) for part in parts]


def _gaussians_of(detector):
    """Find the Gaussians of a detector, or say that it has none to write."""
    try:
        return gaussian_parts(detector)
    except ValueError as error:
        if hasattr(detector, "aggregation"):
            _, detector = innermost(detector.estimators_[0])
        raise ValueError(
            f"step {type(detector).__name__}: to_onnx writes the distances of "
            "MahalanobisDetector, or of a LevelEnsemble of these, and the residuals of "
            "CellwiseMahalanobisDetector. Fit one of them to the same features."
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
