"""Tests of whole graphs: what they give is what the pipelines give."""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from skgaussad import (
    AugmentedDetector,
    CellwiseMahalanobisDetector,
    ConformalDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    NegatedPCA,
    RobustDetector,
    VariantMahalanobisDetector,
    make_detector,
)
from skgaussad.detectors import p_values
from skgaussad.export import _build, to_onnx
from skgaussad.inspection import anomaly_maps

pytestmark = [
    # Thirty images are few for a rate, which these tests do not look at.
    pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning"),
    pytest.mark.usefixtures("known_networks"),
]
SETTINGS = {"weights": None, "device": "cpu", "image_size": (64, 96)}
SEARCH = {"detector__top_fraction": [0.3]}
# Neither in reading order nor with columns one after the other.
CELLS = {"r1c0": 3, "r0c0": 0, "r1c1": 1, "r0c1": 2}
CELLS = {name: slice(first, None, 4) for name, first in CELLS.items()}
OVERLAPPING = {"a": slice(0, 40), "b": slice(30, 96), "c": [5, 90, 3]}


def transformer(levels=4, name="test_resnet", **settings):
    return DeepFeatureTransformer(name, levels=levels, **{**SETTINGS, **settings})


def level_pipeline(estimator=None, *, pooling="average", fpr=0.05, **settings):
    return make_detector(
        backbone="test_resnet",
        levels=[2, 4],
        pooling=pooling,
        detector=LevelEnsemble(estimator, fpr=fpr, **settings),
        **SETTINGS,
    )


def cell_pipeline(levels=4, pooling=2, cells="auto", fpr=0.2, **settings):
    return make_detector(
        backbone="test_resnet",
        levels=levels,
        pooling=pooling,
        detector=CellwiseMahalanobisDetector(cells=cells, fpr=fpr, **settings),
        **SETTINGS,
    )


def run(path, images):
    """Run a file as a user would, image by image."""
    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    rows = [session.run(None, {"images": image[np.newaxis]}) for image in images]
    return {name: [row[column][0] for row in rows] for column, name in enumerate(names)}


