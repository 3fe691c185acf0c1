"""Contributions of positions to the distances of images, as maps."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..detectors import find_part, find_threshold
from ..features import as_image_sequence, draw_maps
from ._cell_maps import ScoredCells
from ._contributions import split_over_positions
from ._gaussians import ScoredFeatures
from ._tile_maps import draw_tiled_maps


@dataclass(frozen=True)
class DistanceSplit:
    """The distances of images, split over positions and levels.

    Attributes
    ----------
    totals : ndarray of shape (n_images,)
        The squared Mahalanobis distance to a single Gaussian, or the aggregated
        distance (not squared) of a :class:`~skgaussad.LevelEnsemble`.

    positions : dict of {int: ndarray of shape (n_images, height, width)}
        Contribution of each position of the feature maps, by level. Those of an image,
        over all levels, add up to its total. Negative where the image is closer to
        normal than the mean of the training images; zero where ``ignore`` covers all of
        one.

    levels : dict of {int: ndarray of shape (n_images,)}
        Contribution of each level: the sum over its positions.
    """

    totals: np.ndarray
    positions: dict
    levels: dict


def split_distance(estimator, X):
    """Split the distances of images over positions and levels, exactly.

    With the features of an image being means over the positions p of the feature maps,
    x = mean f_p, its squared distance to a Gaussian is

        (x - m)' C^-1 (x - m) = mean over p of (f_p - m)' C^-1 (x - m),

    an additive contribution of each position. Affine steps before the detector, such as
    :class:`~skgaussad.NegatedPCA`, and sums of levels, whose distances
    are parts of their squares, are traced back in the same way.

    Parameters
    ----------
    estimator : Pipeline, or a meta-estimator around one
        Fitted, from a :class:`~skgaussad.DeepFeatureTransformer` with average
        or grid pooling, by affine steps, to a
        :class:`~skgaussad.MahalanobisDetector` or a
        :class:`~skgaussad.LevelEnsemble` of these. Meta-estimators of this
        package may stand around these.

    X : sequence of n_images images
        As the pipeline takes them.

    Returns
    -------
    split : DistanceSplit

    Raises
    ------
    ValueError
        If the pipeline is another one.
    InvalidImageError
        If an image cannot be used.

    See Also
    --------
    anomaly_maps : The same as maps of the size of the images.

    Examples
    --------
    >>> from sklearn.pipeline import Pipeline
    >>> from sklearn.utils import shuffle
    >>> from skgaussad import DeepFeatureTransformer, MahalanobisDetector
    >>> from skgaussad.datasets import load_solar_cells
    >>> from skgaussad.inspection import split_distance
    >>> cells = load_solar_cells("mono")
    >>> good = shuffle(cells.paths[cells.labels == 1], random_state=0)
    >>> bad = cells.paths[cells.labels == -1]
    >>> pipe = Pipeline(
    ...     [
    ...         ("features", DeepFeatureTransformer(levels=7, image_size=96)),
    ...         ("detector", MahalanobisDetector()),
    ...     ]
    ... ).fit(good[:40])
    >>> split = split_distance(pipe, bad[:2])
    >>> split.positions[7].shape
    (2, 3, 3)
    >>> bool(abs(split.totals - pipe.score_samples(bad[:2]) ** 2).max() < 1e-9)
    True
    """
    scored = ScoredFeatures(estimator)
    totals, positions = [], []
    for some_totals, contributions in _stream(scored, as_image_sequence(X)):
        totals.append(some_totals)
        positions.append(contributions)
    positions = {
        level: np.concatenate([contributions[level] for contributions in positions])
        for level in positions[0]
    }
    return DistanceSplit(
        np.concatenate(totals),
        positions,
        {
            level: contributions.sum(axis=(1, 2))
            for level, contributions in positions.items()
        },
    )


def anomaly_maps(estimator, X, *, size="image"):
    """Return a map of each image: where its distance comes from.

    For a :class:`~skgaussad.CellwiseMahalanobisDetector`, the residuals of the cells
    over the threshold, interpolated to the size of the image: an image is anomalous if
    the mean of its highest 5 % of cells (or of its ``top_fraction``) is above 1.

    For the distances of pooled features, the exact contributions of
    :func:`split_distance`, summed over levels, interpolated and scaled by the
    threshold: an image of which all is 1 is just at the threshold. The mean over an
    image, without ignored regions, is its squared distance over the squared threshold,
    or, for a sum of the distances of levels, its distance over the threshold, up to
    interpolation.

    For a :class:`~skgaussad.TiledDetector`, the maps of the tiles are joined, with
    their maximum where they overlap. They are scaled by its threshold: an image is
    anomalous if the map of one of its tiles says so in the same way.

    Parameters
    ----------
    estimator : Pipeline, a meta-estimator around one, or TiledDetector
        Fitted, as for :func:`split_distance`, or with a
        :class:`~skgaussad.CellwiseMahalanobisDetector` of the cells of one grid; a
        :class:`~skgaussad.TiledDetector` of such a pipeline.

    X : sequence of n_images images
        As the pipeline takes them.

    size : "image" or tuple of (int, int), default="image"
        Height and width of the maps: each those of its image, or the same for all.

    Returns
    -------
    maps : list of n_images ndarrays of shape (height, width)
        Float32. Higher is more anomalous; contributions are negative where an image is
        closer to normal than the mean of the training images. Zero where ``crop_pct``
        cuts off and what ``ignore`` covers.

    Raises
    ------
    ValueError
        If the pipeline is another one, or its threshold is not finite.
    InvalidImageError
        If an image cannot be used.

    See Also
    --------
    split_distance : The contributions themselves.
    skgaussad.metrics.pixel_roc_auc : Compares maps with masks.

    Examples
    --------
    >>> from sklearn.pipeline import Pipeline
    >>> from sklearn.utils import shuffle
    >>> from skgaussad import DeepFeatureTransformer, MahalanobisDetector
    >>> from skgaussad.datasets import load_solar_cells
    >>> from skgaussad.inspection import anomaly_maps
    >>> cells = load_solar_cells("mono")
    >>> good = shuffle(cells.paths[cells.labels == 1], random_state=0)
    >>> bad = cells.paths[cells.labels == -1]
    >>> pipe = Pipeline(
    ...     [
    ...         ("features", DeepFeatureTransformer(levels=7, image_size=96)),
    ...         ("detector", MahalanobisDetector()),
    ...     ]
    ... ).fit(good[:40])
    >>> [anomaly_map.shape for anomaly_map in anomaly_maps(pipe, bad[:2])]
    [(300, 300), (300, 300)]
    """
    images = as_image_sequence(X)
    check_is_fitted(estimator)
    positions = find_part(estimator, "position_distances")
    if positions is not None:
        return positions.anomaly_maps(images, size=size)
    tiled = find_part(estimator, "tile_distances")
    if tiled is None:
        scored = _take_apart(estimator)
        layers = scored.stream_layers(images)
        return draw_maps(layers, images, scored.transformer, size)
    scored = _take_apart(tiled.tile_estimator_)
    scored.threshold = find_threshold(estimator)
    return draw_tiled_maps(scored.stream_layers, tiled, images, size)


def map_meaning(estimator):
    """Tell what the maps of an estimator mean, see `AnomalyMapDisplay`."""
    tiled = find_part(estimator, "tile_distances")
    scored = estimator if tiled is None else tiled.tile_estimator_
    if find_part(scored, "cell_residuals") is not None:
        return "cell"
    if tiled is not None:
        return "tile"
    is_position = find_part(estimator, "position_distances") is not None
    return "position" if is_position else "contribution"


def _take_apart(estimator):
    """Take a pipeline apart, whether it scores cells or pooled features."""
    has_cells = find_part(estimator, "cell_residuals") is not None
    return (ScoredCells if has_cells else _ScoredPositions)(estimator)


class _ScoredPositions(ScoredFeatures):
    """Features whose distance is split over the positions of feature maps."""

    def stream_layers(self, images):
        """Yield the layers of each map: the density of the distance, by level."""
        unit = self.unit
        # The fraction of each position in the area that is not ignored.
        areas = {
            level: np.where(weights > 0, weights, np.nan) / weights.sum()
            for level, weights in self.transformer._position_weights().items()
        }
        for totals, contributions in _stream(self, images):
            for row in range(len(totals)):
                yield [
                    of_level[row] / (areas[level] * unit)
                    for level, of_level in contributions.items()
                ]


def _stream(scored, images):
    """Yield totals and contributions of images, a batch at a time."""
    transformer = scored.transformer
    weights = transformer._position_weights()
    for _, features, maps in transformer._stream_with_maps(images):
        split = scored.split(features)
        yield split[0], split_over_positions(maps, weights, transformer._parts, *split)
