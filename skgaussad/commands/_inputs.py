"""The images that a command line names."""

import glob
import os
import re
import sys

from ..datasets import existing_folder, is_image_name, subfolders

# The part of a pattern that matches any number of folders.
_ANY_FOLDERS = re.compile(r"(?:^|(?<=[/\\]))\*\*[/\\]")
_STANDARD_INPUT = "-"


def list_images(sources, *, exclude=None):
    """Yield the paths of images, in the order of what names them.

    Parameters
    ----------
    sources : list of str
        Files; folders, of which all images at any depth are taken, sorted; patterns
        with ``*``, ``?``, ``[`` and, for any number of folders, ``**``; and ``"-"`` for
        a list on standard input, one path a line.
    exclude : str or None, default=None
        A folder to leave out of folders and patterns.

    Yields
    ------
    path : str
        A file that is named itself is not checked, and may be missing.

    Raises
    ------
    FileNotFoundError
        If a folder or a pattern has no images.
    """
    for source in sources:
        if source == _STANDARD_INPUT:
            yield from _read_list()
        elif os.path.isdir(source):
            found = walk_images(source, exclude=exclude)
            yield from _at_least_one(found, f"There are no images in {source!r}")
        elif glob.has_magic(source) and not os.path.lexists(source):
            found = _match(source, exclude)
            yield from _at_least_one(found, f"No image matches {source!r}")
        else:
            yield source


def count_images(sources, *, exclude=None):
    """Count the images of `list_images`; None for a list on standard input."""
    if _STANDARD_INPUT in sources:
        return None
    return sum(1 for _ in list_images(sources, exclude=exclude))


def list_labelled(folder):
    """Find the images of a folder that has one folder a type.

    Parameters
    ----------
    folder : str
        With a folder ``good`` and others, whose names are types of defects; or in the
        layout of MVTec AD, with all these in its folder ``test``.

    Returns
    -------
    paths : list of str
        At any depth in the folders of the types.
    types : list of str
        Of each image.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, it has no folder ``good``, or one of them has no
        images.
    """
    root = existing_folder("DIR", folder)
    if is_labelled(root / "test"):
        root /= "test"
    elif not is_labelled(root):
        listed = ", ".join(map(repr, subfolders(root))) or "none"
        raise FileNotFoundError(
            f"{folder!r} must have a folder 'good' and one for each type of defect, or "
            f"these in a folder 'test'; the folders in it are: {listed}."
        )
    paths, types = [], []
    for name in subfolders(root):
        of_type = list(list_images([str(root / name)]))
        paths += of_type
        types += [name] * len(of_type)
    return paths, types


def is_labelled(folder):
    """Tell whether a folder has a folder ``good``."""
    return (folder / "good").is_dir()


def walk_images(folder, *, exclude=None):
    """Yield the paths of all images below a folder, sorted within each folder.

    Links are followed, but each folder is entered once, which ends circular links.
    Broken links are yielded, for the missing image to be reported.

    Parameters
    ----------
    folder : str
    exclude : str or None, default=None
        A folder to leave out, with all below it.

    Yields
    ------
    path : str
    """
    for current, entries in _walk_folders(folder, exclude):
        for entry in entries:
            if is_image_name(entry.name) and not entry.is_dir():
                yield os.path.join(current, entry.name)


def common_folder(sources):
    """Find the folder that all images of `sources` are below, except those of lists.

    Parameters
    ----------
    sources : list of str
        As for `list_images`.

    Returns
    -------
    folder : str
        Absolute. Lists count as if they were of the working folder.
    """
    return os.path.commonpath([os.path.abspath(_fixed_part(s)) for s in sources])


def _fixed_part(source):
    """Return a folder that all images of a source lie in or below."""
    if source == _STANDARD_INPUT:
        return os.curdir
    if os.path.isdir(source):
        return source
    folder = os.path.dirname(source)
    if not os.path.lexists(source):
        while glob.has_magic(folder):
            folder = os.path.dirname(folder)
    return folder


def _read_list():
    # As bytes: file names may be invalid text.
    for line in sys.stdin.buffer:
        path = os.fsdecode(line.rstrip(b"\r\n"))
        if path:
            yield path


def _at_least_one(paths, otherwise):
    is_empty = True
    for path in paths:
        is_empty = False
        yield path
    if is_empty:
        raise FileNotFoundError(f"{otherwise}.")


def _match(pattern, exclude):
    """Yield the images that match a pattern, and are not in an excluded folder."""
    if os.path.basename(pattern) == "**":
        pattern = os.path.join(pattern, "*")
    found = _ANY_FOLDERS.search(pattern)
    if found is None:
        for path in sorted(glob.iglob(pattern)):
            name = os.path.basename(path)
            is_left_out = exclude is not None and _is_within(path, exclude)
            if is_image_name(name) and not os.path.isdir(path) and not is_left_out:
                yield path
        return
    # Not by glob, which follows circular links forty times.
    for start in sorted(glob.glob(pattern[: found.start()] or os.curdir)):
        for folder, _ in _walk_folders(start, exclude):
            rest = os.path.join(glob.escape(folder), pattern[found.end() :])
            yield from _match(rest, exclude)


def _is_within(path, folder):
    path, folder = os.path.realpath(os.path.dirname(path)), os.path.realpath(folder)
    return path == folder or path.startswith(os.path.join(folder, ""))


def _walk_folders(folder, exclude):
    """Yield a folder and those below it, but hidden ones, with their sorted entries."""
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
        except FileNotFoundError:
            if current == folder:
                raise
            # Removed since its name was read.
            continue
        if identity in entered:
            continue
        entered.add(identity)
        yield current, entries
        pending += [
            entry.path
            for entry in reversed(entries)
            if entry.is_dir() and not entry.name.startswith(".")
        ]


def _identity(folder):
    status = os.stat(folder)
    return status.st_dev, status.st_ino
