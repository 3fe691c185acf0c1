"""Decoding images of all kinds, and resizing them.

What is decoded is a list of *bands*, PIL images that can be resized one by one: of an
image of 8 bits a single one of mode L or RGB; of a deeper image one of mode F, with
values in [0, 1], for each channel, of which there are one if it is grey and three if it
has colour.
"""

import io
import threading

import numpy as np
import PIL
from PIL import Image, ImageOps, UnidentifiedImageError

from ..exceptions import InvalidImageError
from ._examination import (
    check_file_length,
    examine_content,
    examine_image,
    examine_tile,
    read_tiff,
)
from ._formats import IMAGE_FORMATS, open_image
from ._input import ItemError, check_item, check_not_empty, describe
from ._meaning import Meaning
from ._png import is_png, select_chunks
from ._strict import load_strictly
from ._tiff import is_tiff

_EXIF_ORIENTATION = 0x0112
_PLAIN = Meaning()
# Held while an image of the user is loaded.
_user_images = threading.Lock()


def load_image(
    images, index, size, resample, crop_pct=None, max_value=None, least_side=None
):
    """Decode one image and resize it.

    Parameters
    ----------
    images : sequence
        Items, as returned by `as_image_sequence`.

    index : int
        Position of the image.

    size : tuple of (int, int)
        Height and width of the result, in pixels.

    resample : PIL.Image.Resampling
        Filter to resize with. All but `NEAREST` are widened when they shrink an
        image, so that they do not alias.

    crop_pct : float in (0, 1] or None, default=None
        If None, the whole image is resized to `size`, and its aspect ratio is
        not kept. Otherwise the aspect ratio is kept: the image is scaled until
        it just covers ``size / crop_pct``, rounded down, and a centre crop of
        `size` is cut out of it. For a square `size` these are the pixels of the
        usual evaluation transform of timm and torchvision, ``Resize`` and
        ``CenterCrop``.

    max_value : int or None, default=None
        What is white in images of uint16; None is 65535.

    least_side : int or None, default=None
        Decode JPEG files at a half, a quarter or an eighth of their size: the smallest
        of these at which no side is shorter than this. None decodes them in full.

    Returns
    -------
    pixels : ndarray of shape (height, width, 3), dtype float32
        C-contiguous RGB values in [0, 1].

    Raises
    ------
    InvalidImageError
        If the item is not an image, or cannot be decoded.

    Notes
    -----
    Values are scaled by their type, never by their range in one image: uint8 is
    divided by 255, uint16 by `max_value`, and floats must be in [0, 1] already. A grey
    image is repeated to three channels. Alpha is dropped, not blended with a
    background, and colour profiles are ignored.

    Images of 8 bits are resized in 8 bits by Pillow. 16-bit and float images keep
    their depth: they are resized as floats, and then clipped to [0, 1], since
    filters with negative lobes overshoot. Where their values are those of an 8-bit
    image divided by 255, they are resized in 8 bits, so that an image gets the same
    score in both forms: a Gaussian fitted to few images is sensitive to the rounding.
    Pillow reads files with 16 bits per channel as such only if they are grey; of
    colour files it reads the upper 8 bits.

    The orientation that EXIF data gives is applied. A file or PIL image with
    several frames (GIF, APNG, TIFF, WebP) is an error, unless it is an MPO, as
    phones write it, whose first frame is the photo.
    """
    bands = apply_at(images, index, lambda item: decode(item, max_value, least_side))
    return resize_bands(bands, size, resample, crop_pct)


def decode_image(images, index, max_value=None, least_side=None):
    """Decode one image in its own size and depth.

    Parameters
    ----------
    images : sequence
        Items, as returned by `as_image_sequence`.

    index : int
        Position of the image.

    max_value, least_side : int or None, default=None
        As for `load_image`.

    Returns
    -------
    pixels : ndarray of shape (height, width, 1) or (height, width, 3)
        Grey or RGB values: uint8, or float32 in [0, 1] where the image holds more
        than 8 bits. `load_image` makes the same pixels of it as of the image.

    Raises
    ------
    InvalidImageError
        If the item is not an image, or cannot be decoded.
    """
    bands = apply_at(images, index, lambda item: decode(item, max_value, least_side))
    return np.dstack([np.asarray(band) for band in bands])


