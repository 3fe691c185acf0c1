"""ROC and precision-recall figures of anomaly maps, with pixels as the samples."""

from sklearn.metrics import average_precision_score, roc_auc_score

from ._map_validation import check_maps, concatenate_pixels


def pixel_roc_auc(masks, maps):
    """Area under the ROC curve of the pixels of all images.

    The probability that a random anomalous pixel has a higher value in its map than a
    random normal pixel, of any image; ties count half.

    Parameters
    ----------
    masks : sequence of n_images array-likes of shape (height, width)
        True for anomalous pixels; all False for a normal image. Booleans, or 0 and 1.
        An array of shape (n_images, height, width) will do; images may differ in size.

    maps : sequence of n_images array-likes of shape (height, width)
        The anomaly map of each image, of the shape of its mask. Higher is more
        anomalous, unlike scores of scikit-learn's outlier detectors.

    Returns
    -------
    roc_auc : float
        In [0, 1]; 0.5 for maps without any information.

    Raises
    ------
    ValueError
        If the lengths or an image's shapes differ, a mask holds other values, a map
        holds NaN or infinity, or no pixel is anomalous or none is normal.

    See Also
    --------
    pixel_average_precision : Counts false alarms against the anomalous pixels.
    per_region_overlap : Counts small defects as much as large ones.
    map_metrics_by_type : The three metrics for each type of defect.
    sklearn.metrics.roc_auc_score : Computes it, on the pixels in one array.

    Notes
    -----
    A large defect counts as much as all the small ones it is as large as. Where few
    pixels are anomalous, the area is close to 1 even for maps in which most of the
    highest values are false alarms.

    All pixels are used, at up to 90 bytes each while it runs: 2.4 GB for 100 images of
    512 × 512 pixels.

    Examples
    --------
    >>> from skgaussad.metrics import pixel_roc_auc
    >>> masks = [[[0, 0, 1], [0, 0, 1]], [[0, 0], [0, 0]]]
    >>> maps = [[[0.1, 0.2, 0.9], [0.1, 0.3, 0.4]], [[0.1, 0.2], [0.5, 0.1]]]
    >>> pixel_roc_auc(masks, maps)
    0.9375
    """
    masks, maps = check_maps(masks, maps)
    return float(roc_auc_score(concatenate_pixels(masks), concatenate_pixels(maps)))


def pixel_average_precision(masks, maps):
    """Average precision of the pixels of all images.

    The mean, over the anomalous pixels, of the precision at the value that each has in
    its map: the fraction of anomalous pixels among all that are at least as high.

    Parameters
    ----------
    masks : sequence of n_images array-likes of shape (height, width)
        True for anomalous pixels; all False for a normal image. Booleans, or 0 and 1.
        An array of shape (n_images, height, width) will do; images may differ in size.

    maps : sequence of n_images array-likes of shape (height, width)
        The anomaly map of each image, of the shape of its mask. Higher is more
        anomalous, unlike scores of scikit-learn's outlier detectors.

    Returns
    -------
    average_precision : float
        In (0, 1]; for maps without any information about the fraction of anomalous
        pixels in all.

    Raises
    ------
    ValueError
        If the lengths or an image's shapes differ, a mask holds other values, a map
        holds NaN or infinity, or no pixel is anomalous or none is normal.

    See Also
    --------
    pixel_roc_auc : Does not depend on the fraction of anomalous pixels.
    per_region_overlap : Counts small defects as much as large ones.
    map_metrics_by_type : The three metrics for each type of defect.
    sklearn.metrics.average_precision_score : Computes it, on the pixels in one array.

    Notes
    -----
    It depends on the fraction of anomalous pixels, so that figures for different sets
    of images do not compare.

    All pixels are used, at up to 80 bytes each while it runs: 2.1 GB for 100 images of
    512 × 512 pixels.

    Examples
    --------
    >>> from skgaussad.metrics import pixel_average_precision
    >>> masks = [[[0, 0, 1], [0, 0, 1]], [[0, 0], [0, 0]]]
    >>> maps = [[[0.1, 0.2, 0.9], [0.1, 0.3, 0.4]], [[0.1, 0.2], [0.5, 0.1]]]
    >>> round(pixel_average_precision(masks, maps), 4)
    0.8333
    """
    masks, maps = check_maps(masks, maps)
    return float(
        average_precision_score(concatenate_pixels(masks), concatenate_pixels(maps))
    )
