"""A pretrained timm network, cut into levels."""

import contextlib
import inspect
import os
from dataclasses import dataclass
from functools import partial

import timm
import torch
from torch import nn

from .._utils.torch_guard import torch_build
from ._folding import fold_as_stored, fold_batch_norms
from ._levels import auto_level, auto_level_for_grids, resolve_levels
from ._weight_store import weight_store_in_use
from ._weights import (
    check_name,
    create_network,
    hash_weights,
    read_network,
    weights_key,
)

# Bytes of the largest network that is built for a model file without weights for it,
# and how many times larger than those at hand, maybe of few of its levels, it may be.
_LIMIT = 2**25
_LIMIT_FACTOR = 64


class _Chain(nn.Module):
    """A network that is a sequence of stages, whose outputs are the levels."""

    def __init__(self, stages, levels):
        super().__init__()
        self.stages = nn.ModuleList(stages[: levels[-1]])
        self.levels = levels

    def forward(self, x, levels=None):
        levels = self.levels if levels is None else levels
        outputs = []
        for level, stage in enumerate(self.stages, start=1):
            x = stage(x)
            if level in levels:
                outputs.append((x, None))
            if level == levels[-1]:
                break
        return outputs


class _Intermediates(nn.Module):
    """Any other timm network; the levels are the intermediate outputs of timm."""

    def __init__(self, network, levels):
        super().__init__()
        self.levels = levels
        network.prune_intermediate_layers(
            self._indices(levels), prune_norm=True, prune_head=True
        )
        self.network = network
        accepted = inspect.signature(network.forward_intermediates).parameters
        # In networks without a class token, prefix tokens are registers.
        has_class_token = getattr(network, "cls_token", None) is not None
        self.options = (
            {"return_prefix_tokens": True}
            if has_class_token and "return_prefix_tokens" in accepted
            else {}
        )

    @staticmethod
    def _indices(levels):
        return [level - 1 for level in levels]

    def forward(self, x, levels=None):
        outputs = self.network.forward_intermediates(
            x,
            indices=self._indices(self.levels if levels is None else levels),
            stop_early=True,
            intermediates_only=True,
            **self.options,
        )
        # Networks without prefix tokens return maps only, even with the option.
        return [out if isinstance(out, tuple) else (out, None) for out in outputs]


class _Flat(nn.Module):
    """A network cut into levels, with a flat tuple of tensors as its output."""

    def __init__(self, module, levels):
        super().__init__()
        self.module = module
        self.levels = levels

    def forward(self, images):
        outputs = self.module(images, self.levels)
        return tuple(
            tensor for pair in outputs for tensor in pair if tensor is not None
        )


def _stages(network):
    """Return the stages of a network that is a sequence of them, else None."""
    if isinstance(network, timm.models.EfficientNet):
        return [
            nn.Sequential(network.conv_stem, network.bn1),
            *network.blocks,
            nn.Sequential(network.conv_head, network.bn2),
        ]
    if isinstance(network, timm.models.ResNet):
        stem = nn.Sequential(network.conv1, network.bn1, network.act1, network.maxpool)
        return [stem, network.layer1, network.layer2, network.layer3, network.layer4]
    return None


def _count_levels(network, for_grids):
    """Return the number of levels of a network, and the default level."""
    stages = _stages(network)
    n_levels = len(network.feature_info if stages is None else stages)
    has_head = isinstance(network, timm.models.EfficientNet)
    level = auto_level_for_grids(_strides(network)) if for_grids else None
    return n_levels, level or auto_level(n_levels, has_head=has_head)


def _strides(network):
    """Return the stride of each level, whatever the size of the input in use."""
    stages = _stages(network)
    if stages is None:
        return [info["reduction"] for info in network.feature_info]
    levels = range(1, len(stages) + 1)
    side = 64
    shapes = _probe(_Chain(stages, levels).eval(), levels, (side, side))
    return [side / height for _, height, _, _ in shapes.values()]


def _cut(network, levels):
    """Reduce a network to what its levels need.

    The module maps a batch and some of these levels (without them: all) to one pair
    (feature map, prefix tokens or None) for each; the first prefix token is the class
    token.
    """
    stages = _stages(network)
    if stages is None:
        return _Intermediates(network, levels)
    return _Chain(stages, levels)


