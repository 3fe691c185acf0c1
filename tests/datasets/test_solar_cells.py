import sys

import numpy as np
import pytest
from elpv_dataset.utils import load_dataset
from PIL import Image

from skgaussad.datasets import load_solar_cells


@pytest.fixture(scope="module")
def package_data():
    return load_dataset()


@pytest.mark.parametrize("cells", ["all", "mono", "poly"])
@pytest.mark.parametrize("uncertain", [False, True])
def test_rows_are_those_of_the_package_in_its_order(cells, uncertain, package_data):
    images, probabilities, types = package_data
    keep = np.full(len(types), True) if cells == "all" else types == cells
    if not uncertain:
        keep &= (probabilities == 0) | (probabilities == 1)
    data = load_solar_cells(cells, uncertain=uncertain)
    np.testing.assert_array_equal(data.defect_probability, probabilities[keep])
    np.testing.assert_array_equal(data.cell_types, types[keep])
    np.testing.assert_array_equal(data.labels == -1, probabilities[keep] > 0.5)
    for index in (0, len(data.paths) // 2, -1):
        with Image.open(data.paths[index]) as image:
            np.testing.assert_array_equal(image, images[keep][index])


def test_unknown_cells():
    with pytest.raises(ValueError, match="cells must be one of.*got 'amorphous'"):
        load_solar_cells("amorphous")


def test_a_missing_package_is_named_with_the_command_to_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)
    with pytest.raises(ImportError, match=r'pip install "skgaussad\[demo\]"'):
        load_solar_cells()


def test_modules_are_those_published_and_seen_in_the_brightness():
    """18 and 26, and the borders are where the brightness changes."""
    data = load_solar_cells(uncertain=True)
    for kind, n_modules in (("mono", 18), ("poly", 26)):
        names, sizes = np.unique(
            data.modules[data.cell_types == kind], return_counts=True
        )
        assert len(names) == n_modules
        assert np.median(sizes) == 60
    assert np.all(np.diff(data.modules) >= 0)
    assert not np.any((np.diff(data.modules) == 0) & _changes(data.cell_types))
    kept = np.flatnonzero((data.labels == 1) & (data.cell_types == "mono"))[::2]
    grey = np.empty(len(kept))
    for position, index in enumerate(kept):
        with Image.open(data.paths[index]) as image:
            grey[position] = np.median(image)

    def explained(shift):
        modules = data.modules[np.clip(kept + shift, 0, len(data.paths) - 1)]
        means = np.bincount(modules, grey) / np.maximum(np.bincount(modules), 1)
        return 1 - np.var(grey - means[modules]) / np.var(grey)

    assert explained(0) > max(explained(-15), explained(15)) + 0.02


def _changes(values):
    return values[1:] != values[:-1]
