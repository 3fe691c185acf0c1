"""Networks run by OpenVINO: the same features, wherever they are computed."""

import importlib.util
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skgaussad import DeepFeatureTransformer, load, make_detector, save
from skgaussad.features import FeatureCache, _openvino
from skgaussad.features._engine import resolve_engine
from skgaussad.inspection import anomaly_maps

if importlib.util.find_spec("openvino") is None:
    pytest.skip("needs the extra fast", allow_module_level=True)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
BY_NAME = {
    # By stages, by timm's intermediate outputs, with tokens, with windows.
    "tf_efficientnet_lite0": 64,
    "test_resnet": 64,
    "resnet18": 64,
    "mobilenetv3_small_050": 64,
    "convnext_atto": 64,
    "test_vit": None,
    "test_vit3": None,
    "vit_tiny_patch16_224": 64,
    "swin_tiny_patch4_window7_224": None,
}


def make(engine, **settings):
    settings = {"backbone": "test_resnet", "image_size": 64, "levels": 3, **settings}
    return DeepFeatureTransformer(weights=None, device="cpu", engine=engine, **settings)


def detect(engine):
    return make_detector(
        backbone="test_resnet",
        weights=None,
        image_size=64,
        levels=3,
        pooling=4,
        fpr=0.3,
        engine=engine,
    )


def both(images, **settings):
    """Features by torch and by OpenVINO."""
    fitted = [make(engine, **settings).fit(images) for engine in ("torch", "openvino")]
    assert [each.engine_ for each in fitted] == ["torch", "openvino"]
    return [each.transform(images) for each in fitted]