PIPELINES = {
    "one level": lambda: make_pipeline(transformer(), MahalanobisDetector()),
    "two levels": lambda: make_pipeline(transformer([2, 4]), MahalanobisDetector()),
    "grid": lambda: make_pipeline(transformer(pooling=2), MahalanobisDetector()),
    "average and uneven grid": lambda: make_pipeline(
        transformer(2, pooling=["average", 3]), MahalanobisDetector()
    ),
    "diagonal": lambda: make_pipeline(transformer(), MahalanobisDetector("diagonal")),
    "isotropic": lambda: make_pipeline(transformer(), MahalanobisDetector("isotropic")),
    "NPCA": lambda: make_pipeline(
        transformer(), NegatedPCA(9), MahalanobisDetector("empirical")
    ),
    "two affine steps": lambda: make_pipeline(
        transformer(), StandardScaler(), PCA(12), MahalanobisDetector("oas")
    ),
    "named steps": lambda: make_pipeline(
        transformer(), StandardScaler(), MahalanobisDetector()
    ).set_output(transform="pandas"),
    "sum of levels": level_pipeline,
    "mean": lambda: level_pipeline(aggregation="mean"),
    "maximum": lambda: level_pipeline(aggregation="max"),
    "highest of cells": lambda: level_pipeline(
        pooling=2, columns="cell", aggregation="top", top_fraction=0.4
    ),
    "overlapping columns": lambda: level_pipeline(columns=OVERLAPPING),
    "robust": lambda: make_pipeline(transformer(), RobustDetector(fpr=0.2)),
    "augmented": lambda: AugmentedDetector(
        make_pipeline(transformer(), MahalanobisDetector()), n_epochs=1
    ),
    "cells": cell_pipeline,
    "cells of two levels": lambda: cell_pipeline([3, 4], 3, top_fraction=0.3),
    "number of cells": lambda: cell_pipeline(cells=4, top_fraction=1),
    "cells out of order": lambda: cell_pipeline(cells=CELLS, top_fraction=0.5),
    "cells with affine steps": lambda: make_pipeline(
        transformer(2, pooling=2),
        StandardScaler(),
        CellwiseMahalanobisDetector(cells=4, fpr=0.2),
    ),
    "cells, robust": lambda: make_pipeline(
        transformer([3, 4], pooling=2).set_output(transform="pandas"),
        RobustDetector(CellwiseMahalanobisDetector(), fpr=0.2),
    ),
    "cells, augmented": lambda: AugmentedDetector(cell_pipeline(), n_epochs=1),
    "cells, search": lambda: GridSearchCV(
        cell_pipeline(pooling=3), SEARCH, cv=2, scoring=lambda *_: 0.0
    ),
    "tail": lambda: make_pipeline(
        transformer(), MahalanobisDetector(threshold="tail", fpr=0.02)
    ),
    "cropped": lambda: make_pipeline(
        transformer(crop_pct=0.8), MahalanobisDetector(fpr=0.2)
    ),
    "lanczos": lambda: make_pipeline(
        transformer(interpolation="lanczos"), MahalanobisDetector()
    ),
    "normalization": lambda: make_pipeline(
        transformer(mean=(0.1, 0.2, 0.3), std=(0.5, 0.4, 0.3)), MahalanobisDetector()
    ),
    "standardized intensity": lambda: make_pipeline(
        transformer(standardize_intensity=True), MahalanobisDetector()
    ),
}


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.slow
def test_graph_gives_what_the_pipeline_gives(name, normal, tested, tmp_path):
    pipe = PIPELINES[name]().fit(normal)
    to_onnx(pipe, tmp_path / "file.onnx", with_maps=True)
    found = run(tmp_path / "file.onnx", tested)
    np.testing.assert_allclose(found["distance"], -pipe.score_samples(tested), 1e-5)
    np.testing.assert_array_equal(found["label"], pipe.predict(tested))
    assert set(found["label"]) == {1, -1}
    detector = pipe.estimator_ if name == "augmented" else pipe
    np.testing.assert_allclose(found["p_value"], p_values(detector, tested), 1e-4)
    expected = anomaly_maps(pipe, tested)
    for drawn, wanted in zip(found["anomaly_map"], expected, strict=True):
        assert drawn.dtype == np.float32
        np.testing.assert_allclose(drawn, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize(
    "settings",
    [
        {"pooling": ["average", "max", "std", 2]},
        # All of the first cell of the grid.
        {"pooling": ["average", "max", "std", 3], "ignore": (0, 0, 0.6, 0.5)},
        {"standardize_intensity": True, "ignore": (0, 0, 0.4, 0.5)},
        {
            "name": "test_vit",
            "levels": [1, -1],
            "image_size": None,
            "pooling": ["class_token", "average"],
        },
    ],
    ids=["all poolings", "ignore", "standardized and ignore", "class token"],
)
@pytest.mark.slow
def test_features_for_which_there_are_no_maps(settings, normal, tested, tmp_path):
    pipe = make_pipeline(transformer(**settings), MahalanobisDetector()).fit(normal)
    to_onnx(pipe, tmp_path / "file.onnx")
    found = run(tmp_path / "file.onnx", tested)
    assert set(found) == {"distance", "label", "p_value"}
    np.testing.assert_array_equal(found["label"], pipe.predict(tested))
    np.testing.assert_allclose(found["distance"], -pipe.score_samples(tested), 1e-5)
    with pytest.raises(ValueError, match=r"ignore=None|got '(max|class_token)'"):
        to_onnx(pipe, tmp_path / "file.onnx", with_maps=True)


def test_cells_that_are_ignored_have_no_residual(normal, tested, tmp_path):
    features = transformer(3, pooling=4, ignore=(0, 0, 0.5, 0.5))
    detector = CellwiseMahalanobisDetector(cells=16, top_fraction=0.25)
    pipe = make_pipeline(features, detector).fit(normal)
    assert detector.cell_residuals(features.transform(normal))[:, 0].max() == 0
    to_onnx(pipe, tmp_path / "file.onnx")
    found = run(tmp_path / "file.onnx", tested)
    np.testing.assert_allclose(found["distance"], -pipe.score_samples(tested), 1e-5)
    with pytest.raises(ValueError, match="ignore=None"):
        to_onnx(pipe, tmp_path / "file.onnx", with_maps=True)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (2, "have no places"),
        ({"r0c0": range(96), "r1c1": range(96, 192)}, "do not fill a grid of 2 x 2"),
    ],
)
def test_cells_of_which_there_is_no_map(cells, message, normal, tmp_path):
    pipe = cell_pipeline(3, cells=cells).fit(normal)
    assert "anomaly_map" not in to_onnx(pipe, tmp_path / "file.onnx")["outputs"]
    with pytest.raises(ValueError, match=message):
        to_onnx(pipe, tmp_path / "file.onnx", with_maps=True)


