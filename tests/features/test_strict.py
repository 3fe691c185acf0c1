"""Truncated files are refused, whatever `PIL.ImageFile.LOAD_TRUNCATED_IMAGES` says."""

import io
import threading
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile

from skgaussad.exceptions import InvalidImageError
from skgaussad.features._decoding import decode_image

rng = np.random.default_rng(0)
NOISE = rng.integers(0, 256, (60, 50, 3), dtype=np.uint8)
FILES = {
    "jpeg": ("RGB", "JPEG", {}),
    "progressive jpeg": ("RGB", "JPEG", {"progressive": True}),
    "grey jpeg": ("L", "JPEG", {}),
    "png": ("RGB", "PNG", {}),
    "png of 16 bits": ("I;16", "PNG", {}),
    "tiff": ("RGB", "TIFF", {}),
    "tiff in planes": ("RGB", "planes", {}),
    "tiff in strips": ("RGB", "TIFF", {"tiffinfo": {278: 7}}),
    "tiff lzw": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "tiff jpeg": ("RGB", "TIFF", {"compression": "jpeg"}),
    "bmp": ("RGB", "BMP", {}),
    "gif": ("L", "GIF", {}),
    "webp": ("RGB", "WEBP", {}),
    "jp2": ("RGB", "JPEG2000", {}),
    "ppm": ("RGB", "PPM", {}),
    "pgm of 16 bits": ("I;16", "PPM", {}),
    "pfm": ("F", "PPM", {}),
    "avif": ("RGB", "AVIF", {}),
}


def write(name):
    mode, format, options = FILES[name]
    image = Image.fromarray(NOISE)
    if mode == "I;16":
        image = Image.fromarray(NOISE[..., 0].astype(np.uint16) * 256)
    elif mode == "F":
        image = Image.fromarray(NOISE[..., 0] / np.float32(255))
    else:
        image = image.convert(mode)
    file = io.BytesIO()
    if format == "planes":
        tifffile = pytest.importorskip("tifffile")
        tifffile.imwrite(file, np.moveaxis(NOISE, -1, 0), photometric="rgb")
        return file.getvalue()
    try:
        image.save(file, format, **options)
    except (OSError, KeyError, NotImplementedError):
        pytest.skip("this Pillow does not write it")
    return file.getvalue()


def decode(item):
    """Return the pixels or None if the item is refused."""
    with warnings.catch_warnings():
        # Pillow's, of EXIF data and truncated files.
        warnings.simplefilter("ignore")
        try:
            return decode_image([item], 0).tolist()
        except InvalidImageError:
            return None


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_results_do_not_depend_on_the_flag(tmp_path, monkeypatch, name, opened):
    content = write(name)
    path = tmp_path / "a"
    path.write_bytes(content)
    whole, n_refused = decode(path), 0
    for cut in (1, 2, 3, 5, 30, *range(50, len(content), len(content) // 9)):
        path.write_bytes(content[:-cut])
        found = []
        for flag in (False, True):
            monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", flag)
            item = path
            if opened:
                try:
                    item = Image.open(io.BytesIO(content[:-cut]))
                except (OSError, SyntaxError):
                    found.append(None)
                    continue
            found.append(decode(item))
        assert all(result == found[0] for result in found), cut
        assert found[0] in (None, whole), cut
        n_refused += found[:1] == [None]
    assert n_refused >= 6
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path.write_bytes(content)
    assert decode(path) is not None


@pytest.mark.parametrize("name", ["jpeg", "png", "bmp", "gif"])
def test_damaged_pixels_do_not_depend_on_the_flag(tmp_path, monkeypatch, name):
    content = write(name)
    path = tmp_path / "a"
    for position in range(len(content) // 3, len(content), len(content) // 20):
        damaged = content[:position] + b"\xff\xd0\0\xff" + content[position + 4 :]
        path.write_bytes(damaged)
        found = []
        for flag in (False, True):
            monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", flag)
            found.append(decode(path))
        assert found[0] == found[1], position


def test_loaded_image_that_was_truncated_is_refused(monkeypatch):
    """As far as Pillow lets it be seen, which is for JPEG."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    image = Image.open(io.BytesIO(write("jpeg")[:-500]))
    image.load()
    assert decode(image) is None


def test_image_of_the_user_is_left_as_it_was():
    """An error leaves it unloaded, and no trace of how it was decoded."""
    image = Image.open(io.BytesIO(write("jpeg")[:-500]))
    tiles = image.tile
    assert decode(image) is None
    assert image.tile == tiles
    with pytest.raises(OSError, match="truncated"):
        image.load()


def test_one_image_in_several_threads():
    image = Image.open(io.BytesIO(write("png")))
    results, barrier = [], threading.Barrier(8)

    def work():
        barrier.wait()
        results.append(decode(image))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [NOISE.tolist()] * 8
