"""A detector of small defects in large images, by tiles."""

import numbers
from functools import partial

import numpy as np
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.model_selection import LeaveOneGroupOut, LeaveOneOut
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._utils.progress import progress_bar
from .._utils.validation import check_real
from ..features import (
    DeepFeatureTransformer,
    ImageInputMixin,
    TiledImages,
    TileGrid,
    as_image_sequence,
    read_image_size,
)
from ._base import BaseDetector
from ._copies import find_image_copies
from ._gaussian_detector import fit_part
from ._hold_out import (
    clone_for_rows,
    fit_clone,
    fitting_inner,
    hold_out,
    is_automatic,
    number_groups,
    split_folds,
)
from ._order import warn_of_order
from ._walk import check_whole_files

# Tiles whose features are computed and scored at once.
_CHUNK = 1024


class TiledDetector(ImageInputMixin, MetaEstimatorMixin, BaseDetector):
    """Detect small defects in large images, tile by tile, with one test an image.

    A network's input is a few hundred pixels wide. An image of thousands of pixels
    resized to it loses defects of a few pixels, and the mean over it dilutes what is
    left of them. Here each image is cut into overlapping tiles, a pipeline is fitted to
    the tiles of all training images, and an image is as anomalous as its most anomalous
    tile. The largest of many distances is larger than one of them, so the threshold is
    not that of a tile: it comes from the largest distance of each training image to
    models that have seen none of its tiles. `fpr` is then the rate in whole images,
    however many tiles they have.

    Parameters
    ----------
    estimator : Pipeline
        From a :class:`~skgaussad.DeepFeatureTransformer` to an outlier
        detector. The detector's own working point must be left at its defaults.

    tile_size : int, tuple of (int, int) or None, default=None
        Side, or height and width, of the tiles in pixels of the image. None takes the
        network's input, which then sees the image at its own resolution; other tiles
        are resized to it. An image that is smaller than a tile along a side has tiles
        as long as that side.

    overlap : float, default=0.25
        Fraction of a tile's height and width, in [0, 1), that it has in common with the
        next one. A defect up to that size is whole in one of them. The tiles always
        cover the image: the last of a row or column is moved to the border, and
        overlaps more.

    threshold : {"quantile", "tail"}, default="quantile"
        How `fpr` becomes a distance, as in
        :class:`~skgaussad.MahalanobisDetector`, with all tiles of an image
        left out at once.

    fpr : float, default=0.05
        Acceptable fraction of normal images that are called anomalous, in (0, 1).

    confidence : float or None, default=None
        With ``threshold="quantile"`` and without groups, a number in (0, 1) keeps `fpr`
        in that fraction of training sets, None on average over them.

    cv : "auto", int or cross-validation splitter, default="auto"
        Folds of images that are held out. ``"auto"`` leaves out each image, or group of
        them, on its own: exactly, without fitting again, for a
        :class:`~skgaussad.MahalanobisDetector`,
        :class:`~skgaussad.CellwiseMahalanobisDetector` or
        :class:`~skgaussad.LevelEnsemble` right behind the transformer, and otherwise by
        as many fits as there are images, to features computed once. An integer shuffles
        the images, always the same way.

    n_jobs : int or None, default=None
        Fits to folds at a time. None is 1 unless in a :obj:`joblib.parallel_config`
        context, -1 all processors.

    verbose : bool or int, default=False
        Whether to show a progress bar over the images on standard error.

    Attributes
    ----------
    tile_estimator_ : Pipeline
        Fitted to the tiles of all images; takes tiles.

    transformer_ : DeepFeatureTransformer
        Its first step.

    tile_size_ : tuple of (int, int)
        Height and width of the tiles, in pixels.

    calibration_distances_ : ndarray of shape (n_images,)
        The greatest distance of a tile of each training image to a model fitted without
        the tiles of that image.

    offset_ : float
        Minus the threshold on the greatest distance of a tile (not squared).

    See Also
    --------
    skgaussad.inspection.anomaly_maps : Draws the maps of the tiles as one.
    skgaussad.PositionDetector : Measures positions of one feature map.

    Notes
    -----
    An image is decoded once, its tiles are cut as the network needs them, and it is
    dropped with its last tile, so that a few images are in memory at a time. With the
    transformer's `cache`, where tiles are known by their pixels, it is decoded more
    often. In `fit` the features of all tiles are in memory, unless the transformer has
    a `memmap_folder`.

    The rate is kept where images are left out in closed form. By fits without each
    image it is near, as these hardly differ from the fit to all. With folds of several
    images (an integer `cv`) and steps that learn from the tiles, such as
    :class:`~skgaussad.NegatedPCA`, it may be many times the rate asked for, as no
    distance by a model of all images is comparable with those by fewer.

    All tiles share one model, wherever they lie in the image, so that something normal
    at one place is normal at all. The transformer's `ignore`, which would be the same
    part of every tile, is refused, and so is `crop_pct`. Its `standardize_intensity`
    goes by the mean and the standard deviation of the whole image, not of each tile.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import Pipeline
    >>> from skgaussad import DeepFeatureTransformer, MahalanobisDetector
    >>> from skgaussad.datasets import make_textures
    >>> from skgaussad import TiledDetector
    >>> images = make_textures(24, 0, size=128, random_state=0).images
    >>> images[-1, 20:26, 70:76] = 0
    >>> pipe = Pipeline(
    ...     [
    ...         ("features", DeepFeatureTransformer(levels=5, image_size=64)),
    ...         ("detector", MahalanobisDetector()),
    ...     ]
    ... )
    >>> detector = TiledDetector(pipe, fpr=0.05).fit(images[:20])
    >>> detector.predict(images[-2:])
    array([ 1, -1])
    >>> detector.tile_distances(images[-1:])[0].shape
    (3, 3)
    >>> detector.worst_tiles(images[-1:])  # top, left, bottom, right
    array([[  0,  48,  64, 112]])
    """

    _scoring_parameters = ("overlap",)

    def __init__(
        self,
        estimator,
        *,
        tile_size=None,
        overlap=0.25,
        threshold="quantile",
        fpr=0.05,
        confidence=None,
        cv="auto",
        n_jobs=None,
        verbose=False,
    ):
        self.estimator = estimator
        self.tile_size = tile_size
        self.overlap = overlap
        self.threshold = threshold
        self.fpr = fpr
        self.confidence = confidence
        self.cv = cv
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X, y=None, *, groups=None):
        """Fit the pipeline to the tiles of normal images, and set the threshold.

        Parameters
        ----------
        X : sequence of n_images images
            At least two, as :class:`~skgaussad.DeepFeatureTransformer` takes
            them.
        y : array-like of shape (n_images,) or None, default=None
            Ignored, with a warning where it holds -1: all images are taken to be
            normal.
        groups : array-like of shape (n_images,) or None, default=None
            Lot, shift or capture run of each image, at least two different ones. Whole
            groups are then held out, and `fpr` is the rate in a new group.

        Returns
        -------
        self : TiledDetector

        Raises
        ------
        ValueError
            If a parameter is out of its range, or there are too few images.
        InvalidImageError
            If an image cannot be used; names its position in `X`.

        Warns
        -----
        FalseAlarmRateWarning
            If the images are too few for `fpr`, with the number that would do.
        """
        self._check_working_point(groups)
        check_real("overlap", self.overlap, 0, 1, closed="low")
        tile_size = _resolve_tile_size(self.tile_size)
        _check_pipeline(self.estimator)
        self._check_inner(self.estimator)
        self._warn_of_anomalies(y)
        images = as_image_sequence(X)
        if len(images) < 2:
            raise ValueError(
                "Found array with 1 sample(s) while a minimum of 2 is required by "
                "TiledDetector, which measures each image by the others."
            )

        self._discard_threshold()
        self.tile_estimator_ = clone(self.estimator)
        self.transformer_ = self.tile_estimator_[0].fit(images)
        copies = find_image_copies(images, self.transformer_.preprocessing_)
        groups = number_groups(groups, images, copies)
        self.tile_size_ = tile_size or self.transformer_.preprocessing_.image_size
        with progress_bar("tiles", self.verbose, total=len(images)) as bar:
            rows = range(len(images))
            grids = [self._lay_tiles(images, row) for row in rows]
            tiles = self._cut(images, rows, grids, bar)
            features = self.transformer_.transform(tiles)
        with fitting_inner():
            held_out = self._fit_tiles(features, tiles.of_image, groups, copies)
        self._set_held_out(np.maximum.reduceat(held_out, tiles.starts), groups, copies)
        self._set_threshold()
        if groups is None:
            rehearse = self._make_rehearsal(images, features, tiles.of_image, copies)
            warn_of_order(self, images, copies, rehearse=rehearse)
        return self

    def _make_rehearsal(self, images, features, of_image, copies):
        """Return what fits to the tiles of some images and measures others."""

        def rehearse(rows, others):
            some, rest = (np.isin(of_image, part) for part in (rows, others))
            detector = clone_for_rows(self, len(images), rows, copies)
            detector.tile_estimator_ = clone(self.estimator)
            numbers = np.unique(of_image[some], return_inverse=True)[1]
            held_out = detector._fit_tiles(features[some], numbers, None, None)
            scores = detector.tile_estimator_[1:].score_samples(features[rest])
            return tuple(
                np.maximum.reduceat(
                    distances, np.unique(of_image[part], return_index=True)[1]
                )
                for distances, part in ((held_out, some), (-scores, rest))
            )

        return rehearse

    def _fit_tiles(self, features, of_image, groups, copies):
        """Fit what follows the transformer; return distances of tiles held out."""
        detector = self.tile_estimator_[1:]
        if is_automatic(self.cv) and getattr(detector[0], "_is_closed_form", False):
            # It leaves out images, or lots of them, without fitting again.
            together = copies if groups is None else groups
            together = of_image if together is None else together[of_image]
            fitted = fit_part(detector[0], features, together)
            self.tile_estimator_.steps[1:] = [(detector.steps[0][0], fitted)]
            return fitted.calibration_distances_
        cv = self.cv
        if is_automatic(cv) and groups is None:
            cv = LeaveOneOut() if copies is None else LeaveOneGroupOut()
        folds = [
            tuple(np.flatnonzero(np.isin(of_image, part)) for part in fold)
            for fold in split_folds(cv, of_image[-1] + 1, groups, copies)
        ]
        fit = partial(fit_clone, clone(detector))
        distances, _ = hold_out(fit, features, folds, n_jobs=self.n_jobs)
        self.tile_estimator_.steps[1:] = detector.fit(features).steps
        return distances

    def _lay_tiles(self, images, row):
        """Lay the tiles over an image."""
        size = read_image_size(images, row)
        return TileGrid.covering(size, self.tile_size_, self.overlap)

    def _cut(self, images, rows, grids, bar):
        """Return the tiles of some of the images."""
        preprocessing = self.transformer_.preprocessing_
        return TiledImages(
            images,
            rows,
            grids,
            bar.update,
            preprocessing.standardize_intensity,
            preprocessing.max_value,
        )

    def _stream_tiles(self, images):
        """Yield the tiles of a few images at a time.

        Parameters
        ----------
        images : sequence of images

        Yields
        ------
        tiles : TiledImages
        """
        with progress_bar("tiles", self.verbose, total=len(images)) as bar:
            rows, grids = [], []
            for row in range(len(images)):
                rows.append(row)
                grids.append(self._lay_tiles(images, row))
                if sum(map(len, grids)) >= _CHUNK or row + 1 == len(images):
                    yield self._cut(images, rows, grids, bar)
                    rows, grids = [], []

    def _stream_distances(self, X):
        """Yield the grid of each image and the distances of its tiles, in order."""
        check_is_fitted(self)
        for tiles in self._stream_tiles(as_image_sequence(X)):
            distances = -self.tile_estimator_.score_samples(tiles)
            of_images = np.split(distances, tiles.starts[1:])
            yield from zip(tiles.grids, of_images, strict=True)

    def tile_distances(self, X):
        """Distance of each tile.

        Parameters
        ----------
        X : sequence of n_images images

        Returns
        -------
        distances : list of n_images ndarrays of shape (n_rows, n_columns)
            Minus the scores of the pipeline, which are Mahalanobis distances (not
            squared) for a :class:`~skgaussad.MahalanobisDetector`, by row
            and column of tiles.

        Raises
        ------
        InvalidImageError
            If an image cannot be used; names its position in `X`.
        """
        return [
            distances.reshape(grid.shape)
            for grid, distances in self._stream_distances(X)
        ]

    def worst_tiles(self, X):
        """Tell where the most anomalous tile of each image lies.

        Parameters
        ----------
        X : sequence of n_images images

        Returns
        -------
        boxes : ndarray of shape (n_images, 4), dtype int
            Top, left, bottom and right in pixels, the last two exclusive.

        Raises
        ------
        InvalidImageError
            If an image cannot be used; names its position in `X`.
        """
        boxes = []
        for grid, distances in self._stream_distances(X):
            rows, columns = grid.box(int(distances.argmax()))
            boxes.append([rows.start, columns.start, rows.stop, columns.stop])
        return np.array(boxes)

    def score_samples(self, X):
        """Minus the greatest distance of a tile: higher is more normal.

        Parameters
        ----------
        X : sequence of n_images images

        Returns
        -------
        scores : ndarray of shape (n_images,)
            Float64.

        Raises
        ------
        InvalidImageError
            If an image cannot be used; names its position in `X`.
        """
        return np.array(
            [-distances.max() for _, distances in self._stream_distances(X)]
        )


