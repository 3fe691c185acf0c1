import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import onnx_export
from onnx_export import Parity, Runtime, check_parity

from skgaussad.datasets import load_solar_cells
from skgaussad.export import to_onnx


def test_parity_is_checked_by_the_worst_pipeline():
    good = Parity("good", 10, 1e-4, 0, 1, 9_600_000)
    assert [verdict.holds for verdict in check_parity([good])] == [True, True]
    bad = Parity("bad", 20, 1.1e-4, 3, 0, 500_000)
    distances, labels = check_parity([good, bad, good])
    assert not distances.holds
    assert "1.1e-04 (bad)" in distances.finding
    assert not labels.holds
    assert labels.finding == "3 of 40 differ"


@pytest.mark.parametrize("resize", [True, False])
def test_runtime_scores_as_the_pipeline_does(resize, tmp_path):
    cells = load_solar_cells("mono").paths
    pipe = onnx_export.make_one_level(levels=2, image_size=64, device="cpu")
    pipe.fit(cells[:25])
    to_onnx(pipe, tmp_path / "file.onnx", resize=resize)
    runtime = Runtime(tmp_path / "file.onnx", None if resize else (64, 64), 2)
    found = runtime([str(path) for path in cells[:5]])
    np.testing.assert_allclose(found["distance"], -pipe.score_samples(cells[:5]), 1e-4)
    np.testing.assert_array_equal(found["label"], pipe.predict(cells[:5]))
