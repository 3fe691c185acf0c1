"""Metrics of anomaly maps, against definitions written out as loops."""

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from skgaussad.datasets import load_mvtec, make_textures
from skgaussad.metrics import (
    map_metrics_by_type,
    per_region_overlap,
    pixel_average_precision,
    pixel_roc_auc,
)
from skgaussad.metrics._per_region_overlap import _pro_curve

METRICS = (pixel_roc_auc, pixel_average_precision, per_region_overlap)


def regions_of(mask):
    """Sets of anomalous pixels that a king's moves connect, by flooding."""
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    regions = []
    while left:
        region, border = set(), [left.pop()]
        while border:
            row, column = border.pop()
            region.add((row, column))
            moves = product((row - 1, row, row + 1), (column - 1, column, column + 1))
            for neighbour in left.intersection(moves):
                left.remove(neighbour)
                border.append(neighbour)
        regions.append(tuple(np.transpose(sorted(region))))
    return regions


def brute_force_curve(masks, maps):
    """Points (fpr, pro) and thresholds, one threshold and one region at a time."""
    regions = [regions_of(mask) for mask in masks]
    n_regions = sum(map(len, regions))
    n_normal = sum(int((~mask).sum()) for mask in masks)
    points, thresholds = [(Fraction(0), Fraction(0))], [np.inf]
    for threshold in sorted({value for heat in maps for value in heat.flat})[::-1]:
        n_false, overlap = 0, Fraction(0)
        for mask, heat, of_image in zip(masks, maps, regions, strict=True):
            flagged = heat >= threshold
            n_false += int((flagged & ~mask).sum())
            for region in of_image:
                overlap += Fraction(int(flagged[region].sum()), len(region[0]))
        points.append((Fraction(n_false, n_normal), overlap / n_regions))
        thresholds.append(threshold)
    return points, thresholds


def brute_force_overlap(masks, maps, max_fpr):
    """Area of the trapezoids below the curve, the last one cut off at `max_fpr`."""
    points, _ = brute_force_curve(masks, maps)
    limit, area = Fraction(max_fpr), Fraction(0)
    for (left, low), (right, high) in pairwise(points):
        if left < right and left < limit:
            width = min(right, limit) - left
            end = low + (high - low) * width / (right - left)
            area += width * (low + end) / 2
    return float(area / limit)


@st.composite
def images_with_maps(draw, values=None):
    """One to three small images of any shapes; their maps have many ties or few."""
    masks, maps = [], []
    if values is None:
        values = draw(st.sampled_from([st.integers(-2, 2), st.integers(-99, 99)]))
    for _ in range(draw(st.integers(1, 3))):
        shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=6))
        masks.append(draw(hnp.arrays(bool, shape)))
        maps.append(draw(hnp.arrays(np.float64, shape, elements=values)))
    pixels = np.concatenate([mask.ravel() for mask in masks])
    assume(pixels.any() and not pixels.all())
    return masks, maps


@settings(deadline=None, max_examples=300)
@given(
    images=images_with_maps(),
    # Rates that small numbers of normal pixels reach exactly, and others.
    max_fpr=st.one_of(
        st.integers(1, 12).map(lambda twelfths: twelfths / 12),
        st.floats(0.001, 1),
    ),
)
def test_overlap_is_that_of_all_thresholds_and_regions(images, max_fpr):
    expected = brute_force_overlap(*images, max_fpr)
    overlap = per_region_overlap(*images, max_fpr=max_fpr)
    assert overlap == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert 0 <= overlap <= 1


@settings(deadline=None)
@given(images=images_with_maps())
def test_curve_is_that_of_all_thresholds_and_regions(images):
    fpr, pro, thresholds = _pro_curve(*images)
    points, expected_thresholds = brute_force_curve(*images)
    expected_fpr, expected_pro = np.array(points, dtype=float).T
    np.testing.assert_array_equal(fpr, expected_fpr)
    np.testing.assert_allclose(pro, expected_pro, rtol=1e-12)
    np.testing.assert_array_equal(thresholds, expected_thresholds)
    assert (fpr[-1], pro[-1]) == (1, 1)


