"""Data sets in the folder layout of MVTec AD."""

import difflib

import numpy as np
from sklearn.utils import Bunch

from .._utils.validation import check_choice
from ..features import decode_image
from ._files import existing_folder, image_files, subfolders


def load_mvtec(root, category=None, *, split="all"):
    """Load paths, labels and masks of a data set in the layout of MVTec AD.

    Many data sets have this layout [1]_ or can be converted to it, such as VisA::

        root/category/train/good/000.png
        root/category/test/good/000.png
        root/category/test/scratch/000.png
        root/category/ground_truth/scratch/000_mask.png

    and MVTec LOCO AD [2]_ has it with validation images and several masks an image::

        root/category/validation/good/000.png
        root/category/test/logical_anomalies/000.png
        root/category/ground_truth/logical_anomalies/000/000.png
        root/category/ground_truth/logical_anomalies/000/001.png

    Parameters
    ----------
    root : str or os.PathLike
        Folder of the data set.

    category : str or None, default=None
        Name of the category, a folder in `root`; an unknown one raises an error that
        lists those found. None where `root` is itself the folder of a category.

    split : {"all", "train", "test", "validation"}, default="all"
        Training images, test images, the training images and then the test images, or
        those of the folder ``validation/good``, which are in none of the others.

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
            Path of the mask of each anomalous image, or a tuple of paths where it has
            several; None for normal images. :func:`read_mask` reads and merges them.
        is_train : ndarray of shape (n_images,), dtype bool
            Whether it is a training image.

    Raises
    ------
    FileNotFoundError
        If a folder or the mask of an anomalous image does not exist.
    ValueError
        If there is no such category, a folder holds no images, or `split` is none of
        its choices.

    Warns
    -----
    UserWarning
        If there are files that cannot be read as images; names them.

    See Also
    --------
    read_mask : Reads the mask of an image.
    load_folders : Loads a folder of normal and one of anomalous images.

    Notes
    -----
    Images are the files directly in a folder with an extension of PNG, JPEG, TIFF, BMP,
    GIF, WebP, JPEG 2000, PPM or AVIF in any case, and those without one or with an
    unknown one that begin as such images do. The others are not opened.

    A mask has the name of its image, with or without ``_mask`` at the end, and any of
    the extensions; or the masks are all images in a folder of that name. Without a
    folder ``ground_truth`` all `mask_paths` are None. With one, each anomalous image
    must have a mask, because pixel metrics would take an image without one for normal.

    References
    ----------
    .. [1] P. Bergmann, M. Fauser, D. Sattlegger and C. Steger, "MVTec AD - A
       Comprehensive Real-World Dataset for Unsupervised Anomaly Detection", CVPR 2019.
    .. [2] P. Bergmann, K. Batzner, M. Fauser, D. Sattlegger and C. Steger, "Beyond
       Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and
       Localization", IJCV 130 (2022), 947-969.

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
    check_choice("split", split, ("all", "train", "test", "validation"))
    folder = _category_folder(root, category)
    rows = []
    for name in ("train", "validation"):
        if split == name or (split == "all" and name == "train"):
            good = _required_folder(folder / name / "good")
            rows += [
                (path, "good", None, name == "train") for path in image_files(good)
            ]
    if split in ("all", "test"):
        rows += _test_rows(folder)
    paths, defect_types, mask_paths, is_train = zip(*rows, strict=True)
    defect_types = np.array(defect_types)
    return Bunch(
        paths=np.array([str(path) for path in paths]),
        labels=np.where(defect_types == "good", 1, -1),
        defect_types=defect_types,
        mask_paths=_as_objects(mask_paths),
        is_train=np.array(is_train),
    )


def read_mask(mask_path, shape):
    """Read the mask of an image, as :func:`load_mvtec` names it.

    Parameters
    ----------
    mask_path : str, tuple of str or None
        An entry of ``mask_paths``. Several masks are merged; None is that of a normal
        image.

    shape : tuple of (int, int)
        Height and width of the image.

    Returns
    -------
    mask : ndarray of shape (height, width), dtype bool
        True where any of the masks is not zero.

    Raises
    ------
    ValueError
        If a mask has another size than the image.
    InvalidImageError
        If a mask cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skgaussad.datasets import read_mask
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = [str(Path(folder, f"{x}.png")) for x in (0, 2)]
    ...     for x, path in zip((0, 2), paths):
    ...         mask = Image.new("L", (3, 1))
    ...         mask.putpixel((x, 0), 255)
    ...         mask.save(path)
    ...     read_mask(tuple(paths), (1, 3))
    array([[ True, False,  True]])
    """
    paths = (mask_path,) if isinstance(mask_path, str) else mask_path or ()
    merged = np.zeros(shape, dtype=bool)
    for index, path in enumerate(paths):
        mask = decode_image(paths, index).any(axis=2)
        if mask.shape != merged.shape:
            raise ValueError(
                f"The mask {path!r} has the height and width {mask.shape}, and its "
                f"image {merged.shape}."
            )
        merged |= mask
    return merged


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
    """Return the path of the mask of each image, or a tuple of those of several."""
    by_stem = {}
    has_files = folder.is_dir() and any(path.is_file() for path in folder.iterdir())
    if has_files:
        by_stem = {path.stem: str(path) for path in image_files(folder)}
    masks = []
    for path in paths:
        mask = by_stem.get(f"{path.stem}_mask", by_stem.get(path.stem))
        if mask is None and (folder / path.stem).is_dir():
            several = tuple(map(str, image_files(folder / path.stem)))
            mask = several if len(several) > 1 else several[0]
        if mask is None:
            raise FileNotFoundError(
                f"The anomalous image {str(path)!r} has no mask {path.stem}_mask.* or "
                f"{path.stem}.*, nor a folder {path.stem} of masks, in "
                f"{str(folder)!r}. Add it or remove the image; to do without masks, "
                "remove the folder ground_truth."
            )
        masks.append(mask)
    return masks


def _as_objects(items):
    """Return an array of objects with one entry an item, though some are tuples."""
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return array
