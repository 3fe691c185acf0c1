"""Tests of saving and loading: everything comes back, to the bit, and runs no code."""

import array
import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skgaussad
from skgaussad import (
    AugmentedDetector,
    CellwiseMahalanobisDetector,
    ConformalDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    MondrianDetector,
    NegatedPCA,
    PositionDetector,
    RobustDetector,
    TiledDetector,
    VariantMahalanobisDetector,
    load,
    make_detector,
    save,
)
from skgaussad.augmentation import ImageAugmentation
from skgaussad.calibration import ConformalMonitor
from skgaussad.datasets import load_solar_cells
from skgaussad.features import FeatureCache
from skgaussad.model_selection import GroupNormalKFold, NormalKFold
from skgaussad.persistence import _classes, _model_file, model_info

DATA = Path(__file__).parent / "data"
TINY = {"backbone": "test_resnet", "weights": None, "image_size": 64, "device": "cpu"}
COLUMNS = {"level1": slice(0, 3), "level2": [3, 4, 5]}
GROUPS = np.repeat(np.arange(10), 6)


def tiny(**parameters):
    return DeepFeatureTransformer(**{**TINY, "levels": [2, 4], **parameters})


def fit_incrementally(X):
    detector = MahalanobisDetector(threshold="chi2", fpr=0.2)
    return detector.partial_fit(X[:40]).partial_fit(X[40:])


def fit_cellwise(images, levels):
    transformer = tiny(levels=levels, pooling=2).set_output(transform="pandas")
    return make_pipeline(transformer, CellwiseMahalanobisDetector(fpr=0.3)).fit(images)


def watch(X):
    monitor = ConformalMonitor(random_state=np.random.RandomState(1))
    monitor.fit(np.abs(X[:30, 0])).update_distances(np.abs(X[30:, 0]))
    return monitor


def fit_union(images):
    return FeatureUnion([("a", tiny()), ("b", tiny(pooling="max"))]).fit(images)


