"""JPEG files that are decoded at a fraction of their size."""

import csv

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps
from sklearn.pipeline import make_pipeline

from skgaussad import (
    AugmentedDetector,
    DeepFeatureTransformer,
    MahalanobisDetector,
    TiledDetector,
    load,
    make_detector,
    save,
)
from skgaussad.commands._main import main
from skgaussad.exceptions import InvalidImageError
from skgaussad.export import to_onnx
from skgaussad.features import FeatureCache

SMALL = {"backbone": "test_resnet", "weights": None}
RESIZE = Image.Resampling.BICUBIC


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Paths of twelve JPEG files of 500 x 400 pixels, with details in each of them."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    paths = []
    for index in range(12):
        pixels = rng.integers(0, 256, size=(400, 500, 3), dtype=np.uint8)
        paths.append(str(folder / f"{index:02}.jpg"))
        Image.fromarray(pixels).save(paths[-1], quality=90)
    return paths


def transformer(image_size=64, **settings):
    return DeepFeatureTransformer(
        **SMALL, image_size=image_size, interpolation="bicubic", **settings
    )


def pixels_of(path, **settings):
    fitted = transformer(**settings).fit([path])
    return fitted.preprocessing_.load([path], 0)


def by_hand(path, fraction, size):
    """Pixels of a file at 1/fraction of its size, with Pillow's name for its half."""
    with Image.open(path) as image:
        width, height = image.size
        image.draft("RGB", (width // fraction, height // fraction))
        assert image.size == (-(-width // fraction), -(-height // fraction))
        turned = ImageOps.exif_transpose(image)
        return np.asarray(turned.resize(size, RESIZE), dtype=np.float32) / 255


@pytest.mark.parametrize(
    ("image_size", "fraction"),
    # Twice the side is the least that a side of 400 may become.
    [(25, 8), (26, 4), (50, 4), (51, 2), (100, 2), (101, 1), ((50, 10), 4)],
)
def test_a_file_is_reduced_to_twice_the_input_at_least(photos, image_size, fraction):
    height, width = np.broadcast_to(image_size, 2)
    got = pixels_of(photos[0], image_size=image_size, reduce_jpeg=True)
    expected = by_hand(photos[0], fraction, (width, height))
    np.testing.assert_array_equal(got, expected)
    whole = pixels_of(photos[0], image_size=image_size)
    assert (got != whole).any() == (fraction > 1)
    # Of 255 grey levels, even of noise.
    assert np.abs(got - whole).max() < 16 / 255


def test_a_crop_counts(photos):
    got = pixels_of(photos[0], image_size=40, crop_pct=0.5, reduce_jpeg=True)
    with Image.open(photos[0]) as image:
        image.draft("RGB", (250, 200))
        resized = image.resize((100, 80), RESIZE).crop((30, 20, 70, 60))
    np.testing.assert_array_equal(got, np.asarray(resized, dtype=np.float32) / 255)


def test_orientation_is_applied(photos, tmp_path):
    path = tmp_path / "turned.jpg"
    with Image.open(photos[0]) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(path, exif=exif, quality=90)
    got = pixels_of(str(path), image_size=(64, 48), reduce_jpeg=True)
    np.testing.assert_array_equal(got, by_hand(path, 2, (48, 64)))


def test_other_files_arrays_and_images_are_not_reduced(photos, tmp_path):
    with Image.open(photos[0]) as image:
        pixels = np.asarray(image)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    whole, reducing = (
        transformer(reduce_jpeg=reduced).fit(photos) for reduced in (False, True)
    )
    for item in (str(path), pixels, Image.open(photos[0])):
        np.testing.assert_array_equal(
            whole.transform([item]), reducing.transform([item])
        )
    assert not np.array_equal(
        whole.transform(photos[:1]), reducing.transform(photos[:1])
    )


def test_a_file_that_lacks_its_end_is_an_error(photos, tmp_path, monkeypatch):
    path = tmp_path / "short.jpg"
    with open(photos[0], "rb") as file:
        path.write_bytes(file.read()[:20_000])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    fitted = transformer(reduce_jpeg=True).fit(photos)
    with pytest.raises(InvalidImageError, match="truncated"):
        fitted.transform([str(path)])


def test_the_cache_tells_them_apart(photos, tmp_path):
    cache = FeatureCache(tmp_path)
    for reduced in (False, True, False, True):
        cached = transformer(reduce_jpeg=reduced, cache=cache).fit_transform(photos)
        expected = transformer(reduce_jpeg=reduced).fit_transform(photos)
        np.testing.assert_array_equal(cached, expected)
    assert cache.info()["n_images"] == len(photos)


@pytest.fixture(scope="module")
def model(photos, tmp_path_factory):
    """Path of a model whose detector reduces files, and the detector."""
    detector = make_detector(
        **SMALL, image_size=64, fpr=0.2, pooling=2, reduce_jpeg=True
    ).fit(photos)
    path = tmp_path_factory.mktemp("model") / "m.skgaussad"
    save(detector, path)
    return path, detector


def test_a_model_file_keeps_it(model, photos, capsys):
    path, detector = model
    loaded = load(path)
    assert loaded[0].preprocessing_.reduce_jpeg is True
    np.testing.assert_array_equal(
        loaded.score_samples(photos), detector.score_samples(photos)
    )
    assert main(["info", str(path)]) == 0
    assert "JPEG files reduced while decoded" in capsys.readouterr().out


def test_the_command_scores_as_the_detector_does(model, photos, tmp_path):
    """It replaces files that cannot be used, and so decodes them itself."""
    path, detector = model
    output = tmp_path / "scores.csv"
    assert main(["score", str(path), *photos, "-o", str(output)]) == 0
    with open(output, newline="") as file:
        distances = [float(row["distance"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(distances, -detector.score_samples(photos), rtol=1e-3)


def test_the_command_fits_with_it(photos, tmp_path):
    path = tmp_path / "m.skgaussad"
    network = "--backbone", "test_resnet", "--weights", "none", "--image-size", "64"
    options = "--fpr", "0.2", "--reduce-jpeg", "--quiet", "--pooling", "2"
    assert main(["fit", *photos, "-o", str(path), *network, *options]) == 0
    assert load(path)[0].preprocessing_.reduce_jpeg


def test_where_files_are_not_decoded_by_the_transformer_it_is_an_error(
    photos, model, tmp_path
):
    pipeline = make_pipeline(transformer(reduce_jpeg=True), MahalanobisDetector())
    for detector in (TiledDetector(pipeline), AugmentedDetector(pipeline)):
        with pytest.raises(ValueError, match="reduce_jpeg of the .* has no effect"):
            detector.fit(photos)
    with pytest.raises(ValueError, match="Fit it with reduce_jpeg=False"):
        to_onnx(model[1], tmp_path / "m.onnx", images=photos[:2])
    assert not (tmp_path / "m.onnx").exists()
    with pytest.raises(ValueError, match="reduce_jpeg must be True or False; got 2"):
        transformer(reduce_jpeg=2).fit(photos)