@pytest.mark.parametrize(
    ("max_fpr", "overlap"),
    [
        # The curve: (0, 0), (0, 1/2), (1/4, 3/4), (1/2, 3/4), (1/2, 1), (1, 1).
        (0.125, (1 / 2 + 5 / 8) / 2),
        (0.25, (1 / 2 + 3 / 4) / 2),
        (0.5, (0.25 * 5 / 8 + 0.25 * 3 / 4) / 0.5),
        (0.75, (0.25 * 5 / 8 + 0.25 * 3 / 4 + 0.25 * 1) / 0.75),
        (1, 0.25 * 5 / 8 + 0.25 * 3 / 4 + 0.5 * 1),
    ],
)
def test_overlap_by_hand(max_fpr, overlap):
    """A region of one pixel and one of two, and a value shared across the classes."""
    masks, maps = [[[1, 0, 1, 1]], [[0, 0, 0]]], [[[9, 7, 7, 3]], [[5, 0, 0]]]
    assert per_region_overlap(masks, maps, max_fpr=max_fpr) == pytest.approx(overlap)


def test_pixels_that_touch_by_a_corner_are_of_one_region():
    masks = [[[1, 0, 0], [0, 1, 0]], [[0, 0, 1]]]
    maps = [[[1, 0, 0], [0, 1, 0]], [[0, 0, 2]]]
    _, pro, thresholds = _pro_curve(masks, maps)
    assert dict(zip(thresholds, pro, strict=True)) == {np.inf: 0, 2: 0.5, 1: 1, 0: 1}


def test_regions_end_with_their_image():
    """They would touch if the images were stacked or put side by side."""
    masks = [[[0, 1], [1, 1]], [[1, 0], [0, 0]]]
    maps = [[[0, 1], [1, 1]], [[2, 0], [0, 0]]]
    _, pro, _ = _pro_curve(masks, maps)
    assert pro == pytest.approx([0, 0.5, 1, 1])


@settings(deadline=None)
@given(images=images_with_maps())
def test_pixel_metrics_are_what_they_say(images):
    masks, maps = images
    is_anomalous = np.concatenate([mask.ravel() for mask in masks])
    values = np.concatenate([heat.ravel() for heat in maps])
    assert pixel_roc_auc(masks, maps) == roc_auc_score(is_anomalous, values)
    assert pixel_average_precision(masks, maps) == average_precision_score(
        is_anomalous, values
    )
    anomalous, normal = values[is_anomalous], values[~is_anomalous]
    wins = np.sign(anomalous[:, np.newaxis] - normal)
    assert pixel_roc_auc(masks, maps) == pytest.approx(0.5 + wins.mean() / 2)
    precision = [is_anomalous[values >= value].mean() for value in anomalous]
    assert pixel_average_precision(masks, maps) == pytest.approx(np.mean(precision))


@settings(deadline=None)
@given(images=images_with_maps())
def test_only_the_order_of_the_values_counts(images):
    masks, maps = images
    steeper = [np.arctan(heat / 50) ** 3 - 7 for heat in maps]
    for metric in METRICS:
        assert metric(masks, steeper) == pytest.approx(metric(masks, maps), rel=1e-12)


@settings(deadline=None)
@given(images=images_with_maps(), data=st.data())
def test_order_and_orientation_of_the_images_do_not_count(images, data):
    order = data.draw(st.permutations(range(len(images[0]))))
    masks, maps = ([np.rot90(array[i]) for i in order] for array in images)
    for metric in METRICS:
        assert metric(masks, maps) == pytest.approx(metric(*images), rel=1e-12)


@settings(deadline=None)
@given(images=images_with_maps())
def test_perfect_and_inverted_maps(images):
    masks, _ = images
    assert [metric(masks, masks) for metric in METRICS] == [1, 1, 1]
    inverted = [~mask for mask in masks]
    assert pixel_roc_auc(masks, inverted) == 0
    assert per_region_overlap(masks, inverted) == 0
    assert per_region_overlap(masks, inverted, max_fpr=1) == 0
    fraction = np.concatenate([mask.ravel() for mask in masks]).mean()
    assert pixel_average_precision(masks, inverted) == pytest.approx(fraction)


@pytest.mark.parametrize("n_pixels", range(2, 50))
def test_perfect_maps_of_many_values_are_not_better_than_perfect(n_pixels):
    heat = np.arange(n_pixels)[np.newaxis]
    assert 1 - 1e-12 < per_region_overlap([heat == heat.max()], [heat]) <= 1