# Name of the class and of the case, whether it takes images, and how it is fitted.
CASES = {
    "AugmentedDetector": (
        True,
        lambda images: AugmentedDetector(
            make_pipeline(tiny(), MahalanobisDetector()),
            augmentation=ImageAugmentation(rotation=3),
            n_epochs=2,
        ).fit(images),
    ),
    "CellwiseMahalanobisDetector": (
        False,
        lambda X: CellwiseMahalanobisDetector(cells=3, fpr=0.1).fit(X),
    ),
    "CellwiseMahalanobisDetector columns": (
        False,
        lambda X: CellwiseMahalanobisDetector(
            "oas", cells=COLUMNS, threshold="tail", fpr=0.1
        ).fit(X),
    ),
    "CellwiseMahalanobisDetector incremental": (
        False,
        lambda X: (
            CellwiseMahalanobisDetector(cells=3)
            .fit(X[:40])
            .partial_fit(X[40:])
            .calibrate(X)
        ),
    ),
    "CellwiseMahalanobisDetector level": (
        True,
        lambda images: fit_cellwise(images, 2),
    ),
    "CellwiseMahalanobisDetector levels": (
        True,
        lambda images: fit_cellwise(images, [1, 2]),
    ),
    "ConformalDetector": (
        False,
        lambda X: ConformalDetector(
            make_pipeline(NegatedPCA(2), MahalanobisDetector()), fpr=0.1
        ).fit(X),
    ),
    "ConformalDetector groups": (
        False,
        lambda X: ConformalDetector(
            make_pipeline(StandardScaler(), PCA(3), MahalanobisDetector()),
            fpr=0.2,
            cv=GroupNormalKFold(5),
        ).fit(X, groups=GROUPS),
    ),
    "MondrianDetector": (
        False,
        lambda X: MondrianDetector(fpr=0.3).fit(X),
    ),
    "MondrianDetector shared": (
        False,
        lambda X: MondrianDetector(fpr=0.1, shared=True).fit(X),
    ),
    "ConformalMonitor": (False, watch),
    "ConformalMonitor unused": (False, lambda X: ConformalMonitor()),
    "DeepFeatureTransformer": (True, lambda images: tiny().fit(images)),
    "DeepFeatureTransformer bare": (
        True,
        lambda images: tiny(
            pooling=["std", 2], precision="bfloat16", store_weights=False
        ).fit(images),
    ),
    "DeepFeatureTransformer paths": (
        True,
        lambda images: tiny(
            device=torch.device("cpu"),
            cache=FeatureCache("never-made"),
            memmap_folder=Path("never-made"),
        ).fit(images),
    ),
    "DeepFeatureTransformer ignore": (
        True,
        lambda images: tiny(ignore=(0, 0, 0.5, 0.3)).fit(images),
    ),
    "ImageAugmentation": (False, lambda X: ImageAugmentation(rotation=(-3, 3))),
    "LevelEnsemble": (
        False,
        lambda X: LevelEnsemble(columns=COLUMNS, threshold="tail", fpr=0.1).fit(X),
    ),
    "LevelEnsemble folds": (
        False,
        lambda X: LevelEnsemble(
            make_pipeline(StandardScaler(), MahalanobisDetector("diagonal")),
            columns=COLUMNS,
            cv=NormalKFold(4, shuffle=True, random_state=0),
            fpr=0.1,
        ).fit(X),
    ),
    "MahalanobisDetector": (False, lambda X: MahalanobisDetector(fpr=0.1).fit(X)),
    "MahalanobisDetector tail": (
        False,
        lambda X: MahalanobisDetector("oas", threshold="tail", fpr=0.1).fit(X),
    ),
    "MahalanobisDetector wide": (
        False,
        lambda X: MahalanobisDetector(fpr=0.1).fit(np.tile(X, 20) ** np.arange(120)),
    ),
    "MahalanobisDetector isotropic": (
        False,
        lambda X: MahalanobisDetector("isotropic", fpr=0.1).fit(X),
    ),
    "MahalanobisDetector incremental": (False, fit_incrementally),
    "MahalanobisDetector groups": (
        False,
        lambda X: MahalanobisDetector(fpr=0.2).fit(
            X, groups=[f"lot {group}" for group in GROUPS]
        ),
    ),
    "NegatedPCA": (False, lambda X: NegatedPCA(2).fit(X)),
    "PositionDetector": (
        True,
        lambda images: PositionDetector(tiny(levels=2), fpr=0.3).fit(images),
    ),
    "PositionDetector each": (
        True,
        lambda images: PositionDetector(tiny(levels=4), positions="each", fpr=0.3).fit(
            images
        ),
    ),
    "RobustDetector": (False, lambda X: RobustDetector(fpr=0.1).fit(X)),
    "TiledDetector": (
        True,
        lambda images: TiledDetector(
            make_pipeline(tiny(levels=2), MahalanobisDetector()),
            tile_size=32,
            fpr=0.3,
        ).fit(images),
    ),
    "VariantMahalanobisDetector": (
        False,
        lambda X: VariantMahalanobisDetector(fpr=0.1).fit(
            X, variants=np.repeat(["red", "blue"], 30)
        ),
    ),
    "Pipeline": (
        True,
        lambda images: make_pipeline(
            tiny(), StandardScaler(), MahalanobisDetector(fpr=0.3)
        ).fit(images),
    ),
    "DetectorPipeline": (
        True,
        lambda images: make_detector(**TINY, levels=[2, 4], pooling=2, fpr=0.3).fit(
            images
        ),
    ),
    "FeatureUnion": (True, fit_union),
}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(60, 6)) * [1, 2, 3, 1, 1, 0.1] + 5


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skgaussad"


def assert_same(left, right, where="estimator"):
    """Compare two objects and all that they hold, arrays to the bit."""
    assert type(left) is type(right), where
    if isinstance(left, np.ndarray) and left.dtype != object:
        assert left.dtype == right.dtype, where
        assert left.shape == right.shape, where
        assert left.tobytes() == right.tobytes(), where
        if left.ndim == 2:
            # The order in memory decides how products round.
            assert left.flags.c_contiguous == right.flags.c_contiguous, where
    elif isinstance(left, dict):
        # What a network from a file may do, which is not in the file.
        left, right = ({**state, "_is_limited": None} for state in (left, right))
        # The names of weights have no order.
        order = sorted if where.endswith("['_arrays']") else list
        assert order(left) == order(right), where
        for key in left:
            assert_same(left[key], right[key], f"{where}[{key!r}]")
    elif isinstance(left, list | tuple | np.ndarray | array.array):
        assert len(left) == len(right), where
        for index, pair in enumerate(zip(left, right, strict=True)):
            assert_same(*pair, f"{where}[{index}]")
    elif isinstance(left, np.random.RandomState):
        assert_same(left.get_state(), right.get_state(), where)
    elif hasattr(left, "__dict__"):
        assert_same(left.__reduce_ex__(2)[2], right.__reduce_ex__(2)[2], where)
    else:
        assert left == right, where


