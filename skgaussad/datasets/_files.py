"""Finding image files in folders."""

import mimetypes
import os
import warnings
from pathlib import Path

from ..exceptions import InvalidImageError
from ..features import IMAGE_EXTENSIONS, read_image_size

_N_NAMED = 5
# Python's own table, whatever the system's says.
_TYPES = mimetypes.MimeTypes()
# Of Windows, in folders with images.
_OF_THE_SYSTEM = ("desktop.ini", "thumbs.db")


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


def is_image_file(path):
    """Tell whether a file has the extension of an image, or begins as an image does.

    Links to nowhere and damaged files with such an extension count, for the problem to
    be reported where they are read.
    """
    if os.path.splitext(path)[1].lower() in IMAGE_EXTENSIONS:
        return True
    if is_something_else(path):
        return False
    try:
        read_image_size([path], 0)
    except InvalidImageError:
        return False
    return True


def is_something_else(path):
    """Tell whether a file is text or of the system, by its name."""
    name = os.path.basename(path).lower()
    kind, _ = _TYPES.guess_type(f"file:{name}")
    is_text = kind is not None and kind.startswith(("text/", "application/json"))
    return is_text or name in _OF_THE_SYSTEM


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


def explain_left_out(problem, left_out):
    """Add to a sentence what files there are that are no images."""
    unread = _name_unread(left_out)
    return f"{problem}; {unread}" if unread else problem


def warn_left_out(source, left_out):
    """Warn of files that are no images, except text."""
    unread = _name_unread(left_out)
    if unread:
        warnings.warn(f"{str(source)!r}: {unread}.", stacklevel=4)


def _name_unread(left_out):
    """Count and name files that are no images, except text."""
    paths = [path for path in left_out if not is_something_else(path)]
    if not paths:
        return ""
    files = "1 file" if len(paths) == 1 else f"{len(paths)} files"
    return (
        f"{files} cannot be read as images and were left out, "
        f"{name_some([os.path.basename(path) for path in paths])}: convert them to PNG "
        "if they are images"
    )


def name_some(paths):
    """Name the first of some paths."""
    named = ", ".join(repr(str(path)) for path in paths[:_N_NAMED])
    return f"{named}, ..." if len(paths) > _N_NAMED else named


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
