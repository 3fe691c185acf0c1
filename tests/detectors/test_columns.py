import numpy as np
import pytest

from skgaussad.detectors._columns import resolve_columns
from skgaussad.features._pooling import resolve_pooling

NAMES = [
    name
    for level, n_channels in ((6, 3), (7, 2), (10, 2))
    for pooling in resolve_pooling(["average", "max", 2])
    for name in pooling.names(level, n_channels)
]


def test_levels_are_read_from_the_names_of_the_transformer():
    groups = resolve_columns("level", len(NAMES), NAMES)
    assert list(groups) == ["level6", "level7", "level10"]
    for level, indices in groups.items():
        assert [NAMES[i] for i in indices] == [
            name for name in NAMES if name.startswith(f"{level}_")
        ]


def test_cells_are_read_from_the_names_of_the_transformer():
    groups = resolve_columns("cell", len(NAMES), NAMES)
    assert len(groups) == 3 * (1 + 1 + 4)
    assert list(groups)[:4] == [
        "level6",
        "level6_max",
        "level6_grid2_r0c0",
        "level6_grid2_r0c1",
    ]
    for cell, indices in groups.items():
        channels = [f"{cell}_{channel:04d}" for channel in range(len(indices))]
        assert [NAMES[i] for i in indices] == channels
    covered = np.sort(np.concatenate(list(groups.values())))
    np.testing.assert_array_equal(covered, np.arange(len(NAMES)))


def test_a_dict_takes_slices_indices_and_overlaps():
    groups = resolve_columns({"a": slice(1, 3), 7: [0, -1], "c": slice(None)}, 5, None)
    assert {name: list(indices) for name, indices in groups.items()} == {
        "a": [1, 2],
        "7": [0, 4],
        "c": [0, 1, 2, 3, 4],
    }


@pytest.mark.parametrize("columns", ["level", "cell"])
def test_an_array_without_names_is_told_the_ways_out(columns):
    with pytest.raises(
        ValueError, match=r"X has no names.*set_output.*make_detector.*columns="
    ):
        resolve_columns(columns, 5, None)


def test_foreign_names_are_shown():
    with pytest.raises(ValueError, match="feature 1 is called 'width'.*level_slices_"):
        resolve_columns("level", 2, ["level1_0000", "width"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("levels", "columns must be 'level', 'cell' or a dict.*got 'levels'"),
        ({}, "columns must be 'level', 'cell' or a dict.*got {}"),
        (None, "columns must be.*got None"),
        ({"a": slice(5, 9)}, r"columns\['a'\].*at least one of the 5 features; got"),
        ({"a": [0, 5]}, r"columns\['a'\].*of the 5 features; got \[0, 5\]"),
        ({"a": 3}, r"columns\['a'\] must be a slice or a list.*got 3"),
        ({"a": "level1"}, r"columns\['a'\] must be a slice or a list.*got 'level1'"),
    ],
    ids=str,
)
def test_wrong_columns(columns, message):
    with pytest.raises(ValueError, match=message):
        resolve_columns(columns, 5, None)
