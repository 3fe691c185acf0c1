"""Pictures, and what keeps the slow exporter of torch from running in each test."""

import numpy as np
import pytest
from sklearn.utils import shuffle

from skgaussad import make_detector
from skgaussad.datasets import load_solar_cells

pytest.importorskip("onnxruntime")

from skgaussad.export import _build, to_onnx

_networks = {}


@pytest.fixture
def known_networks(monkeypatch):
    """Export each network once in all of these tests."""
    export_network = _build.export_network

    def export_once(backbone, levels, image_size):
        key = backbone.name, backbone.weights_sha256, levels, image_size
        if key not in _networks:
            _networks[key] = export_network(backbone, levels, image_size)
        return _networks[key]

    monkeypatch.setattr(_build, "export_network", export_once)


@pytest.fixture(scope="session")
def normal():
    """Make pictures to fit to."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (30, 40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def tested(normal):
    """Make pictures to score: four normal, two anomalous, one of another size."""
    rng = np.random.default_rng(1)
    pictures = [*normal[:2], *rng.integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)]
    pictures += [*rng.integers(50, 150, (2, 40, 60, 3), dtype=np.uint8)]
    return [*pictures, rng.integers(0, 256, (150, 31, 3), dtype=np.uint8)]


@pytest.fixture(scope="session")
def solar_cells(tmp_path_factory):
    """Fit the sum of all levels to real cells, and write it with maps.

    Returns the file, the pipeline and paths of other cells, the last ten defective.
    """
    cells = load_solar_cells("mono")
    good, bad = (cells.paths[cells.labels == label] for label in (1, -1))
    good = shuffle(good[:60], random_state=0)
    settings = {"method": "paper", "levels": "all", "image_size": 96, "device": "cpu"}
    pipe = make_detector(fpr=0.2, **settings).fit(good[:60:2])
    path = tmp_path_factory.mktemp("onnx") / "cells.onnx"
    to_onnx(pipe, path, with_maps=True)
    return path, pipe, [*good[1:60:6], *bad[::33][:10]]
