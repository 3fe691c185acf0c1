"""Operations that would make a normal image of an MVTec AD category anomalous."""

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
    """Return the operations to exclude for a category of MVTec AD.

    As in figure 2 of [1]_, an operation is excluded if it would make a normal image
    anomalous. The paper's text names rotation for ``transistor``; the other choices are
    this package's own:

    ============== ===================================== ===============================
    Category       Excluded                              Because
    ============== ===================================== ===============================
    ``capsule``    both flips                            it has text
    ``pill``       both flips                            it has text
    ``cable``      both flips                            a mirror image has two of the
                                                         three wires swapped
    ``metal_nut``  both flips                            a nut upside down is a defect
    ``screw``      both flips                            they reverse the thread
    ``zipper``     both flips                            it has a direction
    ``toothbrush`` vertical flip                         it has a direction
    ``transistor`` vertical flip, rotation, translation  a misplaced one is a defect
    ============== ===================================== ===============================

    Nothing is excluded for the textures (``carpet``, ``grid``, ``leather``, ``tile``
    and ``wood``), for ``bottle``, which is seen from above, and for ``hazelnut``.

    Parameters
    ----------
    category : str
        Name of the category's folder.

    Returns
    -------
    exclude : tuple of str
        Names of operations, for the parameter `exclude` of
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
    >>> ImageAugmentation(exclude=mvtec_exclusions("transistor"))
    ImageAugmentation(exclude=('vertical_flip', 'rotation', 'translation'))
    """
    check_choice("category", category, tuple(_EXCLUDE))
    return _EXCLUDE[category]