def as_picture(pixels):
    """Make a PIL image of 8 bits of what `decode_image` returns."""
    if pixels.dtype != np.uint8:
        pixels = (255 * pixels).round().astype(np.uint8)
    return Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels)


def read_image_size(images, index):
    """Return height and width of one image after EXIF orientation, without decoding.

    Parameters
    ----------
    images : sequence
        Items, as returned by `as_image_sequence`.

    index : int
        Position of the image.

    Returns
    -------
    size : tuple of (int, int)
        In pixels.

    Raises
    ------
    InvalidImageError
        If the item is not an image.
    """
    return apply_at(images, index, _measure)


def apply_at(images, index, work):
    """Return ``work(images[index])``; errors become `InvalidImageError`."""
    item = images[index]
    try:
        return work(item)
    except ItemError as error:
        raise InvalidImageError(index, describe(item), str(error)) from None
    except Exception as error:
        # A damaged file makes Pillow raise nearly anything: OSError, ValueError,
        # SyntaxError, IndexError, struct.error, zlib.error, MemoryError.
        raise InvalidImageError(index, describe(item), _explain(error)) from error


def _explain(error):
    """Describe the problem behind an error in decoding."""
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"expected at most twice PIL.Image.MAX_IMAGE_PIXELS = "
            f"{Image.MAX_IMAGE_PIXELS} pixels ({error}); shrink the image, or raise "
            "that limit if you trust the file."
        )
    if isinstance(error, Image.DecompressionBombWarning):
        return (
            f"expected at most PIL.Image.MAX_IMAGE_PIXELS = {Image.MAX_IMAGE_PIXELS} "
            f"pixels where warnings are errors ({error}); shrink the image, or raise "
            "that limit if you trust the file."
        )
    if isinstance(error, PermissionError):
        return "the file may not be read (permission denied); check its rights."
    # What the operating system reports, unlike Pillow, has a number.
    if isinstance(error, OSError) and error.errno is not None:
        return (
            f"the file cannot be read ({error}); check that it is still there, and the "
            "disk or network it is on."
        )
    if isinstance(error, UnidentifiedImageError):
        return (
            f"expected an image in a format that is read ({', '.join(IMAGE_FORMATS)}), "
            f"got a file that Pillow {PIL.__version__} identifies as none of these; "
            "convert it to PNG or leave it out."
        )
    return (
        f"expected an intact image, but decoding failed with {error!r}; it is "
        "truncated, damaged or closed: replace it or leave it out."
    )


def decode(item, max_value=None, least_side=None):
    """Return the bands of an item; the parameters are those of `decode_image`."""
    check_item(item)
    if isinstance(item, np.ndarray):
        return _bands_from_array(item, max_value)
    if isinstance(item, Image.Image):
        # Two threads cannot load the same image.
        with _user_images:
            return _bands_from_user_image(item, max_value)
    return decode_content(read_file(item), max_value, least_side)


def _bands_from_user_image(image, max_value):
    """Return the bands of a PIL image that belongs to the user."""
    _check_format(image)
    _check_only_frame(image)
    meaning = examine_tile(image, examine_image(image))
    load_strictly(image)
    # Copied in either case, since the image is the user's. Pillow applies the
    # orientation of TIFF images on loading; Pillow 10.0 would apply it again.
    is_turned = image.format == "TIFF"
    copied = image.copy() if is_turned else ImageOps.exif_transpose(image)
    copied.format = image.format
    return _bands_from_pil(copied, meaning, max_value)


def decode_content(content, max_value=None, least_side=None):
    """Return the bands of an image file; the parameters are those of `decode_image`."""
    content, meaning = examine_content(content)
    # Given a path, Pillow 11 and newer map some files into memory, and garble TIFF
    # images whose orientation they also have to apply. Not so with bytes.
    with open_image(io.BytesIO(content)) as image:
        _check_only_frame(image)
        if image.format == "PNG" and image.mode == "P" and image.palette is None:
            # Pillow would take the indices for shades of grey.
            raise ItemError(
                "expected an intact image, but it has no palette (PLTE) where one is "
                "needed; replace it or leave it out."
            )
        meaning = examine_tile(image, meaning)
        if least_side is not None:
            # Changes nothing but JPEG files.
            image.draft(None, (least_side, least_side))
        # exif_transpose of Pillow 10 loads only the images that it changes.
        load_strictly(image)
        if image.format != "TIFF":
            ImageOps.exif_transpose(image, in_place=True)
        return _bands_from_pil(image, meaning, max_value)


