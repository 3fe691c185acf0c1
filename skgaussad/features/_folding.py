"""Fusing convolutions with the batch normalizations after them."""

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import fx, nn
from torch.nn.utils import fuse_conv_bn_eval


class _Tracer(fx.Tracer):
    """Traces a network, with convolutions and normalizations as single nodes."""

    def is_leaf_module(self, module, name):
        is_leaf = super().is_leaf_module(module, name)
        return is_leaf or isinstance(module, nn.Conv2d | nn.BatchNorm2d)


def fold_batch_norms(network):
    """Fuse each convolution with the batch normalization that follows it, in place.

    In inference mode both are affine, so that one convolution computes the two, up to
    rounding. A pair is fused only if the traced graph shows that the normalization is
    the only consumer of the convolution's output.

    Parameters
    ----------
    network : torch.nn.Module
        In inference mode, with a second argument ``levels=None``. A network that
        `torch.fx` cannot trace, such as one with control flow that depends on the data,
        is not changed.

    Returns
    -------
    n_folded : int
        Number of normalizations that were removed.
    """
    try:
        graph = _Tracer().trace(network, concrete_args={"levels": None})
    # torch.fx does not document what it raises for networks that it cannot trace.
    except Exception:
        return 0
    modules = dict(network.named_modules())
    calls = [node for node in graph.nodes if node.op == "call_module"]
    targets = [node.target for node in calls]
    pairs = [
        (before.target, node.target)
        for node in calls
        if _is_norm(modules[node.target])
        for before in node.args[:1]
        if before.op == "call_module"
        and _is_convolution(modules[before.target])
        and len(before.users) == 1
        and targets.count(node.target) == targets.count(before.target) == 1
    ]
    for convolution, norm in pairs:
        _replace(network, convolution, _folded(modules[convolution], modules[norm]))
        _replace(network, norm, getattr(modules[norm], "act", nn.Identity().eval()))
    return len(pairs)


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


def _replace(network, name, module):
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
