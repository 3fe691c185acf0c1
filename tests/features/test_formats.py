"""Only the formats that are meant are opened, wherever an image is read."""

import contextlib
import io
import struct
import tracemalloc

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from skgaussad.exceptions import InvalidImageError
from skgaussad.features import IMAGE_EXTENSIONS, _examination
from skgaussad.features._decoding import decode_image, load_image, read_image_size
from skgaussad.features._formats import IMAGE_FORMATS
from skgaussad.features._identity import load_identified_image

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 20 10
%%EndComments
20 10 scale
%%EOF
"""


def make_xpm():
    rows = ",\n".join('"aaaaaaaa"' for _ in range(8))
    return f'/* XPM */\nstatic char *x[] = {{\n"8 8 1 1",\n"a c #ffffff",\n{rows}}};\n'


def make(name):
    """Return a file of a format that Pillow reads and that is not meant."""
    if name == "EPS":
        return EPS
    if name == "XPM":
        return make_xpm().encode()
    file = io.BytesIO()
    Image.new("RGB", (9, 8)).save(file, name)
    return file.getvalue()


@pytest.mark.parametrize("name", ["EPS", "XPM", "TGA", "PCX", "SGI"])
@pytest.mark.parametrize(
    "call",
    [
        lambda paths: load_image(paths, 0, (8, 8), Image.Resampling.BILINEAR),
        lambda paths: load_identified_image(
            paths, 0, (8, 8), Image.Resampling.BILINEAR
        ),
        lambda paths: decode_image(paths, 0),
        lambda paths: read_image_size(paths, 0),
    ],
    ids=["load", "load_identified", "decode", "size"],
)
@pytest.mark.parametrize("opened", [False, True])
def test_no_other_format_is_read(tmp_path, monkeypatch, name, call, opened):
    def start(*_, **__):
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    path = tmp_path / "a.png"
    path.write_bytes(make(name))
    with contextlib.ExitStack() as stack:
        item = stack.enter_context(Image.open(path)) if opened else path
        with pytest.raises(InvalidImageError, match="PNG, JPEG, .*TIFF"):
            call([item])


def test_extensions_are_those_of_the_formats():
    Image.init()
    known = Image.registered_extensions()
    expected = {name for name, kind in known.items() if kind in IMAGE_FORMATS}
    # Pillow may be built without one.
    missing = set(IMAGE_EXTENSIONS) - expected
    assert expected <= set(IMAGE_EXTENSIONS)
    assert all(name not in known for name in missing)


def test_image_that_was_converted_in_memory_is_read(tmp_path):
    Image.new("RGB", (9, 8), (1, 2, 3)).save(tmp_path / "a.tga")
    with Image.open(tmp_path / "a.tga") as opened:
        image = opened.convert("RGB")
    np.testing.assert_array_equal(decode_image([image], 0)[0, 0], [1, 2, 3])


def make_long_starts():
    """Yield names and starts of files that are filled up to gigabytes."""
    for format in ("PNG", "TIFF", "BMP", "JPEG"):
        file = io.BytesIO()
        Image.new("RGB", (9, 8)).save(file, format)
        yield format, file.getvalue()
        if format == "PNG":
            text = struct.pack(">I4s", 2**31 - 1, b"tEXt")
            yield "png with a text of 2 GB", file.getvalue()[:33] + text
    yield "zeros", b""


@pytest.mark.parametrize(
    "start", [pytest.param(start, id=name) for name, start in make_long_starts()]
)
@pytest.mark.parametrize("call", [decode_image, read_image_size])
def test_sparse_files_are_refused_before_they_are_read(tmp_path, start, call):
    """They may have any length, and take no space on the disk."""
    path = tmp_path / "a.png"
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(2**32)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidImageError, match="replace|as none of these"):
            call([path], 0)
        assert tracemalloc.get_traced_memory()[1] < 2**29 * 1.2
    finally:
        tracemalloc.stop()


def test_long_files_of_many_pixels_are_read(tmp_path, monkeypatch):
    """The limit grows with the pixels; here it starts with 2000 bytes."""
    monkeypatch.setattr(_examination, "_LONG_FILE", 2000)
    for name in ("a.png", "a.tif", "a.bmp"):
        pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
        np.testing.assert_array_equal(decode_image([tmp_path / name], 0), pixels)
        with open(tmp_path / name, "ab") as file:
            file.write(b"\0" * 70_000)
        with Image.open(tmp_path / name) as opened:
            for item in (tmp_path / name, opened):
                words = "at most 66000 bytes.* 50 x 40"
                with pytest.raises(InvalidImageError, match=words):
                    decode_image([item], 0)
