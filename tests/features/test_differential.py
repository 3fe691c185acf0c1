"""Images of all kinds are read as other libraries read them, or refused by name.

The files are written by Pillow, OpenCV, tifffile and by hand, and read by OpenCV,
tifffile and imageio; what they hold is known, too. ``-s`` prints the counts.
"""

import collections
import functools
import io
import itertools
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from skgaussad.exceptions import InvalidImageError
from skgaussad.features._decoding import decode_image, read_image_size

cv2 = pytest.importorskip("cv2")
tifffile = pytest.importorskip("tifffile")
iio = pytest.importorskip("imageio.v3")

HEIGHT, WIDTH = 23, 34
ORIENTATION = 0x0112
# By the EXIF orientation, what has to be done to the stored pixels.
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}

Case = collections.namedtuple("Case", "name content expected tolerance")


def ramp(n_channels=1):
    """Return smooth values in [0, 1] from 0 to 1, with no two corners alike."""
    y, x = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    channels = [(0.7 * x + 0.3 * y), (0.2 * x + 0.8 * y), 1 - x * y, 1 - 0.5 * x]
    return np.stack(channels[:n_channels], axis=-1)


def integers(n_channels=1, bits=8):
    """Return the ramp as integers of a number of bits."""
    dtype = np.uint8 if bits <= 8 else np.uint16
    values = np.rint(ramp(n_channels) * (2**bits - 1)).astype(dtype)
    return values[..., 0] if n_channels == 1 else values


def as_unit(values, white=None):
    """Return values as floats of shape (height, width, channels)."""
    values = np.atleast_3d(values)
    if values.dtype == bool:
        return values.astype(float)
    if values.dtype.kind == "f":
        return values.astype(float)
    return values / (np.iinfo(values.dtype).max if white is None else white)


# Writers