def list_public_estimators():
    packages = [skgaussad]
    for module in pkgutil.iter_modules(skgaussad.__path__):
        if module.ispkg and module.name != "_utils":
            packages.append(importlib.import_module(f"skgaussad.{module.name}"))
    for package in packages:
        for name in package.__all__:
            member = getattr(package, name)
            if inspect.isclass(member) and issubclass(member, BaseEstimator):
                yield name


def test_every_public_estimator_is_among_the_cases():
    assert set(list_public_estimators()) <= {name.split()[0] for name in CASES}


@pytest.mark.parametrize("case", CASES)
def test_estimator_comes_back(case, X, images, path):
    takes_images, fit = CASES[case]
    data = images if takes_images else X
    with warnings.catch_warnings():
        # So few images support no rate.
        warnings.simplefilter("ignore", skgaussad.exceptions.FalseAlarmRateWarning)
        estimator = fit(data)
    save(estimator, path)
    with warnings.catch_warnings():
        if "paths" in case:
            warnings.filterwarnings("ignore", "The model file sets cache=", UserWarning)
        loaded = load(path)
    if "paths" in case:
        estimator.set_params(cache=None, memmap_folder=None)
    assert_same(estimator, loaded)
    assert list(loaded.get_params()) == list(estimator.get_params())
    clone(loaded)
    parts = [estimator, loaded]
    for method in ("score_samples", "decision_function", "predict", "p_values"):
        if method == "p_values" and "incremental" in case:
            continue
        if hasattr(estimator, method) and "wide" not in case:
            outputs = [getattr(part, method)(data) for part in parts]
            assert_same(*outputs, method)
    if hasattr(estimator, "transform") and "paths" not in case:
        assert_same(*[part.transform(data) for part in parts], "transform")
    if hasattr(estimator, "update_distances") and "unused" not in case:
        distances = np.linspace(0, 9, 20)
        assert estimator.update_distances(distances) == loaded.update_distances(
            distances
        )
        assert_same(estimator, loaded)


def test_loaded_estimator_goes_on_learning(X, path):
    detector = fit_incrementally(X)
    save(detector, path)
    more = X[:5] + 1
    loaded = load(path).partial_fit(more).remove_samples(X[:3])
    detector.partial_fit(more).remove_samples(X[:3])
    assert_same(detector.score_samples(X), loaded.score_samples(X))


@pytest.mark.filterwarnings("ignore:The features are uncorrelated")
def test_frames_and_their_names_come_back(X, path):
    frame = pd.DataFrame(X, columns=[f"level{i % 2}_{i:04d}" for i in range(6)])
    pipe = make_pipeline(NegatedPCA(3), MahalanobisDetector(fpr=0.1))
    pipe.set_output(transform="pandas").fit(frame)
    save(pipe, path)
    loaded = load(path)
    pd.testing.assert_frame_equal(
        loaded[:1].transform(frame), pipe[:1].transform(frame)
    )
    assert list(loaded[0].feature_names_in_) == list(frame.columns)
    assert_same(loaded.score_samples(frame), pipe.score_samples(frame))
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame.iloc[:, ::-1])


@pytest.mark.filterwarnings("ignore:The features are uncorrelated")
def test_metadata_requests_come_back(X, path):
    with config_context(enable_metadata_routing=True):
        detector = MahalanobisDetector(fpr=0.2)
        pipe = make_pipeline(NegatedPCA(3), detector.set_fit_request(groups="lot"))
        owner = detector._metadata_request.fit.owner
        save(pipe, path)
        assert detector._metadata_request.fit.owner is owner
        pipe.fit(X, lot=GROUPS)
        loaded = load(path).fit(X, lot=GROUPS)
    assert_same(loaded.score_samples(X), pipe.score_samples(X))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    arrays(
        st.sampled_from(["f4", "f8", "i8", "u1", "?", "U3"]),
        array_shapes(min_dims=0, min_side=0),
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(st.text(), inner),
        st.dictionaries(st.integers(), inner),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60)
