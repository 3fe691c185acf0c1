"""Standardizing the intensity of images: their brightness and contrast."""

import numpy as np

# Of an image afterwards; values are in [0, 1].
STANDARD_MEAN, STANDARD_DEVIATION = 0.5, 0.2
# One grey level of 8 bits, so that the noise of a flat image stays small.
LEAST_DEVIATION = 1 / 255


def standardize_batch(batch, weights):
    """Standardize each image of a batch, and cut its values to [0, 1].

    Parameters
    ----------
    batch : tensor of shape (n, height, width, 3)
        Values in [0, 1].
    weights : tensor of shape (height, width * 3)
        Weight of each value in the mean, zero for pixels that are ignored.

    Returns
    -------
    standardized : tensor of shape (n, height, width, 3)
    """
    rows = batch.flatten(2)
    centred = rows - _weighted_sum(rows, weights)
    deviation = _weighted_sum(centred.square(), weights).sqrt_()
    scale = STANDARD_DEVIATION / deviation.clamp_(min=LEAST_DEVIATION)
    return centred.mul_(scale).add_(STANDARD_MEAN).clamp_(0, 1).view_as(batch)


def _weighted_sum(rows, weights):
    """Sum each image: row by row, which is fast and loses no digits of float32."""
    from torch.linalg import vecdot

    return vecdot(rows, weights).sum(1)[:, None, None]


def measure_intensity(pixels):
    """Return the mean and the standard deviation of one image.

    Parameters
    ----------
    pixels : ndarray of shape (height, width, n_channels)
        As of `decode_image`.

    Returns
    -------
    mean, deviation : float
        Of values in [0, 1].
    """
    # Row by row, since a large image as float64 takes eight times its memory.
    mean = np.mean([_as_floats(row).mean(dtype=np.float64) for row in pixels])
    squares = [np.square(_as_floats(row) - mean).mean() for row in pixels]
    return float(mean), float(np.sqrt(np.mean(squares)))


def standardize(pixels, mean, deviation):
    """Standardize a part of an image by the mean and deviation of the whole.

    Parameters
    ----------
    pixels : ndarray of shape (height, width, n_channels)
        As of `decode_image`.
    mean, deviation : float

    Returns
    -------
    standardized : ndarray of shape (height, width, n_channels)
        Float32 in [0, 1].
    """
    scale = STANDARD_DEVIATION / max(deviation, LEAST_DEVIATION)
    return np.clip((_as_floats(pixels) - mean) * scale + STANDARD_MEAN, 0, 1)


def _as_floats(pixels):
    """Return pixels of `decode_image` as float32 in [0, 1]."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / np.float32(255)
    return pixels
