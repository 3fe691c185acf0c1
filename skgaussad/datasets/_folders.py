"""Images from a folder of normal and a folder of anomalous ones."""

import numpy as np
from sklearn.utils import Bunch

from ..features import name_some
from ._files import existing_folder, group_same_files, image_files
from ._labels_in_names import check_unlabelled


def load_folders(normal, anomalous=None):
    """Load paths and labels of the images in one or two folders.

    Parameters
    ----------
    normal : str or os.PathLike
        Folder of normal images.

    anomalous : str, os.PathLike or None, default=None
        Folder of anomalous images, if there are any.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        One entry an image, the normal ones first, sorted by file name:

        paths : ndarray of shape (n_images,), dtype str
            Paths of the images.
        labels : ndarray of shape (n_images,)
            +1 for normal images, -1 for anomalous.

    Raises
    ------
    FileNotFoundError
        If a folder does not exist.
    ValueError
        If a folder holds no images; there are masks beside the normal ones, called
        ``1_mask.png`` or the like; or a file is among the normal and the anomalous
        images, through a link or a folder given twice.

    Warns
    -----
    UserWarning
        If there are files that cannot be read as images; names them.

    See Also
    --------
    load_mvtec : Loads a data set with training images, test images and masks.

    Notes
    -----
    Images are the files directly in the folder with an extension of PNG, JPEG, TIFF,
    BMP, GIF, WebP, JPEG 2000, PPM or AVIF in any case, and those without one or with an
    unknown one that begin as such images do. The others are not opened.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skgaussad.datasets import load_folders, make_textures
    >>> textures = make_textures(2, 1, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("good", "bad"):
    ...         Path(folder, name).mkdir()
    ...     for i, image in enumerate(textures.images):
    ...         name = "good" if textures.labels[i] == 1 else "bad"
    ...         Image.fromarray(image).save(Path(folder, name, f"{i}.png"))
    ...     data = load_folders(Path(folder, "good"), Path(folder, "bad"))
    >>> data.labels
    array([ 1,  1, -1])
    """
    paths = image_files(existing_folder("normal", normal))
    check_unlabelled(normal, paths)
    labels = [1] * len(paths)
    if anomalous is not None:
        paths += image_files(existing_folder("anomalous", anomalous))
        labels += [-1] * (len(paths) - len(labels))
    for same in group_same_files(paths):
        if len({labels[paths.index(path)] for path in same}) > 1:
            raise ValueError(
                "A file is among the normal and the anomalous images: "
                f"{name_some(same)}."
            )
    return Bunch(paths=np.array([str(path) for path in paths]), labels=np.array(labels))
