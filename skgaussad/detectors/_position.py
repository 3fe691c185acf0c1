"""A Gaussian over the positions of feature maps, for sharper maps."""

from functools import reduce

import numpy as np
from sklearn.base import clone
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from .._utils.validation import check_choice
from ..covariance import DIAGONAL_COVARIANCES, Moments
from ..features import (
    LEAST_FRACTION,
    DeepFeatureTransformer,
    ImageInputMixin,
    as_image_sequence,
    draw_maps,
)
from ._base import BaseDetector
from ._copies import find_image_copies
from ._gaussian_detector import fit_part
from ._hold_out import fitting_inner
from ._mahalanobis import MahalanobisDetector
from ._order import warn_of_order

_POSITIONS = ("shared", "each")
_COVARIANCES = ("ledoit_wolf", "oas", "empirical", "diagonal", "isotropic")


class PositionDetector(ImageInputMixin, BaseDetector):
    """Detect anomalies by the distance of each position's own features.

    Where :class:`~skgaussad.MahalanobisDetector` measures the mean over an
    image, this measures every position of the feature map on its own, by a Gaussian
    over the positions of the training images: one for all positions, or one for each,
    as PaDiM [1]_ has them. Its maps are sharper, and an image is as anomalous as its
    most anomalous position.

    Parameters
    ----------
    transformer : DeepFeatureTransformer or None, default=None
        Gives the feature maps of one level, which are not pooled: its ``pooling`` must
        be left at the default. None is ``DeepFeatureTransformer()``.

    positions : {"shared", "each"}, default="shared"
        Whether all positions share a Gaussian, so that it does not matter where
        something is, or each has its own, for objects that always lie in the same
        place.

    covariance : {"ledoit_wolf", "oas", "empirical", "diagonal", "isotropic"}, \
            default="ledoit_wolf"
        As for :class:`~skgaussad.MahalanobisDetector`.

    threshold : {"quantile", "tail"}, default="quantile"
        How `fpr` becomes a distance, as in
        :class:`~skgaussad.MahalanobisDetector`, with all positions of an
        image left out at once.

    fpr : float, default=0.05
        Acceptable fraction of normal images that are called anomalous, in (0, 1).

    confidence : float or None, default=None
        As for :class:`~skgaussad.MahalanobisDetector`.

    Attributes
    ----------
    transformer_ : DeepFeatureTransformer
        The fitted clone.

    detectors_ : list of MahalanobisDetector
        One for all positions, or one for each that counts, in reading order.

    calibration_distances_ : ndarray of shape (n_images,)
        The greatest distance of a position of each training image to Gaussians fitted
        without that image.

    offset_ : float
        Minus the threshold on the distance (not squared).

    See Also
    --------
    anomaly_maps : Where the distance of a pipeline comes from.

    Notes
    -----
    Gaussians of single positions hold D x D numbers each, and their number of samples
    is that of the images.

    With ``ignore`` of the transformer only those positions count of which at least half
    is left.

    References
    ----------
    .. [1] T. Defard, A. Setkov, A. Loesch and R. Audigier, "PaDiM: a Patch Distribution
       Modeling Framework for Anomaly Detection and Localization", ICPR Workshops 2021.

    Examples
    --------
    >>> from skgaussad import DeepFeatureTransformer
    >>> from skgaussad.datasets import load_solar_cells
    >>> from skgaussad import PositionDetector
    >>> cells = load_solar_cells("mono")
    >>> good, bad = cells.paths[cells.labels == 1], cells.paths[cells.labels == -1]
    >>> transformer = DeepFeatureTransformer(levels=6, image_size=160)
    >>> detector = PositionDetector(transformer).fit(good[:40])
    >>> detector.predict(bad[:2])
    array([-1, -1])
    >>> [anomaly_map.shape for anomaly_map in detector.anomaly_maps(bad[:2])]
    [(300, 300), (300, 300)]
    """

    # Fit takes no groups.
    __metadata_request__fit = {"groups": UNUSED}  # noqa: RUF012

    def __init__(
        self,
        transformer=None,
        *,
        positions="shared",
        covariance="ledoit_wolf",
        threshold="quantile",
        fpr=0.05,
        confidence=None,
    ):
        self.transformer = transformer
        self.positions = positions
        self.covariance = covariance
        self.threshold = threshold
        self.fpr = fpr
        self.confidence = confidence

    def fit(self, X, y=None):
        """Fit the Gaussians to the positions of normal images.

        Parameters
        ----------
        X : sequence of n_images images
            At least two.
        y : array-like of shape (n_images,) or None, default=None
            Ignored, with a warning where it holds -1: all images are taken to be
            normal.

        Returns
        -------
        self : PositionDetector

        Raises
        ------
        ValueError
            If a parameter is out of its range, or there are too few images.
        InvalidImageError
            If an image cannot be used.

        Warns
        -----
        FalseAlarmRateWarning
            If the images are too few for `fpr`.
        """
        check_choice("positions", self.positions, _POSITIONS)
        check_choice("covariance", self.covariance, _COVARIANCES)
        self._check_working_point()
        self._warn_of_anomalies(y)
        images = as_image_sequence(X)
        if len(images) < 2:
            raise ValueError(
                "Found array with 1 sample(s) while a minimum of 2 is required by "
                "PositionDetector, which measures each image by the others."
            )
        transformer = self.transformer
        if transformer is None:
            transformer = DeepFeatureTransformer()
        if transformer.pooling != DeepFeatureTransformer().pooling:
            raise ValueError(
                f"pooling={transformer.pooling!r} of transformer has no effect, since "
                "each position is measured on its own. Leave it at its default."
            )
        self._discard_threshold()
        self.transformer_ = clone(transformer).fit(images)
        if len(self.transformer_.levels_) > 1:
            raise ValueError(
                "transformer must take one level, whose positions are measured; got "
                f"levels {', '.join(map(str, self.transformer_.levels_))}."
            )
        (weights,) = self.transformer_._position_weights().values()
        self._counts = weights >= LEAST_FRACTION
        if not self._counts.any():
            raise ValueError(
                "ignore leaves no position of the feature map of which at least "
                f"{LEAST_FRACTION:.0%} is kept. Ignore less, or use a shallower level "
                "or a larger image_size."
            )
        # By image and position.
        rows = np.concatenate(
            [some[:, self._counts] for some in self._stream_positions(images)]
        )
        copies = find_image_copies(images, self.transformer_.preprocessing_)
        fit = self._fit_shared if self.positions == "shared" else self._fit_each
        self._set_held_out(fit(rows, copies).max(axis=1), copies=copies)
        self._set_threshold()

        def rehearse(some, others):
            detector = clone(self)
            fit = getattr(
                detector, "_fit_shared" if self.positions == "shared" else "_fit_each"
            )
            held_out = fit(rows[some], None).max(axis=1)
            return held_out, detector._measure(rows[others]).max(axis=1)

        warn_of_order(self, images, copies, rehearse=rehearse)
        return self

    def _make_detector(self):
        # Its own threshold is not used, and this one needs no held-out distances.
        return MahalanobisDetector(self.covariance, threshold="chi2")

    def _fit_shared(self, rows, copies):
        """Fit one Gaussian; return distances to it without each image."""
        diagonal = self.covariance in DIAGONAL_COVARIANCES
        of_images = [
            Moments.of(row.astype(np.float64), diagonal=diagonal) for row in rows
        ]
        total = reduce(Moments.merge, of_images)
        detector = self._make_detector()
        detector._fit_moments(total)
        self.detectors_ = [detector]
        distances = np.empty(rows.shape[:2])
        copies = np.arange(len(rows)) if copies is None else copies
        for number in range(copies.max() + 1):
            equal = np.flatnonzero(copies == number)
            left_out = reduce(Moments.merge, [of_images[index] for index in equal])
            others = self._make_detector()
            others._fit_moments(total.without(left_out))
            distances[equal] = -others.score_samples(rows[equal[0]])
        return distances

    def _fit_each(self, rows, copies):
        """Fit a Gaussian for each position; return distances without each image."""
        self.detectors_ = []
        distances = []
        with fitting_inner():
            for position in rows.swapaxes(0, 1):
                detector = fit_part(self._make_detector(), position, copies=copies)
                self.detectors_.append(detector)
                distances.append(detector.calibration_distances_)
        return np.column_stack(distances)

    def _stream_positions(self, images):
        """Yield features of positions, of shape (n, height, width, channels)."""
        (level,) = self.transformer_.levels_
        for _, _, maps in self.transformer_._stream_with_maps(images):
            yield maps[level].permute(0, 2, 3, 1).cpu().numpy()

    def position_distances(self, X):
        """Distance of each position of the feature map.

        Parameters
        ----------
        X : sequence of n_images images

        Returns
        -------
        distances : ndarray of shape (n_images, height, width)
            Mahalanobis distances (not squared). Zero for positions that ``ignore`` of
            the transformer covers.
        """
        check_is_fitted(self)
        return np.concatenate(list(self._stream_distances(as_image_sequence(X))))

    def _stream_distances(self, images):
        for rows in self._stream_positions(images):
            distances = np.zeros(rows.shape[:3])
            distances[:, self._counts] = self._measure(rows[:, self._counts])
            yield distances

    def _measure(self, rows):
        """Distances of features of shape (n_images, n_positions, n_channels)."""
        if self.positions == "shared":
            (detector,) = self.detectors_
            scores = detector.score_samples(rows.reshape(-1, rows.shape[-1]))
            return -scores.reshape(rows.shape[:2])
        return -np.column_stack(
            [
                detector.score_samples(position)
                for detector, position in zip(
                    self.detectors_, rows.swapaxes(0, 1), strict=True
                )
            ]
        )

    def score_samples(self, X):
        """Minus the greatest distance of a position: higher is more normal.

        Parameters
        ----------
        X : sequence of n_images images

        Returns
        -------
        scores : ndarray of shape (n_images,)
            Float64, <= 0.
        """
        return -self.position_distances(X).max(axis=(1, 2))

    def anomaly_maps(self, X, *, size="image"):
        """Distances of positions over the threshold, at the size of the image.

        Parameters
        ----------
        X : sequence of n_images images

        size : "image" or tuple of (int, int), default="image"
            Height and width of the maps: each those of its image, or the same for all.

        Returns
        -------
        maps : list of n_images ndarrays of shape (height, width)
            Float32, >= 0. An image is anomalous if a position has more than 1. Zero
            where ``crop_pct`` cuts off and what ``ignore`` covers.
        """
        check_is_fitted(self)
        images = as_image_sequence(X)
        unit = np.where(self._counts, -self.offset_, np.nan)
        layers = (
            [of_image / unit]
            for distances in self._stream_distances(images)
            for of_image in distances
        )
        return draw_maps(layers, images, self.transformer_, size)
