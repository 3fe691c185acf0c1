"""Damage to PNG and TIFF files that Pillow does not detect or ignores.

The directories of a TIFF file describe how its pixels are stored. Pillow skips entries
that it cannot read, with a warning at most, and decodes the pixels by default values,
such as 1 bit instead of 16. In PNG files it does not check the checksums of the pixels,
and decodes a file whose end was overwritten by zeros.
"""

import struct
import zlib

# Formats of offsets and counts, and the position of the first offset, of TIFF (version
# 42 in the header) and BigTIFF (43).
_LAYOUTS = {
    42: {"offset": "I", "count": "H", "header": 4},
    43: {"offset": "Q", "count": "Q", "header": 8},
}
# Bytes per value, by the type of an entry (TIFF 6.0, section 2; 16 to 18 are BigTIFF).
_SIZES = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
# Tags with one value: ImageWidth, ImageLength, Compression, PhotometricInterpretation,
# FillOrder, Orientation, SamplesPerPixel, RowsPerStrip and PlanarConfiguration.
_SINGLE = {256, 257, 259, 262, 266, 274, 277, 278, 284}

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def find_damage(content):
    """Look for damage to a PNG or TIFF file.

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
    byte_order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if byte_order is None or len(content) < 4:
        return None
    layout = _LAYOUTS.get(struct.unpack_from(byte_order + "H", content, 2)[0])
    if layout is None:
        return None
    try:
        return _find_tiff_damage(content, byte_order, **layout)
    except struct.error:
        return "its directory is cut short"


def _find_png_damage(content):
    """Check the checksums of the pixels; Pillow checks the others."""
    view = memoryview(content)
    position = len(_PNG_SIGNATURE)
    # A chunk has a length, a name, data and a checksum of the latter two. Pillow
    # refuses a truncated chunk if pixels are missing.
    while position + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, position)
        end = position + 8 + length
        if name == b"IEND" or end + 4 > len(content):
            break
        if name == b"IDAT":
            (checksum,) = struct.unpack_from(">I", content, end)
            if zlib.crc32(view[position + 4 : end]) != checksum:
                return "the checksum of its pixels is wrong"
        position = end + 4
    return None


def _find_tiff_damage(content, byte_order, offset, count, header):
    """Check the entries of all directories; numbers have the formats given."""
    offset = struct.Struct(byte_order + offset)
    count = struct.Struct(byte_order + count)
    entry = struct.Struct(f"{byte_order}HH{offset.format[1:]}")
    (directory,) = offset.unpack_from(content, header)
    seen = set()
    while directory:
        if directory in seen:
            return "its directories lead in a circle"
        seen.add(directory)
        (n_entries,) = count.unpack_from(content, directory)
        position = directory + count.size
        for _ in range(n_entries):
            tag, kind, n_values = entry.unpack_from(content, position)
            # The values, or the position of values that do not fit here.
            (place,) = offset.unpack_from(content, position + entry.size)
            n_bytes = n_values * _SIZES.get(kind, 0)
            is_outside = n_bytes > offset.size and place + n_bytes > len(content)
            if n_bytes == 0 or is_outside:
                return f"its directory is damaged: tag {tag} cannot be read"
            if tag in _SINGLE and n_values != 1:
                return f"its directory is damaged: tag {tag} has {n_values} values"
            position += entry.size + offset.size
        (directory,) = offset.unpack_from(content, position)
    return None
