"""The chunks of PNG files: damage that Pillow does not detect, and what is not needed.

Pillow does not check the checksums of the pixels, and decodes a file whose end was
overwritten by zeros. Texts, times and colour profiles it reads, and refuses the file
for damage to them or their size, or not if it is told to decode truncated files.
"""

import struct
import zlib

from ._input import ItemError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\0\0\0\0IEND\xaeB`\x82"
# Size, palette, transparency, orientation, animation, pixels and end.
_KEPT = {
    *(b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"IDAT"),
    b"IEND",
}


def is_png(start):
    """Return whether a file starts as PNG files do."""
    return start.startswith(_SIGNATURE)


def select_chunks(content):
    """Return a PNG file without chunks that do not touch pixels, EXIF data first.

    Parameters
    ----------
    content : bytes
        Of a file for which `is_png` is true.

    Returns
    -------
    content : bytes

    Raises
    ------
    ItemError
        If the checksum of one of the others is wrong.
    """
    view = memoryview(content)
    position, kept = len(_SIGNATURE), [_SIGNATURE]
    # A chunk has a length, a name, data and a checksum of the latter two.
    while position + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, position)
        end = position + 12 + length
        if end > len(content):
            # Without it pixels are missing, or not.
            kept.append(_END)
            break
        if name in _KEPT:
            (checksum,) = struct.unpack_from(">I", content, end - 4)
            if zlib.crc32(view[position + 4 : end - 4]) != checksum:
                what = "pixels" if name == b"IDAT" else f"chunk {name.decode()}"
                raise ItemError(
                    f"expected an intact image, but the checksum of its {what} is "
                    "wrong; replace it or leave it out."
                )
            # EXIF data come before the pixels, where they are seen without decoding.
            kept.insert(2 if name == b"eXIf" else len(kept), view[position:end])
        position = end
        if name == b"IEND":
            break
    else:
        kept.append(_END)
    return b"".join(kept)