def read_file(path):
    """Return the content of an image file, or raise if it is far too long."""
    with open(path, "rb") as file:
        check_file_length(file)
        return file.read()


def _measure(item):
    """Return the height and width of an item."""
    check_item(item)
    if isinstance(item, np.ndarray):
        return item.shape[:2]
    if isinstance(item, Image.Image):
        _check_format(item)
        if item.format == "TIFF":
            # Versions of Pillow exchange the sides on opening or on loading.
            with _user_images:
                load_strictly(item)
            return item.height, item.width
        return _shown_size(item)
    with open(item, "rb") as file:
        check_file_length(file)
        start = file.read(8)
        if is_tiff(start):
            return read_tiff(file).shown_size
        file.seek(0)
        if is_png(start):
            # Pillow may refuse a file for damage to others.
            file = io.BytesIO(select_chunks(file.read()))
        with open_image(file) as image:
            # Pillow decodes a PNG to see whether EXIF data follow the pixels; here
            # they come before.
            if is_png(start) and "exif" not in image.info:
                return image.height, image.width
            return _shown_size(image)


def _check_format(image):
    """Raise if a PIL image was opened from a file of a format that is not read."""
    if image.format is not None and image.format not in IMAGE_FORMATS:
        raise ItemError(
            f"expected an image that was made in memory or opened from one of the "
            f"formats {', '.join(IMAGE_FORMATS)}, got {image.format}; pass "
            "image.convert('RGB') if you trust the file."
        )


def _shown_size(image):
    """Return the height and width of a PIL image after EXIF orientation."""
    is_turned = image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    return (image.width, image.height) if is_turned else (image.height, image.width)


def _check_only_frame(image):
    """Raise if there are several frames, except for MPO: its first is the photo."""
    if image.format == "MPO":
        image.seek(0)
    # The number of frames is not asked for, since it may take long to count them.
    elif getattr(image, "is_animated", False):
        raise ItemError(
            f"expected one image, got several ({image.format}); split them into one "
            "image each."
        )


def _bands_from_pil(image, meaning, max_value):
    """Return the bands of a PIL image, which may be changed by it."""
    check_not_empty(image.height, image.width)
    # Alpha is dropped, and converting a transparent palette would warn.
    image.info.pop("transparency", None)
    if meaning.has_deep_colour and max_value is not None:
        raise ItemError(
            f"expected a grey image or an array with max_value={max_value}, got a file "
            "with colours of more than 8 bits, of which Pillow reads the upper 8 only; "
            "read it with a library of your choice and pass a uint16 array of RGB."
        )
    if image.mode == "F" or image.mode.startswith("I;16"):
        return _bands_from_array(np.asarray(image), max_value, meaning)
    if image.mode == "I":
        if image.format != "PPM":
            raise ItemError(
                "expected a PIL image whose mode says what is white, got mode I "
                "(integers of 32 bits), which does not; if it has values 0..255 pass "
                "np.asarray(image).astype(np.uint8), if it has values 0..65535 "
                "np.asarray(image).astype(np.uint16)."
            )
        values = np.asarray(image).astype(np.uint16)
        return _bands_from_array(values, max_value, meaning)
    if image.mode in ("L", "RGB"):
        return [image]
    return [image.convert("L" if image.mode in ("1", "LA") else "RGB")]


