"""Finding image files in folders."""

import os
from pathlib import Path

from ..features import explain_left_out, is_image_file, warn_left_out


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


def image_files(folder):
    """Return the paths of the image files directly in a folder, sorted by name.

    Hidden files are passed over.
    """
    visible = sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".")
    )
    is_image = [is_image_file(path) for path in visible]
    paths = [path for path, image in zip(visible, is_image, strict=True) if image]
    left_out = [
        path for path, image in zip(visible, is_image, strict=True) if not image
    ]
    if not paths:
        message = f"There are no images in the folder {str(folder)!r}"
        message = f"{explain_left_out(message, left_out)}."
        if subfolders(folder):
            message += (
                " They must lie directly in it, not in the folders it holds; "
                "load_mvtec knows the layouts of MVTec AD and MVTec LOCO AD."
            )
        raise ValueError(message)
    warn_left_out(folder, left_out)
    return paths


def group_same_files(paths):
    """Return lists of paths that lead to one file, for each file that has several.

    Through links, ``..`` or as two names of one content on the disk (hard links).
    """
    groups = {}
    for path in paths:
        groups.setdefault(_identity(path), []).append(path)
    return [group for group in groups.values() if len(group) > 1]


def _identity(path):
    """Return what all paths to one file have in common."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.abspath(path)
    # Some file systems of Windows do not number files.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)
