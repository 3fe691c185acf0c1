"""Fit a detector on augmented copies of its training images."""

import warnings

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._utils.validation import check_integer
from ..augmentation import AugmentedImages, ImageAugmentation
from ..exceptions import FalseAlarmRateWarning
from ..features import ImageInputMixin


def _estimator_has(method):
    """Return a function that tells whether the estimator has the method."""
    return lambda self: hasattr(getattr(self, "estimator_", self.estimator), method)


class AugmentedDetector(
    ImageInputMixin, MetaEstimatorMixin, OutlierMixin, BaseEstimator
):
    """Fit a detector of anomalous images on augmented copies of the normal ones.

    Random changes enlarge the training set, so that a Gaussian of few images also
    knows the variation that the changes make [1]_. It stands around a whole pipeline,
    from images to scores: a step inside of one must return as many rows as it gets.
    Images to predict are never augmented.

    Parameters
    ----------
    estimator : outlier detector
        Takes images, such as a :class:`~sklearn.pipeline.Pipeline` of
        :class:`~skgaussad.DeepFeatureTransformer` and
        :class:`~skgaussad.MahalanobisDetector`.

    augmentation : ImageAugmentation or None, default=None
        The changes; None is ``ImageAugmentation()``.

    n_epochs : int, default=10
        How often each image is in the training set: once as it is, and ``n_epochs - 1``
        times augmented. 1 is no augmentation. [1]_ has 100.

    random_state : int, RandomState instance or None, default=0
        Seed of the changes. A copy depends on the seed, its epoch and the position of
        its image in `X` only.

    Attributes
    ----------
    estimator_ : outlier detector
        The clone of `estimator` that was fitted.

    offset_ : float
        Its ``offset_``, or that of its last step if it is a pipeline.

    See Also
    --------
    ImageAugmentation : The changes and their probabilities.

    Notes
    -----
    The copies are made one by one as the features are computed, so memory does not grow
    with `n_epochs`, and the time of `fit` does.

    Copies of one image are not independent, and estimates that take them for
    independent are too sure of themselves. Ledoit and Wolf's shrinkage falls as copies
    are added, though the number of images does not grow. A detector that leaves out
    one row at a time to set its threshold keeps the other copies of the image, and its
    threshold comes out too low. With ``threshold="leave_one_group_out"`` all copies of
    an image are left out together: `fit` then gives the detector, the last step of the
    pipeline, the image of each row as its ``groups``. Other thresholds are warned of.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020, section
       IV-B and figure 2.

    Examples
    --------
    >>> from sklearn.pipeline import Pipeline
    >>> from skgaussad import DeepFeatureTransformer, MahalanobisDetector
    >>> from skgaussad import AugmentedDetector
    >>> from skgaussad.augmentation import ImageAugmentation
    >>> from skgaussad.datasets import make_textures
    >>> data = make_textures(20, 4, size=96, random_state=0)
    >>> pipe = Pipeline(
    ...     [
    ...         ("features", DeepFeatureTransformer(image_size=96)),
    ...         ("detector", MahalanobisDetector(threshold="leave_one_group_out")),
    ...     ]
    ... )
    >>> augmentation = ImageAugmentation(rotation=2)
    >>> detector = AugmentedDetector(pipe, augmentation=augmentation, n_epochs=3)
    >>> detector.fit(data.images[data.labels == 1]).predict(data.images[-4:])
    array([-1, -1, -1, -1])
    """

    def __init__(self, estimator, *, augmentation=None, n_epochs=10, random_state=0):
        self.estimator = estimator
        self.augmentation = augmentation
        self.n_epochs = n_epochs
        self.random_state = random_state

    def fit(self, X, y=None):
        """Fit a clone of the estimator on the images and their augmented copies.

        Parameters
        ----------
        X : sequence of n_images images
            Normal images, as
            :class:`~skgaussad.DeepFeatureTransformer` takes them.
        y : Ignored
            Present for API consistency: all images are taken to be normal.

        Returns
        -------
        self : AugmentedDetector

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        InvalidImageError
            If an image cannot be used; names its position in `X`.

        Warns
        -----
        FalseAlarmRateWarning
            If the detector would set its threshold by leaving out single copies.
        """
        check_integer("n_epochs", self.n_epochs, 1)
        augmentation = self.augmentation
        if augmentation is None:
            augmentation = ImageAugmentation()
        elif not isinstance(augmentation, ImageAugmentation):
            raise ValueError(
                "augmentation must be an ImageAugmentation or None; got "
                f"{augmentation!r}."
            )
        # Now, and not after the features of the first epoch.
        augmentation.check()
        seed = check_random_state(self.random_state).randint(2**31)
        images = AugmentedImages(X, augmentation, self.n_epochs, seed)
        groups = np.tile(np.arange(len(images) // self.n_epochs), self.n_epochs)
        self.estimator_ = clone(self.estimator)
        self.estimator_.fit(images, **self._fit_parameters(groups))
        return self

    def _fit_parameters(self, groups):
        """Return the images of the rows, for a detector that leaves them out whole."""
        detector, names = self.estimator, []
        while isinstance(detector, Pipeline):
            names.append(detector.steps[-1][0])
            detector = detector[-1]
        threshold = getattr(detector, "threshold", None)
        if threshold == "leave_one_group_out":
            routed = get_config()["enable_metadata_routing"]
            return {"groups" if routed else "__".join([*names, "groups"]): groups}
        if threshold in ("quantile", "tail") and self.n_epochs > 1:
            warnings.warn(
                f"threshold={threshold!r} leaves out one copy of an image and keeps "
                "the others, so more normal images will be called anomalous than fpr "
                "asks for. Set threshold='leave_one_group_out' on the "
                f"{type(detector).__name__}.",
                FalseAlarmRateWarning,
                stacklevel=3,
            )
        return {}

    @property
    def offset_(self):
        """Threshold on the scores, from the fitted estimator."""
        check_is_fitted(self)
        estimator = self.estimator_
        while isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        return estimator.offset_

    @available_if(_estimator_has("score_samples"))
    def score_samples(self, X):
        """Score images: higher is more normal.

        Parameters
        ----------
        X : sequence of n_images images

        Returns
        -------
        scores : ndarray of shape (n_images,)
            What the estimator's ``score_samples`` gives.
        """
        check_is_fitted(self)
        return self.estimator_.score_samples(X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X):
        """Score relative to the threshold: negative for anomalies.

        Parameters
        ----------
        X : sequence of n_images images

        Returns
        -------
        decision : ndarray of shape (n_images,)
            What the estimator's ``decision_function`` gives.
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    def predict(self, X):
        """Tell normal images from anomalies.

        Parameters
        ----------
        X : sequence of n_images images

        Returns
        -------
        labels : ndarray of shape (n_images,)
            +1 for normal, -1 for anomalous.
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)