@given(VALUES)
@example({"__loader__": "FunctionNode", "__class__": "system", "__module__": "os"})
@example([{"__loader__": {"__id__": 1}}, (), {}, ""])
def test_parameters_come_back(value):
    with tempfile.TemporaryDirectory() as folder:
        save(MahalanobisDetector(shrinkage=value), Path(folder, "model"))
        loaded = load(Path(folder, "model"))
    assert_same(loaded.shrinkage, value)


def test_parameters_of_scikit_learn_come_back(X, path):
    for cv in (LeaveOneGroupOut(), GroupKFold(5)):
        detector = ConformalDetector(
            make_pipeline(FunctionTransformer(np.log1p), MahalanobisDetector()), cv=cv
        )
        save(detector, path)
        assert repr(load(path)) == repr(detector)


@pytest.mark.parametrize("keep", [True, False])
def test_weights_are_in_the_file_once_or_not_at_all(images, path, keep):
    union = FeatureUnion(
        [("a", tiny(store_weights=keep)), ("b", tiny(store_weights=keep))]
    ).fit(images)
    save(union, path)
    with zipfile.ZipFile(path) as archive:
        weights = [n for n in archive.namelist() if n.endswith(".safetensors")]
    assert len(weights) == keep
    loaded = load(path)
    assert_same(loaded.transform(images), union.transform(images))
    networks = model_info(path)["networks"]
    assert [network["name"] for network in networks] == ["a", "b"]
    assert [network["weights_in_file"] for network in networks] == [keep, keep]


def test_weights_that_were_not_kept_are_checked(images, path, tmp_path):
    weights = tmp_path / "weights.pth"
    network = timm.create_model("test_resnet", num_classes=0)
    torch.save(network.state_dict(), weights)
    transformer = tiny(weights=weights, store_weights=False).fit(images)
    save(transformer, path)
    assert_same(load(path).transform(images), transformer.transform(images))
    network.conv1[0].weight.data += 1
    torch.save(network.state_dict(), weights)
    with pytest.raises(ValueError, match="are not those of the fit: SHA-256"):
        load(path).transform(images)


def test_a_cellwise_model_holds_the_axes_and_little_else(path):
    """About 8 (n - 1) D bytes beside the network."""
    X = np.random.default_rng(0).normal(size=(50, 49 * 30))
    detector = CellwiseMahalanobisDetector(cells=49).fit(X)
    save(detector, path)
    assert 1 < path.stat().st_size / (8 * 49 * X.shape[1]) < 1.3
    facts = model_info(path)
    assert facts["parameters"]["cells"] == 49
    assert facts["detector"]["class"].endswith("CellwiseMahalanobisDetector")
    assert facts["detector"]["threshold_distance"] == -detector.offset_
    assert facts["detector"]["n_calibration_units"] == 50
    assert facts["detector"]["training"] == {
        "n_features_in_": 49 * 30,
        "n_samples_seen_": 50,
        "shrinkage_": detector.shrinkage_,
    }


def test_facts_are_readable_by_anyone(images, path):
    detector = MahalanobisDetector(fpr=0.3)
    pipe = Pipeline([("features", tiny()), ("detector", detector)]).fit(images)
    save(pipe, path)
    facts = model_info(path)
    assert facts["estimator"] == "sklearn.pipeline.Pipeline"
    assert facts["parameters"]["detector__fpr"] == 0.3
    (network,) = facts["networks"]
    assert network["name"] == "features"
    assert network["levels"] == [2, 4]
    assert network["weights_sha256"] == pipe["features"].weights_sha256_
    assert network["preprocessing"]["image_size"] == [64, 64]
    assert network["preprocessing"]["mean"] == list(
        pipe["features"].preprocessing_.mean
    )
    assert facts["detector"]["threshold_distance"] == -detector.offset_
    assert facts["detector"]["threshold"] == "quantile"
    assert facts["detector"]["n_calibration_units"] == 7
    assert facts["detector"]["training"]["n_samples_seen_"] == 7
    assert facts["detector"]["training"]["shrinkage_"] == detector.shrinkage_
    assert facts["packages"]["scikit-learn"] == importlib.metadata.version(
        "scikit-learn"
    )
    # Any reader of JSON takes them, from an archive that any tool opens.
    with zipfile.ZipFile(path) as archive:
        text = archive.read("model.json").decode()
    assert json.loads(text, parse_constant=pytest.fail) == facts


