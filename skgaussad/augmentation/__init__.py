"""More training images from few: random changes that leave a normal image normal."""

from ._augmented_fit import AugmentedFit
from ._image_augmentation import ImageAugmentation
from ._mvtec import exclude_for

__all__ = ["AugmentedFit", "ImageAugmentation", "exclude_for"]
