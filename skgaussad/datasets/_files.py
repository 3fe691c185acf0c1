"""Finding image files in folders."""

from pathlib import Path

_EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def existing_folder(name, path):
    """Return a path to a folder.

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    path : str or os.PathLike

    Returns
    -------
    folder : Path

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        came = "a file" if folder.is_file() else "nothing there"
        raise FileNotFoundError(
            f"{name} must be a folder, and {str(folder)!r} is {came}; the working "
            f"folder is {str(Path.cwd())!r}."
        )
    return folder


def subfolders(folder):
    """Return the names of the folders in a folder, sorted, without hidden ones."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )


def is_image_name(name):
    """Tell whether a file is taken for an image, by its name.

    That is, by its extension, in lower or upper case. Hidden files do not count.

    Parameters
    ----------
    name : str
        Without its folder.

    Returns
    -------
    is_image : bool
    """
    return name.lower().endswith(_EXTENSIONS) and not name.startswith(".")


def image_files(folder):
    """Return the image files directly in a folder, sorted by name.

    Files are images by their names, as `is_image_name` says.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    paths : list of Path

    Raises
    ------
    ValueError
        If there are none.
    """
    paths = sorted(
        path for path in folder.iterdir() if is_image_name(path.name) and path.is_file()
    )
    if not paths:
        message = (
            f"There are no images in the folder {str(folder)!r}; the files must have "
            f"one of the extensions {', '.join(_EXTENSIONS)}"
        )
        if subfolders(folder):
            message += ", and lie directly in it, not in the folders it holds"
        raise ValueError(f"{message}.")
    return paths
