"""More training images from few: random changes that leave a normal image normal."""

from ._augmented_images import AugmentedImages
from ._image_augmentation import ImageAugmentation
from ._mvtec import exclude_for

__all__ = ["ImageAugmentation", "exclude_for"]
