"""Training samples that stand apart from the others."""

import numpy as np
import pytest

from skgaussad.detectors import find_apart

BULK = np.exp(np.random.default_rng(0).normal(scale=0.1, size=40))


def test_the_farthest_come_first():
    distances = np.r_[BULK[:20], 3.0, BULK[20:], 4.0]
    assert find_apart(distances).tolist() == [41, 20]


def test_without_a_gap_there_are_none():
    assert len(find_apart(BULK)) == 0
    assert len(find_apart(np.ones(40))) == 0
    assert len(find_apart(np.r_[np.inf, BULK])) == 0


@pytest.mark.parametrize("n_copies", [1, 5, 30])
def test_copies_count_once(n_copies):
    distances = np.r_[BULK, np.full(n_copies, BULK[7]), 3.0, 4.0]
    expected = [len(distances) - 1, len(distances) - 2]
    assert find_apart(distances).tolist() == expected
    # Those of a sample that stands apart do so, too.
    rows = find_apart(np.r_[distances, 4.0])
    assert sorted(rows.tolist()) == [*expected[::-1], len(distances)]
