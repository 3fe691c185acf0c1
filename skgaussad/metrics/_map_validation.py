"""What counts as masks and anomaly maps of the same images."""

import numpy as np
from sklearn.utils import check_array


def check_maps(masks, maps):
    """Raise unless the masks and maps can be measured against each other.

    Parameters
    ----------
    masks : sequence of n_images array-likes of shape (height, width)
        Booleans, or 0 and 1: True for anomalous pixels.
    maps : sequence of n_images array-likes of shape (height, width)
        The anomaly maps.

    Returns
    -------
    masks : list of ndarray of shape (height, width), dtype bool
        Together they hold anomalous and normal pixels.
    maps : list of ndarray of shape (height, width), dtype float32 or float64
        Each of the shape of its mask, and finite.

    Raises
    ------
    ValueError
        If this cannot be had. The message names the image by its index.
    """
    masks, maps = list(masks), list(maps)
    if len(masks) != len(maps):
        raise ValueError(
            "masks and maps must be of equal length, with an item an image; got "
            f"{len(masks)} and {len(maps)}."
        )
    masks = [_check_mask(f"masks[{index}]", mask) for index, mask in enumerate(masks)]
    for index, mask in enumerate(masks):
        # check_array would advise to reshape maps of the wrong number of dimensions.
        if np.shape(maps[index]) != mask.shape:
            raise ValueError(
                f"masks[{index}] and maps[{index}] must be of the same shape; got "
                f"{mask.shape} and {tuple(np.shape(maps[index]))}. Resize the map to "
                "its mask, not the mask, in which small defects could get lost."
            )
        maps[index] = check_array(
            maps[index], dtype=[np.float64, np.float32], input_name=f"maps[{index}]"
        )
    for kind, is_missing in (
        ("anomalous", not any(mask.any() for mask in masks)),
        ("normal", all(mask.all() for mask in masks)),
    ):
        if is_missing:
            raise ValueError(
                "masks must hold anomalous pixels (True) and normal pixels (False); "
                f"the {len(masks)} masks hold no {kind} pixel."
            )
    return masks, maps


def _check_mask(name, mask):
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(
            f"{name} must be of shape (height, width); got shape {mask.shape}. A "
            "normal image has a mask, too, all False."
        )
    if mask.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold booleans; got dtype {mask.dtype}.")
    if ((mask != 0) & (mask != 1)).any():
        found = ", ".join(map(str, np.unique(mask)[-5:]))
        raise ValueError(
            f"{name} must hold booleans, or 0 and 1; its largest values are {found}. "
            "Where 0 marks normal pixels, give mask > 0."
        )
    return mask.astype(bool, copy=False)


def concatenate_pixels(arrays):
    """Return the pixels of all images in one array of shape (n_pixels,).

    Parameters
    ----------
    arrays : sequence of ndarray of shape (height, width)

    Returns
    -------
    pixels : ndarray of shape (n_pixels,)
        Image by image, row by row.
    """
    return np.concatenate([array.ravel() for array in arrays])
