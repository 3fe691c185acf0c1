"""Tests that what is in a model file keeps to its bounds, loaded and scoring."""

import copy
import functools
import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
import timm
import torch
from sklearn.base import clone
from sklearn.covariance import (
    OAS,
    EllipticEnvelope,
    EmpiricalCovariance,
    LedoitWolf,
    MinCovDet,
    ShrunkCovariance,
)
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import VarianceThreshold
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection
from sklearn.svm import OneClassSVM

from skgaussad import (
    CellwiseMahalanobisDetector,
    ConformalDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    NegatedPCA,
    PositionDetector,
    TiledDetector,
    VariantMahalanobisDetector,
    load,
    save,
)
from skgaussad.calibration import ConformalMonitor
from skgaussad.commands import _main
from skgaussad.commands._main import main
from skgaussad.exceptions import ModelFileError
from skgaussad.features import FeatureCache
from skgaussad.persistence import _classes, _model_file, model_info

from .test_hostile_files import (
    FIXTURE,
    in_detector,
    literal,
    node,
    pack,
    read_members,
    write_members,
)

# What a file may take in memory: times its size, and beside it.
FACTOR, CONSTANT = 50, 2**21
EVIL = "\x1b[2J\x1b]0;owned\x07\r\u202eevil\x9b31m[bold]"
TINY = {"backbone": "test_resnet", "weights": None, "image_size": 64, "device": "cpu"}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(60, 6))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skgaussad"


def tiny(**parameters):
    return DeepFeatureTransformer(**{**TINY, "levels": [2, 4], **parameters})


def write_forged(path, content):
    members = read_members(FIXTURE)
    members["estimator.skops"] = content
    return write_members(path, members)


@pytest.fixture
def save_unchecked(path, monkeypatch):
    """Save what `save` would refuse, as a forger can."""

    def save_unchecked(estimator):
        with monkeypatch.context() as patch:
            patch.setattr(_model_file, "Schema", lambda content: None)
            patch.setattr(_model_file, "examine", lambda estimator: None)
            patch.setattr(_model_file, "summarize", lambda estimator: {})
            save(estimator, path)
        return path

    return save_unchecked


