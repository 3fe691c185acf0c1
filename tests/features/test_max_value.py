"""The value that is white in images of 16 bits, everywhere that images are read."""

import io
import json
import warnings

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.pipeline import Pipeline

import skgaussad
from skgaussad import (
    AugmentedDetector,
    DeepFeatureTransformer,
    MahalanobisDetector,
    TiledDetector,
    make_detector,
)
from skgaussad.augmentation import ImageAugmentation
from skgaussad.commands._main import main
from skgaussad.datasets import make_textures
from skgaussad.exceptions import DarkImagesWarning, InvalidImageError
from skgaussad.features._decoding import decode_image
from skgaussad.features._replaced_images import ReplacedImages
from skgaussad.inspection import AnomalyMapDisplay

pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)
WHITE = 1023
OPTIONS = [
    *("--backbone", "test_resnet", "--weights", "none", "--image-size", "48"),
    *("--levels", "4", "--pooling", "2", "--quiet"),
]


@pytest.fixture(scope="module")
def deep():
    """Images of 10 bits in uint16."""
    images = make_textures(12, 0, size=48, random_state=0).images[..., 0]
    noise = np.random.default_rng(0).integers(0, 4, images.shape)
    return (images.astype(np.uint16) * 4 + noise).astype(np.uint16)


@pytest.fixture(scope="module")
def unit(deep):
    """The same images as floats in [0, 1]."""
    return deep.astype(np.float32) / np.float32(WHITE)


@pytest.fixture
def paths(deep, tmp_path):
    found = []
    for index, image in enumerate(deep):
        path = tmp_path / f"{index:02d}.{'png' if index % 2 else 'tif'}"
        Image.fromarray(image).save(path)
        found.append(str(path))
    return found


def make_transformer(**parameters):
    return DeepFeatureTransformer(
        "test_resnet", weights=None, image_size=48, levels=4, device="cpu", **parameters
    )


def make_pipeline(**parameters):
    return Pipeline(
        [
            ("features", make_transformer(**parameters)),
            ("detector", MahalanobisDetector(fpr=0.2)),
        ]
    )


def test_all_forms_get_the_same_features(deep, unit, paths):
    transformer = make_transformer(max_value=WHITE).fit(deep)
    assert transformer.preprocessing_.max_value == WHITE
    expected = make_transformer().fit(unit).transform(unit)
    pil = [Image.fromarray(image) for image in deep]
    for images in (deep, paths, pil, unit, [*deep[:6], *unit[6:]]):
        np.testing.assert_allclose(
            transformer.transform(images), expected, rtol=1e-4, atol=1e-5
        )


def test_images_of_8_bits_have_their_own_range():
    images = make_textures(3, 0, size=48, random_state=0).images
    expected = make_transformer().fit(images).transform(images)
    found = make_transformer(max_value=WHITE).fit(images).transform(images)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("value", [0, -1, 65536, 1023.0, True, "1023"])
def test_values_that_no_16_bits_have(deep, value):
    with pytest.raises(ValueError, match="max_value must be"):
        make_transformer(max_value=value).fit(deep)


def test_larger_values_are_an_error(deep, paths):
    limit = int(deep[0].max()) - 1
    for item in (deep[0], paths[0], Image.fromarray(deep[0])):
        words = rf"max_value={limit} in an image of 16 bits, got {limit + 1}"
        with pytest.raises(InvalidImageError, match=words):
            decode_image([item], 0, limit)


def test_files_that_state_their_range_keep_it():
    values = np.rint(np.linspace(0, 1, 48).reshape(6, 8) * 4095).astype(int)
    body = values.astype(">u2").tobytes()
    pgm = io.BytesIO(b"P5 8 6 4095\n" + body)
    pixels = decode_image([Image.open(pgm)], 0, WHITE)
    np.testing.assert_allclose(pixels[..., 0], values / 4095, atol=1e-5)
    full = io.BytesIO(b"P5 8 6 65535\n" + body)
    with pytest.raises(InvalidImageError, match="at most max_value=1023"):
        decode_image([Image.open(full)], 0, WHITE)


