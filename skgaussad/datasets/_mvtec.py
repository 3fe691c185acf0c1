"""Data sets in the folder layout of MVTec AD."""

import difflib

import numpy as np
from sklearn.utils import Bunch

from .._utils.validation import check_choice
from ._files import existing_folder, image_files, subfolders


def load_mvtec(root, category=None, *, split="all"):
    """Load paths, labels and masks of a data set in the layout of MVTec AD.

    Many data sets have this layout [1]_ or can be converted to it, such as VisA::

        root/category/train/good/000.png
        root/category/test/good/000.png
        root/category/test/scratch/000.png
        root/category/ground_truth/scratch/000_mask.png

    Parameters
    ----------
    root : str or os.PathLike
        Folder of the data set.

    category : str or None, default=None
        Name of the category, a folder in `root`; an unknown one raises an error that
        lists those found. None where `root` is itself the folder of a category.

    split : {"all", "train", "test"}, default="all"
        Training images, test images, or the training images and then the test images.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        One entry an image, sorted by type and file name:

        paths : ndarray of shape (n_images,), dtype str
            Paths of the images.
        labels : ndarray of shape (n_images,)
            +1 for normal images, -1 for anomalous.
        defect_types : ndarray of shape (n_images,), dtype str
            Names of the folders in ``test``; ``"good"`` for normal images.
        mask_paths : ndarray of shape (n_images,), dtype object
            Paths of the masks of the anomalous images; None for normal images.
        is_train : ndarray of shape (n_images,), dtype bool
            Whether it is a training image.

    Raises
    ------
    FileNotFoundError
        If a folder or the mask of an anomalous image does not exist.
    ValueError
        If there is no such category, a folder holds no images, or `split` is none of
        its choices.

    See Also
    --------
    load_folders : Loads a folder of normal and one of anomalous images.

    Notes
    -----
    Images are the files directly in a folder with the extension ``.png``, ``.jpg``,
    ``.jpeg``, ``.bmp``, ``.tif``, ``.tiff`` or ``.webp``, in any case. They are not
    opened.

    A mask has the name of its image, with or without ``_mask`` at the end, and any of
    the extensions. Without a folder ``ground_truth`` all `mask_paths` are None. With
    one, each anomalous image must have a mask, because pixel metrics would take an
    image without one for normal.

    References
    ----------
    .. [1] P. Bergmann, M. Fauser, D. Sattlegger and C. Steger, "MVTec AD - A
       Comprehensive Real-World Dataset for Unsupervised Anomaly Detection", CVPR 2019.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skgaussad.datasets import load_mvtec
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("train/good/0", "test/good/0", "test/cut/0", "test/cut/1"):
    ...         path = Path(root, "cork", f"{name}.png")
    ...         path.parent.mkdir(parents=True, exist_ok=True)
    ...         Image.new("L", (8, 8)).save(path)
    ...     data = load_mvtec(root, "cork")
    >>> data.labels
    array([ 1, -1, -1,  1])
    >>> data.defect_types
    array(['good', 'cut', 'cut', 'good'], dtype='<U4')
    """
    check_choice("split", split, ("all", "train", "test"))
    folder = _category_folder(root, category)
    rows = []
    if split != "test":
        good = _required_folder(folder / "train" / "good")
        rows += [(path, "good", None, True) for path in image_files(good)]
    if split != "train":
        rows += _test_rows(folder)
    paths, defect_types, mask_paths, is_train = zip(*rows, strict=True)
    defect_types = np.array(defect_types)
    return Bunch(
        paths=np.array([str(path) for path in paths]),
        labels=np.where(defect_types == "good", 1, -1),
        defect_types=defect_types,
        mask_paths=np.array(mask_paths, dtype=object),
        is_train=np.array(is_train),
    )


def list_categories(root):
    """Return the names of the folders in `root` that have a folder ``train``."""
    return [name for name in subfolders(root) if (root / name / "train").is_dir()]


def _category_folder(root, category):
    """Return the folder of a category, or raise an error that lists those found."""
    root = existing_folder("root", root)
    found = list_categories(root)
    listed = ", ".join(map(repr, found)) or "none"
    if category is None:
        if (root / "train").is_dir():
            return root
        raise ValueError(
            f"The folder {str(root)!r} has no folder 'train', so it is not a category "
            f"itself; give one of its categories, found: {listed}."
        )
    if category in subfolders(root):
        return root / category
    message = f"The folder {str(root)!r} has no category {category!r}; found: {listed}."
    by_lower = {name.lower(): name for name in found}
    close = difflib.get_close_matches(str(category).lower(), by_lower, n=1)
    if close:
        message += f" Did you mean {by_lower[close[0]]!r}?"
    elif (root / "train").is_dir():
        message += " It is itself a category: give category=None."
    raise ValueError(message)


def _required_folder(folder):
    """Return the folder, or raise an error that says what it has to hold."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(folder)!r}. In the layout of MVTec AD the normal "
            "training images are in train/good, and the test images in test/good and "
            "test/<type of defect>. To load one of the two only, use split='train' or "
            "split='test'."
        )
    return folder


def _test_rows(folder):
    """Return path, type, mask path and False for each test image of a category."""
    test = _required_folder(folder / "test")
    names = subfolders(test)
    if not names:
        raise FileNotFoundError(
            f"The folder {str(test)!r} holds no folders; the test images must be in "
            "test/good and test/<type of defect>."
        )
    has_masks = (folder / "ground_truth").is_dir()
    rows = []
    for name in names:
        paths = image_files(test / name)
        masks = [None] * len(paths)
        if has_masks and name != "good":
            masks = _masks(paths, folder / "ground_truth" / name)
        rows += [
            (path, name, mask, False) for path, mask in zip(paths, masks, strict=True)
        ]
    return rows


def _masks(paths, folder):
    """Return the path of the mask of each image."""
    by_stem = {}
    if folder.is_dir():
        by_stem = {path.stem: str(path) for path in image_files(folder)}
    masks = []
    for path in paths:
        mask = by_stem.get(f"{path.stem}_mask", by_stem.get(path.stem))
        if mask is None:
            raise FileNotFoundError(
                f"The anomalous image {str(path)!r} has no mask {path.stem}_mask.* or "
                f"{path.stem}.* in {str(folder)!r}. Add it or remove the image; to do "
                "without masks, remove the folder ground_truth."
            )
        masks.append(mask)
    return masks
