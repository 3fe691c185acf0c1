"""The Gaussians that end a pipeline, and what each feature adds to a distance."""

from dataclasses import dataclass

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..detectors import (
    AffineMap,
    MahalanobisDetector,
    aggregation_weights,
    find_threshold,
    gaussian_parts,
    innermost,
)
from ..features import DeepFeatureTransformer


@dataclass(frozen=True)
class _ScoredColumns:
    """The distance of some features to a Gaussian, after affine steps."""

    columns: np.ndarray
    affine: AffineMap
    detector: MahalanobisDetector
    source: np.ndarray

    @classmethod
    def of(cls, columns, steps, detector):
        affine = AffineMap.of(steps, len(columns))
        return cls(columns, affine, detector, affine.source_of(detector.location_))

    def squared_distances_and_gradients(self, X):
        """Squared distances, and h with (x - source)' h being the squared distance."""
        gaussian = self.detector._gaussian
        Y = self.affine.apply(X[:, self.columns])
        gradients = self.affine.pull_back(gaussian.solve(Y - gaussian.location))
        return gaussian.mahalanobis(Y), gradients


class ScoredFeatures:
    """What a fitted pipeline makes of features, taken apart.

    Parameters
    ----------
    estimator : Pipeline, or meta-estimator around one
        Fitted: a :class:`DeepFeatureTransformer`, affine steps, and a
        :class:`MahalanobisDetector` or a :class:`LevelEnsemble` of these.

    Attributes
    ----------
    transformer : DeepFeatureTransformer
    threshold : float
        On the distance (not squared).
    is_sum : bool
        Whether the score is an aggregate of distances, which are split as they are;
        that of a single Gaussian is split squared.

    Raises
    ------
    ValueError
        If it is something else.
    """

    def __init__(self, estimator):
        check_is_fitted(estimator)
        steps, detector = innermost(estimator)
        gaussians = gaussian_parts(detector)
        self.threshold = find_threshold(estimator)
        if not steps or not isinstance(steps[0], DeepFeatureTransformer):
            raise ValueError(
                "Expected a fitted pipeline that begins with a DeepFeatureTransformer "
                f"and ends with a detector; got {type(estimator).__name__}"
                f"{' without one' if isinstance(estimator, Pipeline) else ''}."
            )
        self.transformer, *steps = steps
        for part in self.transformer._parts:
            if part.pooling.kind not in ("average", "grid"):
                raise ValueError(
                    "A distance is split over positions for average and grid pooling, "
                    f"which are means over positions; got {part.pooling.kind!r}."
                )
        self._ensemble = detector if hasattr(detector, "aggregation") else None
        self.is_sum = self._ensemble is not None
        if self.is_sum and steps:
            names = ", ".join(type(step).__name__ for step in steps)
            raise ValueError(
                "A distance is split over positions with nothing between the "
                f"DeepFeatureTransformer and the LevelEnsemble; got {names}. Give such "
                "steps to LevelEnsemble as a pipeline, which it fits for each group."
            )
        features = np.arange(len(self.transformer.get_feature_names_out()))
        self._gaussians = [
            _ScoredColumns.of(features[columns], [*steps, *inner_steps], gaussian)
            for columns, inner_steps, gaussian in gaussians.values()
        ]

    @property
    def unit(self):
        """What a total is at the threshold."""
        threshold = check_scale(self.threshold)
        return threshold if self.is_sum else threshold**2

    def split(self, X):
        """Split the distances of rows over their features.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Float32, as the transformer gives them.

        Returns
        -------
        totals : ndarray of shape (n_samples,)
            Squared distance to a single Gaussian, or aggregated distance.
        gradients : ndarray of shape (n_samples, n_features)
            A feature x_c contributes gradients_c x_c - constants_c to the total.
        constants : ndarray of shape (n_samples, n_features)
        """
        results = [
            gaussian.squared_distances_and_gradients(X) for gaussian in self._gaussians
        ]
        squared = np.column_stack([squared for squared, _ in results])
        totals, factors = squared[:, 0], np.ones_like(squared)
        if self.is_sum:
            distances = np.sqrt(squared)
            weights = aggregation_weights(
                distances, self._ensemble.aggregation, self._ensemble.top_fraction
            )
            totals = (weights * distances).sum(axis=1)
            # A distance is its square over itself, or nothing.
            factors = np.divide(
                weights, distances, out=np.zeros_like(squared), where=distances > 0
            )
        gradients, constants = np.zeros((2, *X.shape))
        for gaussian, (_, own), factor in zip(
            self._gaussians, results, factors.T, strict=True
        ):
            own = own * factor[:, np.newaxis]
            gradients[:, gaussian.columns] += own
            constants[:, gaussian.columns] += own * gaussian.source
        return totals, gradients, constants


def check_scale(threshold):
    """Return the threshold, the scale of maps, or raise where there is none."""
    if threshold is None or not np.isfinite(threshold):
        raise ValueError(
            f"The threshold of the pipeline is {threshold}, and there is no scale for "
            "maps. Fit it with more images, a higher fpr or threshold='tail'."
        )
    return threshold