def test_axes_of_cells_are_in_single_precision(normal, tmp_path):
    """They are most of a file beside the network."""
    pipe = cell_pipeline(4, pooling=3).fit(normal)
    to_onnx(pipe, tmp_path / "file.onnx")
    shape = [29, 9 * 192]
    (axes,) = [
        constant
        for constant in onnx.load(tmp_path / "file.onnx").graph.initializer
        if list(constant.dims) == shape
    ]
    assert axes.data_type == onnx.TensorProto.FLOAT


def test_images_of_the_networks_size(normal, tested, tmp_path):
    pipe = make_pipeline(transformer(), MahalanobisDetector()).fit(normal)
    metadata = to_onnx(pipe, tmp_path / "file.onnx", with_maps=True, resize=False)
    assert metadata["preprocessing"]["resize"] is False
    (shown,) = onnxruntime.InferenceSession(tmp_path / "file.onnx").get_inputs()
    assert shown.shape == ["batch", 64, 96, 3]
    resized = np.random.default_rng(2).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    found = run(tmp_path / "file.onnx", resized)
    np.testing.assert_allclose(found["distance"], -pipe.score_samples(resized), 1e-5)
    for drawn, wanted in zip(
        found["anomaly_map"], anomaly_maps(pipe, resized), strict=True
    ):
        np.testing.assert_allclose(drawn, wanted, atol=1e-4 * np.abs(wanted).max())


def test_batches_of_any_size_give_the_same(normal, tmp_path):
    pipe = make_pipeline(transformer(), MahalanobisDetector()).fit(normal)
    to_onnx(pipe, tmp_path / "file.onnx", with_maps=True)
    session = onnxruntime.InferenceSession(tmp_path / "file.onnx")
    whole = session.run(None, {"images": normal[:7]})
    parts = [
        session.run(None, {"images": normal[rows]})
        for rows in ([0, 1, 2, 3], [4, 5, 6])
    ]
    for values, *of_parts in zip(whole, *parts, strict=True):
        np.testing.assert_allclose(values, np.concatenate(of_parts), 1e-5, 1e-5)


