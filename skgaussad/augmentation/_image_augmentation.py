"""Random augmentation of one image."""

from collections.abc import Mapping

import numpy as np
from sklearn.base import BaseEstimator

from .._utils.validation import check_real
from ..features import decode_image, resolve_max_value

OPERATIONS = (
    "horizontal_flip",
    "vertical_flip",
    "rotation",
    "scaling",
    "translation",
    "brightness",
    "contrast",
    "blur",
    "noise",
)


class ImageAugmentation(BaseEstimator):
    """Change an image at random, in ways that leave a normal image normal.

    Nine operations are applied one after another, each with its own probability, as in
    figure 2 of [1]_. The paper's text does not give their strengths and probabilities;
    the defaults here are this package's own.

    Parameters
    ----------
    rotation : float, default=10.0
        Greatest angle in degrees, in [0, 180], to either side.

    scaling : float, default=0.05
        Greatest change of size, in [0, 1): the image is scaled about its centre by a
        factor between ``1 - scaling`` and ``1 + scaling``.

    translation : float, default=0.05
        Greatest shift in either direction, in [0, 1], as a fraction of the width or
        height.

    brightness : float, default=0.1
        Greatest change of brightness, in [0, 1]: values are multiplied by a factor
        between ``1 - brightness`` and ``1 + brightness``.

    contrast : float, default=0.1
        Greatest change of contrast, in [0, 1]: the deviations of the values from their
        mean over the image are multiplied by such a factor.

    blur : float, default=0.003
        Greatest standard deviation of a Gaussian blur, in [0, 1], as a fraction of the
        shorter side.

    noise : float, default=0.01
        Greatest standard deviation of Gaussian noise, in [0, 1] where 1 is white.

    p : float or dict of {str: float}, default=0.5
        Probability in [0, 1] of each operation: one for all, or by name, where those
        not named keep 0.5. The names are ``"horizontal_flip"``, ``"vertical_flip"``,
        ``"rotation"``, ``"scaling"``, ``"translation"``, ``"brightness"``,
        ``"contrast"``, ``"blur"`` and ``"noise"``, in the order in which they are
        applied.

    exclude : str or sequence of str, default=()
        Operations that are never applied, because they would make a normal image
        anomalous: flips if parts have text or an orientation, rotation if the angle
        matters. See :func:`mvtec_exclusions` for the categories of MVTec AD. To give
        an excluded operation a probability in `p` by its name is an error.

    See Also
    --------
    skgaussad.AugmentedDetector : Fits a detector on augmented copies of its images.

    Notes
    -----
    Rotation, scaling and translation resample the image once, all together; beyond its
    border the image is continued by its reflection. Values are clipped to the range of
    the type. Excluding an operation or changing its probability does not change what
    the others do with the same seed.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad.augmentation import ImageAugmentation
    >>> image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    >>> augmentation = ImageAugmentation(rotation=5, exclude="vertical_flip")
    >>> augmentation.apply(image, np.random.default_rng(1)).shape
    (48, 64, 3)
    >>> list(augmentation.sample(np.random.default_rng(1)))
    ['rotation', 'translation', 'brightness', 'blur']
    """

    def __init__(
        self,
        *,
        rotation=10.0,
        scaling=0.05,
        translation=0.05,
        brightness=0.1,
        contrast=0.1,
        blur=0.003,
        noise=0.01,
        p=0.5,
        exclude=(),
    ):
        self.rotation = rotation
        self.scaling = scaling
        self.translation = translation
        self.brightness = brightness
        self.contrast = contrast
        self.blur = blur
        self.noise = noise
        self.p = p
        self.exclude = exclude

    def check(self):
        """Raise unless all parameters are in their ranges.

        Raises
        ------
        ValueError
            Names the parameter or the unknown operation.
        """
        check_real("rotation", self.rotation, 0, 180, closed="both")
        check_real("scaling", self.scaling, 0, 1, closed="low")
        for name in ("translation", "brightness", "contrast", "blur", "noise"):
            check_real(name, getattr(self, name), 0, 1, closed="both")
        self._probabilities()

    def sample(self, rng):
        """Draw the operations to apply and their strengths.

        Parameters
        ----------
        rng : :class:`numpy.random.Generator`

        Returns
        -------
        amounts : dict of {str: float or tuple of (float, float)}
            By operation, in order: the angle in degrees counterclockwise; the factor of
            scaling, brightness and contrast; the shift to the right and downwards, as
            fractions of width and height; the standard deviation of blur (as a fraction
            of the shorter side) and of noise. For flips, 1.

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        """
        self.check()
        # Drawn for all operations, so that excluding one does not change the others.
        chances = rng.random(len(OPERATIONS))
        amounts = {
            "horizontal_flip": 1.0,
            "vertical_flip": 1.0,
            "rotation": rng.uniform(-self.rotation, self.rotation),
            "scaling": rng.uniform(1 - self.scaling, 1 + self.scaling),
            "translation": (
                rng.uniform(-self.translation, self.translation),
                rng.uniform(-self.translation, self.translation),
            ),
            "brightness": rng.uniform(1 - self.brightness, 1 + self.brightness),
            "contrast": rng.uniform(1 - self.contrast, 1 + self.contrast),
            "blur": rng.uniform(0, self.blur),
            "noise": rng.uniform(0, self.noise),
        }
        probabilities = self._probabilities()
        return {
            name: amounts[name]
            for name, chance in zip(OPERATIONS, chances, strict=True)
            if chance < probabilities[name]
        }

    def apply(self, image, rng, max_value=None):
        """Return an image changed at random.

        Parameters
        ----------
        image : path, PIL image or ndarray
            As :class:`~skgaussad.DeepFeatureTransformer` accepts it.
        rng : :class:`numpy.random.Generator`
            The same state of it gives the same result.
        max_value : int or None, default=None
            What is white in an image of uint16, as for
            :class:`~skgaussad.DeepFeatureTransformer`.

        Returns
        -------
        image : ndarray of shape (height, width, 1) or (height, width, 3)
            Grey or RGB. Type uint8 for an image of 8 bits, else float32 in [0, 1].

        Raises
        ------
        InvalidImageError
            If the image cannot be used.
        ValueError
            If a parameter is out of its range.
        """
        # Late, because it imports torch.
        import torch

        from .._utils.torch_guard import torch_run
        from ._operations import apply_operations

        amounts = self.sample(rng)
        pixels = decode_image([image], 0, resolve_max_value(max_value))
        eight_bits = pixels.dtype == np.uint8
        values = np.moveaxis(pixels, -1, 0).astype(np.float32)
        if eight_bits:
            values /= 255
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        with torch_run():
            tensor = apply_operations(tensor, amounts, rng)
        values = np.moveaxis(tensor.numpy(), 0, -1)
        if eight_bits:
            values = np.rint(values * 255).astype(np.uint8)
        return np.ascontiguousarray(values)

    def _probabilities(self):
        """Return the probability of each operation, 0 for those excluded."""
        given = (
            self.p if isinstance(self.p, Mapping) else dict.fromkeys(OPERATIONS, self.p)
        )
        exclude = [self.exclude] if isinstance(self.exclude, str) else self.exclude
        for parameter, names in (("p", given), ("exclude", exclude)):
            unknown = [name for name in names if name not in OPERATIONS]
            if unknown:
                raise ValueError(
                    f"{parameter} must name operations among {', '.join(OPERATIONS)}; "
                    f"got {unknown[0]!r}."
                )
        for name, probability in given.items():
            parameter = f"p[{name!r}]" if isinstance(self.p, Mapping) else "p"
            check_real(parameter, probability, 0, 1, closed="both")
        for name in exclude:
            if isinstance(self.p, Mapping) and self.p.get(name, 0) > 0:
                raise ValueError(
                    f"p[{name!r}]={self.p[name]!r} has no effect with exclude="
                    f"{self.exclude!r}. Leave {name!r} out of one of the two."
                )
        probabilities = {**dict.fromkeys(OPERATIONS, 0.5), **given}
        return {**probabilities, **dict.fromkeys(exclude, 0)}
