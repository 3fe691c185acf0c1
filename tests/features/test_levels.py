"""Tests of which levels the parameter `levels` means."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skgaussad.features._levels import (
    auto_level,
    auto_level_for_grids,
    resolve_levels,
)


@st.composite
def asked_levels(draw):
    n_levels = draw(st.integers(1, 40))
    numbers = st.integers(1, n_levels).flatmap(lambda k: st.sampled_from([k, -k]))
    return draw(st.lists(numbers, min_size=1)), n_levels


@given(asked_levels())
def test_negative_numbers_count_as_in_indexing_and_order_does_not_matter(case):
    asked, n_levels = case
    all_levels = list(range(1, n_levels + 1))
    expected = {all_levels[k - 1 if k > 0 else k] for k in asked}
    resolved = resolve_levels(asked, n_levels, 1)
    assert resolved == tuple(sorted(expected))
    assert all(type(level) is int for level in resolved)


@given(st.integers(1, 40), st.integers(-100, 100))
def test_a_single_number_is_one_level_or_an_error(n_levels, level):
    if 1 <= abs(level) <= n_levels:
        assert resolve_levels(level, n_levels, 1) == resolve_levels(
            [level], n_levels, 1
        )
    else:
        with pytest.raises(ValueError, match="levels must be a number from 1 to"):
            resolve_levels(level, n_levels, 1)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ("all", (1, 2, 3, 4, 5)),
        ("auto", (4,)),
        (-1, (5,)),
        (-5, (1,)),
        ([5, 2, -1], (2, 5)),
        ((1, -2), (1, 4)),
        (range(2, 4), (2, 3)),
        (np.array([3, 1]), (1, 3)),
        (np.int8(-2), (4,)),
        ({4}, (4,)),
    ],
)
def test_accepted(levels, expected):
    assert resolve_levels(levels, 5, auto_level=4) == expected


@pytest.mark.parametrize(
    ("levels", "came"),
    [
        (0, "0"),
        (6, "6"),
        (-6, "-6"),
        ([1, 6], "6"),
        ([2, 0], "0"),
        (2.0, "2.0"),
        (True, "True"),
        ([1, False], "False"),
        (None, "None"),
        ("last", "'last'"),
        ("7", "'7'"),
        (["all"], "'all'"),
        ([[1]], "[1]"),
        ([], "an empty list"),
        (1j, "1j"),
    ],
    ids=repr,
)
def test_refused(levels, came):
    message = (
        "levels must be a number from 1 to 5 or -5 to -1, a list of such numbers, "
        f"'all' or 'auto'; got {came}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        resolve_levels(levels, 5, auto_level=4)


@pytest.mark.parametrize(
    ("n_levels", "has_head", "expected"),
    [
        pytest.param(9, True, 7, id="EfficientNet, tables I and II of the paper"),
        pytest.param(5, False, 4, id="ResNet, table VII of the paper"),
        pytest.param(4, False, 3, id="four stages"),
        pytest.param(12, False, 9, id="vision transformer"),
        pytest.param(24, False, 18, id="deep vision transformer"),
        pytest.param(7, False, 6, id="rounded up"),
    ],
)
def test_auto(n_levels, has_head, expected):
    assert auto_level(n_levels, has_head=has_head) == expected


@given(st.integers(1, 100), st.booleans())
def test_auto_is_a_level_of_the_network(n_levels, has_head):
    level = auto_level(n_levels, has_head=has_head)
    assert type(level) is int
    assert 1 <= level <= n_levels


@pytest.mark.parametrize(
    ("strides", "expected"),
    [
        pytest.param([2, 2, 4, 8, 16, 16, 32, 32, 32], 6, id="EfficientNet"),
        pytest.param([4, 8, 16, 32], 3, id="four stages"),
        pytest.param([2, 4, 8, 8], 4, id="none is 16"),
        pytest.param([8, 32, 8, 32, 64], 4, id="two equally near"),
        pytest.param([4, 7, 14, 28], 3, id="patches of 14"),
        pytest.param([16, 32, 64], 1, id="the first"),
        pytest.param([16] * 12, None, id="vision transformer"),
        pytest.param([14] * 12, None, id="vision transformer with patches of 14"),
    ],
)
def test_auto_for_grids(strides, expected):
    assert auto_level_for_grids(strides) == expected


@given(st.lists(st.floats(1, 64), min_size=1))
def test_auto_for_grids_is_deepest_of_a_stride_nearest_to_16(strides):
    level = auto_level_for_grids(strides)
    far = [abs(round(np.log2(stride)) - 4) for stride in strides]
    if level is None:
        assert len(set(far)) == 1
        return
    assert far[level - 1] == min(far)
    assert min(far) not in far[level:] or min(far) > 0
