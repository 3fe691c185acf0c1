"""A ResNet-18 and its inverse, with a narrow vector in between."""

from torch import nn
from torch.nn import functional

from skgaussad.features._weights import read_network

STRIDE = 32  # pixels of the image a position of ResNet's last feature map
_CHANNELS = (64, 128, 256, 512)  # of ResNet-18's four layers


class ResNetAutoencoder(nn.Module):
    """Compress images to a vector and reconstruct them.

    Parameters
    ----------
    image_size : tuple of (int, int)
        Height and width in pixels, multiples of `STRIDE`.
    latent_dim : int
        Length of the vector.
    seed : int
        Seed of the encoder's weights; the others come from torch's global generator.
    """

    def __init__(self, image_size, latent_dim, seed):
        super().__init__()
        height, width = (side // STRIDE for side in image_size)
        self.encoder = Encoder((height, width), latent_dim, seed)
        self.decoder = Decoder((height, width), latent_dim)

    def forward(self, x):
        return self.decoder(self.encoder(x))


class Encoder(nn.Module):
    """ResNet-18 with a linear map of its last feature map to the latent vector.

    ResNet's own average pooling is left out: its inverse could not tell the positions
    of an image from each other.
    """

    def __init__(self, map_size, latent_dim, seed):
        super().__init__()
        self.network, _ = read_network("resnet18", None, seed)
        height, width = map_size
        self.bottleneck = nn.Linear(_CHANNELS[-1] * height * width, latent_dim)

    def forward(self, x):
        return self.bottleneck(self.network.forward_features(x).flatten(1))


class Decoder(nn.Module):
    """The operations of the encoder inverted, in reverse order."""

    def __init__(self, map_size, latent_dim):
        super().__init__()
        height, width = map_size
        shape = (_CHANNELS[-1], height, width)
        layer1, layer2, layer3, layer4 = _CHANNELS
        self.stages = nn.ModuleDict(
            {
                "bottleneck": nn.Sequential(
                    nn.Linear(latent_dim, layer4 * height * width),
                    nn.Unflatten(1, shape),
                ),
                "layer4": _inverted_layer(layer4, layer3, factor=2),
                "layer3": _inverted_layer(layer3, layer2, factor=2),
                "layer2": _inverted_layer(layer2, layer1, factor=2),
                "layer1": _inverted_layer(layer1, layer1, factor=1),
                "maxpool": nn.Sequential(
                    _convolution(layer1, layer1, 3, factor=2),
                    nn.BatchNorm2d(layer1),
                    nn.ReLU(inplace=True),
                ),
                "conv1": _convolution(layer1, 3, 7, factor=2, bias=True),
            }
        )

    def forward(self, x):
        for stage in self.stages.values():
            x = stage(x)
        return x


class _InvertedBlock(nn.Module):
    """A residual block that makes a map wider instead of narrower."""

    def __init__(self, in_channels, out_channels, factor):
        super().__init__()
        self.residual = nn.Sequential(
            _convolution(in_channels, in_channels, 3),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            _convolution(in_channels, out_channels, 3, factor),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = (
            nn.Identity()
            if factor == 1
            else nn.Sequential(
                _convolution(in_channels, out_channels, 1, factor),
                nn.BatchNorm2d(out_channels),
            )
        )

    def forward(self, x):
        return functional.relu(self.residual(x) + self.shortcut(x))


def _inverted_layer(in_channels, out_channels, factor):
    # ResNet's first block of a layer changes the size, so the inverse's last one does.
    return nn.Sequential(
        _InvertedBlock(in_channels, in_channels, 1),
        _InvertedBlock(in_channels, out_channels, factor),
    )


def _convolution(in_channels, out_channels, kernel_size, factor=1, *, bias=False):
    """Return a convolution that enlarges the map by a factor, by pixel shuffle [37]."""
    convolution = nn.Conv2d(
        in_channels,
        out_channels * factor**2,
        kernel_size,
        padding=kernel_size // 2,
        bias=bias,
    )
    if factor == 1:
        return convolution
    return nn.Sequential(convolution, nn.PixelShuffle(factor))
