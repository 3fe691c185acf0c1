"""The operations of `ImageAugmentation`, as functions of float tensors.

A tensor here has the shape (1 or 3, height, width), dtype float32 and values in [0, 1],
and every function returns another one of the same shape.
"""

import math

import torch
from torchvision.transforms.v2 import functional


def apply_operations(image, amounts, rng):
    """Apply operations to one image, one after another.

    Parameters
    ----------
    image : Tensor of shape (n_channels, height, width)
    amounts : dict
        The operations to apply and their strengths, as `ImageAugmentation.sample`
        returns them.
    rng : Generator
        Draws the noise.

    Returns
    -------
    image : Tensor of shape (n_channels, height, width)
    """
    if "horizontal_flip" in amounts:
        image = functional.horizontal_flip(image)
    if "vertical_flip" in amounts:
        image = functional.vertical_flip(image)
    angle = amounts.get("rotation", 0.0)
    scale = amounts.get("scaling", 1.0)
    shift = amounts.get("translation", (0.0, 0.0))
    if angle or scale != 1 or any(shift):
        # In one step, since each resampling blurs.
        image = move(image, angle, scale, shift)
    if "brightness" in amounts:
        image = functional.adjust_brightness(image, amounts["brightness"])
    if "contrast" in amounts:
        image = functional.adjust_contrast(image, amounts["contrast"])
    if "blur" in amounts:
        image = blur(image, amounts["blur"] * min(image.shape[1:]))
    if "noise" in amounts:
        noise = rng.standard_normal(image.shape, dtype="float32")
        image = (image + amounts["noise"] * torch.from_numpy(noise)).clamp(0, 1)
    return image


def move(image, angle, scale, shift):
    """Rotate and scale an image about its centre, then shift it.

    Beyond its border the image is continued by its reflection: torchvision's ``affine``
    fills with one colour, and a detector would learn such corners as normal.

    Parameters
    ----------
    image : Tensor of shape (n_channels, height, width)
    angle : float
        In degrees, counterclockwise.
    scale : float
        Above 1 enlarges.
    shift : tuple of (float, float)
        To the right and downwards, as fractions of width and height.

    Returns
    -------
    image : Tensor of shape (n_channels, height, width)
        Interpolated bilinearly.
    """
    height, width = image.shape[1:]
    cos = math.cos(math.radians(angle)) / scale
    sin = math.sin(math.radians(angle)) / scale
    # From output to input coordinates, which run from -1 to 1 along both sides: hence
    # the ratio of the sides, and twice the shift.
    inverse = image.new_tensor(
        [[cos, -sin * height / width], [sin * width / height, cos]]
    )
    origin = -inverse @ (2 * image.new_tensor(shift).unsqueeze(1))
    theta = torch.cat([inverse, origin], dim=1).unsqueeze(0)
    grid = torch.nn.functional.affine_grid(
        theta, [1, *image.shape], align_corners=False
    )
    moved = torch.nn.functional.grid_sample(
        image.unsqueeze(0), grid, padding_mode="reflection", align_corners=False
    )
    # Rounding may give values above 1, which are refused in an image.
    return moved.squeeze(0).clamp(0, 1)


def blur(image, sigma):
    """Blur an image by a Gaussian.

    Parameters
    ----------
    image : Tensor of shape (n_channels, height, width)
    sigma : float
        Standard deviation in pixels.

    Returns
    -------
    image : Tensor of shape (n_channels, height, width)
    """
    # The weights of neighbours are below exp(-50), and computing them may divide by 0.
    if sigma < 0.1:
        return image
    # Reflection at the border needs sides longer than the radius.
    radius = min(math.ceil(3 * sigma), *(side - 1 for side in image.shape[1:]))
    # Clipped for the reason given in `move`.
    return functional.gaussian_blur(image, 2 * radius + 1, sigma).clamp(0, 1)
