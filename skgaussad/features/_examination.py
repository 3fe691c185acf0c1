"""Looking at image files before Pillow decodes them: damage, and what values mean."""

import io

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
    if image.format == "TIFF" and hasattr(image, "tag_v2"):
        tags, counts = normalize_tags(image.tag_v2)
        if getattr(image, "tile", None):
            # Of a damaged directory, Pillow may not see all.
            position = image.fp.tell()
            directory = read_tiff(image.fp)
            image.fp.seek(position)
            tags, counts = directory.tags, directory.counts
        byte_order = "<" if image.tag_v2.prefix == b"II" else ">"
        meaning = check_tags(tags, counts, byte_order)
        if meaning.is_inverted:
            raise ItemError(
                "expected a path for a TIFF file of over 8 bits in which white is zero "
                "(WhiteIsZero), got a PIL image, in which Pillow leaves the values "
                "as they are; pass the path."
            )
    elif image.format == "JPEG2000" and getattr(image, "tile", None):
        position = image.fp.tell()
        image.fp.seek(0)
        meaning = Meaning(white=check_components(image.fp.read()))
        image.fp.seek(position)
    return meaning


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
