"""Damage to PNG files that Pillow does not detect.

It does not check the checksums of the pixels nor, where it is told to decode truncated
files, those of other chunks, and decodes a file whose end was overwritten by zeros.
"""

import struct
import zlib

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def find_damage(content):
    """Look for damage to a PNG file.

    Parameters
    ----------
    content : bytes
        Of a file of any format.

    Returns
    -------
    damage : str or None
        A clause to follow "but"; None for an intact file or another format.
    """
    if content.startswith(_PNG_SIGNATURE):
        return _find_png_damage(content)
    return None


def _find_png_damage(content):
    """Check the checksums of all chunks."""
    view = memoryview(content)
    position = len(_PNG_SIGNATURE)
    # A chunk has a length, a name, data and a checksum of the latter two. Pillow
    # refuses a truncated chunk if pixels are missing.
    while position + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, position)
        end = position + 8 + length
        if name == b"IEND" or end + 4 > len(content):
            break
        (checksum,) = struct.unpack_from(">I", content, end)
        if zlib.crc32(view[position + 4 : end]) != checksum:
            what = "its pixels" if name == b"IDAT" else f"its chunk {name!r}"
            return f"the checksum of {what} is wrong"
        position = end + 4
    return None
