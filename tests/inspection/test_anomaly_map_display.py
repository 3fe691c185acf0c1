import numpy as np
import pytest
from PIL import Image
from sklearn.pipeline import make_pipeline

from skgaussad import (
    DeepFeatureTransformer,
    MahalanobisDetector,
    PositionDetector,
    TiledDetector,
)
from skgaussad.datasets import load_mvtec
from skgaussad.exceptions import InvalidImageError
from skgaussad.inspection import AnomalyMapDisplay, anomaly_maps

plt = pytest.importorskip("matplotlib.pyplot")
pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 20, 30, 3), dtype=np.uint8)
MAPS = [RNG.gamma(2, size=(20, 30)) - 2 for _ in IMAGES]


@pytest.fixture(autouse=True)
def close_figures():
    with plt.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def make_transformer():
    return DeepFeatureTransformer(
        "test_resnet", levels=3, weights=None, device="cpu", image_size=64
    )


def shown(ax):
    # A map lies over its image.
    image = ax.images[-1]
    return np.asarray(image.get_array())


def test_every_image_stands_above_its_map_and_mask():
    masks = [None, *(MAPS[i] > 2 for i in range(1, 7))]
    display = AnomalyMapDisplay.from_predictions(
        IMAGES, MAPS, masks=masks, titles=list("abcdefg"), n_columns=4
    )
    assert display.axes_.shape == (6, 4)
    for index in range(7):
        block, column = divmod(index, 4)
        image, drawn, mask = display.axes_[3 * block : 3 * block + 3, column]
        np.testing.assert_array_equal(shown(image), IMAGES[index])
        np.testing.assert_array_equal(shown(drawn), MAPS[index])
        expected = np.zeros((20, 30)) if index == 0 else masks[index]
        np.testing.assert_array_equal(shown(mask), expected)
        assert image.get_title() == "abcdefg"[index]
    assert all(ax is None for ax in display.axes_[3:, 3])
    labels = [ax.get_ylabel() for ax in display.axes_[:, 0]]
    assert labels == ["image", "map", "mask"] * 2


def test_columns_are_filled_evenly():
    display = AnomalyMapDisplay.from_predictions(IMAGES, MAPS, n_columns=6)
    assert display.axes_.shape == (4, 4)
    assert display._n_kinds == 2


def test_a_color_means_the_same_in_every_picture():
    first = AnomalyMapDisplay.from_predictions(IMAGES[:3], MAPS[:3])
    second = AnomalyMapDisplay.from_predictions(IMAGES[3:], [9 * m for m in MAPS[3:]])
    values = np.linspace(-1, 70, 50)
    colors = [
        drawn.to_rgba(values) for drawn in (*first.map_images_, *second.map_images_)
    ]
    for others in colors[1:]:
        np.testing.assert_array_equal(others, colors[0])
    bar = first.color_bar_
    np.testing.assert_array_equal(bar.mappable.to_rgba(values), colors[0])
    # Brighter and brighter from 0 to 60, the same beyond.
    brightness = colors[0][:, :3] @ [0.299, 0.587, 0.114]
    inside = (values > 0) & (values < 60)
    assert (np.diff(brightness[inside]) > 0).all()
    assert np.ptp(brightness[values > 60]) == np.ptp(brightness[values < 0]) == 0
    # Mixed with the image below, but nothing of it where the map is low.
    for drawn in first.map_images_:
        covered, of_map = drawn.get_alpha(), drawn.get_array()
        assert not covered[of_map <= 0.5].any()
        assert (covered[of_map >= 1] == 0.6).all()


def test_line_is_at_one_and_in_its_place():
    values = np.zeros((10, 15))
    values[2:5, 9:12] = 5
    display = AnomalyMapDisplay.from_predictions(IMAGES[:2], [values, 0 * values])
    contour, missing = display.contours_
    assert missing is None
    assert contour.levels.tolist() == [1]
    vertices = contour.get_paths()[0].vertices
    # Of pixels of the image, which has twice as many.
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    assert (low > [16, 2]).all() and (low < [18, 4]).all()
    assert (high > [23, 9]).all() and (high < [25, 11]).all()
    assert display.map_images_[0].get_extent() == [-0.5, 29.5, 19.5, -0.5]


def test_maps_are_those_of_the_pipeline():
    pipe = make_pipeline(make_transformer(), MahalanobisDetector()).fit(IMAGES)
    display = AnomalyMapDisplay.from_estimator(pipe, IMAGES[:2])
    expected = anomaly_maps(pipe, IMAGES[:2])
    for drawn, values in zip(display.map_images_, expected, strict=True):
        np.testing.assert_allclose(drawn.get_array(), values, rtol=1e-4, atol=1e-5)
    assert "at the threshold" in display.color_bar_.ax.get_ylabel()
    assert display.map_images_[0].norm.vmax == 60


def test_maps_are_those_of_tiles():
    pipe = make_pipeline(make_transformer(), MahalanobisDetector())
    detector = TiledDetector(pipe, tile_size=20).fit(IMAGES)
    display = AnomalyMapDisplay.from_estimator(detector, IMAGES[:2])
    expected = anomaly_maps(detector, IMAGES[:2])
    for drawn, values in zip(display.map_images_, expected, strict=True):
        np.testing.assert_allclose(drawn.get_array(), values, rtol=1e-4, atol=1e-5)
    assert "a tile of which all is 1" in display.color_bar_.ax.get_ylabel()
    assert display.map_images_[0].norm.vmax == 60