def test_a_group_counts_once_in_p_values(normal, tested, tmp_path):
    detector = MahalanobisDetector(fpr=0.2)
    pipe = Pipeline([("features", transformer()), ("detector", detector)])
    pipe.fit(normal, detector__groups=np.arange(30) // 4)
    to_onnx(pipe, tmp_path / "file.onnx")
    found = run(tmp_path / "file.onnx", tested)
    np.testing.assert_allclose(found["p_value"], p_values(pipe, tested))


def test_without_held_out_distances_there_are_no_p_values(normal, tmp_path):
    features = transformer().fit(normal)
    detector = MahalanobisDetector("diagonal", threshold="chi2")
    detector.partial_fit(features.transform(normal))
    pipe = make_pipeline(features, detector)
    metadata = to_onnx(pipe, tmp_path / "file.onnx")
    assert metadata["outputs"] == ["distance", "label"]
    found = run(tmp_path / "file.onnx", normal[:3])
    np.testing.assert_array_equal(found["label"], pipe.predict(normal[:3]))


def test_file_says_what_it_is(normal, tmp_path):
    pipe = make_pipeline(transformer(), MahalanobisDetector(fpr=0.1)).fit(normal)
    returned = to_onnx(pipe, tmp_path / "file.onnx")
    model = onnx.load(tmp_path / "file.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain for opset in model.opset_import} == {""}
    (entry,) = model.metadata_props
    assert entry.key == "skgaussad"
    metadata = json.loads(entry.value)
    assert metadata == returned
    assert metadata["threshold"] == -pipe[-1].offset_
    assert metadata["fpr"] == 0.1
    assert metadata["weights_sha256"] == pipe[0].weights_sha256_
    assert metadata["levels"] == [4]
    assert metadata["backbone"] == "test_resnet"
    assert metadata["parity"] < 1e-5
    assert metadata["versions"]["onnx"] == onnx.__version__
    settings = pipe[0].preprocessing_
    assert metadata["preprocessing"] == {
        "resize": True,
        "image_size": [64, 96],
        "interpolation": settings.interpolation,
        "crop_pct": None,
        "mean": list(settings.mean),
        "std": list(settings.std),
        "standardize_intensity": False,
    }


@pytest.fixture(scope="module")
def fitted(normal):
    return make_pipeline(transformer(), MahalanobisDetector()).fit(normal)


def spoil(monkeypatch, name, change):
    """Have a part of the graph computed wrongly."""
    right = getattr(_build, name)
    monkeypatch.setattr(_build, name, lambda *args: change(right(*args)))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("pool", lambda features: features * np.float32(1.001), "distance of image"),
        ("pool", lambda features: features * np.float32("nan"), "distance of image"),
        ("p_values", lambda found: found + 1e-6, "p-value of image"),
        ("draw", lambda drawn: drawn * np.float32(1.01), "map of image"),
    ],
)
def test_wrong_graph_is_not_written(
    name, change, message, fitted, tmp_path, monkeypatch
):
    spoil(monkeypatch, name, change)
    (tmp_path / "file.onnx").write_text("as it was")
    with pytest.raises(RuntimeError, match=message):
        to_onnx(fitted, tmp_path / "file.onnx", with_maps=True)
    (left,) = tmp_path.iterdir()
    assert left.read_text() == "as it was"


def test_wrong_label_is_found(fitted, tested, tmp_path, monkeypatch):
    graph_output = _build.Graph.output

    def output(graph, name, value, *rest):
        graph_output(graph, name, -value if name == "label" else value, *rest)

    monkeypatch.setattr(_build.Graph, "output", output)
    with pytest.raises(RuntimeError, match="label of image 0"):
        to_onnx(fitted, tmp_path / "file.onnx", images=tested)
    assert not list(tmp_path.iterdir())


def test_tolerance_is_that_of_the_check(fitted, tmp_path, monkeypatch):
    spoil(monkeypatch, "pool", lambda features: features * np.float32(1 + 1e-5))
    assert 1e-6 < to_onnx(fitted, tmp_path / "file.onnx")["parity"] < 1e-3
    with pytest.raises(RuntimeError, match="with tolerance=1e-07"):
        to_onnx(fitted, tmp_path / "file.onnx", tolerance=1e-7)


