"""Whole files of PNG and TIFF pass, and damage that Pillow would not mind is found."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from skgaussad.exceptions import InvalidImageError
from skgaussad.features._damage import find_damage
from skgaussad.features._decoding import load_image

PIXELS = np.arange(20 * 24, dtype=np.uint16).reshape(20, 24) * 100
# Width, height, bits, compression, photometric interpretation, offset of the strip,
# samples per pixel, rows per strip, bytes of the strip; all as LONG but the bits.
TAGS = {256: 24, 257: 20, 258: 16, 259: 1, 262: 1, 273: 0, 277: 1, 278: 20, 279: 960}


def write(order="<", big=False, entries=None, following=0):
    """Return a grey file of 16 bits, its pixels first and its directory last."""
    offset, count = ("Q", "Q") if big else ("I", "H")
    header = 16 if big else 8
    entries = {tag: (4, 1, value) for tag, value in TAGS.items()} | (entries or {})
    if entries[273][2] == 0:
        entries[273] = (4, 1, header)
    data = PIXELS.astype(order + "u2").tobytes()
    start = header + len(data)
    content = {"<": b"II", ">": b"MM"}[order]
    content += struct.pack(order + "H", 43 if big else 42)
    content += struct.pack(order + "HH", 8, 0) if big else b""
    content += struct.pack(order + offset, start) + data
    content += struct.pack(order + count, len(entries))
    for tag, (kind, n_values, value) in sorted(entries.items()):
        content += struct.pack(f"{order}HH{offset}", tag, kind, n_values)
        packed = struct.pack(order + {3: "H", 4: "I"}.get(kind, "I"), value)
        content += packed.ljust(8 if big else 4, b"\0")
    return content + struct.pack(order + offset, following)


def load(tmp_path, content):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    return load_image([path], 0, (20, 24), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_whole_files_pass(tmp_path, order, big):
    content = write(order, big)
    assert find_damage(content) is None
    if big and order == ">":
        # Pillow 13 identifies it, and cannot read it.
        with pytest.raises(InvalidImageError):
            load(tmp_path, content)
        return
    np.testing.assert_allclose(
        load(tmp_path, content)[..., 0], PIXELS / 65535, atol=1e-6
    )


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate"])
def test_what_pillow_writes_passes(mode, compression):
    file = io.BytesIO()
    image = Image.new(mode, (30, 7))
    image.save(file, "TIFF", compression=compression, dpi=(72, 72), description="ä")
    assert find_damage(file.getvalue()) is None


@pytest.mark.parametrize(
    "content", [b"", b"II", b"MM\0", b"II\0\0", b"IIxx", b"\x89PNG"]
)
def test_other_files_are_none_of_its_business(content):
    assert find_damage(content) is None


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "entries, damage",
    [
        ({258: (131, 1, 16)}, "tag 258 cannot be read"),
        ({258: (3, 0, 16)}, "tag 258 cannot be read"),
        ({258: (4, 9, 10**6)}, "tag 258 cannot be read"),
        ({277: (3, 2, 1)}, "tag 277 has 2 values"),
        ({65000: (2, 2**31, 8)}, "tag 65000 cannot be read"),
    ],
    ids=str,
)
def test_what_pillow_would_skip_is_refused(tmp_path, order, big, entries, damage):
    """Sixteen bits would be read as one, for the number of bits is skipped."""
    with pytest.raises(InvalidImageError, match=f"expected an intact.*{damage}"):
        load(tmp_path, write(order, big, entries))


@pytest.mark.parametrize("big", [False, True])
def test_directory_that_is_cut_short(tmp_path, big):
    content = write(big=big)
    start = content.index(struct.pack("<HHI", 256, 4, 1)) - (8 if big else 2)
    for end in (*range(4, 16), *range(start, len(content))):
        assert find_damage(content[:end]) == "its directory is cut short"
    with pytest.raises(InvalidImageError, match="directory is cut short"):
        load(tmp_path, content[:-1])


def test_directories_in_a_circle():
    start = 8 + PIXELS.nbytes
    assert find_damage(write(following=start)) == "its directories lead in a circle"
    # Whatever else is there instead of a directory.
    assert find_damage(write(following=2**31)) == "its directory is cut short"


def write_png(pieces=1):
    """Return a grey file of 16 bits, its pixels in some pieces of about equal size."""
    pixels = b"".join(b"\0" + row.tobytes() for row in PIXELS.astype(">u2"))
    data = zlib.compress(pixels)
    cuts = [len(data) * i // pieces for i in range(pieces + 1)]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 24, 20, 16, 0, 0, 0, 0))]
    chunks += [(b"IDAT", data[cuts[i] : cuts[i + 1]]) for i in range(pieces)]
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in [*chunks, (b"IEND", b"")]:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        content += struct.pack(">I", len(data)) + name + data + checksum
    return content


@pytest.mark.parametrize("pieces", [1, 3])
def test_png_with_right_checksums_passes(tmp_path, pieces):
    content = write_png(pieces)
    assert content.count(b"IDAT") == pieces
    for whole in (content, content[:-12], content + b"something else"):
        assert find_damage(whole) is None
        np.testing.assert_allclose(
            load(tmp_path, whole)[..., 0], PIXELS / 65535, atol=1e-6
        )


@pytest.mark.parametrize("piece", range(3))
def test_png_with_a_wrong_checksum_is_refused(tmp_path, piece):
    content = write_png(3)
    position = -1
    for _ in range(piece + 1):
        position = content.index(b"IDAT", position + 1)
    (length,) = struct.unpack_from(">I", content, position - 4)
    for offset in (4, 4 + length // 2, 3 + length, 4 + length, 7 + length):
        changed = bytearray(content)
        changed[position + offset] ^= 1
        assert find_damage(bytes(changed)) == "the checksum of its pixels is wrong"
        with pytest.raises(InvalidImageError, match="checksum of its pixels is wrong"):
            load(tmp_path, bytes(changed))


def test_png_that_is_filled_up_with_zeros_is_refused(tmp_path):
    """As file systems leave it that had set room aside when the power went."""
    content = write_png()
    start = content.index(b"IDAT") + 4
    for length in range(start, len(content) - 16, 5):
        with pytest.raises(InvalidImageError, match="intact image"):
            load(tmp_path, content[:length].ljust(len(content), b"\0"))
