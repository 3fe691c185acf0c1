"""The directory of TIFF files: damage to it, and how it says that pixels are stored.

Pillow skips the entries of a directory that it cannot read, with a warning at most, and
decodes the pixels by default values, such as 1 bit instead of 16. Of what it can read
it takes some for what it is not: the darkest for the brightest, one plane for another,
numbers with a sign for numbers without. So the directory is read here, before Pillow
sees it, and files whose pixels Pillow is not known to decode are refused.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from ._input import ItemError
from ._meaning import Meaning

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
# Formats of the types that a number may have which is checked; of others, such as BYTE,
# Pillow does not see the number.
_INTEGERS = {3: "H", 4: "I", 16: "Q"}
_MAX_ENTRIES = 65535
_MAX_VALUES = 64
_BIG_ENTRY = 20


class _Tag(IntEnum):
    """Entries of a directory that are looked at."""

    ROLE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    STRIPS = 273
    ORIENTATION = 274
    SAMPLES = 277
    STRIP_HEIGHT = 278
    PLANAR = 284
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILES = 324
    INK_SET = 332
    EXTRA = 338
    FORMAT = 339


# Those with one value.
_SINGLE = {*_Tag} - {_Tag.BITS, _Tag.STRIPS, _Tag.TILES, _Tag.EXTRA, _Tag.FORMAT}
# Those that say how the pixels are stored or where: besides the above, bytes of strips
# and tiles, options of fax, predictor, palette, tables of JPEG and factors of YCbCr.
_OF_PIXELS = {
    *(*_Tag, 279, 292, 293, 317, 320, 325, 347, 529, 530, 532),
    *(512, 513, 514, 515, 517, 518, 519, 520, 521),
}
_DEFAULTS = {
    _Tag.ROLE: (0,),
    _Tag.BITS: (1,),
    _Tag.COMPRESSION: (1,),
    _Tag.FILL_ORDER: (1,),
    _Tag.ORIENTATION: (1,),
    _Tag.SAMPLES: (1,),
    _Tag.PLANAR: (1,),
    _Tag.EXTRA: (),
    _Tag.FORMAT: (1,),
    _Tag.INK_SET: (1,),
}
_CHECKED = {*_Tag} - {_Tag.STRIPS, _Tag.TILES}
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_PHOTOMETRICS = {
    _WHITE_IS_ZERO: "grey (WhiteIsZero)",
    _BLACK_IS_ZERO: "grey (BlackIsZero)",
    2: "RGB",
    3: "a palette",
    4: "a transparency mask",
    5: "CMYK",
    6: "YCbCr",
    8: "CIELAB",
    32803: "the colour filter array of a camera",
}
_FORMATS = {
    1: "unsigned integers",
    2: "signed integers",
    3: "floats",
    4: "values without a type",
}
# What each compression may hold, by photometric interpretation: none, fax, LZW, JPEG,
# Deflate, PackBits, Deflate, LZMA, Zstandard and WebP.
_COMPRESSIONS = {
    **dict.fromkeys((1, 5, 8, 32773, 32946, 34925, 50000), (0, 1, 2, 3, 5)),
    **dict.fromkeys((2, 3, 4), (0, 1)),
    7: (1, 2, 6),
    50001: (2,),
}
_REMEDY = (
    "read it with another library, such as tifffile, and pass a uint8 or uint16 array, "
    "or save it as PNG."
)


class DamagedDirectoryError(Exception):
    """A directory that cannot be read; the message is a clause to follow "but"."""


@dataclass(frozen=True)
class Directory:
    """The first directory of a file.

    Attributes
    ----------
    tags : dict of {int: tuple of int}
        Values of those entries that are checked.
    counts : dict of {int: int}
        Number of values of all entries that say how the pixels are stored.
    is_last : bool
        Whether no other directory follows.
    byte_order : {"<", ">"}
    position : int
        Of its first entry in the file.
    entries : dict of {int: bytes}
        Those that say how the pixels are stored.
    """

    tags: dict
    counts: dict
    is_last: bool
    byte_order: str
    position: int
    entries: dict

    def rewrite(self, content, black_is_zero):
        """Return the content of the file without entries that do not touch pixels.

        Pillow ends with an entry that it cannot read, and does not see those behind it.
        If `black_is_zero`, its PhotometricInterpretation says so.
        """
        entries = dict(self.entries)
        size = len(entries[_Tag.WIDTH])
        count, number = ("Q", "Q") if size == _BIG_ENTRY else ("H", "I")
        if black_is_zero:
            entry = f"{self.byte_order}HH{number}H"
            values = _Tag.PHOTOMETRIC, 3, 1, _BLACK_IS_ZERO
            entries[_Tag.PHOTOMETRIC] = struct.pack(entry, *values).ljust(size, b"\0")
        changed = bytearray(content)
        count = struct.Struct(self.byte_order + count)
        count.pack_into(changed, self.position - count.size, len(entries))
        # No directory follows.
        new = b"".join(entries.values()) + bytes(struct.calcsize(number))
        changed[self.position : self.position + len(new)] = new
        return bytes(changed)

    @property
    def shown_size(self):
        """Height and width of the image after its orientation."""
        height, width = (self.tags[tag][0] for tag in (_Tag.HEIGHT, _Tag.WIDTH))
        is_turned = self.tags.get(_Tag.ORIENTATION, (1,))[0] in (5, 6, 7, 8)
        return (width, height) if is_turned else (height, width)


def is_tiff(start):
    """Return whether a file starts as TIFF files do; Pillow takes these, too."""
    return start[:4] in {
        *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        *(b"MM*\0", b"II\0*"),
    }


def read_directory(file):
    """Read the first directory of a file.

    Parameters
    ----------
    file : binary file
        For which `is_tiff` is true.

    Returns
    -------
    directory : Directory

    Raises
    ------
    DamagedDirectoryError
        If an entry that says how the pixels are stored cannot be read.
    """
    try:
        return _read_directory(file)
    except (struct.error, OverflowError, ValueError):
        raise DamagedDirectoryError("its directory is cut short") from None


def _read_directory(file):
    length = file.seek(0, 2)
    file.seek(0)
    start = file.read(16)
    byte_order = {b"II": "<", b"MM": ">"}[start[:2]]
    layout = _LAYOUTS.get(struct.unpack_from(byte_order + "H", start, 2)[0])
    if layout is None:
        raise DamagedDirectoryError("its header is not that of a TIFF file")
    offset = struct.Struct(byte_order + layout["offset"])
    count = struct.Struct(byte_order + layout["count"])
    entry = struct.Struct(f"{byte_order}HH{layout['offset']}")
    (position,) = offset.unpack_from(start, layout["header"])
    file.seek(position)
    (n_entries,) = count.unpack(file.read(count.size))
    if n_entries > _MAX_ENTRIES:
        raise DamagedDirectoryError(f"its directory has {n_entries} entries")
    size = entry.size + offset.size
    content = file.read(n_entries * size + offset.size)
    (following,) = offset.unpack_from(content, n_entries * size)
    tags, counts, entries, n_bytes_in_all = {}, {}, {}, 0
    for start in range(0, n_entries * size, size):
        tag, kind, n_values = entry.unpack_from(content, start)
        (place,) = offset.unpack_from(content, start + entry.size)
        if tag not in _OF_PIXELS:
            continue
        n_bytes = n_values * _SIZES.get(kind, 0)
        n_bytes_in_all += n_bytes
        is_outside = n_bytes > offset.size and place + n_bytes > length
        problem = f"its directory is damaged: tag {tag}"
        is_wrong = tag in _CHECKED and (kind not in _INTEGERS or n_values > _MAX_VALUES)
        if n_bytes == 0 or is_outside or is_wrong:
            raise DamagedDirectoryError(f"{problem} cannot be read")
        if tag in _SINGLE and n_values != 1:
            raise DamagedDirectoryError(f"{problem} has {n_values} values")
        if tag in counts:
            raise DamagedDirectoryError(f"{problem} comes twice")
        counts[tag] = n_values
        entries[tag] = content[start : start + size]
        if tag in _CHECKED:
            at = position + count.size + start + entry.size
            file.seek(at if n_bytes <= offset.size else place)
            values = struct.Struct(f"{byte_order}{n_values}{_INTEGERS[kind]}")
            tags[tag] = values.unpack(file.read(values.size))
    if n_bytes_in_all > length:
        # Pillow reads each; many that overlap fill the memory.
        raise DamagedDirectoryError("its directory has more values than the file bytes")
    for tag in (_Tag.WIDTH, _Tag.HEIGHT):
        if not tags.get(tag):
            raise DamagedDirectoryError(
                f"its directory is damaged: tag {tag} is missing"
            )
    return Directory(
        tags, counts, following == 0, byte_order, position + count.size, entries
    )


def normalize_tags(tags):
    """Return tags and counts of an image that Pillow has opened, as `Directory` has."""
    normalized = {
        tag: value if isinstance(value, tuple) else (value,)
        for tag, value in tags.items()
        if tag in _OF_PIXELS and not isinstance(value, bytes)
    }
    return normalized, {tag: len(values) for tag, values in normalized.items()}


def check_tags(tags, counts, byte_order):
    """Check that Pillow decodes the pixels rightly.

    Parameters
    ----------
    tags, counts : dict
        As of `Directory`.
    byte_order : {"<", ">"}

    Returns
    -------
    meaning : Meaning

    Raises
    ------
    ItemError
        If it does not, or is not known to.
    """

    def get(tag):
        return tags.get(tag) or _DEFAULTS[tag]

    (compression,), (planar,), (fill_order,) = map(
        get, (_Tag.COMPRESSION, _Tag.PLANAR, _Tag.FILL_ORDER)
    )
    (n_samples,), extra = get(_Tag.SAMPLES), get(_Tag.EXTRA)
    bits, formats = sorted(set(get(_Tag.BITS))), sorted(set(get(_Tag.FORMAT)))
    if not tags.get(_Tag.PHOTOMETRIC):
        raise ItemError(
            "expected a TIFF file that says what its values mean, got one without "
            f"PhotometricInterpretation; {_REMEDY}"
        )
    (photometric,) = tags[_Tag.PHOTOMETRIC]
    got = (
        f"{_name_photometric(photometric)} of {n_samples} channel(s) of "
        f"{'/'.join(map(str, bits))} bits, "
        f"{'/'.join(_FORMATS.get(f, f'sample format {f}') for f in formats)}, "
        f"byte order {byte_order!r}, compression {compression}, planar configuration "
        f"{planar}, fill order {fill_order}"
    )
    if compression not in _COMPRESSIONS:
        raise ItemError(
            "expected a TIFF file with one of the usual compressions, such as LZW, "
            f"Deflate or JPEG, got number {compression}; {_REMEDY}"
        )
    (role,) = get(_Tag.ROLE)
    if role & ~2:
        raise ItemError(
            "expected a TIFF file that holds its image first, got a thumbnail or mask "
            f"of it (NewSubfileType {role}), as in raw files of cameras (DNG); develop "
            "them, or read the image with another library and pass an array."
        )
    n_colours = {2: 3, 5: 4, 6: 3}.get(photometric, 1)
    if n_samples > n_colours and not (
        n_samples == n_colours + 1 and extra in ((1,), (2,))
    ):
        raise ItemError(
            f"expected a TIFF file of {n_colours} channel(s) for "
            f"{_name_photometric(photometric)}, and at most an alpha channel besides, "
            f"got {n_samples}, of which {n_samples - n_colours} mean something else, "
            "such as near infrared; pass the channels that count as an array of shape "
            "(height, width) or (height, width, 3)."
        )
    kind = (photometric, n_samples, bits[0], formats[0])
    is_known = (
        len(bits) == len(formats) == 1
        and len(extra) == n_samples - n_colours
        and kind in _KNOWN
        and photometric in _COMPRESSIONS[compression]
        and (n_samples == 1 or planar == 1 or (planar == 2 and kind in _KNOWN_PLANAR))
        # Colours multiplied by alpha.
        and (extra != (1,) or (kind == (2, 4, 8, 1) and planar == 1))
        and (fill_order == 1 or (fill_order == 2 and kind in _KNOWN_REVERSED))
        and (fill_order == 1 or compression in _KEEPING_ORDER)
        # Pillow takes the order of the bytes of the file for that of libtiff's values,
        # and has no 12 bits in this order.
        and not (byte_order == ">" and bits == [32] and compression != 1)
        and not (byte_order == ">" and bits == [12])
        and get(_Tag.INK_SET) == (1,)
    )
    if not is_known:
        raise ItemError(
            f"expected a TIFF file that Pillow is known to read rightly, got {got}; "
            f"{_REMEDY}"
        )
    _check_parts(tags, counts, n_samples if planar == 2 else 1)
    is_deep = bits[0] > 8
    return Meaning(
        white=4095 if bits[0] == 12 else None,
        is_inverted=is_deep and photometric == _WHITE_IS_ZERO,
        has_deep_colour=is_deep and n_colours > 1,
    )


# Photometric interpretation, samples per pixel, bits of each, and their format.
_KNOWN = {
    *((p, 1, bits, 1) for p in (0, 1) for bits in (1, 2, 4, 8, 12, 16)),
    *((p, 1, 32, 3) for p in (0, 1)),
    *((p, 2, 8, 1) for p in (1, 3)),
    *((2, n, bits, 1) for n in (3, 4) for bits in (8, 16)),
    *((3, 1, bits, 1) for bits in (1, 2, 4, 8)),
    (5, 4, 8, 1),
    (6, 3, 8, 1),
}
_KNOWN_PLANAR = {(2, 3, 8, 1), (2, 4, 8, 1)}
# Of those with the bits of each byte in reverse order, of which libtiff reverses
# compressed bytes, too.
_KNOWN_REVERSED = {(p, 1, bits, 1) for p in (0, 1) for bits in (1, 2, 4)}
_KEEPING_ORDER = (1, 2, 3, 4)


def _check_parts(tags, counts, n_planes):
    """Raise unless there are as many strips or tiles as the image needs.

    Pillow would begin from the top again with those that are too many.
    """
    (width,), (height,) = tags[_Tag.WIDTH], tags[_Tag.HEIGHT]
    if _Tag.STRIPS in counts:
        sides = (width, *tags.get(_Tag.STRIP_HEIGHT, (height,)))
    else:
        sides = (*tags.get(_Tag.TILE_WIDTH, (0,)), *tags.get(_Tag.TILE_HEIGHT, (0,)))
    found, n_needed = counts.get(_Tag.STRIPS, counts.get(_Tag.TILES)), None
    if all(sides):
        n_needed = -(-width // sides[0]) * -(-height // sides[1]) * n_planes
    has_both = _Tag.STRIPS in counts and _Tag.TILES in counts
    if found != n_needed or found is None or has_both:
        has = f"{found} strips or tiles of {n_needed}"
        if has_both:
            has = "strips and tiles"
        raise ItemError(
            f"expected an intact image, but it has {has}; replace it or leave it out."
        )


def _name_photometric(number):
    return _PHOTOMETRICS.get(number, f"photometric interpretation {number}")
