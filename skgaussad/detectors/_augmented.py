"""Fit a detector on augmented copies of its training images."""

import warnings

import numpy as np
from sklearn import get_config
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._utils.validation import check_integer
from ..augmentation import AugmentedImages, ImageAugmentation
from ..exceptions import FalseAlarmRateWarning
from ..features import DeepFeatureTransformer, ImageInputMixin, resolve_max_value
from ._base import BaseDetector, check_unchanged, working_point_of
from ._hold_out import number_groups, takes_groups
from ._walk import check_whole_files, find_decider, find_part


def _estimator_has(attribute):
    """Return a function that tells whether the estimator, or what is in it, has it."""
    return lambda self: (
        find_part(getattr(self, "estimator_", self.estimator), attribute) is not None
    )


def _end_of(estimator):
    """Return what stands at the end of pipelines, after the names that lead there."""
    names = []
    while isinstance(estimator, Pipeline):
        names.append(estimator.steps[-1][0])
        estimator = estimator[-1]
    return names, estimator


class AugmentedDetector(ImageInputMixin, MetaEstimatorMixin, BaseDetector):
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
        Its ``offset_``: minus the threshold.

    See Also
    --------
    skgaussad.augmentation.ImageAugmentation : The changes and their probabilities.

    Notes
    -----
    The copies are made one by one as the features are computed, so memory does not grow
    with `n_epochs`, and the time of `fit` does.

    The threshold, p-values and bound are those of `estimator`, by its own parameters.

    Copies of one image are not independent, and estimates that take them for
    independent are too sure of themselves. Ledoit and Wolf's shrinkage falls as copies
    are added, though the number of images does not grow. A threshold by held-out
    samples needs all copies of an image held out together: `fit` gives the detector,
    the last step of a pipeline, the image of each row (or its lot, where `groups` are
    given) as its ``groups``. Where it takes none, or its rule is the tail, a warning
    says what that means.

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
    >>> data = make_textures(40, 4, size=96, random_state=0)
    >>> pipe = Pipeline(
    ...     [
    ...         ("features", DeepFeatureTransformer(image_size=96)),
    ...         ("detector", MahalanobisDetector()),
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

    def fit(self, X, y=None, *, groups=None):
        """Fit a clone of the estimator on the images and their augmented copies.

        Parameters
        ----------
        X : sequence of n_images images
            Normal images, as
            :class:`~skgaussad.DeepFeatureTransformer` takes them.
        y : array-like of shape (n_images,) or None, default=None
            Ignored, with a warning where it holds -1: all images are taken to be
            normal.
        groups : array-like of shape (n_images,) or None, default=None
            Lot, shift or capture run of each image, at least two different ones.

        Returns
        -------
        self : AugmentedDetector

        Raises
        ------
        ValueError
            If a parameter is out of its range, or `groups` are given and the detector
            does not hold them out.
        InvalidImageError
            If an image cannot be used; names its position in `X`.

        Warns
        -----
        FalseAlarmRateWarning
            If the detector would set its threshold by holding out single copies.
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
        self._warn_of_anomalies(y)
        seed = check_random_state(self.random_state).randint(2**31)
        images = AugmentedImages(
            X, augmentation, self.n_epochs, seed, self._find_max_value()
        )
        n_images = len(images) // self.n_epochs
        groups = number_groups(groups, range(n_images))
        self.estimator_ = clone(self.estimator)
        self.estimator_.fit(images, **self._fit_parameters(groups, n_images))
        return self

    def _find_max_value(self):
        """Return what is white in images of uint16, for the transformer in it."""
        for part in self.estimator.get_params().values():
            if isinstance(part, DeepFeatureTransformer):
                check_whole_files(part, "copies are made of whole images")
                return resolve_max_value(part.max_value)
        return None

    def _fit_parameters(self, groups, n_images):
        """Return the group of each row, by the name that the detector takes it by."""
        names, detector = _end_of(self.estimator)
        rule = getattr(detector, "threshold", "quantile")
        if takes_groups(detector) and rule == "quantile":
            if groups is None and self.n_epochs > 1:
                groups = np.arange(n_images)
            if groups is None:
                return {}
            if getattr(detector, "confidence", None) is not None:
                raise ValueError(
                    f"confidence of {type(detector).__name__} counts samples, and all "
                    "copies of an image count as one. Set confidence=None."
                )
            if get_config()["enable_metadata_routing"]:
                _end_of(self.estimator_)[1].set_fit_request(groups=True)
                names = []
            name = "__".join([*names, "groups"])
            return {name: np.tile(groups, self.n_epochs)}
        if groups is not None:
            raise ValueError(
                f"groups have no effect on {detector!r}, which does not hold them out. "
                "Fit without groups, or end in a detector that does: "
                "MahalanobisDetector, LevelEnsemble or ConformalDetector, with "
                "threshold='quantile'."
            )
        rated = {name.rpartition("__")[2] for name in detector.get_params()}
        if self.n_epochs == 1 or "fpr" not in rated or rule in ("chi2", "f"):
            return {}
        warnings.warn(
            f"{type(detector).__name__} holds out one copy of an image and keeps the "
            "others, so more normal images will be called anomalous than fpr asks for. "
            "End in a MahalanobisDetector, LevelEnsemble or ConformalDetector with "
            "threshold='quantile', which get the image of each copy as its group.",
            FalseAlarmRateWarning,
            stacklevel=3,
        )
        return {}

    @property
    def fpr(self):
        """False-positive rate, from the fitted estimator."""
        return self._ask("fpr")

    @property
    def threshold(self):
        """Rule for the threshold, from the fitted estimator."""
        return self._ask("threshold")

    @property
    def confidence(self):
        """Confidence of the rate, from the fitted estimator."""
        return self._ask("confidence")

    @property
    def offset_(self):
        """Minus the threshold, from the fitted estimator."""
        offset = self._ask("offset_")
        fitted = working_point_of(find_decider(self.estimator_))
        check_unchanged(_end_of(self.estimator)[1], fitted)
        return offset

    @property
    def calibration_distances_(self):
        """Held-out distances, a row for each copy, from the fitted estimator."""
        return self._ask("calibration_distances_")

    @property
    def _held_out(self):
        """Held-out distances with what they tell of rates, from the estimator."""
        return self._ask("_held_out")

    def _ask(self, attribute):
        """Ask the fitted estimator, or what is in it."""
        check_is_fitted(self)
        part = find_part(self.estimator_, attribute)
        if part is None:
            raise AttributeError(
                f"The estimator of AugmentedDetector has no {attribute}: "
                f"{self.estimator!r}."
            )
        return getattr(part, attribute)

    p_values = available_if(_estimator_has("p_values"))(BaseDetector.p_values)
    predict_batch = available_if(_estimator_has("p_values"))(BaseDetector.predict_batch)
    fpr_bound = available_if(_estimator_has("fpr_bound"))(BaseDetector.fpr_bound)

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
