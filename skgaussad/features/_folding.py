"""Batch normalizations folded into the convolutions before them."""

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import fx, nn
from torch.nn.utils import fuse_conv_bn_eval


class _Tracer(fx.Tracer):
    """Follows the data through a network, convolutions and normalizations whole."""

    def is_leaf_module(self, module, name):
        is_leaf = super().is_leaf_module(module, name)
        return is_leaf or isinstance(module, nn.Conv2d | nn.BatchNorm2d)


def fold_batch_norms(network):
    """Fold batch normalizations in inference mode into the convolutions they follow.

    Both are affine, so that one convolution does the work of the two, up to rounding.
    Only those are folded of which the flow of the data through the network shows that
    the normalization takes all that the convolution gives, and is all that takes it.

    Parameters
    ----------
    network : torch.nn.Module
        In inference mode, with a second argument ``levels=None``. Changed in place; a
        network whose flow of data depends on the data is left as it is.

    Returns
    -------
    n_folded : int
        Number of normalizations that are gone.
    """
    try:
        graph = _Tracer().trace(network, concrete_args={"levels": None})
    # What tracing raises where it meets what it cannot follow is not documented.
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
    # Subclasses may compute otherwise; timm's only pads before.
    return type(module) in (nn.Conv2d, Conv2dSame)


def _is_norm(module):
    # timm's is followed by an activation, and in training by a dropout before that.
    is_known = type(module) in (nn.BatchNorm2d, BatchNormAct2d)
    return is_known and not module.training and module.running_mean is not None


def _folded(convolution, norm):
    # In double precision, so that the weights are rounded once.
    dtype = convolution.weight.dtype
    with torch.no_grad():
        folded = fuse_conv_bn_eval(convolution.double(), norm.double())
    return folded.to(dtype).requires_grad_(False)


def _replace(network, name, module):
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
