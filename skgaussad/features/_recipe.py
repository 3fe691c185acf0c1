"""What cached features depend on besides the image: their key in the cache."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version

import PIL
import timm
import torch

# Increased when the same settings give other features than before.
_VERSION = 2


@dataclass(frozen=True)
class Recipe:
    """How one pooling of one level is computed.

    Attributes
    ----------
    width : int
        Number of features.
    description : str
        Everything that the features depend on besides the image, as JSON.
    key : bytes
        Digest of the description.
    """

    width: int
    description: str
    key: bytes = field(init=False)

    def __post_init__(self):
        digest = hashlib.blake2b(self.description.encode(), digest_size=16)
        object.__setattr__(self, "key", digest.digest())


def make_recipe(
    part, backbone, preprocessing, device, precision, kept_area=None, network=None
):
    """Describe how a part of the features is computed; arguments as of `Extractor`."""
    description = {
        "recipe": _VERSION,
        "backbone": backbone.name,
        "weights": backbone.weights_sha256,
        "level": part.level,
        "pooling": part.pooling.kind,
        "grid": part.pooling.grid,
        "width": part.width,
        **asdict(preprocessing),
        "precision": precision,
        # Rounding differs between kinds of devices and versions of the libraries.
        "device": device.type,
        "pillow": PIL.__version__,
        "timm": timm.__version__,
        "torch": torch.__version__,
    }
    if network is not None:
        description["openvino"] = version("openvino")
    if kept_area is not None:
        _, height, width, _ = backbone.shapes[part.level]
        description["kept"] = kept_area.digest(
            (height, width), preprocessing.image_size
        )
    return Recipe(part.width, json.dumps(description, sort_keys=True))
