"""Where in an image its distance comes from."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..detectors import find_decider, find_part
from ..features import as_image_sequence, draw_maps
from ._gaussians import ScoredFeatures
from ._position_shares import share_over_positions
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
        Share of each position of the feature maps, by level. Those of an image, over
        all levels, add up to its total. Negative where the image is closer to normal
        than the mean of the training images; zero where ``ignore`` covers all of one.

    levels : dict of {int: ndarray of shape (n_images,)}
        Share of each level: the sum over its positions.
    """

    totals: np.ndarray
    positions: dict
    levels: dict


def split_distance(estimator, X):
    """Split the distances of images over positions and levels, exactly.

    With the features of an image being means over the positions p of the feature maps,
    x = mean f_p, its squared distance to a Gaussian is

        (x - m)' C^-1 (x - m) = mean over p of (f_p - m)' C^-1 (x - m),

    an additive share for each position. Affine steps before the detector, such as
    :class:`~skgaussad.NegatedPCA`, and sums of levels, whose distances
    are shares of theirs squared, are led back in the same way.

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
    anomaly_maps : Pictures of the same.

    Examples
    --------
    >>> from sklearn.pipeline import Pipeline
    >>> from skgaussad import DeepFeatureTransformer, MahalanobisDetector
    >>> from skgaussad.datasets import load_solar_cells
    >>> from skgaussad.inspection import split_distance
    >>> cells = load_solar_cells("mono")
    >>> good, bad = cells.paths[cells.labels == 1], cells.paths[cells.labels == -1]
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
    for some_totals, shares in _stream(scored, as_image_sequence(X)):
        totals.append(some_totals)
        positions.append(shares)
    positions = {
        level: np.concatenate([shares[level] for shares in positions])
        for level in positions[0]
    }
    return DistanceSplit(
        np.concatenate(totals),
        positions,
        {level: shares.sum(axis=(1, 2)) for level, shares in positions.items()},
    )


def anomaly_maps(estimator, X, *, size="image"):
    """Draw where in each image its distance comes from.

    The exact shares of :func:`split_distance`, levels added, brought to the size of the
    image and put on a scale that is the same for all images of a pipeline: if all of an
    image were like a place of value 1, the image would be just at the threshold. The
    mean over an image, without what is ignored, is its squared distance over the
    squared threshold, or its distance over the threshold where the distances of levels
    are added, up to what interpolation changes.

    Of a :class:`~skgaussad.TiledDetector`, the maps of the tiles are put
    together, with their maximum where they overlap. They are on the scale of its
    threshold: an image is anomalous if the mean over a tile's own map is above 1.

    Parameters
    ----------
    estimator : Pipeline, a meta-estimator around one, or TiledDetector
        As for :func:`split_distance`; a :class:`~skgaussad.TiledDetector` of
        such a pipeline.

    X : sequence of n_images images
        As the pipeline takes them.

    size : "image" or tuple of (int, int), default="image"
        Height and width of the maps: each those of its image, or the same for all.

    Returns
    -------
    maps : list of n_images ndarrays of shape (height, width)
        Float32. Higher is more anomalous; negative where an image is closer to normal
        than the mean of the training images. Zero where ``crop_pct`` cuts off and what
        ``ignore`` covers.

    Raises
    ------
    ValueError
        If the pipeline is another one, or its threshold is not finite.
    InvalidImageError
        If an image cannot be used.

    See Also
    --------
    split_distance : The shares themselves.
    skgaussad.metrics.pixel_roc_auc : Judges maps by masks.

    Examples
    --------
    >>> from sklearn.pipeline import Pipeline
    >>> from skgaussad import DeepFeatureTransformer, MahalanobisDetector
    >>> from skgaussad.datasets import load_solar_cells
    >>> from skgaussad.inspection import anomaly_maps
    >>> cells = load_solar_cells("mono")
    >>> good, bad = cells.paths[cells.labels == 1], cells.paths[cells.labels == -1]
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
    if tiled is not None:
        scored = ScoredFeatures(tiled.tile_estimator_)
        scored.threshold = -find_decider(estimator).offset_
        return draw_tiled_maps(partial(_stream_layers, scored), tiled, images, size)
    scored = ScoredFeatures(estimator)
    return draw_maps(_stream_layers(scored, images), images, scored.transformer, size)


def _stream_layers(scored, images):
    """Yield what to draw of each image: the density of its distance, by level."""
    unit = scored.unit
    # The share of each position in the area that is not ignored.
    areas = {
        level: np.where(weights > 0, weights, np.nan) / weights.sum()
        for level, weights in scored.transformer._position_weights().items()
    }
    for totals, shares in _stream(scored, images):
        for row in range(len(totals)):
            yield [
                of_level[row] / (areas[level] * unit)
                for level, of_level in shares.items()
            ]


def _stream(scored, images):
    """Yield totals and shares of images, a batch at a time."""
    transformer = scored.transformer
    weights = transformer._position_weights()
    for _, features, maps in transformer._stream_with_maps(images):
        split = scored.split(features)
        yield split[0], share_over_positions(maps, weights, transformer._parts, *split)