def test_failure_to_write_leaves_nothing(fitted, tmp_path):
    (tmp_path / "file.onnx").mkdir()
    with pytest.raises(OSError):
        to_onnx(fitted, tmp_path / "file.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["file.onnx"]


def uncalibrated(normal):
    features = transformer().fit(normal)
    detector = MahalanobisDetector().partial_fit(features.transform(normal))
    return make_pipeline(features, detector)


def scaled_ensemble(normal):
    steps = transformer(), StandardScaler(), LevelEnsemble(columns={"a": [0, 1, 2]})
    return make_pipeline(*steps).fit(normal)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (
            lambda X: make_pipeline(transformer(), Normalizer(), MahalanobisDetector()),
            {},
            "step Normalizer: .*Leave it out",
        ),
        (
            lambda X: make_pipeline(
                transformer(), ConformalDetector(LocalOutlierFactor(novelty=True))
            ),
            {},
            "step ConformalDetector: it scores by the detectors of 5 folds",
        ),
        (
            lambda X: make_pipeline(transformer(), VariantMahalanobisDetector()),
            {},
            "step VariantMahalanobisDetector: .*Fit one of them",
        ),
        (
            lambda X: level_pipeline(
                make_pipeline(NegatedPCA(9), MahalanobisDetector())
            ),
            {},
            "step LevelEnsemble: it scores by the detectors of 5 folds",
        ),
        (scaled_ensemble, {}, "step StandardScaler: .*Give the step to LevelEnsemble"),
        (uncalibrated, {}, "threshold of MahalanobisDetector is None.* Call calibrate"),
        (
            lambda X: make_pipeline(
                transformer(precision="bfloat16"), MahalanobisDetector()
            ),
            {},
            "step DeepFeatureTransformer: precision='bfloat16'.*'float32'",
        ),
        (
            lambda X: make_pipeline(
                transformer(interpolation="nearest"), MahalanobisDetector()
            ),
            {},
            "resize=True: .*'nearest'. Set resize=False",
        ),
        (
            lambda X: make_pipeline(transformer(crop_pct=0.9), MahalanobisDetector()),
            {"resize": False},
            r"resize=False .*crop_pct=0.9\). Set resize=True",
        ),
    ],
)
def test_what_cannot_be_written(make, options, message, normal, tmp_path):
    estimator = make(normal)
    if make not in (uncalibrated, scaled_ensemble):
        estimator.fit(normal)
    with pytest.raises(ValueError, match=message):
        to_onnx(estimator, tmp_path / "file.onnx", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("crop_pct", [None, 0.9])
@pytest.mark.parametrize("shape", [(0, 60), (40, 0), (0, 0)])
def test_image_without_pixels_is_refused(normal, tmp_path, crop_pct, shape):
    """Whatever it would be resized to is no image, and has no score."""
    pipe = make_pipeline(transformer(crop_pct=crop_pct), MahalanobisDetector())
    to_onnx(pipe.fit(normal), tmp_path / "file.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(tmp_path / "file.onnx", options)
    empty = np.zeros((1, *shape, 3), dtype=np.uint8)
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
        session.run(None, {"images": empty})


def test_detector_without_a_network(normal, tmp_path):
    detector = MahalanobisDetector().fit(np.random.default_rng(0).normal(size=(30, 3)))
    with pytest.raises(ValueError, match="begins with a DeepFeatureTransformer"):
        to_onnx(detector, tmp_path / "file.onnx")


def test_network_that_torch_cannot_convert(fitted, tmp_path, monkeypatch):
    import torch

    monkeypatch.undo()

    def fail(*args, **kwargs):
        raise RuntimeError("no such operation\nand much more")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ValueError, match="'test_resnet' to ONNX .*no such operation"):
        to_onnx(fitted, tmp_path / "file.onnx")


@pytest.mark.parametrize("tolerance", [0, 1, "small"])
def test_tolerance_out_of_range(tolerance, fitted, tmp_path):
    with pytest.raises(ValueError, match="tolerance must be a number"):
        to_onnx(fitted, tmp_path / "file.onnx", tolerance=tolerance)


def test_images_of_more_than_8_bits(fitted, tmp_path):
    deep = np.random.default_rng(0).integers(0, 2**16, (1, 40, 60), dtype=np.uint16)
    with pytest.raises(ValueError, match=r"images\[0\]: .* 8 bits"):
        to_onnx(fitted, tmp_path / "file.onnx", images=deep)


def test_folder_that_is_not_there(fitted, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*missing"):
        to_onnx(fitted, tmp_path / "missing" / "file.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_package(package, fitted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'{package}.*"skgaussad\[onnx\]"'):
        to_onnx(fitted, tmp_path / "file.onnx")


def test_real_cells_in_the_sum_of_all_levels(solar_cells):
    path, pipe, cells = solar_cells
    images = [np.asarray(Image.open(cell).convert("RGB")) for cell in cells]
    found = run(path, images)
    np.testing.assert_allclose(found["distance"], -pipe.score_samples(cells), 1e-5)
    np.testing.assert_array_equal(found["label"], pipe.predict(cells))
    assert set(found["label"]) == {1, -1}
    np.testing.assert_allclose(found["p_value"], p_values(pipe, cells))
    for drawn, wanted in zip(
        found["anomaly_map"], anomaly_maps(pipe, cells), strict=True
    ):
        np.testing.assert_allclose(drawn, wanted, atol=1e-4 * np.abs(wanted).max())
