"""Images in folders: which files are images, and all below a folder."""

import mimetypes
import os
import warnings

from ..exceptions import InvalidImageError
from ._decoding import read_image_size
from ._formats import IMAGE_EXTENSIONS

_N_NAMED = 5
# Python's own table, whatever the system's says.
_TYPES = mimetypes.MimeTypes()
# Of Windows, in folders with images.
_OF_THE_SYSTEM = ("desktop.ini", "thumbs.db")


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


def list_folder(folder):
    """List what `stream_folder` yields."""
    return list(stream_folder(os.fsdecode(folder)))


def stream_folder(folder, *, exclude=None):
    """Yield the paths of the images at any depth in a folder, sorted within each.

    Parameters
    ----------
    folder : str
    exclude : str or None, default=None
        A folder to leave out, with all below it.

    Yields
    ------
    path : str

    Raises
    ------
    FileNotFoundError
        If there are none.

    Warns
    -----
    UserWarning
        If there are other files that are no text.
    """
    left_out = []
    found = walk_images(folder, exclude=exclude, left_out=left_out)
    problem = f"There are no images in {folder!r}"
    yield from at_least_one(found, problem, folder, left_out)


def at_least_one(paths, otherwise, source, left_out):
    """Yield the paths, and then name what was left out; raise if there are none."""
    is_empty = True
    for path in paths:
        is_empty = False
        yield path
    if is_empty:
        raise FileNotFoundError(f"{explain_left_out(otherwise, left_out)}.")
    warn_left_out(source, left_out)


def walk_images(folder, *, exclude=None, left_out=None, is_image=is_image_file):
    """Yield the paths of all images below a folder, sorted within each folder.

    Links are followed, but each folder is entered once, which ends circular links.
    Broken links are yielded, and folders that cannot be read, for the problem to be
    reported.

    Parameters
    ----------
    folder : str
    exclude : str or None, default=None
        A folder to leave out, with all below it.
    left_out : list or None, default=None
        Gets the paths of visible files that are no images.
    is_image : callable, default=is_image_file
        Takes the path of a file.

    Yields
    ------
    path : str
    """
    for current, entries in walk_folders(folder, exclude):
        if entries is None:
            yield current
            continue
        for entry in entries:
            if entry.name.startswith(".") or _is_folder(entry):
                continue
            path = os.path.join(current, entry.name)
            if is_image(path):
                yield path
            elif left_out is not None:
                left_out.append(path)


def walk_folders(folder, exclude):
    """Yield a folder and those below it, but hidden ones, with their sorted entries.

    The entries are None for a folder that cannot be read.
    """
    entered = set()
    if exclude is not None and os.path.isdir(exclude):
        entered.add(_identity(exclude))
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            identity = _identity(current)
            with os.scandir(current) as entries:
                entries = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if current == folder:
                raise
            # Unless removed since its name was read.
            if not isinstance(error, FileNotFoundError):
                yield current, None
            continue
        if identity in entered:
            continue
        entered.add(identity)
        yield current, entries
        pending += [
            entry.path
            for entry in reversed(entries)
            if not entry.name.startswith(".") and _is_folder(entry)
        ]


def _is_folder(entry):
    """Tell whether an entry is a folder or leads to one; links to themselves do not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder):
    status = os.stat(folder)
    return status.st_dev, status.st_ino


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
