"""Thousands of damaged image files: each is decoded, or refused by name."""

import contextlib
import io
import itertools
import random
import signal
import struct
import time
import warnings
import zlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from skgaussad.exceptions import InvalidImageError
from skgaussad.features._decoding import load_image

SIZE = (16, 16)
# Seconds for one file of at most two kilobytes; a hang is ended after these.
TIME_LIMIT = 10


def make_picture():
    rng = np.random.default_rng(0)
    shades = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return shades.resize((24, 20), Image.Resampling.BICUBIC)


def encode(format, mode="RGB", **options):
    picture = make_picture()
    if mode == "I;16":
        grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
        picture = Image.fromarray(grey)
    else:
        picture = picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, format=format, **options)
    return file.getvalue()


EXIF = Image.Exif()
EXIF[0x0112] = 6
EXIF[0x010E] = "a description"

FILES = {
    "png": encode("PNG"),
    "png, palette": encode("PNG", "P"),
    "png, 16 bits": encode("PNG", "I;16"),
    "jpeg, exif": encode("JPEG", exif=EXIF),
    "jpeg, progressive": encode("JPEG", progressive=True),
    "jpeg, cmyk": encode("JPEG", "CMYK"),
    "tiff": encode("TIFF"),
    "tiff, lzw": encode("TIFF", compression="tiff_lzw"),
    "tiff, jpeg": encode("TIFF", compression="jpeg"),
    "tiff, deflate": encode("TIFF", compression="tiff_deflate"),
    "tiff, 16 bits": encode("TIFF", "I;16"),
    "bmp": encode("BMP"),
    "bmp, palette": encode("BMP", "P"),
    "gif": encode("GIF"),
    "webp": encode("WEBP"),
    "webp, lossless": encode("WEBP", lossless=True),
}
# How many files of each kind of damage are made of one of these.
N_OF_KIND = {
    "cut off": 80,
    "cut off and filled up": 40,
    "bits flipped": 70,
    "header edited": 70,
    "parts exchanged": 30,
    "a part removed": 30,
}
N_OF_FILE = sum(N_OF_KIND.values())


def damage(kind, data, rng):
    """Return a copy with one kind of damage."""
    changed = bytearray(data)
    length = rng.randrange(1, len(data))
    if kind == "cut off":
        return data[:length]
    if kind == "cut off and filled up":
        # As a download of which room was set aside, and that broke off.
        return data[:length].ljust(len(data), b"\0")
    if kind == "bits flipped":
        for _ in range(rng.choice([1, 1, 2, 5])):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif kind == "header edited":
        position = rng.randrange(min(200, len(changed)))
        changed[position] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    elif kind == "parts exchanged":
        n = rng.randrange(1, 16)
        a, b = (rng.randrange(len(data) - n) for _ in range(2))
        changed[a : a + n], changed[b : b + n] = changed[b : b + n], changed[a : a + n]
    else:
        position = rng.randrange(len(data))
        del changed[position : position + rng.randrange(1, 40)]
    return bytes(changed)


class HangError(BaseException):
    """Not an Exception, which would be taken for one of Pillow."""


@contextlib.contextmanager
def time_limit():
    def interrupt(*args):
        raise HangError

    started = time.monotonic()
    if hasattr(signal, "setitimer"):
        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
    try:
        yield
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < TIME_LIMIT


def load(path):
    """Return the pixels, or None if the file was refused by its name."""
    try:
        with time_limit():
            pixels = load_image([path], 0, SIZE, Image.Resampling.BILINEAR)
    except InvalidImageError as error:
        assert error.index == 0
        assert error.item == repr(str(path))
        assert error.problem.startswith(("expected ", "the file "))
        assert error.problem.endswith(".")
        return None
    assert pixels.shape == (*SIZE, 3)
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    return pixels


def test_corpus_has_five_thousand_files():
    assert len(FILES) * N_OF_FILE >= 5000


