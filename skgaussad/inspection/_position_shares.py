"""The share of each position of the feature maps in the distance of an image."""

import numpy as np

from ..features._parts import slices_of


def share_over_positions(maps, parts, totals, gradients, constants):
    """Split totals over positions.

    A pooled feature is the mean over the positions of its cell, and a total is the sum
    of gradient x feature - constant over the features, so that each position has its
    share in it.

    Parameters
    ----------
    maps : dict of {int: tensor of shape (n_images, channels, height, width)}
        By level.
    parts : tuple of Part
        Average or grid poolings of these levels.
    totals : ndarray of shape (n_images,)
    gradients, constants : ndarray of shape (n_images, n_features)

    Returns
    -------
    shares : dict of {int: ndarray of shape (n_images, height, width)}
        Float64, by level. Those of an image add up to its total.
    """
    shares = {
        level: np.zeros((len(totals), *feature_map.shape[2:]))
        for level, feature_map in maps.items()
    }
    for part, columns in zip(parts, slices_of(parts), strict=True):
        shape = (len(totals), part.pooling.n_cells, part.n_channels)
        of_cells = gradients[:, columns].reshape(shape)
        constants_of_cells = constants[:, columns].reshape(shape).sum(axis=2)
        level_shares = shares[part.level]
        height, width = level_shares.shape[1:]
        for cell, (rows, cols) in enumerate(part.pooling.cells(height, width)):
            share = _weigh(maps[part.level][:, :, rows, cols], of_cells[:, cell])
            share -= constants_of_cells[:, cell, np.newaxis, np.newaxis]
            level_shares[:, rows, cols] += share / (share.shape[1] * share.shape[2])
    # The features are rounded to float32, the maps as well: what that leaves is spread
    # over all positions.
    left = totals - sum(share.sum(axis=(1, 2)) for share in shares.values())
    for share in shares.values():
        n_positions = len(shares) * share.shape[1] * share.shape[2]
        share += (left / n_positions)[:, np.newaxis, np.newaxis]
    return shares


def _weigh(feature_map, gradients):
    """Sum over channels, in double precision, of which some devices have none."""
    import torch

    if feature_map.device.type == "mps":
        feature_map = feature_map.cpu()
    weights = torch.from_numpy(gradients).to(feature_map.device)
    return torch.einsum("nchw,nc->nhw", feature_map.double(), weights).cpu().numpy()