def test_colours_of_16_bits_in_files_are_an_error(tmp_path):
    """Pillow reads the upper 8 bits, which may all be zero."""
    cv2 = pytest.importorskip("cv2")
    values = np.full((8, 9, 3), 900, np.uint16)
    for extension in ("png", "tif", "ppm"):
        path = tmp_path / f"a.{extension}"
        cv2.imwrite(str(path), values)
        for item in (path, Image.open(io.BytesIO(path.read_bytes()))):
            with pytest.raises(InvalidImageError, match="colours of more than 8 bits"):
                decode_image([item], 0, WHITE)
        assert decode_image([path], 0).max() <= 4
    np.testing.assert_allclose(decode_image([values], 0, WHITE), 900 / 1023, rtol=1e-6)


@pytest.mark.parametrize("kind", ["arrays", "paths"])
def test_cache_tells_ranges_apart(deep, paths, tmp_path, kind):
    """Multiples of 257 are an image of 8 bits with one range, and not with another."""
    images = deep if kind == "arrays" else paths
    if kind == "arrays":
        images = (deep // 257) * np.uint16(257)
    cache = tmp_path / "cache"
    for white in (None, WHITE, 4095, None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DarkImagesWarning)
            cached = make_transformer(cache=cache, max_value=white).fit(images)
            plain = make_transformer(max_value=white).fit(images)
        np.testing.assert_allclose(
            cached.transform(images), plain.transform(images), rtol=1e-4, atol=1e-5
        )
    same = [np.full((8, 9), 257 * 3, np.uint16), np.full((8, 9), 3, np.uint8)]
    cached = make_transformer(cache=cache, max_value=WHITE).fit(deep)
    rows = cached.transform(same)
    assert np.abs(rows[0] - rows[1]).max() > 1e-3


@pytest.mark.parametrize("standardize", [False, True])
def test_tiles(deep, unit, paths, standardize):
    def scores(images, **parameters):
        pipeline = make_pipeline(standardize_intensity=standardize, **parameters)
        pipeline.set_params(detector__fpr=0.05)
        return TiledDetector(pipeline, tile_size=24).fit(images).score_samples(images)

    np.testing.assert_allclose(
        scores(paths, max_value=WHITE), scores(unit), rtol=1e-3, atol=1e-5
    )


def test_augmented_images(deep, unit, paths):
    """What is added to or multiplied with images has to know their range."""

    def scores(images, **parameters):
        detector = AugmentedDetector(make_pipeline(**parameters), n_epochs=3)
        return detector.fit(images).score_samples(images)

    np.testing.assert_allclose(scores(paths, max_value=WHITE), scores(unit), rtol=1e-3)
    augmentation = ImageAugmentation(p=1)
    np.testing.assert_allclose(
        augmentation.apply(deep[0], np.random.default_rng(0), max_value=WHITE),
        augmentation.apply(unit[0], np.random.default_rng(0)),
        atol=1e-5,
    )


def test_replaced_images(deep, unit, paths):
    transformer = make_transformer(max_value=WHITE).fit(deep)
    preprocessing = transformer.preprocessing_
    images = ReplacedImages([*paths[:2], "missing.png"], preprocessing)
    np.testing.assert_allclose(
        transformer.transform(images)[:2],
        transformer.transform(unit[:2]),
        rtol=1e-4,
        atol=1e-5,
    )
    assert list(images.errors) == [2]


def test_pictures_of_maps_are_as_bright_as_the_images(deep, unit):
    pytest.importorskip("matplotlib").use("agg")
    pipeline = make_pipeline(max_value=WHITE).fit(deep)
    display = AnomalyMapDisplay.from_estimator(pipeline, deep[:1])
    np.testing.assert_allclose(display.images[0][..., 0], unit[0], atol=1e-5)


def test_clones_and_files_keep_it(deep, tmp_path):
    pipeline = make_pipeline(max_value=WHITE).fit(deep)
    assert clone(pipeline)[0].max_value == WHITE
    skgaussad.save(pipeline, tmp_path / "m.skgaussad")
    loaded = skgaussad.load(tmp_path / "m.skgaussad")
    np.testing.assert_allclose(
        loaded.score_samples(deep), pipeline.score_samples(deep), rtol=1e-6
    )
    assert make_detector(max_value=WHITE)[0].max_value == WHITE


def test_graphs_are_for_8_bits(deep, tmp_path):
    pytest.importorskip("onnxruntime")
    from skgaussad.export import to_onnx

    with pytest.raises(ValueError, match="8 bits.*max_value=1023"):
        to_onnx(make_pipeline(max_value=WHITE).fit(deep), tmp_path / "a.onnx")


def test_command_line(unit, paths, tmp_path, capsys):
    folder, model = str(tmp_path), str(tmp_path / "m.skgaussad")
    white = ["--max-value", str(WHITE)]
    assert main(["fit", folder, "-o", model, *OPTIONS, *white]) == 0
    capsys.readouterr()
    assert main(["score", model, *paths, "missing.png", "--on-error", "record"]) in (
        0,
        1,
    )
    rows = capsys.readouterr().out.splitlines()
    found = [float(row.split(",")[1]) for row in rows[1:] if "missing" not in row]
    expected = -skgaussad.load(model).score_samples(unit)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert main(["info", model]) == 0
    assert "white is 1023 in 16 bits" in capsys.readouterr().out
    assert main(["info", model, "--json"]) == 0
    (network,) = json.loads(capsys.readouterr().out)["networks"]
    assert network["preprocessing"]["max_value"] == WHITE


def test_command_line_warns_of_dark_images(paths, tmp_path, capsys):
    assert main(["fit", str(tmp_path), "-o", str(tmp_path / "m"), *OPTIONS]) == 0
    assert "set max_value=1023" in capsys.readouterr().err


# The warning


def largest(value, dtype=np.uint16):
    image = np.full((4, 8, 9), value // 2, dtype)
    image[2, 3, 4] = value
    return image


@pytest.mark.parametrize(
    "value, suggestion",
    [(1023, 1023), (1000, 1023), (600, 1023), (4095, 4095), (1024, 2047), (260, 511)],
)
def test_dark_images_are_named_with_what_to_set(value, suggestion):
    words = f"largest value is {value} of 65535.*set max_value={suggestion},"
    with pytest.warns(DarkImagesWarning, match=words) as caught:
        make_transformer().fit(largest(value))
    assert caught[0].filename == __file__
    make_transformer(max_value=suggestion).fit(largest(value))


def test_one_bright_pixel_of_one_image_is_enough():
    make_transformer().fit(largest(4097))
    make_transformer().fit([*largest(1000), np.full((8, 9), 255, np.uint8)])


def test_range_that_is_set_counts():
    with pytest.warns(DarkImagesWarning, match="largest value is 250 of 4095"):
        make_transformer(max_value=4095).fit(largest(250))


def test_dark_images_of_8_bits():
    with pytest.warns(DarkImagesWarning, match="is 15 of 255.*exposure.*of uint16"):
        make_transformer().fit(largest(15, np.uint8))
    make_transformer().fit(largest(16, np.uint8))


def test_no_more_images_are_decoded_than_needed():
    with pytest.warns(DarkImagesWarning, match="No pixel of the first 256 training"):
        make_transformer().fit(np.full((300, 5, 5), 900, np.uint16))


def test_images_that_cannot_be_decoded_are_left_to_the_transform(tmp_path):
    (tmp_path / "a.png").write_text("text")
    transformer = make_transformer().fit([tmp_path / "a.png"])
    with pytest.raises(InvalidImageError):
        transformer.transform([tmp_path / "a.png"])
