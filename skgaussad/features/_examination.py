"""Looking at image files before Pillow decodes them: damage, and what values mean."""

import io
import os

from ._formats import open_image
from ._input import ItemError
from ._jpeg2000 import check_components, is_jpeg2000
from ._meaning import Meaning
from ._png import is_png, select_chunks
from ._tiff import (
    DamagedDirectoryError,
    check_tags,
    is_tiff,
    normalize_tags,
    read_directory,
)

# Longer files, in bytes, are read only if their pixels may need as much.
_LONG_FILE = 2**28
_MAX_BYTES_A_PIXEL = 32
_SEVERAL = "expected one image, got several ({}); split them into one image each."


def examine_content(content):
    """Check a file, and tell what its values mean.

    Parameters
    ----------
    content : bytes

    Returns
    -------
    content : bytes
        What Pillow shall decode.
    meaning : Meaning

    Raises
    ------
    ItemError
        If it is damaged, or Pillow is not known to decode it rightly.
    """
    if is_tiff(content):
        directory = read_tiff(io.BytesIO(content))
        if not directory.is_last:
            raise ItemError(_SEVERAL.format("TIFF"))
        meaning = check_tags(directory.tags, directory.counts, directory.byte_order)
        return directory.rewrite(content, meaning.is_inverted), meaning
    if is_jpeg2000(content):
        return content, Meaning(white=check_components(content))
    if is_png(content):
        content = select_chunks(content)
    return content, Meaning()


def read_tiff(file):
    """Return the first directory of a TIFF file, or raise `ItemError`."""
    try:
        return read_directory(file)
    except DamagedDirectoryError as error:
        raise ItemError(
            f"expected an intact image, but {error}; replace it or leave it out."
        ) from None


def examine_image(image):
    """Do what `examine_content` does for an image that the user has opened."""
    meaning = Meaning()
    if getattr(image, "tile", None):
        file = image.fp
        position = file.tell()
        _check_length(file.seek(0, 2), image.height, image.width)
        file.seek(0)
        try:
            _, meaning = examine_content(file.read())
        finally:
            file.seek(position)
    elif image.format == "TIFF" and hasattr(image, "tag_v2"):
        # Pillow has loaded it, and closed the file.
        byte_order = "<" if image.tag_v2.prefix == b"II" else ">"
        meaning = check_tags(*normalize_tags(image.tag_v2), byte_order)
    if meaning.is_inverted:
        raise ItemError(
            "expected a path for a TIFF file of over 8 bits in which white is zero "
            "(WhiteIsZero), got a PIL image, in which Pillow leaves the values as they "
            "are; pass the path."
        )
    return meaning


def check_file_length(file):
    """Raise if an open file is far longer than its pixels may need."""
    length = os.fstat(file.fileno()).st_size
    if length <= _LONG_FILE:
        return
    if is_tiff(file.read(4)):
        height, width = read_tiff(file).shown_size
    else:
        # No more is read, for a part of the header may say that it is that long.
        file.seek(0)
        with open_image(io.BytesIO(file.read(_LONG_FILE))) as image:
            height, width = image.height, image.width
    _check_length(length, height, width)
    file.seek(0)


def _check_length(length, height, width):
    """Raise if a file is far longer, in bytes, than its pixels may need."""
    most = _LONG_FILE + _MAX_BYTES_A_PIXEL * height * width
    if length > most:
        raise ItemError(
            f"expected at most {most} bytes for an image of {height} x {width} pixels, "
            f"got {length}; replace the file or leave it out."
        )


def examine_tile(image, meaning):
    """Add to the meaning what Pillow tells of an image that is opened, not loaded."""
    if not getattr(image, "tile", None):
        return meaning
    name, _, _, arguments = image.tile[0]
    if image.format == "PPM" and name != "raw":
        _, largest = arguments
        # Pillow scales the values to its own range, unless they have that range.
        is_scaled = image.mode == "I" and largest != 65535
        return Meaning(
            white=65535 if is_scaled else None,
            has_deep_colour=image.mode == "RGB" and largest > 255,
        )
    if image.format == "PNG" and image.mode not in ("I", "I;16"):
        return Meaning(has_deep_colour=str(arguments).endswith(";16B"))
    return meaning
