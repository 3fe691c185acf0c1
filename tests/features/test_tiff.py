"""TIFF files that Pillow decodes rightly pass, and others are refused by name."""

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from skgaussad.exceptions import InvalidImageError
from skgaussad.features._decoding import decode_image, load_image, read_image_size
from skgaussad.features._tiff import DamagedDirectoryError, is_tiff, read_directory

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


def read(content):
    return read_directory(io.BytesIO(content))


def load(tmp_path, content):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    return load_image([path], 0, (20, 24), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_whole_files_pass(tmp_path, order, big):
    content = write(order, big)
    assert read(content).is_last
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
    assert read(file.getvalue()).tags[256] == (30,)


@pytest.mark.parametrize(
    "content", [b"", b"II", b"MM\0", b"II\0\0", b"IIxx", b"\x89PNG"]
)
def test_other_files_are_none_of_its_business(content):
    assert not is_tiff(content)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "entries, damage",
    [
        ({258: (131, 1, 16)}, "tag 258 cannot be read"),
        ({258: (3, 0, 16)}, "tag 258 cannot be read"),
        ({258: (4, 9, 10**6)}, "tag 258 cannot be read"),
        ({277: (3, 2, 1)}, "tag 277 has 2 values"),
        # Found by fuzzing: Pillow does not turn the image.
        ({274: (1, 1, 6)}, "tag 274 cannot be read"),
        ({339: (131, 1, 1)}, "tag 339 cannot be read"),
        ({347: (7, 900, 0), 532: (1, 900, 0)}, "more values than the file bytes"),
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
        with pytest.raises(DamagedDirectoryError, match="cut short"):
            read(content[:end])
    with pytest.raises(InvalidImageError, match="directory is cut short"):
        load(tmp_path, content[:-1])


@pytest.mark.parametrize("following", [8 + PIXELS.nbytes, 2**31])
def test_no_second_directory_is_looked_at(tmp_path, following):
    """It may lead in a circle, or be one of thousands."""
    with pytest.raises(InvalidImageError, match="got several"):
        load(tmp_path, write(following=following))


def test_many_entries(tmp_path):
    content = bytearray(write(big=True))
    struct.pack_into("<Q", content, 16 + PIXELS.nbytes, 10**6)
    with pytest.raises(InvalidImageError, match="directory has 1000000 entries"):
        load(tmp_path, bytes(content))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "entries",
    [
        {65000: (2, 0, 0)},
        {270: (2, 0, 0)},
        # Pillow ends with this one, and does not see the tags behind it.
        {270: (2, 50, 10**6)},
        {306: (2, 20, 10**6)},
        {34665: (4, 1, 10**6)},
        {65000: (131, 1, 16)},
        {65000: (2, 2**31, 8)},
        {33432: (0, 0, 0), 50000: (77, 3, 4)},
        {65000: (1, 900, 0), 65001: (1, 900, 0)},
    ],
    ids=str,
)
def test_entries_that_do_not_touch_pixels_may_be_anything(
    tmp_path, order, big, entries
):
    """Scanners write empty descriptions and private tags."""
    if big and order == ">":
        pytest.skip("Pillow does not read BigTIFF with this byte order")
    with warnings.catch_warnings():
        # Pillow's, of what it skips.
        warnings.simplefilter("ignore", UserWarning)
        pixels = load(tmp_path, write(order, big, entries))
    np.testing.assert_allclose(pixels[..., 0], PIXELS / 65535, atol=1e-6)


@pytest.mark.parametrize(
    "entries, found",
    [
        ({278: (4, 1, 10)}, "1 strips or tiles of 2"),
        ({273: (4, 2, 8), 279: (4, 2, 8)}, "2 strips or tiles of 1"),
        ({278: (4, 1, 0)}, "1 strips or tiles of None"),
        ({322: (4, 1, 16), 323: (4, 1, 16), 324: (4, 4, 8)}, "strips and tiles"),
    ],
)
def test_strips_that_are_too_many_or_too_few(tmp_path, entries, found):
    """Pillow begins from the top again; found by fuzzing."""
    with pytest.raises(InvalidImageError, match=f"but it has {found};"):
        load(tmp_path, write(entries=entries))


def test_entry_that_comes_twice(tmp_path):
    content = write(entries={65000: (4, 1, 8)})
    twice = content.replace(struct.pack("<H", 65000), struct.pack("<H", 258))
    with pytest.raises(InvalidImageError, match="tag 258 comes twice"):
        load(tmp_path, twice)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("opened", [None, "opened", "loaded"])
def test_size_is_that_of_the_pixels(tmp_path, orientation, opened):
    """Whether Pillow exchanges the sides on opening, or later."""
    path = tmp_path / "a.tif"
    path.write_bytes(write(entries={274: (3, 1, orientation)}))
    expected = (24, 20) if orientation in (5, 6, 7, 8) else (20, 24)
    if opened is None:
        assert read_image_size([path], 0) == expected
        assert decode_image([path], 0).shape[:2] == expected
        return
    # Loaded from a path it is garbled by Pillow 13, which maps the file into memory.
    loaded = opened == "loaded"
    with Image.open(io.BytesIO(path.read_bytes()) if loaded else path) as image:
        if loaded:
            image.load()
        assert read_image_size([image], 0) == expected
        assert decode_image([image], 0).shape[:2] == expected