@settings(deadline=None)
@given(images=images_with_maps(values=st.just(3)), max_fpr=st.floats(0.001, 1))
def test_constant_maps_are_chance(images, max_fpr):
    """The one step of the curve is its diagonal."""
    assert pixel_roc_auc(*images) == 0.5
    overlap = per_region_overlap(*images, max_fpr=max_fpr)
    assert overlap == pytest.approx(max_fpr / 2)


def test_kinds_of_arrays_give_the_same_figures():
    rng = np.random.default_rng(0)
    masks = rng.random((3, 5, 4)) < 0.3
    maps = rng.integers(0, 256, (3, 5, 4), dtype=np.uint8)
    table = map_metrics_by_type(masks, maps, ["hole"] * 3)
    for like in (
        (list(masks.astype(np.uint8)), list(maps.astype(np.float32))),
        (masks.astype(float).tolist(), maps.tolist()),
        (masks[:, ::-1], maps.astype(np.float16)[:, ::-1]),
    ):
        for metric in METRICS:
            assert metric(*like) == pytest.approx(metric(masks, maps), rel=1e-12)
            assert metric(*like) == pytest.approx(table.loc["hole", metric.__name__])


def test_input_is_left_as_it_was():
    masks, maps = [np.eye(3, dtype=bool)], [np.arange(9.0).reshape(3, 3)]
    for array in (*masks, *maps):
        array.setflags(write=False)
    map_metrics_by_type(masks, maps, ["cut"])
    assert isinstance(maps[0], np.ndarray) and len(maps) == 1


BAD_IMAGES = [
    ([[[1, 0]]], [], "masks and maps must be of equal length.*got 1 and 0"),
    ([], [], "the 0 masks hold no anomalous pixel"),
    ([[[0, 0]], [[0, 0]]], [[[1, 2]], [[1, 2]]], "the 2 masks hold no anomalous pixel"),
    ([[[1, 1]]], [[[1, 2]]], "the 1 masks hold no normal pixel"),
    (
        [[[1, 0]], [[0], [0]]],
        [[[1, 2]], [[1, 2]]],
        r"masks\[1\] and maps\[1\] must be of the same shape; got \(2, 1\) and \(1, 2\)"
        ".*Resize the map",
    ),
    ([[[1, 0]]], [0.5], r"masks\[0\] and maps\[0\].* got \(1, 2\) and \(\)"),
    ([[[1, 0]], [[0, 0]]], [[[1, 2]], [[1, np.nan]]], r"maps\[1\] contains NaN"),
    ([[[1, 0]]], [[[np.inf, 2]]], r"maps\[0\] contains infinity"),
    (
        [[1, 0]],
        [[1, 2]],
        r"masks\[0\] must be of shape \(height, width\); got"
        r" shape \(2,\)",
    ),
    (
        [[[1, 0]], None],
        [[[1, 2]], [[1, 2]]],
        r"masks\[1\] must be of shape.*got shape \(\).* all False",
    ),
    (
        [[[0, 255]]],
        [[[1, 2]]],
        r"masks\[0\] must hold booleans, or 0 and 1; its largest values are 0, 255\. .*"
        "give mask > 0",
    ),
    ([[[0, 1]], [[0.5, 1]]], [[[1, 2]], [[1, 2]]], r"masks\[1\] .* values are 0\.5, 1"),
    ([[[0, np.nan]]], [[[1, 2]]], r"masks\[0\] .* values are 0\.0, nan"),
    ([[["bad", "ok"]]], [[[1, 2]]], r"masks\[0\] must hold booleans; got dtype <U3"),
]


@pytest.mark.parametrize(("masks", "maps", "message"), BAD_IMAGES)
@pytest.mark.parametrize("function", METRICS)
def test_images_that_have_no_metric(function, masks, maps, message):
    with pytest.raises(ValueError, match=message):
        function(masks, maps)


@pytest.mark.parametrize("max_fpr", [0, 1.1, -0.1, np.nan, "0.3", True, None])
def test_limit_that_is_no_rate(max_fpr):
    with pytest.raises(ValueError, match=r"max_fpr must be a number in \(0, 1\]; got"):
        per_region_overlap([[[1, 0]]], [[[1, 2]]], max_fpr=max_fpr)