def test_maps_are_those_of_positions():
    detector = PositionDetector(make_transformer()).fit(IMAGES)
    display = AnomalyMapDisplay.from_estimator(detector, IMAGES[:2])
    expected = detector.anomaly_maps(IMAGES[:2])
    for drawn, values in zip(display.map_images_, expected, strict=True):
        np.testing.assert_allclose(drawn.get_array(), values, rtol=1e-4, atol=1e-5)
    assert "a position above 1" in display.color_bar_.ax.get_ylabel()
    assert display.map_images_[0].norm.vmax == 10


def test_maps_of_elsewhere_have_no_line():
    display = AnomalyMapDisplay.from_predictions(
        IMAGES[:2], MAPS[:2], meaning=None, limit=9
    )
    assert display.contours_ == []
    assert not display.color_bar_.ax.lines
    assert display.map_images_[0].norm.vmax == 9


def test_images_and_masks_of_all_kinds(tmp_path):
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[3:6] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(IMAGES[0]).save(tmp_path / "image.png")
    images = [
        tmp_path / "image.png",
        Image.fromarray(IMAGES[1]),
        IMAGES[2, :, :, 0],
        IMAGES[3].astype(np.uint16) * 257,
        IMAGES[4] / 255,
    ]
    masks = [tmp_path / "mask.png", str(tmp_path / "mask.png"), mask, mask > 0, None]
    display = AnomalyMapDisplay.from_predictions(images, MAPS[:5], masks=masks)
    drawn = [shown(ax) / ax.images[0].norm.vmax for ax in display.axes_[0]]
    for index in (0, 1):
        np.testing.assert_array_equal(drawn[index], IMAGES[index] / 255)
    np.testing.assert_allclose(np.squeeze(drawn[2]), IMAGES[2, :, :, 0] / 255)
    for index in (3, 4):
        np.testing.assert_allclose(drawn[index], IMAGES[index] / 255, atol=1e-6)
    for ax in display.axes_[2, :4]:
        np.testing.assert_array_equal(shown(ax), mask > 0)


def test_takes_the_place_of_axes():
    figure, axes = plt.subplots(1, 2, layout="constrained")
    display = AnomalyMapDisplay.from_predictions(IMAGES, MAPS, ax=axes[1])
    assert (display.ax_, display.figure_) == (axes[1], figure)
    figure.canvas.draw()
    right = axes[0].get_position().x1
    assert all(ax.get_position().x0 > right for ax in display.axes_.flat if ax)
    with pytest.raises(ValueError, match="ax must be one of a grid"):
        display.plot(ax=figure.add_axes([0, 0, 1, 1]))


def test_broken_cookies_are_drawn_without_overlaps(test_data):
    data = load_mvtec(test_data / "data" / "cookies", split="test")
    chosen = np.r_[0:3, -3:0]
    masks = data.mask_paths[chosen]
    display = AnomalyMapDisplay.from_predictions(
        data.paths[chosen],
        [RNG.gamma(1, size=(16, 12)) for _ in chosen],
        masks=masks,
        titles=data.defect_types[chosen],
    )
    figure = display.figure_
    figure.canvas.draw()
    boxes = [ax.get_tightbbox() for ax in (*display.axes_.flat, display.color_bar_.ax)]
    for index, box in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width
        assert box.y0 >= 0 and box.y1 <= figure.bbox.height
        for other in boxes[:index]:
            assert not box.overlaps(other)
    for ax, path in zip(display.axes_[2], masks, strict=True):
        assert shown(ax).any() == (path is not None)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"maps": MAPS[:2]}, "maps must have an item for each of the 3 images; got 2"),
        ({"masks": [None]}, "masks must have an item for each of the 3 images; got 1"),
        ({"titles": ["a"] * 4}, "titles must have an item for each of the 3 .*got 4"),
        ({"maps": [MAPS[0], np.ones(3), MAPS[1]]}, r"maps\[1\] must be of shape"),
        ({"maps": [MAPS[0] * np.nan] * 3}, r"maps\[0\] must .* with other values"),
        (
            {"masks": [None, np.ones((3, 4)), None]},
            r"masks\[1\] must be of the size of its image, \(20, 30\); got .* \(3, 4\)",
        ),
        (
            {"meaning": "heat"},
            "meaning must be one of 'contribution', 'tile', 'position'",
        ),
        ({"limit": 1}, r"limit must be a number in \(1, inf\)"),
        ({"n_columns": 0}, "n_columns must be at least 1"),
    ],
)
def test_what_does_not_belong_together(keywords, message):
    arguments = {"images": IMAGES[:3], "maps": MAPS[:3]} | keywords
    with pytest.raises(ValueError, match=message):
        AnomalyMapDisplay.from_predictions(**arguments)


def test_what_is_no_image():
    with pytest.raises(InvalidImageError, match=r"X\[1\]"):
        AnomalyMapDisplay.from_predictions([IMAGES[0], "missing.png"], MAPS[:2])
