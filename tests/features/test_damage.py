"""Whole PNG files pass, and damage that Pillow would not mind is found."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from skgaussad.exceptions import InvalidImageError
from skgaussad.features._damage import find_damage
from skgaussad.features._decoding import load_image

PIXELS = np.arange(20 * 24, dtype=np.uint16).reshape(20, 24) * 100


def load(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    return load_image([path], 0, (20, 24), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"\x89PNG"])
def test_other_files_are_none_of_its_business(content):
    assert find_damage(content) is None


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