def test_types_are_judged_with_all_good_images():
    data = make_textures(2, 7, size=32, random_state=0)
    order = np.random.default_rng(0).permutation(9)
    masks, defect_types = data.masks[order], data.defect_types[order]
    maps = np.abs(data.images.mean(axis=3) - 110)[order]
    table = map_metrics_by_type(masks, maps, defect_types, max_fpr=0.2)

    assert table.index.tolist() == ["missing", "scratch", "spot", "overall"]
    assert table["n_anomalous"].tolist() == [2, 3, 2, 7]
    for name, row in table.iterrows():
        chosen = np.isin(defect_types, ["good", name]) | (name == "overall")
        images = masks[chosen], maps[chosen]
        assert row["pixel_roc_auc"] == pixel_roc_auc(*images)
        assert row["pixel_average_precision"] == pixel_average_precision(*images)
        assert row["per_region_overlap"] == per_region_overlap(*images, max_fpr=0.2)
    assert table["per_region_overlap"].nunique() == 4


@pytest.mark.parametrize(
    ("defect_types", "message"),
    [
        (["good"], "defect_types and masks must be of equal length; got 1 and 2"),
        (["cut", "cut"], r"defect_types\[0\] is 'cut', but masks\[0\] holds no a"),
        (
            ["good", "good"],
            r"defect_types\[1\] is 'good', but masks\[1\] holds an a",
        ),
        (["good", "overall"], r"defect_types\[1\] is 'overall'.*rename"),
        ([["good", "cut"]], "1d array"),
    ],
)
def test_types_that_do_not_fit(defect_types, message):
    with pytest.raises(ValueError, match=message):
        map_metrics_by_type([[[0, 0]], [[0, 1]]], [[[1, 2]]] * 2, defect_types)


@pytest.fixture(scope="module")
def cookies(test_data):
    """Masks, grey pictures and types of some real images, broken cookies and good."""
    data = load_mvtec(test_data / "data" / "cookies", split="test")
    pictures = [
        np.asarray(Image.open(path).convert("L"), dtype=float)
        for path in data.paths[::4]
    ]
    masks = [
        np.zeros(picture.shape) if path is None else np.asarray(Image.open(path)) > 0
        for path, picture in zip(data.mask_paths[::4], pictures, strict=True)
    ]
    return masks, pictures, data.defect_types[::4]


def test_real_masks_by_type(cookies):
    """The types are one, so that its figures are those of all images."""
    masks, pictures, defect_types = cookies
    table = map_metrics_by_type(masks, pictures, defect_types)
    assert table.index.tolist() == ["broken", "overall"]
    assert table["n_anomalous"].tolist() == [8, 8]
    assert table.loc["broken"].equals(table.loc["overall"])


def test_real_masks_have_the_overlap_of_all_thresholds_and_regions(cookies):
    masks, pictures, _ = cookies
    masks = [mask[::2, ::2].astype(bool) for mask in masks]
    # A map of few values, for few thresholds to try, that finds the dark parts.
    maps = [10 - picture[::2, ::2] // 25 for picture in pictures]
    overlap = per_region_overlap(masks, maps)
    assert overlap == pytest.approx(brute_force_overlap(masks, maps, 0.3), rel=1e-12)
    assert overlap != pytest.approx(0.15, abs=0.02)


def test_noise_on_real_masks_is_chance(cookies):
    """Of any set of pixels, noise flags the same part: the curve is diagonal."""
    masks, _, _ = cookies
    rng = np.random.default_rng(0)
    noise = [rng.random(mask.shape, dtype=np.float32) for mask in masks]
    fraction = np.concatenate([mask.ravel() for mask in masks]).mean()
    assert pixel_roc_auc(masks, noise) == pytest.approx(0.5, abs=0.005)
    assert pixel_average_precision(masks, noise) == pytest.approx(fraction, rel=0.02)
    assert per_region_overlap(masks, noise) == pytest.approx(0.15, abs=0.005)
    assert per_region_overlap(masks, noise, max_fpr=0.1) == pytest.approx(
        0.05, abs=0.005
    )
