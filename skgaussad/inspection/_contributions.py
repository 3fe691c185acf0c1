"""The contribution of each position of the feature maps to the distance."""

import numpy as np

from ..features import slices_of


def split_over_positions(maps, weights, parts, totals, gradients, constants):
    """Split totals over positions.

    A pooled feature is the weighted mean over the positions of its cell, and a total is
    the sum of gradient x feature - constant over the features, so that each position
    has a contribution to it.

    Parameters
    ----------
    maps : dict of {int: tensor of shape (n_images, channels, height, width)}
        By level.
    weights : dict of {int: ndarray of shape (height, width)}
        Fraction of each position that is not ignored, by level.
    parts : tuple of Part
        Average or grid poolings of these levels.
    totals : ndarray of shape (n_images,)
    gradients, constants : ndarray of shape (n_images, n_features)

    Returns
    -------
    contributions : dict of {int: ndarray of shape (n_images, height, width)}
        Float64, by level. Those of an image add up to its total, and are zero where
        all of a position is ignored.
    """
    contributions = {
        level: np.zeros((len(totals), *feature_map.shape[2:]))
        for level, feature_map in maps.items()
    }
    for part, columns in zip(parts, slices_of(parts), strict=True):
        shape = (len(totals), part.pooling.n_cells, part.n_channels)
        of_cells = gradients[:, columns].reshape(shape)
        constants_of_cells = constants[:, columns].reshape(shape).sum(axis=2)
        of_level = contributions[part.level]
        height, width = of_level.shape[1:]
        for cell, (rows, cols) in enumerate(part.pooling.cells(height, width)):
            contribution = _weigh(maps[part.level][:, :, rows, cols], of_cells[:, cell])
            contribution -= constants_of_cells[:, cell, np.newaxis, np.newaxis]
            of_level[:, rows, cols] += contribution * _normalized(
                weights[part.level][rows, cols]
            )
    # Features, maps and the sums over them are float32: the rounding error is spread
    # over all positions that are not ignored.
    left = totals - sum(
        contribution.sum(axis=(1, 2)) for contribution in contributions.values()
    )
    left = left[:, np.newaxis, np.newaxis] / len(contributions)
    for level, contribution in contributions.items():
        contribution += left * _normalized(weights[level])
    return contributions


def _normalized(weights):
    # Zero for a cell that is ignored entirely.
    return weights / (weights.sum() or 1)


def _weigh(feature_map, gradients):
    """Sum over channels, in single precision, which is that of the maps."""
    import torch

    from .._utils.torch_guard import torch_run

    with torch_run(feature_map.device.type):
        weights = torch.from_numpy(gradients).to(feature_map.device, torch.float32)
        # In the order in which a network leaves them, channels last, nothing is copied.
        rows = feature_map.permute(0, 2, 3, 1)
        sums = torch.bmm(rows.flatten(1, 2), weights[:, :, None])
    return sums.reshape(rows.shape[:3]).cpu().numpy().astype(np.float64)