@pytest.mark.parametrize("name", FILES)
@pytest.mark.slow
def test_damaged_files_are_decoded_or_refused(tmp_path, name, tell):
    """Where warnings are errors and where not; the one thing that warns is EXIF."""
    data = FILES[name]
    path = tmp_path / "a file"
    path.write_bytes(data)
    whole = load(path)
    assert whole is not None
    rng = random.Random(name)
    outcomes, messages = Counter(), set()
    for kind, n in N_OF_KIND.items():
        for _ in range(n):
            path.write_bytes(damage(kind, data, rng))
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                strict = load(path)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                pixels = load(path)
            if strict is not None:
                np.testing.assert_array_equal(strict, pixels)
            if pixels is None:
                outcome = "refused"
            elif np.array_equal(pixels, whole):
                outcome = "same pixels"
            else:
                outcome = "other pixels"
                messages.update(str(warning.message) for warning in caught)
            outcomes[kind, outcome] += 1
    n_of_outcome = Counter()
    for (_, outcome), n in outcomes.items():
        n_of_outcome[outcome] += n
    counts = ", ".join(f"{n} {outcome}" for outcome, n in sorted(n_of_outcome.items()))
    tell(f"broken images: {outcomes.total()} of {name}: {counts}")

    assert outcomes.total() == N_OF_FILE
    assert outcomes["cut off", "other pixels"] == 0
    assert outcomes["cut off", "refused"] > N_OF_KIND["cut off"] / 2
    if name != "jpeg, exif":
        assert not messages
    if name.startswith("png"):
        # Everything that the pixels depend on has a checksum.
        assert sum(n for (_, outcome), n in outcomes.items() if outcome[0] == "o") == 0


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_chunks_of_png_in_another_order(tmp_path, order):
    """Only the right order gives the picture, and no order gives another one."""
    path = tmp_path / "a.png"
    path.write_bytes(FILES["png, palette"])
    whole = load(path)
    signature, chunks = split_png(FILES["png, palette"])
    assert [chunk[4:8] for chunk in chunks] == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    path.write_bytes(signature + b"".join(chunks[i] for i in order))
    pixels = load(path)
    if pixels is not None:
        np.testing.assert_array_equal(pixels, whole)
    if order[0] != 0:
        assert pixels is None


def split_png(data):
    """Return the signature, and the chunks with their lengths and checksums."""
    chunks, position = [], 8
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        chunks.append(data[position : position + length + 12])
        position += length + 12
    return data[:8], chunks


def inflate(name):
    """Return a file of a few bytes whose header announces 60,000 x 60,000 pixels."""
    data = bytearray(FILES[name])
    side = 60_000
    if name == "png":
        data[16:24] = struct.pack(">II", side, side)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif name == "bmp":
        data[18:26] = struct.pack("<ii", side, side)
    elif name == "gif":
        data[6:10] = struct.pack("<HH", side, side)
    else:
        (directory,) = struct.unpack_from("<I", data, 4)
        (n_entries,) = struct.unpack_from("<H", data, directory)
        for i in range(n_entries):
            start = directory + 2 + 12 * i
            if struct.unpack_from("<H", data, start)[0] in (256, 257, 278):
                struct.pack_into("<HII", data, start + 2, 4, 1, side)
    return bytes(data)


@pytest.mark.parametrize("name", ["png", "bmp", "gif", "tiff"])
def test_decompression_bombs_are_refused_with_the_limit(tmp_path, name):
    path = tmp_path / "bomb"
    path.write_bytes(inflate(name))
    limit = f"twice PIL.Image.MAX_IMAGE_PIXELS = {Image.MAX_IMAGE_PIXELS} pixels"
    with time_limit(), pytest.raises(InvalidImageError, match=limit) as caught:
        load_image([path], 0, SIZE, Image.Resampling.BILINEAR)
    assert "3600000000 pixels" in str(caught.value)


def test_limit_is_named_where_warnings_are_errors(tmp_path, monkeypatch):
    """Up to twice the limit Pillow warns, which an error of decoding would hide."""
    path = tmp_path / "a.png"
    path.write_bytes(FILES["png"])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    words = "at most PIL.Image.MAX_IMAGE_PIXELS = 300 pixels where warnings are errors"
    with pytest.raises(InvalidImageError, match=words):
        load_image([path], 0, SIZE, Image.Resampling.BILINEAR)


def test_text_that_inflates_is_not_read(tmp_path):
    """A PNG of a few kilobytes whose comment would take 64 MiB."""
    content = b"k\0\0" + zlib.compress(b"\0" * 2**26)
    chunk = struct.pack(">I", len(content)) + b"zTXt" + content
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + content))
    signature, (header, *others) = split_png(FILES["png"])
    data = signature + header + chunk + b"".join(others)
    assert len(data) < 2**17
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with time_limit():
        pixels = load_image([path], 0, SIZE, Image.Resampling.BILINEAR)
    path.write_bytes(FILES["png"])
    expected = load_image([path], 0, SIZE, Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pixels, expected)
