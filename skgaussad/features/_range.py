"""Whether images use the range of their values."""

import warnings

import numpy as np

from ..exceptions import DarkImagesWarning, InvalidImageError
from ._decoding import decode_image

_FRACTION = 1 / 16
# Images that are decoded at most; the first that is bright enough is the last.
_MOST = 256


def warn_of_dark_images(images, max_value):
    """Warn if no pixel passes a sixteenth of white, as far as images can be decoded.

    Parameters
    ----------
    images : sequence of images
    max_value : int or None
        As for `decode_image`.

    Warns
    -----
    DarkImagesWarning
        Names the largest value, and what may have to be set.
    """
    largest, is_deep = None, False
    for index in range(min(len(images), _MOST)):
        try:
            pixels = decode_image(images, index, max_value)
        except InvalidImageError:
            # The call that needs its features says so.
            continue
        value = float(pixels.max())
        if pixels.dtype == np.uint8:
            value /= 255
        else:
            is_deep = True
        if value > _FRACTION:
            return
        largest = max(value, largest or 0)
    if largest is None:
        return
    white = 65535 if max_value is None else max_value
    if is_deep:
        found = round(largest * white)
        remedy = (
            f"If the camera has fewer bits than the files, set "
            f"max_value={2 ** max(found, 1).bit_length() - 1}, or what else is white; "
            "divide floats by that before."
        )
    else:
        found, white = round(largest * 255), 255
        remedy = (
            "Check their exposure. Of files with colours of 16 bits Pillow reads the "
            "upper 8 only: read them as arrays of uint16, and set max_value if the "
            "camera has fewer bits."
        )
    which = f"the first {_MOST}" if len(images) > _MOST else "the"
    warnings.warn(
        f"No pixel of {which} training images passes a sixteenth of white: the largest "
        f"value is {found} of {white}. {remedy}",
        DarkImagesWarning,
        stacklevel=3,
    )
