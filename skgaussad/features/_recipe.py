"""What the features of a level depend on, besides the image."""

import hashlib
import json
from dataclasses import dataclass, field

import PIL
import timm
import torch

# Raised when the same settings come to give other features.
_VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """How one pooling of one level is computed.

    Attributes
    ----------
    width : int
        Number of features.
    description : str
        All that the features depend on, as JSON.
    key : bytes
        Digest of the description.
    """

    width: int
    description: str
    key: bytes = field(init=False)

    def __post_init__(self):
        digest = hashlib.blake2b(self.description.encode(), digest_size=16)
        object.__setattr__(self, "key", digest.digest())

    @classmethod
    def of(cls, part, backbone, preprocessing, device, precision, kept_area=None):
        """Describe how a part of the features is computed.

        Parameters
        ----------
        part : Part
        backbone : Backbone
        preprocessing : Preprocessing
        device : torch.device
        precision : str
        kept_area : KeptArea or None, default=None
            None where nothing is ignored.

        Returns
        -------
        recipe : Recipe
        """
        description = {
            "recipe": _VERSION,
            "backbone": backbone.name,
            "weights": backbone.weights_sha256,
            "level": part.level,
            "pooling": part.pooling.kind,
            "grid": part.pooling.grid,
            "width": part.width,
            **vars(preprocessing),
            "precision": precision,
            # Kinds of devices round differently, and so do versions of the libraries.
            "device": device.type,
            "pillow": PIL.__version__,
            "timm": timm.__version__,
            "torch": torch.__version__,
        }
        if kept_area is not None:
            _, height, width, _ = backbone.shapes[part.level]
            description["kept"] = kept_area.digest(
                (height, width), preprocessing.image_size
            )
        return cls(part.width, json.dumps(description, sort_keys=True))