def test_facts_of_meta_estimators_are_those_of_what_decides(images, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", skgaussad.exceptions.FalseAlarmRateWarning)
        augmented = CASES["AugmentedDetector"][1](images)
    save(augmented, path)
    assert model_info(path)["detector"]["threshold"] == "quantile"
    assert model_info(path)["detector"]["threshold_distance"] == -augmented.offset_
    (network,) = model_info(path)["networks"]
    assert network["name"] == "estimator_.deepfeaturetransformer"


def test_unfitted_estimator_has_no_facts_of_training(path):
    save(make_pipeline(tiny(), MahalanobisDetector()), path)
    facts = model_info(path)
    assert facts["networks"] == []
    assert facts["detector"] is None
    assert repr(load(path)) == repr(make_pipeline(tiny(), MahalanobisDetector()))


class Foreign(BaseEstimator):
    """An estimator of nobody's."""


@pytest.mark.parametrize(
    ("estimator", "named"),
    [
        (make_pipeline(FunctionTransformer(lambda X: X)), "test_model_file.<lambda>"),
        (make_pipeline(Foreign()), "test_model_file.Foreign"),
        (
            IsolationForest(n_estimators=2).fit([[0], [1], [2]]),
            "sklearn.ensemble._iforest.IsolationForest",
        ),
        (LevelEnsemble(columns={(1, 2): [0]}), "keys"),
        (LevelEnsemble(columns={1: [0], "1": [1]}), "keys other than str or int"),
        (MahalanobisDetector(fpr=1j), "complex"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_when_it_is_saved(estimator, named, path):
    with pytest.raises(TypeError, match="cannot be saved to a model file") as caught:
        save(estimator, path)
    assert named in str(caught.value)
    assert "joblib.dump" in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize("thing", [MahalanobisDetector, {"detector": 1}, None])
def test_what_is_no_estimator_is_refused(thing, path):
    with pytest.raises(TypeError, match="estimator must be an estimator"):
        save(thing, path)


def test_trusted_types_are_where_the_list_says():
    """A class that moves takes the files that name it along, or they load no more."""
    for name in _classes.CLASSES:
        module, _, attribute = name.rpartition(".")
        member = getattr(importlib.import_module(module), attribute)
        assert inspect.isclass(member), name
        assert member.__module__ == module, name


def test_files_of_earlier_versions_load():
    """Written by ``make_fixtures.py``; the scores stand in ``expected.json``."""
    expected = json.loads((DATA / "expected.json").read_text())
    X = np.array(expected["X"])
    names = sorted(path.name for path in DATA.glob("*.skgaussad"))
    assert names == sorted(expected["scores"])
    for name, scores in expected["scores"].items():
        assert (DATA / name).stat().st_size < 100_000
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            estimator = load(DATA / name)
        np.testing.assert_allclose(estimator.score_samples(X), scores, rtol=1e-9)
        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        np.testing.assert_allclose(last.offset_, expected["offsets"][name], rtol=1e-9)


# Whatever reads pickles, asks the network or starts a program ends the process. After
# the imports: Dask, which scikit-learn looks for, pickles when it is imported.
GUARD = """if True:
    import pickle, socket, sys
    import skops.io, timm, torch
    from skgaussad import load
    def refuse(*args, **kwargs):
        raise SystemExit("a pickle was read")
    class Unpickler(pickle._Unpickler):
        __init__ = load = refuse
    pickle.load = pickle.loads = pickle._load = pickle._loads = refuse
    pickle.Unpickler = pickle._Unpickler = Unpickler
    class Socket(socket.socket):
        def connect(self, *args):
            raise SystemExit("a connection was made")
        connect_ex = sendto = connect
    socket.socket = Socket
    def watch(event, args):
        if event in (
            "pickle.find_class", "socket.connect", "socket.getaddrinfo",
            "os.system", "os.exec", "subprocess.Popen",
        ):
            raise SystemExit(event)
    torch.load = torch.hub.load = refuse
    sys.addaudithook(watch)
"""


@pytest.mark.slow
def test_scores_are_equal_in_a_process_without_pickle_and_network(tmp_path, path):
    cells = load_solar_cells("mono")
    train, test = cells.paths[cells.labels == 1][:12], cells.paths[::100]
    pipe = Pipeline(
        [
            ("features", DeepFeatureTransformer(image_size=96, device="cpu")),
            ("detector", MahalanobisDetector(fpr=0.2)),
        ]
    ).fit(train)
    save(pipe, path)
    script = f"""{GUARD}
    import numpy as np
    scores = load({str(path)!r}).score_samples({list(test)!r})
    np.save({str(tmp_path / "scores.npy")!r}, scores)
    """
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert_same(np.load(tmp_path / "scores.npy"), pipe.score_samples(test))


def test_import_loads_neither_torch_nor_skops():
    code = (
        "import sys, skgaussad.persistence; "
        "print({'torch', 'timm', 'skops'} & set(sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert process.stdout.strip() == b"set()", process.stderr


def test_file_is_on_the_disk_before_it_takes_its_place(path, monkeypatch):
    calls = []

    def record(name):
        call = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args: (calls.append(name), call(*args)))

    record("fsync")
    record("replace")
    save(MahalanobisDetector(), path)
    # The file, its new name, and the folder that has the name.
    assert calls == ["fsync", "replace", "fsync"]


def test_failure_leaves_the_old_file_and_no_other(X, path, monkeypatch):
    detector = MahalanobisDetector(fpr=0.1).fit(X)
    save(detector, path)

    def fail(descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        save(MahalanobisDetector(), path)
    assert os.listdir(path.parent) == [path.name]
    assert_same(load(path), detector)


def test_link_stays_a_link_and_mode_is_that_of_other_files(path, tmp_path):
    target = tmp_path / "version-2.skgaussad"
    target.touch()
    path.symlink_to(target.name)
    save(MahalanobisDetector(fpr=0.125), path)
    assert path.is_symlink()
    assert load(target).fpr == 0.125
    other = tmp_path / "other"
    other.touch()
    assert target.stat().st_mode == other.stat().st_mode


KILLER = """if True:
    import json, os, random, signal, sys, time
    import numpy as np
    from skgaussad import MahalanobisDetector
    from skgaussad import load, save

    path = sys.argv[1]
    rng = np.random.default_rng(0)
    detectors = [
        MahalanobisDetector(fpr=fpr).fit(rng.normal(size=(100, 150)))
        for fpr in (0.1, 0.2)
    ]
    save(detectors[0], path)
    delays = random.Random(0)
    loaded = []
    for _ in range(20):
        child = os.fork()
        if child == 0:
            while True:
                for detector in detectors[::-1]:
                    save(detector, path)
        time.sleep(delays.uniform(0.001, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = load(path)
        (expected,) = [d for d in detectors if d.fpr == found.fpr]
        assert np.array_equal(found.location_, expected.location_)
        loaded.append(found.fpr)
    print(json.dumps(loaded))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
@pytest.mark.slow
def test_kill_leaves_a_whole_file(path, tell):
    process = subprocess.run(
        [sys.executable, "-c", KILLER, str(path)], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    loaded = json.loads(process.stdout)
    tell(f"model file: {len(loaded)} kills, {len(loaded)} whole files")
    assert len(loaded) == 20
    leftovers = [name for name in os.listdir(path.parent) if name != path.name]
    # That of the last kill; those before were removed by the next save.
    assert len(leftovers) <= 1
    assert all(
        re.fullmatch(r"\.model\.skgaussad\.\w+\.tmp", name) for name in leftovers
    )


def test_parameters_that_a_file_does_not_have_are_at_their_defaults(
    tmp_path, monkeypatch
):
    """Those of a version before there were these."""
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32), dtype=np.uint8)
    pipe = make_pipeline(tiny(), MahalanobisDetector(fpr=0.2)).fit(images)
    expected = pipe.score_samples(images)
    facts = _model_file.summarize(pipe)
    del pipe[0].reduce_jpeg, pipe[1].confidence
    monkeypatch.setattr(_model_file, "summarize", lambda _: facts)
    save(pipe, tmp_path / "m.skgaussad")
    loaded = load(tmp_path / "m.skgaussad")
    assert (loaded[0].reduce_jpeg, loaded[1].confidence) == (False, None)
    np.testing.assert_array_equal(loaded.score_samples(images), expected)
    np.testing.assert_array_equal(
        clone(loaded).fit(images).score_samples(images), expected
    )
