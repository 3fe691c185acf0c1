"""Resizing and normalization of images to the network's input."""

import math
import numbers
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .._utils.validation import check_integer, check_real
from ._decoding import decode_image, load_image, place_crop
from ._identity import identify_image, load_identified_image

# What JPEG files are reduced to while they are decoded, in sides of the result: most of
# the smoothing that keeps a smaller image from aliasing is then the filter's.
_REDUCED_SIDES = 2


@dataclass(frozen=True)
class Preprocessing:
    """How images are resized and normalized.

    Attributes
    ----------
    image_size : tuple of (int, int)
        Height and width of the network's input, in pixels.
    interpolation : str
        Filter used for resizing: a name of `PIL.Image.Resampling` in lower case.
    crop_pct : float or None
        Fraction of the shorter side that the centre crop keeps; None for the whole
        image.
    mean, std : tuple of (float, float, float)
        Normalization of the red, green and blue values, which are in [0, 1].
    standardize_intensity : bool
        Whether each image gets the same mean and standard deviation before that.
    max_value : int or None
        What is white in images of uint16; None for 65535.
    reduce_jpeg : bool
        Whether JPEG files are reduced while they are decoded.
    """

    image_size: tuple
    interpolation: str
    crop_pct: float | None
    mean: tuple
    std: tuple
    standardize_intensity: bool = False
    max_value: int | None = None
    reduce_jpeg: bool = False

    @classmethod
    def resolve(
        cls,
        native,
        *,
        image_size,
        interpolation,
        crop_pct,
        mean,
        std,
        standardize_intensity=False,
        max_value=None,
        reduce_jpeg=False,
    ):
        """Complete the parameters of the user by the network's own settings.

        Parameters
        ----------
        native : dict
            The network's data configuration, as timm gives it.
        image_size : int, tuple of (int, int) or None
        interpolation : str or None
        crop_pct : float or None
            None takes the whole image, whatever the network's own setting.
        mean, std : float, tuple of (float, float, float) or None
        standardize_intensity : bool, default=False
        max_value : int or None, default=None
        reduce_jpeg : bool, default=False

        Returns
        -------
        preprocessing : Preprocessing

        Raises
        ------
        ValueError
            If a setting is out of its range.
        """
        if interpolation is None:
            interpolation = native["interpolation"]
        if crop_pct is not None:
            check_real("crop_pct", crop_pct, 0, 1, closed="high")
            crop_pct = float(crop_pct)
        flags = {
            "standardize_intensity": standardize_intensity,
            "reduce_jpeg": reduce_jpeg,
        }
        for name, value in flags.items():
            if not isinstance(value, bool | np.bool_):
                raise ValueError(f"{name} must be True or False; got {value!r}.")
        return cls(
            cls.resolve_size(image_size) or tuple(native["input_size"][1:]),
            _resolve_interpolation(interpolation),
            crop_pct,
            _resolve_channels("mean", native["mean"] if mean is None else mean),
            _resolve_channels("std", native["std"] if std is None else std, low=0),
            bool(standardize_intensity),
            resolve_max_value(max_value),
            bool(reduce_jpeg),
        )

    @staticmethod
    def resolve_size(image_size):
        """Turn the parameter ``image_size`` into (height, width), or None for None."""
        if image_size is None:
            return None
        try:
            height, width = (
                (image_size,) * 2
                if isinstance(image_size, numbers.Number)
                else image_size
            )
        except (TypeError, ValueError):
            height = width = None
        for side in (height, width):
            is_integer = isinstance(side, numbers.Integral)
            if not is_integer or isinstance(side, bool) or side < 1:
                raise ValueError(
                    "image_size must be a positive integer, a pair (height, width) of "
                    f"them, or None for the network's own; got {image_size!r}."
                )
        return int(height), int(width)

    def load(self, images, index):
        """Decode and resize one image, without normalizing it; see `load_image`."""
        return load_image(images, index, *self._resizing)

    def decode(self, images, index):
        """Decode one image as `load` does, without resizing it; see `decode_image`."""
        return decode_image(images, index, self.max_value, self._least_side)

    def load_identified(self, images, index):
        """Return the image as of `load` and its digest; see `load_identified_image`."""
        return load_identified_image(images, index, *self._resizing)

    def identify(self, images, index):
        """Return the digest of the image; see `identify_image`."""
        return identify_image(images, index, self.max_value)

    def visible_box(self, height, width):
        """Return the rows and columns of an image that are not cropped, as slices."""
        if self.crop_pct is None:
            return slice(0, height), slice(0, width)
        (left, top), scaled = place_crop(
            (width, height), self.image_size, self.crop_pct
        )
        bottom, right = top + self.image_size[0], left + self.image_size[1]
        return (
            slice(*(round(edge * height / scaled[1]) for edge in (top, bottom))),
            slice(*(round(edge * width / scaled[0]) for edge in (left, right))),
        )

    @property
    def _resizing(self):
        resample = Image.Resampling[self.interpolation.upper()]
        return (
            self.image_size,
            resample,
            self.crop_pct,
            self.max_value,
            self._least_side,
        )

    @property
    def _least_side(self):
        """Sides that JPEG files may be reduced to while they are decoded, or None."""
        if not self.reduce_jpeg:
            return None
        return math.ceil(_REDUCED_SIDES * max(self.image_size) / (self.crop_pct or 1))


def resolve_max_value(max_value):
    """Turn the parameter ``max_value`` into an int, or None for None."""
    if max_value is None:
        return None
    check_integer("max_value", max_value, 1)
    if max_value > 65535:
        raise ValueError(
            f"max_value must be at most 65535, the largest uint16; got {max_value!r}."
        )
    return int(max_value)


def _resolve_interpolation(interpolation):
    known = [member.name.lower() for member in Image.Resampling]
    if not isinstance(interpolation, str) or interpolation not in known:
        raise ValueError(
            f"interpolation must be one of {', '.join(map(repr, known))}, or None for "
            f"the network's own; got {interpolation!r}."
        )
    return interpolation


def _resolve_channels(name, values, low=float("-inf")):
    try:
        triple = (values,) * 3 if isinstance(values, numbers.Number) else tuple(values)
    except TypeError:
        triple = ()
    if len(triple) != 3:
        raise ValueError(
            f"{name} must be a number or three of them, for red, green and blue; got "
            f"{values!r}."
        )
    for value in triple:
        check_real(name, value, low, float("inf"))
    return tuple(float(value) for value in triple)
