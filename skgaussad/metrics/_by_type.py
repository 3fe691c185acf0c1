"""Metrics of anomaly maps for each type of defect."""

import numpy as np
from sklearn.utils.validation import column_or_1d

from ..calibration import rows_by_group
from ._map_validation import check_maps
from ._per_region_overlap import per_region_overlap
from ._pixels import pixel_average_precision, pixel_roc_auc


def map_metrics_by_type(masks, maps, defect_types, *, max_fpr=0.3):
    """Metrics of anomaly maps, for each type of defect and overall.

    Each type is measured on its images together with all normal images.

    Parameters
    ----------
    masks : sequence of n_images array-likes of shape (height, width)
        True for anomalous pixels; all False for a normal image. Booleans, or 0 and 1.
        An array of shape (n_images, height, width) will do; images may differ in size.

    maps : sequence of n_images array-likes of shape (height, width)
        The anomaly map of each image, of the shape of its mask. Higher is more
        anomalous, unlike scores of scikit-learn's outlier detectors.

    defect_types : array-like of shape (n_images,)
        The name of each image's type of defect, and ``"good"`` for normal images, as
        :func:`~skgaussad.datasets.load_mvtec` gives them. ``"overall"`` may be no type.

    max_fpr : float, default=0.3
        The false-positive rate up to which :func:`per_region_overlap` counts, in
        (0, 1].

    Returns
    -------
    metrics : pandas.DataFrame of shape (n_types + 1, 4)
        A row each for the types, sorted by name, and ``"overall"`` for all images,
        which the index gives. The columns are ``"n_anomalous"``, the number of images
        with a defect, ``"pixel_roc_auc"``, ``"pixel_average_precision"`` and
        ``"per_region_overlap"``.

    Raises
    ------
    ValueError
        If the lengths differ, a normal image has anomalous pixels or one with a defect
        has none, or in any other case in which the metrics raise it.

    See Also
    --------
    pixel_roc_auc : Ranks all pixels.
    pixel_average_precision : Counts false alarms against the anomalous pixels.
    per_region_overlap : Counts small defects as much as large ones.

    Notes
    -----
    The overall figures are not means over the types. The average precision depends on
    the fraction of anomalous pixels, so that it does not compare between types.

    These are masks for what :func:`~skgaussad.datasets.load_mvtec` loads, and for maps
    of the size of their images::

        masks = [
            read_mask(path, heat.shape) for path, heat in zip(data.mask_paths, maps)
        ]

    Examples
    --------
    The distance to a medium grey finds bright scratches and dark spots in a texture of
    both bright and dark threads better than it finds missing threads:

    >>> import numpy as np
    >>> from skgaussad.datasets import make_textures
    >>> from skgaussad.metrics import map_metrics_by_type
    >>> data = make_textures(3, 6, size=64, random_state=0)
    >>> maps = np.abs(data.images.mean(axis=3) - 110)
    >>> map_metrics_by_type(data.masks, maps, data.defect_types).round(2).T
    defect_type              missing  scratch  spot  overall
    n_anomalous                 2.00     2.00  2.00     6.00
    pixel_roc_auc               0.90     0.99  1.00     0.96
    pixel_average_precision     0.08     0.84  0.81     0.57
    per_region_overlap          0.64     0.97  0.98     0.87
    """
    masks, maps = check_maps(masks, maps)
    defect_types = column_or_1d(np.asarray(defect_types, dtype=str))
    if len(defect_types) != len(masks):
        raise ValueError(
            "defect_types and masks must be of equal length; got "
            f"{len(defect_types)} and {len(masks)}."
        )
    for index, (mask, name) in enumerate(zip(masks, defect_types, strict=True)):
        _check_type(index, mask, str(name))
    selections = rows_by_group(defect_types)
    is_normal = selections.pop("good", np.zeros(len(masks), dtype=bool))
    selections = {name: rows | is_normal for name, rows in selections.items()}
    selections["overall"] = np.ones(len(masks), dtype=bool)

    import pandas as pd

    rows = []
    for is_selected in selections.values():
        images = np.flatnonzero(is_selected)
        chosen = [masks[i] for i in images], [maps[i] for i in images]
        rows.append(
            {
                "n_anomalous": np.count_nonzero(is_selected & ~is_normal),
                "pixel_roc_auc": pixel_roc_auc(*chosen),
                "pixel_average_precision": pixel_average_precision(*chosen),
                "per_region_overlap": per_region_overlap(*chosen, max_fpr=max_fpr),
            }
        )
    return pd.DataFrame(rows, index=pd.Index(selections, name="defect_type"))


def _check_type(index, mask, name):
    """Raise where a mask and the name of a type cannot be of the same image."""
    if name == "overall":
        raise ValueError(
            f"defect_types[{index}] is 'overall', which is the row of all images; "
            "rename the type."
        )
    if mask.any() == (name == "good"):
        raise ValueError(
            f"defect_types[{index}] is {name!r}, but masks[{index}] holds "
            f"{'an' if name == 'good' else 'no'} anomalous pixel. Correct the type or "
            "the mask, or leave the image out."
        )
