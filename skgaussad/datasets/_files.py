"""Finding image files in folders."""

from pathlib import Path

_EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def existing_folder(name, path):
    """Return the folder that a parameter gives as a Path, or raise."""
    folder = Path(path)
    if not folder.is_dir():
        came = "is a file" if folder.is_file() else "does not exist"
        raise FileNotFoundError(
            f"{name} must be a folder, and {str(folder)!r} {came}; the working folder "
            f"is {str(Path.cwd())!r}."
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
    """Tell whether a file name has the extension of an image; hidden files do not."""
    return name.lower().endswith(_EXTENSIONS) and not name.startswith(".")


def image_files(folder):
    """Return the paths of the image files directly in a folder, sorted by name."""
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