def assert_rows_close(found, expected, tolerance=1e-5):
    """Each row differs by a fraction of its length."""
    difference = np.linalg.norm(found - expected, axis=1)
    assert (difference <= tolerance * np.linalg.norm(expected, axis=1)).all()


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(10, 50, 70, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", BY_NAME)
def test_every_level_of_every_kind_of_network(pictures, name):
    settings = {"backbone": name, "image_size": BY_NAME[name], "levels": "all"}
    torch_, openvino = both(pictures[:5], **settings)
    assert_rows_close(openvino, torch_)
    slices = make("torch", **settings).fit(pictures[:1]).level_slices_
    for level, columns in slices.items():
        np.testing.assert_allclose(
            openvino[:, columns],
            torch_[:, columns],
            atol=1e-4 * np.abs(torch_[:, columns]).max(),
            err_msg=f"level {level}",
        )


@pytest.mark.parametrize(
    "settings",
    [
        {"pooling": ["average", "max", "std", 2]},
        {"ignore": (0.2, 0.1, 0.6, 0.9), "pooling": ["average", "max", "std", 2]},
        {"standardize_intensity": True, "mean": 0.4, "std": (0.2, 0.3, 0.4)},
        {"image_size": (64, 96), "levels": [1, 2, 3, 4]},
        {"backbone": "test_vit", "image_size": None, "pooling": ["class_token", "max"]},
        {"num_workers": 2, "batch_size": 3},
        {"batch_size": 100},
    ],
    ids=str,
)
def test_settings_have_their_effect(pictures, settings):
    torch_, openvino = both(pictures, **settings)
    assert_rows_close(openvino, torch_)


@pytest.mark.parametrize("n_images", [1, 2, 9, 10])
def test_any_number_of_images(pictures, n_images):
    torch_, openvino = both(pictures[:n_images])
    assert_rows_close(openvino, torch_)
    again = make("openvino").fit(pictures).transform(pictures[:n_images])
    np.testing.assert_array_equal(again, openvino)


def test_maps_are_those_of_torch(pictures):
    maps = []
    for engine in ("torch", "openvino"):
        detector = detect(engine).fit(pictures)
        maps.append(anomaly_maps(detector, pictures))
    np.testing.assert_allclose(maps[1], maps[0], rtol=1e-3, atol=1e-3)


# Choice


def test_auto_takes_what_is_installed(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert resolve_engine("auto", cpu, False) == "openvino"
    assert resolve_engine("auto", cpu, True) == "torch"
    assert resolve_engine("auto", cuda, False) == "torch"
    assert resolve_engine("torch", cpu, False) == "torch"
    for device, compiled in ((cuda, False), (cpu, True)):
        with pytest.raises(ValueError, match="engine='openvino' runs on the CPU"):
            resolve_engine("openvino", device, compiled)
    with pytest.raises(ValueError, match="engine must be one of 'auto', 'torch'"):
        resolve_engine("onnx", cpu, False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert resolve_engine("auto", cpu, False) == "torch"
    with pytest.raises(ImportError, match=r'pip install "skgaussad\[fast\]"'):
        resolve_engine("openvino", cpu, False)


def test_what_it_cannot_run_is_run_by_torch(monkeypatch, pictures):
    expected = make("torch", levels=2).fit(pictures).transform(pictures)

    def fail(module, x):
        raise RuntimeError("no conversion rule for aten::odd\nand a trace")

    monkeypatch.setattr(_openvino, "_networks", type(_openvino._networks)())
    monkeypatch.setattr(_openvino, "_convert", fail)
    for engine in ("auto", "openvino"):
        transformer = make(engine, levels=2)
        message = (
            r"OpenVINO cannot run 'test_resnet' \(no conversion rule for aten::odd\)"
        )
        with pytest.warns(UserWarning, match=message) as caught:
            transformer.fit(pictures)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert transformer.engine_ == "torch"
        np.testing.assert_array_equal(transformer.transform(pictures), expected)


def test_what_differs_from_torch_is_run_by_torch(monkeypatch, pictures):
    convert = _openvino._convert

    def wrong(module, x):
        return convert(torch.nn.Sequential(module, _Shifted()), x)

    class _Shifted(torch.nn.Module):
        def forward(self, parts):
            return tuple(part + 0.01 * part.abs().max() for part in parts)

    monkeypatch.setattr(_openvino, "_networks", type(_openvino._networks)())
    monkeypatch.setattr(_openvino, "_convert", wrong)
    with pytest.warns(UserWarning, match="its outputs differ from those of torch by"):
        assert make("auto", levels=1).fit(pictures).engine_ == "torch"


def test_bfloat16_is_for_one_engine(monkeypatch, pictures):
    fitted = {
        engine: make(engine, precision="bfloat16").fit(pictures)
        for engine in ("torch", "openvino")
    }
    if fitted["openvino"].engine_ == "torch":
        pytest.skip("this processor has no bfloat16")
    features = {name: each.transform(pictures) for name, each in fitted.items()}
    exact = make("torch").fit(pictures).transform(pictures)
    for each in features.values():
        assert_rows_close(each, exact, 0.02)
    moved = pickle.loads(pickle.dumps(fitted["openvino"])).set_params(engine="torch")
    with pytest.warns(
        UserWarning, match="run by openvino at the fit and is now by tor"
    ):
        found = moved.transform(pictures)
    np.testing.assert_allclose(found, features["torch"], rtol=1e-3, atol=1e-3)
    back = fitted["torch"].set_params(engine="auto")
    with pytest.warns(UserWarning, match="run by torch at the fit and is now by"):
        back.transform(pictures)
    # In float32 any will do.
    moved = make("openvino").fit(pictures).set_params(engine="torch")
    assert_rows_close(moved.transform(pictures), exact)


# Where it runs


def test_files_and_pickles_hold_no_compiled_network(pictures, tmp_path):
    detector = detect("torch").fit(pictures)
    expected = detector.score_samples(pictures)
    n_bytes = len(pickle.dumps(detector))
    detector.set_params(features__engine="openvino").fit(pictures)
    assert abs(len(pickle.dumps(detector)) - n_bytes) < 1000
    save(detector, tmp_path / "m.skgaussad")
    loaded = load(tmp_path / "m.skgaussad")
    assert loaded[0].engine == "openvino"
    assert loaded[0].engine_ == "openvino"
    np.testing.assert_allclose(loaded.score_samples(pictures), expected, rtol=1e-3)


def test_threads_get_the_same_features(pictures):
    transformer = make("openvino").fit(pictures)
    expected = transformer.transform(pictures)
    single = np.concatenate(
        [transformer.transform(pictures[i : i + 1]) for i in (0, 7)]
    )

    def compute(number):
        found = transformer.transform(pictures)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(transformer.transform(pictures[:1])[0], single[0])
        return clone(transformer).fit(pictures).transform(pictures[7:8])[0]

    with ThreadPoolExecutor(8) as pool:
        for row in pool.map(compute, range(24)):
            np.testing.assert_array_equal(row, single[1])


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes_them_too(pictures):
    transformer = make("openvino").fit(pictures)
    expected = transformer.transform(pictures)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        found = transformer.transform(pictures)
        single = transformer.transform(pictures[:1])
        difference = max(
            np.abs(found - expected).max(), np.abs(single - expected[:1]).max()
        )
        os.write(writer, json.dumps(float(difference)).encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert json.loads(os.read(reader, 100)) < 1e-5
    # And the parent goes on.
    np.testing.assert_array_equal(transformer.transform(pictures), expected)


# The child gives back what is left at its end, as all processes do.
FORK = """
import os, sys
import numpy as np
from skgaussad import DeepFeatureTransformer
from skgaussad.features import _openvino

_openvino._MOST_KEPT = 1
pictures = np.random.default_rng(0).integers(0, 256, (6, 64, 64), dtype=np.uint8)
transformers = [
    DeepFeatureTransformer(
        "test_resnet", levels=level, weights=None, image_size=64, engine="openvino"
    ).fit(pictures)
    for level in (1, 2, 3)
]
expected = [each.transform(pictures) for each in transformers]
child = os.fork()
if sys.argv[1] == "computes" or child:
    for each, features in zip(transformers, expected):
        assert np.abs(each.transform(pictures) - features).max() < 1e-5
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


@needs_fork
@pytest.mark.parametrize("child", ["computes", "ends"])
def test_a_forked_child_ends_as_others_do(child):
    """Also with networks that were converted for others, and are no longer kept."""
    command = [sys.executable, "-W", "ignore", "-c", FORK, child]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_broken_installation_leaves_it_to_torch(monkeypatch, pictures):
    def fail():
        raise ImportError("libopenvino.so: cannot open shared object file")

    monkeypatch.setattr(_openvino, "_networks", type(_openvino._networks)())
    monkeypatch.setattr(_openvino, "_import_openvino", fail)
    with pytest.warns(UserWarning, match="cannot open shared object file"):
        transformer = make("auto").fit(pictures)
    assert transformer.engine_ == "torch"
    expected = make("torch").fit_transform(pictures)
    np.testing.assert_array_equal(transformer.transform(pictures), expected)


@pytest.mark.parametrize(
    ("get", "set_", "value"),
    [
        (torch.get_default_dtype, torch.set_default_dtype, torch.float64),
        (torch.get_default_device, torch.set_default_device, "meta"),
    ],
    ids=["type", "device"],
)
def test_networks_are_converted_whatever_is_set(
    monkeypatch, pictures, get, set_, value
):
    monkeypatch.setattr(_openvino, "_networks", type(_openvino._networks)())
    before = None if value == "meta" else get()
    set_(value)
    try:
        transformer = make("auto").fit(pictures)
    finally:
        set_(before)
    assert transformer.engine_ == "openvino"


def test_the_cache_tells_engines_apart(pictures, tmp_path):
    """Their features differ by rounding, as those of two versions of torch do."""
    for engine in ("torch", "openvino", "torch"):
        transformer = make(engine, cache=FeatureCache(tmp_path)).fit(pictures)
        found = transformer.transform(pictures)
        plain = make(engine).fit(pictures).transform(pictures)
        np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)


def test_networks_are_converted_once(monkeypatch, pictures):
    monkeypatch.setattr(_openvino, "_networks", type(_openvino._networks)())
    converted = []
    convert = _openvino._convert
    monkeypatch.setattr(
        _openvino, "_convert", lambda *some: converted.append(1) or convert(*some)
    )
    for levels in (1, 2, 1, 1, 2):
        make("auto", levels=levels).fit(pictures).transform(pictures)
    assert len(converted) == 2
    # The oldest makes room.
    for levels in (3, 4, [1, 2], [1, 3]):
        make("auto", levels=levels).fit(pictures)
    make("auto", levels=1).fit(pictures)
    assert len(converted) == 7


SILENT = """
import sys
events = []
sys.addaudithook(lambda e, a: events.append(e) if e.startswith("socket.") else None)
import numpy as np
from skgaussad import make_detector
X = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), dtype=np.uint8)
detector = make_detector(
    backbone="test_resnet", weights=None, image_size=64, levels=3, pooling=4,
    fpr=0.1, engine="openvino",
).fit(X)
detector.score_samples(X)
assert detector[0].engine_ == "openvino"
assert not events, events
assert "openvino_telemetry" not in sys.modules
"""


def test_no_socket_is_opened(tmp_path):
    """Nor a file written into the home folder, as the telemetry of OpenVINO does."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "USERPROFILE": str(home)}
    # By which the telemetry may know that it is tested.
    for name in ("CI", "TF_BUILD", "JENKINS_URL"):
        environment.pop(name, None)
    command = [sys.executable, "-c", SILENT]
    trace = tmp_path / "trace"
    strace = shutil.which("strace")
    if strace:
        calls = "trace=socket,connect,sendto,sendmsg"
        command = [strace, "-f", "-e", calls, "-o", str(trace), *command]
    subprocess.run(command, env=environment, check=True, timeout=200)
    assert not (home / "intel").exists()
    if strace:
        assert "AF_INET" not in trace.read_text()


def test_the_telemetry_can_still_be_imported():
    """By others, who want it."""
    pytest.importorskip("openvino_telemetry")
    code = (
        "from skgaussad.features._openvino import _import_openvino\n"
        "_import_openvino()\n"
        "import openvino_telemetry\n"
        "assert openvino_telemetry.Telemetry\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200)


def test_threads_are_not_more_than_torch_has(monkeypatch, pictures):
    monkeypatch.setattr(_openvino, "_networks", type(_openvino._networks)())
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        make("openvino").fit(pictures).transform(pictures)
        (network,) = _openvino._networks.values()
        assert set(network._compiled) == {(1, 1)}
        torch.set_num_threads(3)
        make("openvino").fit(pictures).transform(pictures)
        # Three batches have one each, and a single one has all.
        assert set(network._compiled) == {(1, 1), (3, 3)}
        make("openvino").fit(pictures).transform(pictures[:1])
        assert set(network._compiled) == {(1, 1), (3, 3), (1, 3)}
    finally:
        torch.set_num_threads(before)


def test_no_warnings_of_conversion_reach_the_user(pictures):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make("openvino", levels=4).fit(pictures).transform(pictures)
