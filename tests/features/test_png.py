"""PNG files with sound pixels pass, and damage that Pillow would not mind is found."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from skgaussad.exceptions import InvalidImageError
from skgaussad.features._decoding import decode_image, load_image, read_image_size
from skgaussad.features._png import is_png, select_chunks

PIXELS = np.arange(20 * 24, dtype=np.uint16).reshape(20, 24) * 100


def load(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    return load_image([path], 0, (20, 24), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"\x89PNG"])
def test_other_files_are_none_of_its_business(content):
    assert not is_png(content)


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
        assert select_chunks(whole) == content
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
        with pytest.raises(InvalidImageError, match="checksum of its pixels is wrong"):
            load(tmp_path, bytes(changed))
        # And where it was opened and not loaded.
        image = Image.open(io.BytesIO(changed))
        with pytest.raises(InvalidImageError, match="checksum of its pixels is wrong"):
            decode_image([image], 0)


def test_png_that_is_filled_up_with_zeros_is_refused(tmp_path):
    """As file systems leave it that had set room aside when the power went."""
    content = write_png()
    start = content.index(b"IDAT") + 4
    for length in range(start, len(content) - 16, 5):
        with pytest.raises(InvalidImageError, match="intact image"):
            load(tmp_path, content[:length].ljust(len(content), b"\0"))


def chunk(name, data, checksum=None):
    checksum = zlib.crc32(name + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"tEXt", b"a\0b", checksum=1),
        chunk(b"iCCP", b"no profile"),
        chunk(b"pHYs", b"ab"),
        chunk(b"gAMA", b""),
        chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * 2**26)),
        chunk(b"prVt", b"private"),
    ],
    ids=lambda content: content[4:8].decode(),
)
def test_chunks_that_do_not_touch_pixels_may_be_anything(
    tmp_path, monkeypatch, flag, behind, extra
):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", flag)
    content = write_png()
    position = content.index(b"IEND") - 4 if behind else 33
    pixels = load(tmp_path, content[:position] + extra + content[position:])
    assert read_image_size([tmp_path / "a.png"], 0) == (20, 24)
    np.testing.assert_allclose(pixels[..., 0], PIXELS / 65535, atol=1e-6)


@pytest.mark.parametrize("name", [b"IHDR", b"tRNS", b"eXIf"])
def test_other_chunks_are_checked(tmp_path, name):
    content = write_png()
    if name == b"IHDR":
        content = content[:20] + b"\1" + content[21:]
    else:
        content = content[:33] + chunk(name, b"\0\1", checksum=1) + content[33:]
    words = f"checksum of its chunk {name.decode()} is wrong"
    with pytest.raises(InvalidImageError, match=words):
        load(tmp_path, content)


@pytest.mark.parametrize("behind", [False, True])
def test_orientation_counts_where_it_stands(tmp_path, monkeypatch, behind):
    exif = Image.Exif()
    exif[0x0112] = 6
    content, extra = write_png(), chunk(b"eXIf", exif.tobytes()[6:])
    position = content.index(b"IEND") - 4 if behind else 33
    path = tmp_path / "a.png"
    path.write_bytes(content[:position] + extra + content[position:])
    assert decode_image([path], 0).shape == (24, 20, 1)
    # Nor is it decoded for that.
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    assert read_image_size([path], 0) == (24, 20)
