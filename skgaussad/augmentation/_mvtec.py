"""Which operations would make a normal image of an MVTec AD category anomalous."""

from .._utils.validation import check_choice

_FLIPS = ("horizontal_flip", "vertical_flip")
_EXCLUDE = {
    "bottle": (),
    "cable": _FLIPS,
    "capsule": _FLIPS,
    "carpet": (),
    "grid": (),
    "hazelnut": (),
    "leather": (),
    "metal_nut": _FLIPS,
    "pill": _FLIPS,
    "screw": _FLIPS,
    "tile": (),
    "toothbrush": ("vertical_flip",),
    "transistor": ("vertical_flip", "rotation", "translation"),
    "wood": (),
    "zipper": _FLIPS,
}


def mvtec_exclusions(category):
    """Operations to exclude for a category of MVTec AD.

    The rule is that of figure 2 in [1]_: an operation is excluded where it would make
    an anomaly of a normal image. The paper's text names rotation for ``transistor``;
    the other choices are this package's own:

    ============== ===================================== ===============================
    Category       Excluded                              Because
    ============== ===================================== ===============================
    ``capsule``    both flips                            it bears text
    ``pill``       both flips                            it bears text
    ``cable``      both flips                            a mirror image has two of the
                                                         three wires swapped
    ``metal_nut``  both flips                            a nut upside down is a defect
    ``screw``      both flips                            they reverse the thread
    ``zipper``     both flips                            it has a direction
    ``toothbrush`` vertical flip                         it has a direction
    ``transistor`` vertical flip, rotation, translation  a misplaced one is a defect
    ============== ===================================== ===============================

    Nothing is excluded for the textures (``carpet``, ``grid``, ``leather``, ``tile``
    and ``wood``), for ``bottle``, seen from above, and for ``hazelnut``.

    Parameters
    ----------
    category : str
        Name of the category, as its folder is called.

    Returns
    -------
    exclude : tuple of str
        For the parameter `exclude` of
        :class:`~skgaussad.augmentation.ImageAugmentation`.

    Raises
    ------
    ValueError
        If MVTec AD has no such category.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> from skgaussad.augmentation import ImageAugmentation, mvtec_exclusions
    >>> mvtec_exclusions("transistor")
    ('vertical_flip', 'rotation', 'translation')
    >>> augmentation = ImageAugmentation(exclude=mvtec_exclusions("transistor"))
    """
    check_choice("category", category, tuple(_EXCLUDE))
    return _EXCLUDE[category]
