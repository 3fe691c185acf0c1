"""Fusing convolutions with the batch normalizations after them."""

from collections import Counter

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode


def fold_batch_norms(network, images):
    """Fuse each convolution with the batch normalization that follows it, in place.

    In inference mode both are affine, so that one convolution computes the two, up to
    rounding. A pair is fused only if a run shows that the normalization is the only
    consumer of the convolution's output. Only this thread is watched: symbolic tracing
    by `torch.fx` would change what all threads of the process compute meanwhile.

    Parameters
    ----------
    network : torch.nn.Module
        In inference mode. A network whose run depends on values of tensors is not
        changed.
    images : tensor of shape (n, channels, height, width)

    Returns
    -------
    outputs : object
        Of the network for these images, before it was changed.
    """
    names = {module: name for name, module in network.named_modules()}
    recorder = _Recorder(names)
    with recorder:
        outputs = network(images)
    for convolution, norm in recorder.find_pairs():
        _replace(network, names[convolution], _folded(convolution, norm))
        _remove(network, names[norm], norm)
    return outputs


def fold_as_stored(network, names):
    """Make room, in place, for the weights of such a network that was folded before.

    Parameters
    ----------
    network : torch.nn.Module
        In inference mode.
    names : container of str
        Of the tensors of the folded network.
    """
    for name, module in list(network.named_modules()):
        if _is_norm(module) and f"{name}.running_mean" not in names:
            _remove(network, name, module)
        elif _is_convolution(module) and f"{name}.bias" in names:
            bias = module.weight.new_empty(module.out_channels)
            module.bias = nn.Parameter(bias, requires_grad=False)


class _Source:
    """The convolution that has computed a tensor, and how often that was used."""

    def __init__(self, convolution):
        self.convolution = convolution
        self.n_uses = 0


class _Recorder(TorchDispatchMode):
    """Records which normalizations take the outputs of which convolutions.

    Parameters
    ----------
    modules : iterable of torch.nn.Module
    """

    def __init__(self, modules):
        super().__init__()
        # A module takes part in an operation that takes a tensor of its own.
        self._owners = {}
        for module in modules:
            if _is_convolution(module):
                self._owners[id(module.weight)] = module
            elif _is_norm(module):
                self._owners[id(module.running_mean)] = module
        self._n_calls = Counter()
        self._met = []
        self._reads_values = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Do one operation on tensors, and take notes."""
        output = func(*args, **(kwargs or {}))
        inputs = list(_find_tensors([*args, *(kwargs or {}).values()]))
        sources = [getattr(tensor, "_source", None) for tensor in inputs]
        for source in filter(None, sources):
            source.n_uses += 1
        for owner in {self._owners.get(id(tensor)) for tensor in inputs} - {None}:
            self._n_calls[owner] += 1
            if _is_norm(owner):
                if "batch_norm" in func.name() and sources[0] is not None:
                    self._met.append((sources[0], owner))
            elif "conv" in func.name():
                output._source = _Source(owner)
        self._reads_values |= isinstance(output, bool | int | float | complex)
        return output

    def find_pairs(self):
        """Return the pairs of a convolution and a normalization that can be fused."""
        if self._reads_values:
            return []
        return [
            (source.convolution, norm)
            for source, norm in self._met
            if source.n_uses == 1
            and self._n_calls[source.convolution] == self._n_calls[norm] == 1
        ]


def _find_tensors(values):
    """Yield the tensors among arguments, which may be in lists."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _find_tensors(value)


def _is_convolution(module):
    # Other subclasses may compute something else; timm's Conv2dSame only pads first.
    return type(module) in (nn.Conv2d, Conv2dSame)


def _is_norm(module):
    # timm's BatchNormAct2d applies an activation, and in training a dropout before it.
    is_known = type(module) in (nn.BatchNorm2d, BatchNormAct2d)
    return is_known and not module.training and module.running_mean is not None


def _folded(convolution, norm):
    """Return the convolution that computes both."""
    # In double precision, so that the weights are rounded only once.
    dtype = convolution.weight.dtype
    with torch.no_grad():
        folded = fuse_conv_bn_eval(convolution.double(), norm.double())
    return folded.to(dtype).requires_grad_(False)


def _remove(network, name, norm):
    """Leave of a normalization its activation, if it has one."""
    _replace(network, name, getattr(norm, "act", nn.Identity().eval()))


def _replace(network, name, module):
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