def _bands_from_array(array, max_value=None, meaning=_PLAIN):
    """Return the bands of an array that `check_item` accepts."""
    channels = np.atleast_3d(array)[:, :, :3]
    if array.dtype == np.uint8:
        return _bands_of_eight_bits(channels)
    # float64 values that exceed float32 become infinite, and are then refused.
    with np.errstate(over="ignore"):
        values = channels.astype(np.float32)
    if array.dtype.kind == "u":
        values /= _find_white(channels, max_value, meaning)
    else:
        _check_unit_range(values)
    if meaning.is_inverted:
        values = 1 - values
    eight_bits = np.rint(values * 255)
    rounding = 0.07 if array.dtype == np.float16 else 1e-4
    if np.abs(values * 255 - eight_bits).max() <= rounding:
        return _bands_of_eight_bits(eight_bits.astype(np.uint8))
    return [Image.fromarray(values[:, :, c]) for c in range(values.shape[2])]


def _find_white(values, max_value, meaning):
    """Return the integer that is white, or raise if values exceed `max_value`."""
    if meaning.white is not None:
        return meaning.white
    if max_value is None:
        return 65535
    largest = values.max()
    if largest > max_value:
        raise ItemError(
            f"expected values of at most max_value={max_value} in an image of 16 bits, "
            f"got {largest}; give the max_value that is white in all images."
        )
    return max_value


def _bands_of_eight_bits(channels):
    """Return the band of a uint8 array of shape (H, W, 1 or 3)."""
    grey = channels.shape[2] == 1
    return [Image.fromarray(channels[:, :, 0] if grey else channels)]


def _check_unit_range(values):
    """Raise unless all values are in [0, 1]."""
    low, high = values.min(), values.max()
    # False for NaN, too, which min and max propagate.
    if low >= 0 and high <= 1:
        return
    n_nan, n_inf = np.isnan(values).sum(), np.isinf(values).sum()
    if n_nan or n_inf:
        raise ItemError(
            f"expected finite floats in [0, 1], got {n_nan} NaN and {n_inf} infinite "
            f"of {values.size} values; replace them."
        )
    remedy = "rescale them to [0, 1], without standardising them"
    if low >= 0 and high <= 255:
        remedy = (
            "divide them by 255 if they range up to 255, or use np.clip(image, 0, 1) "
            "if they just overshoot"
        )
    raise ItemError(
        f"expected floats in [0, 1], got minimum {low!s} and maximum {high!s}; "
        f"{remedy}."
    )


def place_crop(image_size, size, crop_pct):
    """Place the centre crop of `load_image` in the scaled image.

    Parameters
    ----------
    image_size : tuple of (int, int)
        Width and height of the image.

    size : tuple of (int, int)
        Height and width of the crop.

    crop_pct : float in (0, 1]

    Returns
    -------
    corner : tuple of (int, int)
        Left and upper edge of the crop in the scaled image.

    scaled : tuple of (int, int)
        Width and height of the scaled image.
    """
    height, width = size
    scaled = _covering_size(image_size, int(height / crop_pct), int(width / crop_pct))
    return (round((scaled[0] - width) / 2), round((scaled[1] - height) / 2)), scaled


def _covering_size(image_size, height, width):
    """Return the smallest (width, height) of the image's aspect ratio that covers."""
    image_width, image_height = image_size
    if image_height * width >= image_width * height:
        return width, image_height * width // image_width
    return image_width * height // image_height, height


def resize_bands(bands, size, resample, crop_pct):
    """Resize bands and join them to RGB pixels, as `load_image` describes."""
    bands = [_resize(band, size, resample, crop_pct) for band in bands]
    pixels = np.empty((*size, 3), dtype=np.float32)
    if bands[0].mode == "F":
        # One grey band is broadcast to three channels.
        pixels[...] = np.dstack([np.asarray(band) for band in bands])
        return np.clip(pixels, 0, 1, out=pixels)
    # Pillow repeats a grey band much faster than NumPy.
    pixels[...] = np.asarray(bands[0].convert("RGB"))
    pixels /= 255
    return pixels


def _resize(image, size, resample, crop_pct):
    height, width = size
    corner, scaled = (0, 0), (width, height)
    if crop_pct is not None:
        corner, scaled = place_crop(image.size, size, crop_pct)
    if image.size != scaled:
        image = image.resize(scaled, resample)
    if scaled != (width, height):
        left, top = corner
        image = image.crop((left, top, left + width, top + height))
    return image
