"""Tests of where tiles lie, and that images are decoded once for all of theirs."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from skgaussad import DeepFeatureTransformer
from skgaussad.exceptions import InvalidImageError
from skgaussad.features import _tiles
from skgaussad.features._decoding import read_image_size
from skgaussad.features._tiles import TiledImages, TileGrid

sides = st.integers(1, 60)


@settings(max_examples=200, deadline=None)
@given(sides, sides, sides, sides, st.floats(0, 0.99))
def test_tiles_cover_the_image_and_overlap(height, width, tall, wide, overlap):
    grid = TileGrid.covering((height, width), (tall, wide), overlap)
    covered = np.zeros((height, width), dtype=int)
    for index in range(len(grid)):
        box = grid.box(index)
        # Slices beyond the border would be cut short.
        assert covered[box].shape == (min(tall, height), min(wide, width))
        covered[box] += 1
    assert covered.min() >= 1
    assert grid.image_size == (height, width)
    for starts, side in ((grid.tops, tall), (grid.lefts, wide)):
        assert starts[0] == 0
        steps = np.diff(starts)
        assert (steps >= 1).all()
        # A step of one pixel is the least, whatever the overlap.
        common = side - steps
        assert ((common >= overlap * side - 1e-6) | (steps == 1)).all()
        # No tile more than needed: the one before the last does not reach the border.
        assert len(starts) < 3 or starts[-1] - starts[-3] > steps[0]


@pytest.mark.parametrize(
    ("image_size", "tile_size", "overlap", "tops", "lefts"),
    [
        ((100, 100), (50, 50), 0, (0, 50), (0, 50)),
        ((101, 100), (50, 50), 0, (0, 50, 51), (0, 50)),
        ((64, 200), (64, 64), 0.25, (0,), (0, 48, 96, 136)),
        ((64, 160), (64, 64), 0.5, (0,), (0, 32, 64, 96)),
        ((30, 20), (64, 16), 0.25, (0,), (0, 4)),
        ((10, 10), (10, 1), 0.9, (0,), tuple(range(10))),
        # 10 * (1 - 0.9) is a little less than 1.
        ((12, 30), (10, 30), 0.9, (0, 1, 2), (0,)),
    ],
)
def test_where_tiles_lie(image_size, tile_size, overlap, tops, lefts):
    grid = TileGrid.covering(image_size, tile_size, overlap)
    assert (grid.tops, grid.lefts) == (tops, lefts)
    assert grid.shape == (len(tops), len(lefts))
    assert grid.tile_size == tuple(map(min, image_size, tile_size))
    assert grid.box(len(lefts) - 1)[1] == slice(lefts[-1], image_size[1])


# Cutting


@pytest.fixture
def decoded(monkeypatch):
    """Positions of the images that have been decoded."""
    rows = []
    decode = _tiles.decode_image

    def counting(images, row, max_value):
        rows.append(row)
        return decode(images, row, max_value)

    monkeypatch.setattr(_tiles, "decode_image", counting)
    return rows


def make_tiles(images, rows=None, tile_size=(16, 20), on_done=lambda n: None):
    rows = range(len(images)) if rows is None else rows
    sizes = [read_image_size(images, row) for row in rows]
    grids = [TileGrid.covering(size, tile_size, 0.25) for size in sizes]
    return TiledImages(images, rows, grids, on_done)


def test_tiles_are_those_of_the_images_in_order(images, decoded):
    n_done = []
    tiles = make_tiles(images, on_done=n_done.append)
    index = 0
    for image, (picture, grid) in enumerate(zip(images, tiles.grids, strict=True)):
        assert tiles.starts[image] == index
        for top in grid.tops:
            for left in grid.lefts:
                expected = np.atleast_3d(picture)[top : top + 16, left : left + 20]
                np.testing.assert_array_equal(tiles[index], expected)
                assert tiles.of_image[index] == image
                index += 1
        assert len(n_done) == image + 1
    assert len(tiles) == index
    assert decoded == list(range(len(images)))
    assert not tiles._decoded
    with pytest.raises(IndexError):
        tiles[index]


def test_tiles_are_standardized_by_their_image(images, decoded):
    plain = make_tiles(images)
    tiles = TiledImages(images, range(len(images)), plain.grids, int, True)
    for index, tile in enumerate(tiles):
        image = np.atleast_3d(images[tiles.of_image[index]])
        expected = (plain[index] / 255.0 - image.mean() / 255) * 0.2
        expected = np.clip(expected / (image.std() / 255) + 0.5, 0, 1)
        np.testing.assert_allclose(tile, expected, rtol=0, atol=1e-6)
    assert decoded.count(0) == 2


def test_some_images_of_many(images, decoded):
    tiles = make_tiles(images, rows=[2, 5])
    list(tiles)
    assert decoded == [2, 5]


def test_images_of_all_kinds(images, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(images[0]).save(path)
    deep = images[0].astype(np.uint16) * 200
    for image, expected in (
        (path, images[0]),
        (Image.fromarray(images[0]), images[0]),
        (images[0] / 255, images[0]),
        (deep, deep.astype(np.float32) / 65535),
    ):
        tiles = make_tiles([image], tile_size=(40, 60))
        np.testing.assert_array_equal(tiles[0], expected)


def test_few_images_are_kept_in_whatever_order_they_are_asked_for(images):
    done = []
    tiles = make_tiles(images, on_done=done.append)
    order = np.random.default_rng(0).permutation(len(tiles))
    for index in [*order, *order]:
        expected = make_tiles(images)[index]
        np.testing.assert_array_equal(tiles[index], expected)
        assert len(tiles._decoded) <= 4
    list(tiles)
    assert len(done) == len(images), "each image once, however often it is asked for"


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 0), (3, 2), (64, 1)])
def test_network_has_each_image_decoded_once(images, decoded, batch_size, num_workers):
    transformer = DeepFeatureTransformer(
        "test_resnet",
        weights=None,
        image_size=32,
        device="cpu",
        batch_size=batch_size,
        num_workers=num_workers,
    ).fit(images)
    transformer.transform(make_tiles(images))
    assert sorted(decoded) == list(range(len(images)))


def test_threads_get_the_same_tiles(images, decoded):
    tiles = make_tiles(images)
    expected = list(make_tiles(images))
    decoded.clear()
    found = [None] * len(tiles)

    def take(start):
        for index in range(start, len(tiles), 3):
            found[index] = tiles[index]

    threads = [threading.Thread(target=take, args=(start,)) for start in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_bad_image_is_named_by_its_own_position(images, tmp_path):
    path = tmp_path / "bad.png"
    path.write_bytes(b"no image")
    grids = [TileGrid.covering((40, 60), (16, 20), 0)] * 2
    tiles = TiledImages([images[0], path], [0, 1], grids, lambda n: None)
    with pytest.raises(InvalidImageError, match=r"^X\[1\] \('.*bad.png'\)"):
        tiles[len(grids[0])]


def test_tiles_that_do_not_cover_the_image_are_refused(tmp_path):
    """Else its lower or right part would not be looked at, without an error."""
    path = tmp_path / "a.png"
    Image.new("L", (30, 20)).save(path)
    for image_size in ((30, 20), (20, 20), (20, 40)):
        grid = TileGrid.covering(image_size, (10, 10), 0)
        tiles = TiledImages([path, path], [1], [grid], lambda _: None)
        words = f"height {image_size[0]} and width {image_size[1]}.*got 20 x 30"
        with pytest.raises(InvalidImageError, match=words) as caught:
            tiles[0]
        assert caught.value.index == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiles_see_all_of_an_image_that_is_turned(tmp_path, orientation):
    """Pillow exchanges the sides of TIFF images on opening since version 11."""
    values = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for extension in ("png", "tif"):
        path = tmp_path / f"a.{extension}"
        Image.fromarray(values).save(path, exif=exif)
        size = read_image_size([path], 0)
        assert size == ((30, 20) if orientation >= 5 else (20, 30))
        grid = TileGrid.covering(size, (10, 10), 0)
        tiles = list(TiledImages([path], [0], [grid], lambda _: None))
        seen = np.rint(65535 * np.stack(tiles)).astype(int)
        assert sorted(seen.ravel()) == list(range(600))