def by_tifffile(values, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def by_opencv(extension, values, *options):
    if values.ndim == 3 and values.shape[2] > 1:
        # BGR, or BGRA.
        values = values[..., [2, 1, 0, *range(3, values.shape[2])]]
    done, content = cv2.imencode(extension, values, list(options))
    assert done
    return content.tobytes()


def by_pillow(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pack(values, bits, order="<", reverse=False):
    """Pack integers row by row to whole bytes, as TIFF does."""
    if bits in (16, 32):
        rows = values.astype(f"{order}u{bits // 8}").tobytes()
    else:
        shifts = np.arange(bits - 1, -1, -1)
        ones = (values.reshape(len(values), -1, 1).astype(np.uint32) >> shifts) & 1
        rows = np.packbits(ones.reshape(len(values), -1).astype(bool), axis=1).tobytes()
    if reverse:
        rows = np.packbits(
            np.unpackbits(np.frombuffer(rows, np.uint8), bitorder="little")
        ).tobytes()
    return rows


def tiff(rows, bits, photometric, order="<", samples=1, more=None, compress=False):
    """Write a TIFF file by hand; `more` adds or removes (None) tags."""
    if compress:
        rows = zlib.compress(rows)
    tags = {
        256: (WIDTH,),
        257: (HEIGHT,),
        258: (bits,) * samples,
        259: (8 if compress else 1,),
        262: (photometric,),
        273: (8,),
        277: (samples,),
        278: (HEIGHT,),
        279: (len(rows),),
        **(more or {}),
    }
    tags = {tag: values for tag, values in sorted(tags.items()) if values is not None}
    rows += b"\0" * (len(rows) % 2)
    start = 8 + len(rows)
    content = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, start)
    content += rows + struct.pack(order + "H", len(tags))
    place, values_behind = start + 2 + 12 * len(tags) + 4, b""
    for tag, values in tags.items():
        kind = "I" if max(values) > 65535 else "H"
        packed = struct.pack(f"{order}{len(values)}{kind}", *values)
        content += struct.pack(order + "HHI", tag, {"H": 3, "I": 4}[kind], len(values))
        if len(packed) > 4:
            content += struct.pack(order + "I", place + len(values_behind))
            values_behind += packed
        else:
            content += packed.ljust(4, b"\0")
    return content + struct.pack(order + "I", 0) + values_behind


def png(values, depth, colour, chunks=(), interlace=False):
    """Write a PNG file by hand; chunks are of names and data, and come before IDAT."""
    passes = [(0, 0, 1, 1)]
    if interlace:
        passes = [
            *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)),
            *((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
        ]
    rows = b""
    for top, left, down, right in passes:
        part = values[top::down, left::right]
        packed = pack(part.reshape(len(part), -1), depth, ">")
        size = len(packed) // len(part)
        rows += b"".join(
            b"\0" + packed[i * size : (i + 1) * size] for i in range(len(part))
        )
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, interlace)
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in [
        (b"IHDR", header),
        *chunks,
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        content += struct.pack(">I", len(data)) + name + data + checksum
    return content


def bmp(values, bits, masks=(), palette=b"", top_down=False):
    """Write a BMP file by hand."""
    rows = b""
    for row in values if top_down else values[::-1]:
        packed = pack(row[np.newaxis], bits)
        rows += packed + b"\0" * (-len(packed) % 4)
    masks = struct.pack(f"<{len(masks)}I", *masks)
    start = 54 + len(masks) + len(palette)
    height = -HEIGHT if top_down else HEIGHT
    header = struct.pack("<2sIII", b"BM", start + len(rows), 0, start)
    header += struct.pack("<IiiHHII", 40, WIDTH, height, 1, bits, 3 * bool(masks), 0)
    return header + struct.pack("<iiII", 0, 0, 0, 0) + masks + palette + rows


# The corpus: names, contents, what has to come out, None if it has to be refused, and
# the largest difference.

EXACT = 1e-6
# Pillow reads colours of 16 bits in 8, rounded down.
UPPER_BITS = 1.01 / 255


def with_options(*choices):
    """Yield all combinations of options, with a label."""
    for combination in itertools.product(*choices):
        options = {k: v for part in combination for k, v in part.items()}
        yield options, " ".join(f"{k}={v}" for k, v in options.items())


def tiffs_of_tifffile():
    """Grey, RGB and other channels, in all types and ways of storing."""
    ways = list(
        with_options(
            ({"byteorder": "<"}, {"byteorder": ">"}),
            ({}, {"compression": "zlib"}),
            ({}, {"rowsperstrip": 7}, {"tile": (16, 16)}),
        )
    )
    for (options, label), photometric, dtype in itertools.product(
        ways, ("minisblack", "miniswhite"), ("u1", "u2", "f4")
    ):
        values = ramp()[..., 0].astype(dtype)
        if dtype != "f4":
            values = integers(bits=8 * int(dtype[1]))
        unit = as_unit(values)
        is_swapped = dtype == "f4" and label.startswith("byteorder=> compression")
        yield (
            f"tifffile {photometric} {dtype} {label}",
            by_tifffile(values, photometric=photometric, **options),
            None if is_swapped else 1 - unit if photometric == "miniswhite" else unit,
            EXACT,
        )
    kinds = [None, "unassalpha", "assocalpha", "unspecified"]
    for (options, label), planar, bits, extra in itertools.product(
        ways, ("contig", "separate"), (8, 16), kinds
    ):
        values = integers(3 if extra is None else 4, bits)
        expected = as_unit(values[..., :3])
        tolerance = UPPER_BITS if bits == 16 else EXACT
        if extra == "assocalpha":
            colours = values[..., :3] * as_unit(values)[..., 3:]
            values[..., :3] = np.rint(colours)
            tolerance = 2.01 / 255
        is_refused = extra == "unspecified" or (
            (planar == "separate") + (bits == 16) + (extra == "assocalpha") > 1
        )
        yield (
            f"tifffile rgb {extra} u{bits} {planar} {label}",
            by_tifffile(
                np.moveaxis(values, -1, 0) if planar == "separate" else values,
                photometric="rgb",
                planarconfig=planar,
                extrasamples=None if extra is None else [extra],
                **options,
            ),
            None if is_refused else expected,
            tolerance,
        )
    for dtype, order in itertools.product(
        ["i1", "i2", "i4", "u4", "i8", "u8", "f2", "f8"], "<>"
    ):
        values = ramp()[..., 0] if dtype[0] == "f" else integers(bits=7)
        yield (
            f"tifffile minisblack {dtype} {order}",
            by_tifffile(
                values.astype(dtype), photometric="minisblack", byteorder=order
            ),
            None,
            0,
        )
    grey = integers()
    for n_channels in (2, 3, 5):
        values = np.dstack([grey] * n_channels)
        content = by_tifffile(values, photometric="minisblack", planarconfig="contig")
        yield f"tifffile grey and {n_channels - 1} more", content, None, 0
    yield "tifffile pages", by_tifffile(np.stack([grey] * 2)), None, 0
    yield "tifffile big", by_tifffile(grey, bigtiff=True), as_unit(grey), EXACT
    for bits in (8, 16):
        palette = integers(3, bits).reshape(-1, 3)[:256].T.astype(np.uint16)
        palette = palette * 257 if bits == 8 else palette
        indices = (np.arange(HEIGHT * WIDTH) % 256).reshape(HEIGHT, WIDTH)
        yield (
            f"tifffile palette of {bits} bits",
            by_tifffile(
                indices.astype(np.uint8), photometric="palette", colormap=palette
            ),
            palette.T[indices] / 65535,
            UPPER_BITS,
        )
        yield (
            f"tifffile cmyk u{bits}",
            by_tifffile(integers(4, bits), photometric="separated"),
            (1 - ramp(4)[..., :3]) * (1 - ramp(4)[..., 3:]) if bits == 8 else None,
            UPPER_BITS,
        )
    for orientation, values in itertools.product(
        range(10), (grey, integers(bits=16), integers(3), ramp()[..., 0].astype("f4"))
    ):
        for compression in (None, "zlib"):
            turn = TURNS.get(orientation, TURNS[1])
            yield (
                f"tifffile orientation {orientation} {values.dtype} {values.ndim} "
                f"{compression}",
                by_tifffile(
                    values,
                    compression=compression,
                    extratags=[(274, 3, 1, orientation, True)],
                    photometric="rgb" if values.ndim == 3 else "minisblack",
                ),
                turn(as_unit(values)),
                EXACT,
            )


def tiffs_by_hand():
    """Few bits, odd bits, orders of bits and bytes, and what is missing."""
    for bits, photometric, order, reverse, compress in itertools.product(
        (1, 2, 4, 6, 8, 10, 12, 14, 16), (0, 1), "<>", (False, True), (False, True)
    ):
        is_known = bits not in (6, 10, 14) and (bits, order) != (12, ">")
        is_known &= not reverse or (bits < 8 and not compress)
        values = integers(bits=bits)
        unit = as_unit(values, 2**bits - 1)
        content = tiff(
            pack(values, bits, order, reverse),
            bits,
            photometric,
            order,
            more={266: (2,)} if reverse else None,
            compress=compress,
        )
        yield (
            f"hand {bits} bits, photometric {photometric}, {order}, "
            f"{'reverse ' * reverse}{'deflate' * compress}",
            content,
            None if not is_known else unit if photometric else 1 - unit,
            EXACT,
        )
    floats = ramp()[..., 0].astype(np.float32)
    for order, photometric in itertools.product("<>", (0, 1)):
        rows = floats.astype(order + "f4").tobytes()
        yield (
            f"hand float {order} {photometric}",
            tiff(rows, 32, photometric, order, more={339: (3,)}),
            as_unit(floats if photometric else 1 - floats),
            EXACT,
        )
    grey, rgb, rgba = (integers(n) for n in (1, 3, 4))
    for name, values, photometric, more in [
        ("no photometric", grey, 1, {262: None}),
        ("photometric mask", grey, 4, {}),
        ("photometric CIELAB", rgb, 8, {}),
        ("photometric YCbCr", rgb, 6, {530: (1, 1)}),
        ("photometric camera", grey, 32803, {}),
        ("photometric linear", rgb, 34892, {}),
        ("near infrared without a name", rgba, 2, {}),
        ("near infrared", rgba, 2, {338: (0,)}),
        ("alpha twice", rgba, 2, {338: (2, 2)}),
        ("grey as RGB", grey, 2, {}),
        ("bits that differ", rgb, 2, {258: (8, 8, 16)}),
        ("formats that differ", rgb, 2, {339: (1, 1, 2)}),
        ("inks that are not CMYK", rgba, 5, {332: (2,)}),
        ("planes", rgb, 2, {284: (3,)}),
        ("unknown compression", grey, 1, {259: (9999,)}),
        ("old JPEG", grey, 1, {259: (6,)}),
        ("thumbnail, as in DNG", rgb, 2, {254: (1,)}),
        ("mask", grey, 1, {254: (4,)}),
        ("24 bits", rgb, 1, {258: (24,), 277: (1,)}),
    ]:
        samples = np.atleast_3d(values).shape[2]
        content = tiff(values.tobytes(), 8, photometric, samples=samples, more=more)
        yield f"hand {name}", content, None, 0
    for name, values, more in [
        ("one number of bits for three", rgb, {258: (8,)}),
        ("one format for three", rgb, {339: (1,)}),
        ("three formats", rgb, {339: (1, 1, 1)}),
        ("private tag", rgb, {65000: (7, 8, 9)}),
        ("page", rgb, {254: (2,)}),
        ("alpha", rgba, {338: (2,)}),
    ]:
        samples = values.shape[2]
        content = tiff(values.tobytes(), 8, 2, samples=samples, more=more)
        yield f"hand {name}", content, as_unit(values[..., :3]), EXACT


def pillow_images():
    """Yield names, PIL images and what they hold, of all modes that matter."""
    grey, rgb, rgba = (integers(n) for n in (1, 3, 4))
    bits = grey > 128
    yield "1", Image.fromarray(bits), as_unit(bits)
    yield "L", Image.fromarray(grey), as_unit(grey)
    yield "RGB", Image.fromarray(rgb), as_unit(rgb)
    yield "RGBA", Image.fromarray(rgba), as_unit(rgb)
    alpha = Image.fromarray(rgba[..., 3])
    yield "LA", Image.merge("LA", [Image.fromarray(grey), alpha]), as_unit(grey)
    palette = Image.frombytes("P", (WIDTH, HEIGHT), grey.tobytes())
    colours = integers(3).reshape(-1, 3)[:256]
    palette.putpalette(colours.tobytes())
    yield "P", palette, as_unit(colours[grey])
    cmyk = Image.frombytes("CMYK", (WIDTH, HEIGHT), rgba.tobytes())
    ink = as_unit(rgba)
    # Pillow multiplies in 8 bits.
    yield "CMYK", cmyk, (1 - ink[..., :3]) * (1 - ink[..., 3:])
    deep = integers(bits=16)
    yield "I;16", Image.fromarray(deep), as_unit(deep)
    floats = ramp()[..., 0].astype(np.float32)
    yield "F", Image.fromarray(floats), as_unit(floats)
    # It does not say what white is.
    yield "I", Image.fromarray(grey.astype(np.int32)), None


def files_of_pillow():
    """All modes in all formats that Pillow writes without loss."""
    compressions = ["raw", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits"]
    ways = [("TIFF", {"compression": compression}) for compression in compressions]
    ways += [("TIFF", {"compression": name}) for name in ("lzma", "zstd", "webp")]
    ways += [("TIFF", {"compression": n}) for n in ("group3", "group4", "tiff_ccitt")]
    ways += [
        ("TIFF", {"compression": "tiff_lzw", "tiffinfo": {317: 2}}),
        ("TIFF", {"compression": "tiff_adobe_deflate", "tiffinfo": {317: 2, 278: 5}}),
        ("PNG", {}),
        ("PNG", {"bits": 4}),
        ("BMP", {}),
        ("GIF", {}),
        ("PPM", {}),
        ("WEBP", {"lossless": True, "exact": True}),
        ("JPEG2000", {}),
        ("JPEG2000", {"num_resolutions": 2}),
        ("JPEG2000", {"no_jp2": True}),
    ]
    ways += [
        ("TIFF", {"compression": name, "tiffinfo": {266: 2}})
        for name in ("group3", "group4", "tiff_lzw")
    ]
    for (format, options), (mode, image, expected) in itertools.product(
        ways, pillow_images()
    ):
        # What is lost on writing: bits of indices, and alpha mixed into colours.
        if options.get("bits") and mode != "P":
            continue
        if (format == "GIF" and mode not in "1 L P") or (
            format == "WEBP" and mode not in "L RGB RGBA"
        ):
            continue
        if options.get("bits"):
            image = Image.fromarray(np.asarray(image) >> 4).convert("P")
            image.putpalette(integers(3).reshape(-1, 3)[:16].tobytes())
            expected = as_unit(integers(3).reshape(-1, 3)[np.asarray(image)])
        try:
            content = by_pillow(image, format, **options)
        except (OSError, KeyError, ValueError, RuntimeError, struct.error):
            # No such mode in this format, or a library is missing.
            continue
        # PNG and PNM have 16 bits for mode I.
        if mode == "I" and format in ("PNG", "PPM"):
            expected = np.atleast_3d(image) / 65535
        no_alpha = "no_jp2" in options and mode in ("LA", "RGBA")
        if no_alpha or (format == "JPEG2000" and mode == "CMYK"):
            expected = None
        if {266: 2} in options.values() and "lzw" in options["compression"]:
            expected = None
        label = " ".join(f"{k}={v}" for k, v in options.items())
        tolerance = 1.01 / 255 if mode == "CMYK" else EXACT
        yield f"Pillow {format} {mode} {label}", content, expected, tolerance


def files_with_orientation():
    """Formats with EXIF data other than TIFF."""
    image = Image.fromarray(integers(3))
    for orientation, (format, options) in itertools.product(
        range(10),
        [
            ("PNG", {}),
            ("WEBP", {"lossless": True}),
            ("JPEG", {"quality": 100, "subsampling": 0}),
            ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
        ],
    ):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        try:
            content = by_pillow(image, format, exif=exif, **options)
        except (OSError, KeyError):
            continue
        turn = TURNS.get(orientation, TURNS[1])
        yield (
            f"orientation {format} {orientation}",
            content,
            turn(as_unit(integers(3))),
            EXACT if format in ("PNG", "WEBP") else 4 / 255,
        )


def files_of_opencv():
    """All depths and numbers of channels in all formats that OpenCV writes."""
    for extension, bits, n_channels in itertools.product(
        (".png", ".tif", ".bmp", ".webp", ".jp2", ".pgm", ".ppm", ".pfm"),
        (8, 16, 32),
        (1, 3, 4),
    ):
        values = ramp(n_channels).astype(np.float32)
        if bits < 32:
            values = integers(n_channels, bits)
        settings = [()]
        if extension == ".tif":
            settings = [(cv2.IMWRITE_TIFF_COMPRESSION, c) for c in (1, 5, 8, 32773)]
        if extension == ".webp":
            settings = [(cv2.IMWRITE_WEBP_QUALITY, 101)]
        if extension == ".jp2":
            settings = [(cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)]
        for setting in settings:
            try:
                content = by_opencv(extension, values, *setting)
            except (cv2.error, AssertionError):
                continue
            # What it wrote, which may have fewer bits or channels.
            written = cv2.imdecode(
                np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED
            )
            if written is None or written.dtype != values.dtype:
                continue
            expected = as_unit(values)[..., :3]
            if extension == ".tif" and bits == 32 and n_channels > 1:
                expected = None
            if extension == ".jp2" and bits == 16 and n_channels > 1:
                expected = None
            if extension == ".pfm" and n_channels > 1:
                expected = None
            if extension == ".tif" and n_channels == 4:
                # It writes no ExtraSamples.
                expected = None
            yield (
                f"OpenCV {extension} {n_channels} x {bits} bits {setting}",
                content,
                expected,
                UPPER_BITS if bits == 16 and n_channels > 1 else EXACT,
            )


def pngs_by_hand():
    """All types of colour and depths, interlaced or not."""
    kinds = {0: (1, (1, 2, 4, 8, 16)), 2: (3, (8, 16)), 3: (1, (1, 2, 4, 8))}
    kinds |= {4: (2, (8, 16)), 6: (4, (8, 16))}
    for colour, (n_channels, depths) in kinds.items():
        for depth, interlace in itertools.product(depths, (False, True)):
            values = np.atleast_3d(integers(n_channels, depth))
            unit = as_unit(values, 2**depth - 1)
            expected = unit[..., : 1 if n_channels < 3 else 3]
            palette = integers(3).reshape(-1, 3)[: 2**depth]
            chunks = []
            if colour == 3:
                expected = as_unit(palette[values[..., 0]])
                chunks = [(b"PLTE", palette.tobytes())]
            transparent = {0: b"\0\1", 2: b"\0\1" * 3, 3: b"\0\x80"}.get(colour)
            more = [[], [(b"gAMA", struct.pack(">I", 100000))]]
            if transparent is not None:
                more.append([(b"tRNS", transparent)])
            for extra in more:
                names = "".join(name.decode() for name, _ in extra)
                yield (
                    f"hand PNG colour {colour} depth {depth} {names} "
                    f"{'interlaced' * interlace}",
                    png(values, depth, colour, [*chunks, *extra], interlace),
                    expected,
                    UPPER_BITS if depth == 16 and colour != 0 else EXACT,
                )


def bmps_by_hand():
    """Few bits with a palette, 16 and 32 bits with masks, and either direction."""
    for bits, top_down in itertools.product((1, 4, 8), (False, True)):
        colours = integers(3).reshape(-1, 3)[: 2**bits]
        indices = integers(bits=bits)
        entries = np.zeros((2**bits, 4), np.uint8)
        entries[:, :3] = colours[:, ::-1]
        yield (
            f"hand BMP {bits} bits {'top down' * top_down}",
            bmp(indices, bits, palette=entries.tobytes(), top_down=top_down),
            as_unit(colours[indices]),
            EXACT,
        )
    for name, masks in [
        ("555", (0x7C00, 0x3E0, 0x1F)),
        ("565", (0xF800, 0x7E0, 0x1F)),
    ]:
        widths = [int(digit) for digit in name]
        parts = [np.rint(ramp(3)[..., c] * (2**w - 1)) for c, w in enumerate(widths)]
        red, green, blue = (part.astype(np.uint16) for part in parts)
        values = red << (widths[1] + widths[2]) | green << widths[2] | blue
        expected = np.dstack(
            [p / (2**w - 1) for p, w in zip(parts, widths, strict=True)]
        )
        yield f"hand BMP {name}", bmp(values, 16, masks), expected, 1.01 / 255
    rgba = integers(4).astype(np.uint32)
    values = rgba[..., 3] << 24 | rgba[..., 0] << 16 | rgba[..., 1] << 8 | rgba[..., 2]
    expected = as_unit(integers(3))
    yield "hand BMP 32 bits", bmp(values, 32), expected, EXACT
    masks = (0xFF0000, 0xFF00, 0xFF)
    yield "hand BMP 32 bits with masks", bmp(values, 32, masks), expected, EXACT


def pnms_by_hand():
    """Plain and binary, with all kinds of largest values."""
    for largest, n_channels, plain in itertools.product(
        (1, 15, 100, 255, 256, 1023, 4095, 65535), (1, 3), (False, True)
    ):
        values = np.rint(ramp(n_channels) * largest).astype(int)
        magic = {(1, False): 5, (3, False): 6, (1, True): 2, (3, True): 3}
        head = f"P{magic[n_channels, plain]}\n# by hand\n{WIDTH} {HEIGHT}\n{largest}\n"
        body = values.astype(">u2" if largest > 255 else "u1").tobytes()
        if plain:
            body = "\n".join(map(str, values.ravel())).encode()
        deep = largest > 255 and n_channels == 1
        yield (
            f"hand PNM {n_channels} channel(s) to {largest} {'plain' * plain}",
            head.encode() + body,
            values / largest,
            1e-5 if deep else 1.01 / 255 if largest != 255 else EXACT,
        )
    bits = ramp()[..., 0] > 0.5
    head = f"P4\n{WIDTH} {HEIGHT}\n".encode()
    # One is black.
    yield "hand PBM", head + pack(~bits, 1), as_unit(bits), EXACT
    floats = ramp()[::-1, :, 0]
    for order, scale in ("<", -1), (">", 1):
        head = f"Pf\n{WIDTH} {HEIGHT}\n{scale}\n".encode()
        content = head + floats.astype(order + "f4").tobytes()
        yield f"hand PFM {order}", content, as_unit(floats[::-1]), EXACT


def jpegs():
    """JPEG files and others with loss, as OpenCV decodes them."""
    for mode, image, _ in pillow_images():
        if mode not in "L RGB CMYK":
            continue
        for options, label in with_options(
            ({"quality": 30}, {"quality": 95}),
            ({}, {"progressive": True}),
            ({}, {"subsampling": 0}, {"subsampling": 2}),
            ({}, {"restart_marker_rows": 1}),
        ):
            content = by_pillow(image, "JPEG", **options)
            decoded = cv2.imdecode(
                np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB
            )
            yield f"JPEG {mode} {label}", content, as_unit(decoded), 3 / 255
    for mode in ("L", "RGB"):
        image = {name: image for name, image, _ in pillow_images()}[mode]
        content = by_pillow(image, "TIFF", compression="jpeg", quality=95)
        yield f"JPEG in TIFF {mode}", content, as_unit(np.asarray(image)), 12 / 255
        content = by_pillow(image, "WEBP", quality=80)
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
        yield f"WebP with loss {mode}", content, as_unit(decoded), 3 / 255


WRITERS = [
    tiffs_of_tifffile,
    tiffs_by_hand,
    files_of_pillow,
    files_with_orientation,
    files_of_opencv,
    pngs_by_hand,
    bmps_by_hand,
    pnms_by_hand,
    jpegs,
]


@functools.cache
def corpus():
    return [Case(*case) for writer in WRITERS for case in writer()]


# Other readers


def read_by_opencv(path):
    for flags in (cv2.IMREAD_UNCHANGED, cv2.IMREAD_COLOR):
        values = cv2.imread(path, flags)
        yield values[..., [2, 1, 0]] if values.ndim == 3 else values


def read_by_tifffile(path):
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        values = page.asarray()
        orientation = page.tags.get(274)
        if page.planarconfig == 2 and values.ndim == 3:
            values = np.moveaxis(values, 0, -1)
        if page.photometric == 3:
            values = page.colormap.T[values]
        if page.photometric == 0:
            is_unit = values.dtype.kind in "bf"
            values = (1 if is_unit else np.iinfo(values.dtype).max) - values
    yield values if orientation is None else TURNS[orientation.value](values)


def read_by_imageio(path):
    with open(path, "rb") as file:
        plugin = "tifffile" if file.read(2) in (b"II", b"MM") else "opencv"
    yield iio.imread(path, plugin=plugin)


READERS = {
    "OpenCV": read_by_opencv,
    "tifffile": read_by_tifffile,
    "imageio": read_by_imageio,
}


def differ(values, case):
    """Return whether values are not those of a case."""
    unit = as_unit(values)[..., :3]
    if unit.shape[:2] != case.expected.shape[:2]:
        return True
    return not np.abs(unit - case.expected).max() <= case.tolerance


def agrees(read, path, case):
    """Return whether another library finds what has to come out."""
    try:
        return not all(differ(values, case) for values in read(path))
    except Exception:
        return False


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What becomes of each case: pixels or an error, and which libraries agree."""
    path = str(tmp_path_factory.mktemp("corpus") / "image")
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in corpus():
            with open(path, "wb") as file:
                file.write(case.content)
            try:
                result = decode_image([path], 0)
                assert read_image_size([path], 0) == result.shape[:2], case.name
            except InvalidImageError as error:
                result = error
            names = [
                name
                for name, read in READERS.items()
                if case.expected is not None and agrees(read, path, case)
            ]
            found.append((case, result, names))
    return found


def test_every_image_is_equal_or_refused(results):
    wrong = [
        case.name
        for case, result, _ in results
        if isinstance(result, np.ndarray)
        and (case.expected is None or differ(result, case))
    ]
    assert wrong == []


@pytest.mark.filterwarnings("ignore")
def test_opened_images_are_equal_or_refused(results):
    wrong = []
    for case, _, _ in results:
        try:
            image = Image.open(io.BytesIO(case.content))
            pixels = decode_image([image], 0)
        except (OSError, InvalidImageError):
            continue
        # What has been loaded keeps its meaning.
        again = decode_image([image], 0)
        assert read_image_size([image], 0) == pixels.shape[:2]
        if case.expected is None or differ(pixels, case) or differ(again, case):
            wrong.append(case.name)
    assert wrong == []


def test_what_is_known_is_read(results):
    """Refusing all would be right, too."""
    refused = {
        case.name: result.problem
        for case, result, _ in results
        if case.expected is not None and isinstance(result, InvalidImageError)
    }
    assert refused == {}


def test_refusals_say_what_came_and_what_to_do(results):
    for case, result, _ in results:
        if isinstance(result, InvalidImageError):
            assert "expected" in result.problem, case.name
            assert " got " in result.problem, case.name
            assert "decoding failed" not in result.problem, case.name


def test_counts(results):
    """The corpus is large, and the truth is mostly that of other libraries, too."""
    counts = collections.Counter()
    for _, result, names in results:
        counts["refused" if isinstance(result, InvalidImageError) else "equal"] += 1
        for name in names or ["no other library"]:
            counts[name] += not isinstance(result, InvalidImageError)
    print(f"\n{len(results)} images: {dict(counts)}")
    assert len(results) >= 400
    assert counts["equal"] >= 400
    assert counts["no other library"] <= counts["equal"] / 4