@contextlib.contextmanager
def explain_image_size(image_size):
    """Turn the errors that networks raise for a bad input size into a ValueError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (AssertionError, RuntimeError) as error:
        height, width = image_size
        raise ValueError(
            f"image_size: the backbone cannot take an input of {height} x {width} "
            f"pixels ({type(error).__name__}: {error}). Give another image_size, or "
            "None for the network's own, which is the only one that some networks take."
        ) from error


@dataclass(frozen=True)
class _Facts:
    """What `fit` needs of a network besides its weights; see `Backbone`."""

    source: str
    sha256: str
    data_config: dict
    n_levels: int
    auto_level: int
    shapes: dict


class Backbone:
    """A network cut into levels, and what is needed to build it again.

    Its pickles hold the weights as NumPy arrays, which load on any device, or with
    ``store_weights=False`` of the transformer only their SHA-256, which is compared
    when the weights are read again.

    Parameters
    ----------
    name : str
        Name of a timm model.
    levels : int, iterable of int, "all" or "auto"
        The levels wanted.
    weights : str, path-like or None
        ``"auto"``, a weights file, or None for random weights.
    image_size : tuple of (int, int) or None
        Height and width of the input where it is not the network's own.
    seed : int
        Seed of random weights.
    keep_weights : bool
        Whether pickles and model files hold the weights.
    for_grids : bool, default=False
        Whether the level of ``"auto"`` is that for grids.
    whole : bool, default=False
        Whether to keep all levels of the network. If this process has read the same
        whole network before, it is not read again until it has to run.

    Attributes
    ----------
    name : str
        As given.
    levels : tuple of int
        The levels wanted, counted from 1.
    n_levels : int
        Number of levels the network has.
    shapes : dict of {int: tuple (channels, height, width, has_class_token)}
        Of the output of each level that is kept.
    data_config : dict
        The network's own preprocessing, as timm gives it.
    weights_source : str
        Where the weights were found.
    weights_sha256 : str
        Hash of the weights of the whole network without its classifier.

    Raises
    ------
    ValueError
        If there is no such network, level or input size, or the weights are of another
        network.
    OSError
        If the weights are not available.
    """

    # Whether it is of a model file that may neither download nor build large networks.
    _is_limited = False

    def __init__(
        self,
        name,
        levels,
        weights,
        image_size,
        seed,
        keep_weights,
        for_grids=False,
        whole=False,
    ):
        self.name = name
        self._weights = weights
        self._image_size = image_size
        self._seed = seed
        self._keep_weights = keep_weights
        self._module = self._arrays = self._device = self._last = None
        facts = self._read_once(for_grids) if whole else self._read(levels, for_grids)
        self.levels = resolve_levels(levels, facts.n_levels, facts.auto_level)
        self.n_levels = facts.n_levels
        self.shapes = facts.shapes
        self.data_config = facts.data_config
        self.weights_source = facts.source
        self.weights_sha256 = facts.sha256

    def _read_once(self, for_grids):
        """Read the whole network, unless this process has done so before."""
        weights = weights_key(self._weights)
        key = (self.name, weights, self._seed, self._image_size, for_grids)
        if key not in _known:
            _known[key] = self._read("all", for_grids)
        return _known[key]

    def _read(self, levels, for_grids):
        with torch_build():
            network, source = read_network(self.name, self._weights, self._seed)
            sha256 = hash_weights(network)
            data_config = timm.data.resolve_model_data_config(network)
            n_levels, default = _count_levels(network, for_grids)
            kept = resolve_levels(levels, n_levels, default)
            self._module = self._cut(network, kept)
            shapes = self._fold(self._module, data_config, kept)
        return _Facts(source, sha256, data_config, n_levels, default, shapes)

    def _cut(self, network, kept):
        """Cut a network into the levels that are kept, for the input size."""
        native = timm.data.resolve_model_data_config(network)["input_size"][1:]
        # Position embeddings of a transformer belong to one input size.
        if self._image_size not in (None, tuple(native)) and hasattr(
            network, "set_input_size"
        ):
            with explain_image_size(self._image_size):
                network.set_input_size(img_size=self._image_size)
        return _cut(network, kept).eval().requires_grad_(False)

    def _fold(self, module, data_config, kept):
        """Fold a cut network, and return the shapes of its feature maps by level."""
        image_size = self._image_size or tuple(data_config["input_size"][1:])
        return _probe(partial(fold_batch_norms, module), kept, image_size)

    def module(self, device):
        """Return the network on a device, ready to run.

        Parameters
        ----------
        device : torch.device

        Returns
        -------
        module : torch.nn.Module
            Maps a normalized batch of shape (n, 3, height, width), and a tuple of
            levels in rising order, to one pair (feature map of shape (n, channels, h,
            w), prefix tokens or None) for each of these levels.

        Raises
        ------
        ValueError
            If the weights were not stored and those found now differ.
        """
        if self._module is None or self._device != device:
            with torch_build():
                if self._module is None:
                    self._restore()
                self._module.to(device, memory_format=torch.channels_last)
                self._device = device
        return self._module

    def flat_module(self, levels):
        """Return the network on the CPU, for what converts networks.

        Parameters
        ----------
        levels : tuple of int
            In rising order.

        Returns
        -------
        module : torch.nn.Module
            As of `module`, but that it takes no levels, and its output is a tuple of
            the feature map of each level, followed by its prefix tokens if it has any.
        """
        return _Flat(self.module(torch.device("cpu")), levels).eval()

    def kept(self, make, *settings):
        """Return what was made of the network last time, if the settings are the same.

        Parameters
        ----------
        make : callable
            Takes the network and the settings, which are compared.
        """
        last = self._last
        if last is None or last[0] != settings:
            last = self._last = settings, make(self, *settings)
        return last[1]

    def _restore(self):
        kept = tuple(self.shapes)
        # Other names could make timm contact a hub, which loading must not do.
        check_name(self.name)
        if self._arrays is None:
            self._check_size()
            network, _ = read_network(
                self.name, self._weights, self._seed, fetch=not self._is_limited
            )
            found = hash_weights(network)
            if found != self.weights_sha256:
                raise ValueError(
                    f"The weights of backbone {self.name!r} found now (weights="
                    f"{self._weights!r}) are not those of the fit: SHA-256 {found} "
                    f"instead of {self.weights_sha256}. Restore the original weights "
                    "or fit again; store_weights=True stores them with the model."
                )
            module = self._cut(network, kept)
            self._fold(module, self.data_config, kept)
        else:
            module = self._fill(kept)
        # In this order, so that another thread that pickles finds one of the two.
        self._module = module
        self._arrays = None

    def _fill(self, kept):
        """Build the network with the weights at hand, in no more memory than theirs."""
        weights = {name: torch.from_numpy(a) for name, a in self._arrays.items()}
        with torch.device("meta"):
            module = self._cut(create_network(self.name, self._seed), kept)
            fold_as_stored(module, self._arrays)
        try:
            module.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            raise ValueError(
                f"The weights stored for backbone {self.name!r} are not its: {error}"
            ) from error
        held = [value for part in module.modules() for value in vars(part).values()]
        held += [*module.parameters(), *module.buffers()]
        if any(isinstance(value, torch.Tensor) and value.is_meta for value in held):
            # It has constants that are no weights.
            self._check_size()
            module = self._cut(create_network(self.name, self._seed), kept)
            fold_as_stored(module, self._arrays)
            module.load_state_dict(weights)
        return module

    def _check_size(self):
        """Raise if the network is large for the weights that there are, unbuilt."""
        is_auto = isinstance(self._weights, str) and self._weights == "auto"
        if not self._is_limited or (self._arrays is None and is_auto):
            # Weights of packages are those of small networks.
            return
        if self._arrays is not None:
            n_stored = sum(array.nbytes for array in self._arrays.values())
            limit = _LIMIT + _LIMIT_FACTOR * n_stored
        else:
            is_file = isinstance(self._weights, str | os.PathLike) and os.path.isfile(
                self._weights
            )
            n_stored = os.path.getsize(self._weights) if is_file else 0
            limit = _LIMIT + 2 * n_stored
        with torch.device("meta"):
            network = create_network(self.name, self._seed)
        n_bytes = sum(
            tensor.numel() * tensor.element_size()
            for tensor in network.state_dict().values()
        )
        if n_bytes > limit:
            raise ValueError(
                f"backbone {self.name!r} is a network of {n_bytes} bytes, and there "
                f"are {n_stored} bytes of weights for it. If you trust the model "
                "file, load it with load(path, fetch=True)."
            )

    def __getstate__(self):
        if self._keep_weights and self._module is None and self._arrays is None:
            with torch_build():
                if self._module is None:
                    self._restore()
        state = {**self.__dict__, "_device": None}
        state.pop("_last")
        if state["_module"] is not None:
            state["_module"] = state["_arrays"] = None
            if self._keep_weights:
                state["_arrays"] = {
                    name: tensor.cpu().numpy()
                    for name, tensor in self._module.state_dict().items()
                }
        store = weight_store_in_use()
        if store is not None:
            # Whoever loads the file says so.
            state.pop("_is_limited", None)
            if state["_arrays"] is not None:
                state["_arrays"] = store.put(self, state["_arrays"])
        return state

    def __setstate__(self, state):
        self.__dict__.update(state, _module=None, _device=None, _last=None)
        store = weight_store_in_use()
        if store is not None:
            self._is_limited = not store.fetch
            if isinstance(self._arrays, str):
                self._arrays = store.get(self._arrays)


# Facts of the whole networks that this process has read: a grid search whose features
# are all cached then reads no network for each candidate and fold.
_known = {}


def _probe(network, levels, image_size):
    """Run one black image, and return the shapes of its feature maps by level."""
    black = torch.zeros(1, 3, *image_size)
    with explain_image_size(image_size):
        outputs = network(black)
    return {
        level: (*feature_map.shape[1:], prefix_tokens is not None)
        for level, (feature_map, prefix_tokens) in zip(levels, outputs, strict=True)
    }
