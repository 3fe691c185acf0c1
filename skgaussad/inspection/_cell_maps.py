"""Maps of the residuals of cells."""

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from ..detectors import find_part, find_threshold, find_transformer, send_to_part
from ..features import DeepFeatureTransformer, draw_maps
from ._gaussians import check_scale

# Images whose features are held at a time.
_N_AT_ONCE = 64


class ScoredCells:
    """The cells that a fitted pipeline scores images by.

    Parameters
    ----------
    estimator : Pipeline, or meta-estimator around one
        Fitted, with a :class:`~skgaussad.CellwiseMahalanobisDetector`.

    Attributes
    ----------
    transformer : DeepFeatureTransformer
    threshold : float
        On the distance.

    Raises
    ------
    ValueError
        If images do not go through a transformer, or the cells have no places.
    """

    def __init__(self, estimator):
        check_is_fitted(estimator)
        self._estimator = estimator
        self.threshold = find_threshold(estimator)
        self.transformer = find_transformer(estimator)
        if self.transformer is None:
            raise ValueError(
                "Expected a fitted pipeline that begins with a DeepFeatureTransformer; "
                f"got {type(estimator).__name__}."
            )
        self._places = find_part(estimator, "cell_residuals").cell_places()
        rows, columns = self._places.max(axis=0) + 1
        grids = {part.pooling.n_cells for part in self.transformer._parts}
        if grids != {rows * columns}:
            raise ValueError(
                f"The cells are those of a grid of {rows} x {columns}, and the "
                f"transformer pools into {', '.join(map(str, sorted(grids)))} with "
                f"pooling={self.transformer.pooling!r}, so there is no map of them. "
                "Tell the detector the cells of the grid."
            )

    def _find_counting(self, shape):
        """Tell which cells of the grid have features of any level, by their pooling."""
        counts = np.zeros(shape, dtype=bool)
        weights = self.transformer._position_weights()
        for part in self.transformer._parts:
            of_level = weights[part.level]
            cells = part.pooling.cells(*of_level.shape)
            counts |= np.reshape([of_level[cell].any() for cell in cells], shape)
        return counts

    @property
    def unit(self):
        """What a residual is at the threshold."""
        return check_scale(self.threshold)

    def stream_layers(self, images):
        """Yield the layer of each map: the residuals of its cells over the threshold.

        A cell that is ignored entirely is NaN.
        """
        for start in range(0, len(images), _N_AT_ONCE):
            stop = min(start + _N_AT_ONCE, len(images))
            some = [images[index] for index in range(start, stop)]
            detector, X = send_to_part(self._estimator, "cell_residuals", some)
            yield from self._layers(detector.cell_residuals(X))

    def layers_of(self, rest, features):
        """Yield the layer of each image, from features and what scores them."""
        detector, X = send_to_part(rest, "cell_residuals", features)
        yield from self._layers(detector.cell_residuals(X))

    def held_out_layers(self, rows):
        """Yield the layers of training images, each by the Gaussian of the others."""
        detector = find_part(self._estimator, "cell_residuals")
        return self._layers(detector.calibration_residuals_[rows])

    def _layers(self, residuals):
        """Yield the layer of each row of residuals."""
        unit = self.unit
        rows, columns = self._places.T
        shape = rows.max() + 1, columns.max() + 1
        counts = self._find_counting(shape)
        for of_image in residuals:
            layer = np.full(shape, np.nan)
            layer[rows, columns] = of_image / unit
            yield [np.where(counts, layer, np.nan)]


def send_through_network(estimator, X):
    """Send images through the network once, for all that is asked of their features.

    Parameters
    ----------
    estimator : Pipeline or detector
        Fitted.
    X : sequence of n_images images

    Returns
    -------
    rest : Pipeline or detector
        What is after the transformer; all of `estimator` if it begins with none.
    X : array-like of shape (n_images, n_features), or sequence of n_images images
        As `rest` takes it.
    """
    if isinstance(estimator, Pipeline):
        (_, first), *others = estimator.steps
        if others and isinstance(first, DeepFeatureTransformer):
            return Pipeline(others), first.transform(X)
    return estimator, X


def cell_map_drawer(estimator, rest, features, images):
    """Return what draws the maps of images from features, or None where they need more.

    Parameters
    ----------
    estimator : Pipeline or detector
        Fitted.
    rest, features
        What `send_through_network` made of it and the images.
    images : sequence of n_images images

    Returns
    -------
    draw : callable or None
        Takes positions of images, and returns their maps as `anomaly_maps` does. None
        where maps are not those of cells.
    """
    if rest is estimator or find_part(rest, "cell_residuals") is None:
        return None

    def draw(rows):
        scored = ScoredCells(estimator)
        some = [images[row] for row in rows]
        layers = scored.layers_of(rest, _safe_indexing(features, rows))
        return draw_maps(layers, some, scored.transformer, "image")

    return draw


def held_out_maps(estimator, images, rows):
    """Draw the maps of training images, each by the Gaussian of the others.

    Parameters
    ----------
    estimator : Pipeline, or meta-estimator around one
        Fitted, with a :class:`~skgaussad.CellwiseMahalanobisDetector`.
    images : sequence of n_images images
        Some of those that it was fitted to.
    rows : array-like of shape (n_images,), dtype int
        Their numbers among these.

    Returns
    -------
    maps : list of n_images ndarrays of shape (height, width)
    """
    scored = ScoredCells(estimator)
    layers = scored.held_out_layers(rows)
    return draw_maps(layers, images, scored.transformer, "image")
