"""Tests of how a feature map becomes a vector, against NumPy, and of its names."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skgaussad.features._pooling import Pooling, resolve_pooling

SIZES = [(7, 7), (4, 6), (9, 5), (1, 1), (14, 14)]
GRIDS = [1, 2, 3, 4, 7]
STATISTICS = {"average": np.mean, "max": np.max, "std": np.std}


def random_map(height, width, n=2, channels=3):
    # Away from zero, so that a sum of squares minus a squared sum would show.
    rng = np.random.default_rng(0)
    return rng.normal(5, 1, (n, channels, height, width)).astype(np.float32)


def cell_bounds(size, grid):
    """First and last but one position of each cell along one side of a map."""
    return [
        (math.floor(i * size / grid), math.ceil((i + 1) * size / grid))
        for i in range(grid)
    ]


def grid_means(feature_map, grid):
    """Means over the cells of a grid: rows, then columns, then channels."""
    _, _, height, width = feature_map.shape
    cells = [
        feature_map[:, :, top:bottom, left:right].mean(axis=(2, 3))
        for top, bottom in cell_bounds(height, grid)
        for left, right in cell_bounds(width, grid)
    ]
    return np.concatenate(cells, axis=1)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", STATISTICS)
def test_statistics_equal_numpy(kind, size):
    feature_map = random_map(*size)
    pooled = Pooling(kind)(torch.from_numpy(feature_map), None)
    expected = STATISTICS[kind](feature_map.astype(np.float64), axis=(2, 3))
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("size", "grid"),
    [(size, grid) for size in SIZES for grid in GRIDS if grid <= min(size)],
    ids=str,
)
def test_grid_equals_means_over_the_cells(size, grid):
    feature_map = random_map(*size)
    pooled = Pooling("grid", grid)(torch.from_numpy(feature_map), None)
    expected = grid_means(feature_map.astype(np.float64), grid)
    np.testing.assert_allclose(pooled, expected, rtol=1e-5)


@pytest.mark.parametrize(("size", "grid"), [(7, 4), (7, 2), (9, 4), (14, 3)], ids=str)
def test_cells_of_a_map_that_the_grid_does_not_divide_overlap_by_a_position(size, grid):
    """The impulse response of each position tells which cells it is part of."""
    impulses = torch.eye(size * size).view(-1, 1, size, size)
    n_cells = (Pooling("grid", grid)(impulses, None) > 0).sum(dim=1).view(size, size)
    shared = n_cells.diagonal() > 1
    assert n_cells.min() == 1
    assert shared.any()
    assert not (shared[1:] & shared[:-1]).any()


def test_class_token_is_the_first_prefix_token():
    tokens = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    pooled = Pooling("class_token")(
        torch.from_numpy(random_map(4, 4)), torch.from_numpy(tokens)
    )
    np.testing.assert_array_equal(pooled, tokens[:, 0])


@pytest.mark.parametrize("grid", [2, 3, 4])
def test_names_tell_row_column_and_channel_of_a_grid(grid):
    """Every value of the map is its own address, so that names can be compared."""
    n_channels = 12
    channel, row, column = np.ogrid[:n_channels, :grid, :grid]
    addresses = 10000 * row + 100 * column + channel
    feature_map = torch.from_numpy(addresses[np.newaxis].astype(np.float32))

    pooling = Pooling("grid", grid)
    values = pooling(feature_map, None)[0]
    names = pooling.names(7, n_channels)
    assert len(names) == len(values)
    for name, value in zip(names, values, strict=True):
        match = re.fullmatch(rf"level7_grid{grid}_r(\d)c(\d)_(\d{{4}})", name)
        row, column, channel = map(int, match.groups())
        assert value == 10000 * row + 100 * column + channel


@pytest.mark.parametrize(
    ("pooling", "first", "last"),
    [
        (Pooling("average"), "level7_0000", "level7_0011"),
        (Pooling("max"), "level7_max_0000", "level7_max_0011"),
        (Pooling("std"), "level7_std_0000", "level7_std_0011"),
        (Pooling("class_token"), "level7_class_token_0000", "level7_class_token_0011"),
        (Pooling("grid", 2), "level7_grid2_r0c0_0000", "level7_grid2_r1c1_0011"),
        (Pooling("grid", 1), "level7_grid1_r0c0_0000", "level7_grid1_r0c0_0011"),
    ],
)
def test_first_and_last_name(pooling, first, last):
    names = pooling.names(7, 12)
    assert (names[0], names[-1]) == (first, last)


poolings = st.lists(
    st.sampled_from(["average", "max", "std", "class_token", 1, 2, 3, 5]),
    min_size=1,
    unique=True,
)


@settings(deadline=None)
@given(poolings, st.integers(1, 9), st.integers(1, 40), st.integers(5, 8))
def test_names_are_distinct_and_as_many_as_values(entries, level, n_channels, side):
    feature_map = torch.zeros(1, n_channels, side, side + 1)
    tokens = torch.zeros(1, 2, n_channels)
    all_names = []
    for pooling in resolve_pooling(entries):
        names = pooling.names(level, n_channels)
        assert len(names) == pooling(feature_map, tokens).shape[1]
        assert all(
            re.fullmatch(rf"level{level}_(\w+_)?\d{{4}}", name) for name in names
        )
        # Within a cell, the channels are in order.
        channels = [int(name.rpartition("_")[2]) for name in names]
        assert channels == list(range(n_channels)) * (len(names) // n_channels)
        all_names += names
    assert len(set(all_names)) == len(all_names)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("average", [Pooling("average")]),
        ("class_token", [Pooling("class_token")]),
        (3, [Pooling("grid", 3)]),
        (np.int64(3), [Pooling("grid", 3)]),
        (
            ["std", 2, "average"],
            [Pooling("std"), Pooling("grid", 2), Pooling("average")],
        ),
        ((1, 2), [Pooling("grid", 1), Pooling("grid", 2)]),
    ],
    ids=repr,
)
def test_resolve_keeps_the_order(pooling, expected):
    assert resolve_pooling(pooling) == tuple(expected)


@pytest.mark.parametrize(
    ("pooling", "came"),
    [
        (0, "0"),
        (-2, "-2"),
        (2.0, "2.0"),
        (True, "True"),
        (["average", False], "False"),
        (None, "None"),
        ("mean", "'mean'"),
        ("grid", "'grid'"),
        (["max", "mean"], "'mean'"),
        ([["max"]], "['max']"),
        ([], "an empty list"),
    ],
    ids=repr,
)
def test_resolve_refuses(pooling, came):
    message = (
        "pooling must be 'average', 'max', 'std', 'class_token', a positive integer g "
        f"for a g x g grid, or a list of these; got {came}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        resolve_pooling(pooling)


@pytest.mark.parametrize(
    ("pooling", "came"), [(["max", "max"], "'max'"), ([2, 1, 2], "2")], ids=repr
)
def test_resolve_refuses_what_is_given_twice(pooling, came):
    with pytest.raises(ValueError, match=f"pooling holds {came} twice; give each once"):
        resolve_pooling(pooling)


@pytest.mark.parametrize(("height", "width"), [(3, 8), (8, 3)])
def test_check_refuses_a_grid_finer_than_the_map(height, width):
    Pooling("grid", 3).check(5, height, width, has_class_token=False)
    message = (
        "pooling=4 asks for a grid of 4 x 4 cells, but the feature map of level 5 has "
        f"only {height} x {width} positions. Use a coarser grid, such as pooling=3, a "
        "shallower level or a larger image_size."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Pooling("grid", 4).check(5, height, width, has_class_token=False)


def test_check_refuses_a_class_token_where_there_is_none():
    Pooling("class_token").check(5, 4, 4, has_class_token=True)
    with pytest.raises(
        ValueError,
        match=r"pooling='class_token' needs a backbone with a class token, and level 5 "
        r"of this one has none\. Use 'average', or a vision transformer",
    ):
        Pooling("class_token").check(5, 4, 4, has_class_token=False)