def _resolve_tile_size(tile_size):
    """Turn the parameter ``tile_size`` into height and width; None stays None."""
    if tile_size is None:
        return None
    sides = (tile_size,) * 2 if isinstance(tile_size, numbers.Number) else tile_size
    if (
        isinstance(sides, tuple | list)
        and len(sides) == 2
        and all(
            isinstance(side, numbers.Integral)
            and not isinstance(side, bool)
            and side >= 1
            for side in sides
        )
    ):
        return int(sides[0]), int(sides[1])
    raise ValueError(
        "tile_size must be a positive integer, a pair (height, width) of them, or None "
        f"for the network's input; got {tile_size!r}."
    )


def _check_pipeline(estimator):
    """Raise unless it goes from images to a detector."""
    if (
        not isinstance(estimator, Pipeline)
        or len(estimator) < 2
        or not isinstance(estimator[0], DeepFeatureTransformer)
        or not hasattr(estimator, "score_samples")
    ):
        raise ValueError(
            "estimator must be a Pipeline that begins with a DeepFeatureTransformer "
            f"and ends with an outlier detector; got {estimator!r}."
        )
    for name in ("ignore", "crop_pct"):
        if getattr(estimator[0], name) is not None:
            raise ValueError(
                f"{name} of the DeepFeatureTransformer would leave out the same part "
                f"of every tile, so that tiles do not cover the image. Set {name}=None."
            )
    check_whole_files(estimator[0], "tiles are cut out of whole images")
