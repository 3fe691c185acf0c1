"""Results depend on parameters alone, whatever the process and its threads have set."""

import contextlib
import pickle
import warnings
from operator import attrgetter

import numpy as np
import pytest
import sklearn
import torch

from skgaussad import DeepFeatureTransformer, load, make_detector, save
from skgaussad.augmentation import ImageAugmentation
from skgaussad.exceptions import FalseAlarmRateWarning
from skgaussad.features import FeatureCache

pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)


@contextlib.contextmanager
def setting(get, set_, value):
    """Set a state of the process; check that it is still there at the end."""
    before = get()
    set_(value)
    try:
        yield
        assert get() == value
    finally:
        set_(before)


def attribute(owner, name, value):
    return setting(
        lambda: getattr(owner, name), lambda new: setattr(owner, name, new), value
    )


@contextlib.contextmanager
def default_device():
    torch.set_default_device("meta")
    try:
        yield
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def warnings_as_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", FalseAlarmRateWarning)
        yield


STATES = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast of a loop": lambda: torch.autocast("cpu", cache_enabled=False),
    "default type": lambda: setting(
        torch.get_default_dtype, torch.set_default_dtype, torch.float64
    ),
    "default device": default_device,
    "device of a block": lambda: torch.device("meta"),
    "inference mode": torch.inference_mode,
    "gradients": torch.enable_grad,
    "anomaly mode": lambda: torch.autograd.set_detect_anomaly(True),
    "precision of products": lambda: setting(
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
        "medium",
    ),
    "other algorithms": lambda: attribute(torch.backends.cudnn, "benchmark", True),
    "deterministic": lambda: setting(
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
        True,
    ),
    "denormals": lambda: setting(lambda: True, torch.set_flush_denormal, True),
    "errors of numpy": lambda: np.errstate(all="raise"),
    "printing": lambda: np.printoptions(precision=1, threshold=3),
    "data frames": lambda: sklearn.config_context(transform_output="pandas"),
    "no checks": lambda: sklearn.config_context(assume_finite=True),
    "warnings": warnings_as_errors,
}
# "auto" takes another engine than torch where one is installed.
ENGINES = ["torch", "auto"]
each_state = pytest.mark.parametrize("state", STATES)


def make(images, engine):
    """Fit a network with attention, whose products have precisions of their own."""
    pipe = make_detector(
        fpr=0.3,
        backbone="test_vit",
        weights=None,
        pooling=2,
        device="cpu",
        engine=engine,
    )
    return pipe.fit(images[:5])


@pytest.fixture(scope="module", params=ENGINES)
def fitted(images, request):
    return make(images, request.param)


def results(pipe, images):
    return [
        pipe.score_samples(images),
        pipe.predict(images),
        pipe.p_values(images),
        *pipe.anomaly_maps(images),
    ]


def assert_equal(some, others):
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one, other)


@each_state
def test_fit_and_score(fitted, images, state):
    with STATES[state]():
        pipe = make(images, fitted[0].engine)
        got = results(pipe, images)
    assert_equal(got, results(fitted, images))
    assert pipe[0].weights_sha256_ == fitted[0].weights_sha256_


@each_state
def test_load(fitted, images, tmp_path, state):
    path = tmp_path / "model.skga"
    with STATES[state]():
        save(fitted, path)
        loaded = [load(path), pickle.loads(pickle.dumps(fitted))]
        scores = [pipe.score_samples(images) for pipe in loaded]
    for pipe, some in zip(loaded, scores, strict=True):
        expected = fitted.score_samples(images)
        np.testing.assert_array_equal(some, expected)
        np.testing.assert_array_equal(pipe.score_samples(images), expected)


@each_state
def test_nothing_else_gets_into_the_cache(images, tmp_path, state):
    options = {"backbone": "test_resnet", "weights": None, "image_size": 64}
    clean, other = (
        DeepFeatureTransformer(**options, cache=FeatureCache(tmp_path / name))
        for name in "ab"
    )
    expected = clean.fit_transform(images)
    with STATES[state]():
        other.fit_transform(images)
    np.testing.assert_array_equal(other.fit_transform(images), expected)


@each_state
def test_augmentation(images, state):
    augment = ImageAugmentation(rotation=20, p=1)
    expected = augment.apply(images[0], np.random.default_rng(0))
    with STATES[state]():
        got = augment.apply(images[0], np.random.default_rng(0))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("owner", "value"),
    [
        ("backends", "bf16"),
        ("backends.mkldnn.conv", "bf16"),
        ("backends.mkldnn.matmul", "bf16"),
        ("backends.cuda.matmul", "tf32"),
        ("backends.cudnn.conv", "ieee"),
    ],
)
@pytest.mark.skipif(
    not hasattr(torch.backends, "fp32_precision"), reason="torch before 2.9"
)
def test_precision_of_one_operation(fitted, images, owner, value):
    """These cannot be mixed with the older settings of all operations."""
    owner = attrgetter(owner)(torch)
    expected = fitted.score_samples(images)
    with attribute(owner, "fp32_precision", value):
        np.testing.assert_array_equal(fitted.score_samples(images), expected)
    assert torch.get_float32_matmul_precision() == "highest"


def test_precision_in_force_while_a_network_runs(images):
    """Not every processor computes in the lower precisions that may be set."""
    fitted = make(images, "torch")
    seen = []
    module = fitted[0]._backbone.module(torch.device("cpu"))
    handle = module.register_forward_pre_hook(
        lambda *_: seen.append(
            (torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark)
        )
    )
    try:
        with (
            STATES["precision of products"](),
            STATES["other algorithms"](),
        ):
            fitted.score_samples(images)
    finally:
        handle.remove()
    assert set(seen) == {("highest", False)}


@pytest.mark.parametrize("engine", ENGINES)
def test_random_generator_is_not_moved(images, engine):
    state = torch.get_rng_state()
    make(images, engine).score_samples(images)
    assert torch.equal(torch.get_rng_state(), state)