def unpack(content):
    """Return the members of an archive by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def array_node(file, **content):
    return node("NdArrayNode", "numpy.ndarray", type="numpy", file=file, **content)


def list_node(items, **content):
    return node("ListNode", "builtins.list", content=items, **content)


def nest(levels):
    """Lists with two references to the list below, which is written out once."""
    inner = list_node([literal(0)], __id__=1)
    for level in range(2, levels):
        inner = list_node([inner, {"__id__": level - 1}], __id__=level)
    return inner


# -- Memory in proportion ------------------------------------------------------------

BOMBS = {
    "one array for all": lambda: pack(
        in_detector(list_node([array_node("1.npy", __id__=i) for i in range(2000)])),
        {"1.npy": npy(np.zeros(30_000))},
    ),
    "one array without name for all": lambda: pack(
        in_detector(list_node([array_node("1.npy")] * 2000)),
        {"1.npy": npy(np.zeros(30_000))},
    ),
    "functions": lambda: pack(
        in_detector(list_node([node("FunctionNode", "numpy.exp")] * 5000))
    ),
    "objects": lambda: pack(
        in_detector(list_node([node("ObjectNode", "sklearn.pipeline.Pipeline")] * 5000))
    ),
    "scalars": lambda: pack(in_detector(list_node([literal(0)] * 5000))),
    "empty lists": lambda: pack(
        '{"protocol": 2, "x": [' + ",".join(["[]"] * 100_000) + "]}"
    ),
    "empty lists as text": lambda: pack(in_detector(literal([[]] * 100_000))),
    "one wide character": lambda: pack(
        in_detector(literal("a" * 10**6 + "\U0001f600"))
    ),
    "strings without length": lambda: pack(
        in_detector(array_node("1.npy")), {"1.npy": header("<U0", (2**29,))}
    ),
    "bytes without length": lambda: pack(
        in_detector(array_node("1.npy")), {"1.npy": header("|S0", (2**30,))}
    ),
    "empty": lambda: pack(
        in_detector(array_node("1.npy")), {"1.npy": header("<f8", (0, 2**40))}
    ),
    "structured": lambda: pack(
        in_detector(array_node("1.npy")), {"1.npy": header([("a", "V0")], (2**30,))}
    ),
    "array in type": lambda: pack(
        in_detector(array_node("1.npy")),
        {"1.npy": header([("a", "<f8", (0, 9))], (2**30,))},
    ),
    "members": lambda: pack(
        in_detector(literal(0)), {f"{i}.npy": b"" for i in range(20_000)}
    ),
}


def header(descr, shape):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


@pytest.mark.parametrize("name", BOMBS)
def test_memory_is_in_proportion_to_the_file(name, path):
    write_forged(path, BOMBS[name]())
    load(FIXTURE)
    tracemalloc.start()
    try:
        load(path)
    except ModelFileError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < FACTOR * path.stat().st_size + CONSTANT


@pytest.mark.parametrize(
    ("descr", "shape"),
    [
        ("<U0", (2**29,)),
        ("|S0", (2**30,)),
        ("<f8", (0, 2**40)),
        ([("a", "<f8", (0, 9))], (2**30,)),
        ([("a", "<f8")], (0,)),
        ("|V8", (0,)),
        ("|O", (0,)),
    ],
    ids=str,
)
def test_array_without_bytes_is_small(descr, shape, path):
    """It would have them once something is computed with it."""
    array = {"1.npy": header(descr, shape)}
    write_forged(path, pack(in_detector(array_node("1.npy")), array))
    with pytest.raises(ModelFileError, match=r"'1.npy' (declares|has the type)"):
        load(path)


def test_manifest_takes_memory_in_proportion(path):
    members = read_members(FIXTURE)
    write_members(path, members, x=[[]] * 10**5)
    tracemalloc.start()
    model_info(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < FACTOR * path.stat().st_size + CONSTANT


# -- Shared nodes --------------------------------------------------------------------


@pytest.mark.parametrize("levels", [3, 60])
def test_shared_nodes_are_written_out(levels, path):
    """Else walks of n nodes visit 2^n."""
    write_forged(path, pack(in_detector(nest(levels))))
    with pytest.raises(ModelFileError, match="not as skops|not the same in all|KeyErr"):
        load(path)


def test_node_that_is_another_in_another_place_is_refused(path):
    items = [list_node([literal(0)], __id__=1), list_node([], __id__=1)]
    write_forged(path, pack(in_detector(list_node(items))))
    with pytest.raises(ModelFileError, match="object 1 is not the same in all places"):
        load(path)


def test_cached_nodes_are_refused(path):
    again = node("CachedNode", "builtins.list", __id__=1)
    items = list_node([list_node([], __id__=1), again])
    write_forged(path, pack(in_detector(items)))
    with pytest.raises(ModelFileError, match=r"builtins.list \(as CachedNode\)"):
        load(path)


def test_one_object_in_two_places_stays_one(X, path):
    scaler = StandardScaler().fit(X)
    save(FeatureUnion([("a", scaler), ("b", scaler)]), path)
    (_, first), (_, second) = load(path).transformer_list
    assert first is second


@pytest.mark.parametrize("depth", [101, 400])
def test_depth_is_bounded(depth, path):
    deep = functools.reduce(
        lambda inner, _: list_node([inner]), range(depth), literal(0)
    )
    write_forged(path, pack(in_detector(deep)))
    with pytest.raises(ModelFileError, match="100 nodes in each other|RecursionError"):
        load(path)


def test_nested_manifest_is_refused(path, capsys):
    members = read_members(FIXTURE)
    deep = functools.reduce(lambda inner, _: [inner], range(25), 0)
    write_members(path, members, packages=deep)
    for read in (load, model_info):
        with pytest.raises(ModelFileError, match=r"model.json has more than 20 levels"):
            read(path)
    assert main(["info", "--json", str(path)]) == 1


# -- Classes -------------------------------------------------------------------------

FOREIGN = [
    OneClassSVM(),
    LocalOutlierFactor(novelty=True),
    KernelDensity(),
    SplineTransformer(),
    RandomForestClassifier(n_estimators=2),
    HistGradientBoostingClassifier(max_iter=2),
]


@pytest.mark.parametrize("estimator", FOREIGN, ids=lambda e: type(e).__name__)
def test_classes_off_the_list_are_refused(estimator, X, path, save_unchecked):
    y = np.arange(len(X)) % 2
    for candidate in (estimator, copy.deepcopy(estimator).fit(X, y)):
        with pytest.raises(TypeError, match="cannot be saved to a model file"):
            save(candidate, path)
        cls = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
        with pytest.raises(ModelFileError, match=cls):
            load(save_unchecked(candidate))


SKLEARN = [
    IncrementalPCA(2),
    PCA(2, whiten=True),
    TruncatedSVD(2),
    GaussianRandomProjection(2, random_state=0),
    VarianceThreshold(),
    MaxAbsScaler(),
    MinMaxScaler(),
    Normalizer(),
    RobustScaler(),
    StandardScaler(with_mean=False, with_std=False),
    EllipticEnvelope(random_state=0),
    EmpiricalCovariance(),
    LedoitWolf(),
    MinCovDet(random_state=0),
    OAS(),
    ShrunkCovariance(store_precision=False),
]


@pytest.mark.parametrize("estimator", SKLEARN, ids=lambda e: type(e).__name__)
def test_classes_on_the_list_come_back(estimator, X, path):
    save(clone(estimator).fit(pd.DataFrame(X, columns=list("abcdef"))), path)
    load(path)
    fitted = clone(estimator).fit(X)
    save(fitted, path)
    loaded = load(path)
    method = "transform" if hasattr(fitted, "transform") else "mahalanobis"
    outputs = [getattr(part, method)(X) for part in (fitted, loaded)]
    # Where its arrays are strided, those from the file are not, and round otherwise.
    np.testing.assert_allclose(*outputs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "name", ["numpy.save", "numpy.fromfile", "numpy.ones", "numpy.add", "math.exp"]
)
def test_functions_off_the_list_are_refused(name, path):
    write_forged(path, pack(in_detector(node("FunctionNode", name))))
    with pytest.raises(ModelFileError, match=name):
        load(path)


@pytest.mark.parametrize("name", sorted(_classes.FUNCTIONS))
def test_functions_on_the_list_come_back(name, path):
    function = _classes.FUNCTIONS[name]
    save(FunctionTransformer(function), path)
    assert load(path).func is function


def test_types_and_containers_that_no_estimator_holds_are_refused(path):
    for child in (
        node("TypeNode", "builtins.type"),
        node("SetNode", "builtins.set", content=[]),
        node("DTypeNode", "numpy.dtype", content=array_node("1.npy")),
        node("DictNode", "collections.defaultdict", content={}),
        node("ObjectNode", "skgaussad.persistence._schema.Schema"),
        node("ObjectNode", "sklearn.utils._bunch.Bunch"),
    ):
        write_forged(path, pack(in_detector(child), {"1.npy": npy(np.zeros(1))}))
        with pytest.raises(ModelFileError, match="not trusted"):
            load(path)


# -- What objects hold ---------------------------------------------------------------


def fitted_detector(X):
    return MahalanobisDetector(fpr=0.1).fit(X)


def replaced(frozen, **attributes):
    """Change attributes of a frozen dataclass."""
    vars(frozen).update(attributes)


def with_random_state(position):
    state = np.random.RandomState(0)
    monitor = ConformalMonitor(random_state=state)
    found = state.get_state(legacy=False)
    found["state"]["pos"] = position
    return monitor, found


def forged_detectors(X):
    """Yield what a forger changes in a fitted estimator, by what is said of it."""
    d = X.shape[1]
    changes = {
        "location_ of": lambda e: setattr(e, "location_", np.zeros((10**4, 1))),
        "_gaussian of": lambda e: setattr(e, "n_features_in_", d + 1),
        "_offset": lambda e: setattr(e, "_offset", float("nan")),
        "score_samples": lambda e: setattr(e, "score_samples", 0),
        "mean of Moments": lambda e: replaced(e._moments, mean=np.zeros((10**4, 1))),
        "low of Moments": lambda e: replaced(e._moments, low=np.full(d, np.nan)),
        "axes of": lambda e: replaced(e._gaussian.spectrum, axes=np.zeros((3, d))),
        "variances are not": lambda e: replaced(e._gaussian, variances=np.zeros(2)),
        "moments are not": lambda e: replaced(e._gaussian, covariance="diagonal"),
        "shrinkage of": lambda e: replaced(e._gaussian, shrinkage=2.0),
        "groups are not": lambda e: replaced(
            e._held_out_distances, groups=np.full(len(X), 10**9)
        ),
        "sorted distances": lambda e: replaced(
            e._held_out_distances, _sorted=(np.zeros(1), np.zeros(10**4))
        ),
        "_lacking of": lambda e: setattr(e, "_lacking", EVIL),
        "_gaussian": lambda e: setattr(e, "_gaussian", e._moments),
    }
    for problem, change in changes.items():
        detector = fitted_detector(X)
        detector.p_values(X)
        change(detector)
        yield problem, detector
    scaler = StandardScaler().fit(X)
    scaler.mean_ = np.zeros((10**4, 1))
    yield "mean_ of StandardScaler", make_pipeline(scaler, fitted_detector(X))
    pca = PCA(3).fit(X)
    pca.components_ = np.zeros((3, d + 1))
    yield "components_ of PCA", pca
    pca = NegatedPCA(3).fit(X)
    pca.mean_ = np.zeros((10**4, 1))
    yield "of NegatedPCA", pca
    ensemble = LevelEnsemble(columns={"a": [0, 1], "b": [2]}, fpr=0.1).fit(X)
    ensemble.columns_["a"] = np.array([0, 10**6])
    yield "columns that its features lack", ensemble
    ensemble = LevelEnsemble(columns={"a": [0, 1], "b": [2]}, fpr=0.1).fit(X)
    ensemble.estimators_.append(ensemble.estimators_[0])
    yield "estimators_ of LevelEnsemble", ensemble
    cells = CellwiseMahalanobisDetector(cells=3, fpr=0.1).fit(X)
    cells.cells_ = ["r0c0", "r0c1", "r90000c90000"]
    yield "cells are far apart", cells
    cells = CellwiseMahalanobisDetector(cells=3, fpr=0.1).fit(X)
    cells._columns = cells._columns - 10**6
    yield "columns that its features lack", cells
    variants = np.arange(len(X)) % 2
    detector = VariantMahalanobisDetector(fpr=0.1).fit(X, variants=variants)
    detector.locations_ = np.zeros((2, d + 1))
    yield "of VariantMahalanobisDetector", detector
    conformal = ConformalDetector(MahalanobisDetector(), fpr=0.1).fit(X)
    conformal.estimator_ = "me"
    yield "estimator_ of ConformalDetector", conformal
    yield "func of", FunctionTransformer(func=3)
    yield "kw_args of", FunctionTransformer(np.exp, kw_args={"dtype": "O"})
    yield "steps of", Pipeline([("a", fitted_detector(X)._gaussian)])
    yield "steps of", Pipeline([(1, 2, 3)])


def forged_transformers(images):
    def change(problem, act, **parameters):
        transformer = tiny(**parameters).fit(images)
        act(transformer)
        return problem, transformer

    yield change(
        "image_size must have",
        lambda t: replaced(t.preprocessing_, image_size=(10**5, 10**5)),
    )
    yield change("crop_pct=", lambda t: replaced(t.preprocessing_, crop_pct=1e-7))
    yield change("mean and std", lambda t: replaced(t.preprocessing_, mean=(0.0,) * 9))
    yield change(
        "interpolation of", lambda t: replaced(t.preprocessing_, interpolation="evil")
    )
    yield change("batch_size=", lambda t: t.set_params(batch_size=10**9))
    yield change("batch_size=", lambda t: t.set_params(batch_size=0.5))
    yield change(
        "features are not",
        lambda t: replaced(t._parts[0].pooling, kind="grid", grid=10**6),
    )
    yield change("features are not", lambda t: replaced(t._parts[0], n_channels=10**9))
    yield change(
        "level is larger",
        lambda t: t._backbone.shapes.update({2: (32, 10**6, 10**6, False)}),
    )
    yield change(
        "another size", lambda t: setattr(t._backbone, "_image_size", (9000, 9000))
    )
    yield change("lacks a level", lambda t: setattr(t, "levels_", (2, 4, 5)))
    yield change("lacks an attribute", lambda t: delattr(t, "_backbone"))
    yield change("_weights of", lambda t: setattr(t._backbone, "_weights", "//e/x.pth"))
    yield change("_weights of", lambda t: setattr(t._backbone, "_weights", "\\\\e\\x"))
    yield change(
        "side of more",
        lambda t: replaced(
            t._kept_area,
            row_edges=np.linspace(0, 1, 20_001),
            is_kept=np.ones((20_000, 2), dtype=bool),
        ),
        ignore=(0, 0, 0.5, 0.5),
    )
    yield change(
        "edges are not",
        lambda t: replaced(t._kept_area, row_edges=np.linspace(0, 1, 9)),
        ignore=(0, 0, 0.5, 0.5),
    )
    pipeline = make_pipeline(tiny(levels=2), MahalanobisDetector())
    tiled = TiledDetector(pipeline, tile_size=32, fpr=0.3).fit(images)
    for act in (
        lambda t: setattr(t, "tile_size_", (1, 1)),
        lambda t: setattr(t, "overlap", 0.99),
    ):
        changed = copy.deepcopy(tiled)
        act(changed)
        yield "tiles are too many", changed
    tiled.overlap = 1.0
    yield "overlap be in", tiled
    positions = PositionDetector(tiny(levels=4), positions="each", fpr=0.3).fit(images)
    positions.detectors_.pop()
    yield "lacks positions", positions


@pytest.mark.parametrize("kind", ["detectors", "transformers"])
@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
def test_values_that_do_not_go_together_are_refused(
    kind, X, images, path, save_unchecked, tell
):
    forge = forged_detectors(X) if kind == "detectors" else forged_transformers(images)
    n_refused = 0
    for problem, forged in forge:
        with pytest.raises(ModelFileError) as caught:
            load(save_unchecked(forged))
        assert problem in str(caught.value)
        # What would not load is not saved.
        path.unlink()
        with pytest.raises(TypeError, match="cannot be saved") as caught:
            save(forged, path)
        assert problem in str(caught.value)
        n_refused += 1
    tell(f"model file: {n_refused} forged {kind}, {n_refused} refused")


@pytest.mark.parametrize("position", [-1, 625, 10**6])
def test_random_state_outside_of_its_numbers_is_refused(position, path):
    """NumPy would read what lies in memory behind them."""
    save(ConformalMonitor(random_state=np.random.RandomState(0)), path)
    members = read_members(path)
    arrays = unpack(members["estimator.skops"])
    schema = arrays.pop("schema.json").decode()
    changed = schema.replace('"content":"624"', f'"content":"{position}"')
    assert changed != schema
    members["estimator.skops"] = pack(changed, arrays)
    write_members(path, members)
    with pytest.raises(ModelFileError, match="random state"):
        load(path)


def test_booleans_are_zero_or_one(path):
    array = npy(np.ones(1000, dtype=bool))
    forged = array[:-1] + b"\xff"
    write_forged(path, pack(in_detector(array_node("1.npy")), {"1.npy": forged}))
    with pytest.raises(ModelFileError, match="not booleans"):
        load(path)


# -- What a loaded model does --------------------------------------------------------


def test_file_does_not_say_how_a_model_runs(X, images, path, tmp_path):
    """No processes, no compiler, no files until the user asks for them."""
    folder = tmp_path / "written"
    estimators = [
        tiny(num_workers=62, torch_compile=True, cache=FeatureCache(folder)),
        tiny(cache=str(folder), memmap_folder=folder),
        Pipeline([("a", StandardScaler())], memory=str(folder)),
        FeatureUnion([("a", StandardScaler())], n_jobs=62),
        FeatureUnion([("a", StandardScaler())], n_jobs=np.zeros(2)),
        LevelEnsemble(columns={"a": [0]}, n_jobs=62),
        ConformalDetector(MahalanobisDetector(), n_jobs=-1),
        ConformalDetector(
            FeatureUnion([("a", Pipeline([("b", StandardScaler())], memory=folder))])
        ),
    ]
    for estimator in estimators:
        save(estimator, path)
        with pytest.warns(UserWarning, match="The model file sets .*set_params"):
            loaded = load(path)
        parameters = loaded.get_params()
        for name, value in parameters.items():
            last = name.rpartition("__")[2]
            if last in _classes.RUN_PARAMETERS:
                assert value == _classes.RUN_PARAMETERS[last], name
        changed = {
            name
            for name, value in estimator.get_params(deep=False).items()
            if name in _classes.RUN_PARAMETERS and value is not parameters[name]
        }
        loaded.set_params(**{n: getattr(estimator, n) for n in changed})
        assert repr(loaded.get_params(False).keys()) == repr(
            estimator.get_params(False).keys()
        )
    union = FeatureUnion([("a", StandardScaler())], n_jobs=2).fit(X)
    save(union, path)
    with pytest.warns(UserWarning, match="n_jobs=2 of FeatureUnion"):
        assert np.array_equal(load(path).transform(X), union.transform(X))
    transformer = tiny(memmap_folder=folder, cache=folder).fit(images)
    save(transformer, path)
    with pytest.warns(UserWarning, match="memmap_folder="):
        load(path).transform(images)
    assert not folder.exists()


def forge_backbone(transformer, **attributes):
    vars(transformer._backbone).update(attributes)
    return transformer


@pytest.fixture
def created(monkeypatch):
    """Networks that timm creates other than without memory, and with what."""
    calls, create = [], timm.create_model

    def record(name, **options):
        if torch.empty(0).device.type != "meta":
            calls.append((name, options["pretrained"]))
        if options["pretrained"]:
            raise OSError("no network in tests")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", record)
    return calls


@pytest.mark.parametrize("keep", [True, False])
def test_large_network_is_not_built(keep, images, path, save_unchecked, created):
    transformer = tiny(store_weights=keep).fit(images)
    forge_backbone(transformer, name="vit_giant_patch14_dinov2")
    save_unchecked(transformer)
    created.clear()
    problem = "are not its" if keep else r"is a network of \d{10} bytes.*fetch=True"
    with pytest.raises(ValueError, match=problem):
        load(path).transform(images)
    assert created == []


def test_number_of_networks_is_bounded(images, path, save_unchecked):
    """The weights that they share are in the file once, and in memory many times."""
    transformer = tiny(levels=2).fit(images)
    parts = [(f"n{i}", copy.deepcopy(transformer)) for i in range(17)]
    save(FeatureUnion(parts[:16]), path)
    assert path.stat().st_size < 5 * 10**5
    load(path)
    with pytest.raises(ModelFileError, match="17 networks, more than 16"):
        load(save_unchecked(FeatureUnion(parts)))


def test_network_is_filled_with_the_weights_of_the_file(images, path, created):
    """It is not made with others first, nor are those of levels that are left out."""
    transformer = tiny(levels=1).fit(images)
    save(transformer, path)
    created.clear()
    loaded = load(path)
    assert np.array_equal(loaded.transform(images), transformer.transform(images))
    assert created == []


def test_network_with_other_constants_is_built(images, path, created):
    """The rotary embedding of this one is neither a parameter nor in its state."""
    transformer = tiny(
        backbone="eva02_tiny_patch14_224", levels=1, image_size=None
    ).fit(images[:1])
    save(transformer, path)
    created.clear()
    loaded = load(path)
    features = transformer.transform(images[:1])
    assert np.array_equal(loaded.transform(images[:1]), features)
    assert created == [("eva02_tiny_patch14_224", False)]


def test_weights_that_timm_would_fetch_are_not(images, path, save_unchecked, created):
    """Unless the user says so."""
    transformer = forge_backbone(
        tiny(store_weights=False).fit(images), name="resnet18", _weights="auto"
    )
    save_unchecked(transformer)
    created.clear()
    with pytest.raises(OSError, match=r"not in the model file.*fetch=True"):
        load(path).transform(images)
    assert created == []
    with pytest.raises(OSError, match="no network in tests"):
        load(path, fetch=True).transform(images)
    assert created[0] == ("resnet18", True)


def test_file_does_not_allow_itself_to_fetch(images, path, save_unchecked, created):
    transformer = forge_backbone(
        tiny(store_weights=False).fit(images), name="resnet18", _weights="auto"
    )
    save(transformer, path)
    loaded = load(path)
    save(loaded, path)
    assert b"_is_limited" not in path.read_bytes()
    # It goes with the model to other processes.
    for again in (loaded, copy.deepcopy(loaded)):
        with pytest.raises(OSError, match="fetch=True"):
            again.transform(images)
    assert ("resnet18", True) not in created


def test_small_networks_without_weights_run_as_before(images, path):
    transformer = tiny(store_weights=False).fit(images)
    save(transformer, path)
    for loaded in (load(path), load(path, fetch=True)):
        assert np.array_equal(loaded.transform(images), transformer.transform(images))


# -- What is printed -----------------------------------------------------------------


def test_info_escapes_what_it_prints(path, capsys):
    facts = model_info(FIXTURE)
    facts = {name: EVIL if isinstance(v, str) else v for name, v in facts.items()}
    facts["packages"] = {EVIL: EVIL}
    facts["networks"] = [
        {
            "backbone": EVIL,
            "levels": [EVIL],
            "preprocessing": {"image_size": [EVIL, EVIL]},
            "n_features": EVIL,
            "precision": EVIL,
            "weights_in_file": EVIL,
            "weights_source": EVIL,
            "weights_sha256": EVIL,
        }
    ]
    facts["detector"] = {"threshold_distance": 1.0, "threshold": EVIL}
    facts = {k: v for k, v in facts.items() if k not in ("format", "files")}
    facts["format_version"] = 1
    write_members(path, read_members(FIXTURE), **facts)
    for arguments in (["info", str(path)], ["info", "--json", str(path)]):
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        assert "evil" in printed
        assert all(c.isprintable() or c == "\n" for c in printed)


@pytest.mark.parametrize(
    "facts",
    [
        {"estimator": None},
        {"networks": 3},
        {"networks": [{}]},
        {"detector": EVIL},
        {"detector": {"threshold_distance": EVIL}},
        {"packages": [EVIL]},
        {"format_version": 7, "packages": {"skgaussad": EVIL}},
        {"format_version": EVIL},
    ],
)
def test_odd_facts_are_an_error_without_control_characters(facts, path, capsys):
    write_members(path, read_members(FIXTURE), **facts)
    status = main(["info", str(path)])
    out, err = capsys.readouterr()
    assert status == (0 if facts == {"estimator": None} else 1)
    assert all(c.isprintable() or c == "\n" for c in out + err)


def test_warnings_of_the_command_line_are_printable(capsys):
    _main._show_warning(EVIL, UserWarning, "", 0)
    printed = capsys.readouterr().err
    assert "evil" in printed
    assert printed.rstrip("\n").isprintable()


def test_version_in_a_warning_is_printable(path):
    save(StandardScaler(), path)
    members = read_members(path)
    version = sklearn.__version__.encode()
    content = unpack(members["estimator.skops"])
    schema = content.pop("schema.json").replace(version, b"\\\\u001b[2J")
    members["estimator.skops"] = pack(schema.decode(), content)
    write_members(path, members)
    with pytest.raises(ModelFileError, match="version of scikit-learn is none"):
        load(path)


def test_error_is_short_and_printable(path):
    members = read_members(FIXTURE)
    write_members(path, {**members, EVIL * 1000: b""})
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert len(str(caught.value)) < 3000
    assert str(caught.value).isprintable()
    child = node("ObjectNode", f"evil.{EVIL}")
    write_forged(path, pack(in_detector(child)))
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(caught.value).isprintable()


def test_files_of_all_sizes_are_refused_when_they_are_cut(path, tmp_path, X):
    """Also where the end is that of the archive in the file."""
    for estimator in (MahalanobisDetector(), fitted_detector(X)):
        save(estimator, path)
        content = path.read_bytes()
        cut = Path(tmp_path, "cut.skgaussad")
        starts = [
            at for at in range(len(content)) if content[at:].startswith(b"PK\5\6")
        ]
        # Of the archive in the file, and of the file, which is whole with it.
        inner, _ = starts
        for end in (inner, inner + 21, inner + 22, inner + 23, len(content) - 1):
            cut.write_bytes(content[:end])
            for read in (load, model_info):
                with pytest.raises(ModelFileError, match="truncated or damaged"):
                    read(cut)
