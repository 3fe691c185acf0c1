"""Augmentation: random changes that leave a normal image normal."""

from ._augmented_images import AugmentedImages
from ._image_augmentation import ImageAugmentation
from ._mvtec_exclusions import mvtec_exclusions

__all__ = ["ImageAugmentation", "mvtec_exclusions"]
