"""Tests of batch normalizations folded into convolutions."""

import copy

import pytest
import timm
import torch
from timm.layers import Conv2dSame
from torch import nn

from skgaussad.features._folding import fold_batch_norms


class Network(nn.Module):
    """A module with the signature of a cut network."""

    def __init__(self, forward, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._forward = forward

    def forward(self, x, levels=None):
        return self._forward(self, x)


def randomize(network):
    """Give normalizations statistics that differ from the identity."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_(0, 0.2, generator=generator)
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 1.5, generator=generator)
    return network.eval().requires_grad_(False)


def random_input(size=32, channels=3):
    return torch.randn(
        2, channels, size, size, generator=torch.Generator().manual_seed(1)
    )


def assert_folds(network, n_expected, x, tolerance=1e-5):
    """Fold so many, and compute the same."""
    expected = network(x)
    folded = copy.deepcopy(network)
    with torch.no_grad():
        assert torch.equal(fold_batch_norms(folded, x), expected)
    left = [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(left) == len(before) - n_expected
    error = (folded(x) - expected).abs().max()
    assert error <= tolerance * expected.abs().max()
    assert not any(module.training for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())


def convolution(**options):
    torch.manual_seed(0)
    return nn.Conv2d(3, 3, 3, padding=1, **options)


@pytest.mark.parametrize("bias", [True, False])
def test_pair_becomes_one_convolution(bias):
    network = Network(
        lambda net, x: net.b(net.a(x)), a=convolution(bias=bias), b=nn.BatchNorm2d(3)
    )
    assert_folds(randomize(network), 1, random_input())


def test_convolution_that_pads_before():
    torch.manual_seed(0)
    network = Network(
        lambda net, x: net.b(net.a(x)),
        a=Conv2dSame(3, 3, 3, stride=2),
        b=nn.BatchNorm2d(3),
    )
    assert_folds(randomize(network), 1, random_input(31))


@pytest.mark.parametrize(
    ("name", "n_norms", "n_folded"),
    [
        ("tf_efficientnet_lite0", 49, 49),
        ("test_efficientnet", 13, 13),
        ("resnet18", 20, 20),
        ("mobilenetv3_small_050", 34, 34),
        ("hrnet_w18_small", 91, 91),
        # Its normalizations also come before the convolutions, where they cannot go.
        ("densenet121", 121, 59),
        ("test_convnext", 0, 0),
        ("test_vit", 0, 0),
    ],
)
def test_networks_of_timm(name, n_norms, n_folded):
    network = timm.create_model(name, pretrained=False, num_classes=0)
    wrapped = randomize(
        Network(lambda net, x: net.inner.forward_features(x), inner=network)
    )
    norms = [m for m in wrapped.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == n_norms
    size = network.pretrained_cfg["input_size"][-1] if name == "test_vit" else 64
    # Rounding grows over the layers.
    assert_folds(wrapped, n_folded, random_input(size), tolerance=2e-4)


def used_before_the_norm(net, x):
    y = net.a(x)
    return net.b(y) + y


def twice_the_same_convolution(net, x):
    return net.b(net.a(net.a(x)))


def twice_the_same_norm(net, x):
    return net.b(net.c(net.b(net.a(x))))


def something_between(net, x):
    return net.b(net.a(x).relu())


@pytest.mark.parametrize(
    "forward",
    [
        used_before_the_norm,
        twice_the_same_convolution,
        twice_the_same_norm,
        something_between,
    ],
)
def test_what_would_change_the_result_is_left(forward):
    network = Network(forward, a=convolution(), b=nn.BatchNorm2d(3), c=convolution())
    assert_folds(randomize(network), 0, random_input())


def test_network_that_cannot_be_traced_is_left():
    def forward(net, x):
        y = net.b(net.a(x))
        return y if y.sum() > 0 else -y

    network = Network(forward, a=convolution(), b=nn.BatchNorm2d(3))
    assert_folds(randomize(network), 0, random_input())


@pytest.mark.parametrize("training", [True, False])
def test_norm_without_fixed_statistics_is_left(training):
    norm = nn.BatchNorm2d(3, track_running_stats=training)
    network = Network(lambda net, x: net.b(net.a(x)), a=convolution(), b=norm).eval()
    norm.train(training)
    with torch.no_grad():
        fold_batch_norms(network, random_input())
    assert network.b is norm


class CubicConvolution(nn.Conv2d):
    def forward(self, x):
        return super().forward(x**3)


def test_convolution_of_an_unknown_class_is_left():
    torch.manual_seed(0)
    network = Network(
        lambda net, x: net.b(net.a(x)),
        a=CubicConvolution(3, 3, 1),
        b=nn.BatchNorm2d(3),
    )
    assert_folds(randomize(network), 0, random_input())
