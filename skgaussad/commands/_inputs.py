"""The images that a command line names."""

import glob
import os
import re
import sys
import warnings

from .._utils.labels import name_positions
from .._utils.score_table import path_to_text
from ..datasets import (
    check_unlabelled,
    existing_folder,
    group_same_files,
    subfolders,
)
from ..exceptions import FalseAlarmRateWarning
from ..features import (
    at_least_one,
    is_image_file,
    name_some,
    stream_folder,
    walk_folders,
)

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

    Warns
    -----
    UserWarning
        If there are files in a folder or of a pattern that cannot be read as images,
        except text; names them.
    """
    for source in sources:
        if source == _STANDARD_INPUT:
            yield from _read_list()
        elif os.path.isdir(source):
            yield from stream_folder(source, exclude=exclude)
        elif _is_pattern(source):
            left_out = []
            found = _match(source, exclude, left_out)
            problem = f"No image matches {source!r}"
            yield from at_least_one(found, problem, source, left_out)
        else:
            yield source


def list_normal(sources):
    """List the images of `list_images` to fit a model to, each file once.

    Parameters
    ----------
    sources : list of str

    Returns
    -------
    paths : list of str

    Raises
    ------
    FileNotFoundError
        If a folder or a pattern has no images.
    ValueError
        If a folder, a pattern, or the files that are named one by one come from a
        labelled data set.

    Warns
    -----
    UserWarning
        If files are named more than once, or cannot be read as images.
    """
    paths, files = [], []
    for source in sources:
        found = list(list_images([source]))
        paths += found
        if os.path.isdir(source) or _is_pattern(source):
            check_unlabelled(_fixed_part(source) or os.curdir, found)
        else:
            files += found
    if files:
        folders = [os.path.dirname(os.path.abspath(path)) for path in files]
        check_unlabelled(os.path.commonpath(folders), files)
    return _without_repeated(paths)


def _without_repeated(paths):
    """Return each file once, by the first path to it; warn of the others."""
    groups = group_same_files(paths)
    if not groups:
        return paths
    n_repeated = sum(len(group) - 1 for group in groups)
    warnings.warn(
        f"{n_repeated} of the {len(paths)} paths lead to files that others name, too, "
        f"and each file counts once: {name_some([group[0] for group in groups])}.",
        stacklevel=3,
    )
    others = {path for first, *rest in groups for path in rest if path != first}
    return [path for path in dict.fromkeys(paths) if path not in others]


def _is_pattern(source):
    return glob.has_magic(source) and not os.path.lexists(source)


def count_images(sources, *, exclude=None, check=lambda path: None):
    """Count the images of `list_images`, and call `check` with each.

    Returns
    -------
    count : int or None
        None for a list on standard input, which can be read once only.
    """
    if _STANDARD_INPUT in sources:
        return None
    n_images = 0
    with warnings.catch_warnings():
        # They come when the images are used.
        warnings.simplefilter("ignore")
        for path in list_images(sources, exclude=exclude):
            check(path)
            n_images += 1
    return n_images


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
    ValueError
        If there is more than one path to a file.
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
        types += [path_to_text(name)] * len(of_type)
    for group in group_same_files(paths):
        raise ValueError(f"One file is there more than once: {name_some(group)}.")
    return paths, types


def is_labelled(folder):
    """Tell whether a folder has a folder ``good``."""
    return (folder / "good").is_dir()


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
    if sys.stdin is None:
        raise OSError("Standard input is closed, and - stands for a list on it.")
    # As bytes: file names may be invalid text.
    for line in sys.stdin.buffer:
        path = os.fsdecode(line.rstrip(b"\r\n"))
        if path:
            yield path


def _match(pattern, exclude, left_out):
    """Yield the images that match a pattern, and are not in an excluded folder."""
    if os.path.basename(pattern) == "**":
        pattern = os.path.join(pattern, "*")
    found = _ANY_FOLDERS.search(pattern)
    if found is None:
        for path in sorted(glob.iglob(pattern)):
            is_left_out = exclude is not None and _is_within(path, exclude)
            is_hidden = os.path.basename(path).startswith(".")
            if is_hidden or is_left_out or os.path.isdir(path):
                continue
            if is_image_file(path):
                yield path
            else:
                left_out.append(path)
        return
    # Not by glob, which follows circular links forty times.
    for start in sorted(glob.glob(pattern[: found.start()] or os.curdir)):
        for folder, entries in walk_folders(start, exclude):
            if entries is None:
                yield folder
                continue
            rest = os.path.join(glob.escape(folder), pattern[found.end() :])
            yield from _match(rest, exclude, left_out)


def _is_within(path, folder):
    path, folder = os.path.realpath(os.path.dirname(path)), os.path.realpath(folder)
    return path == folder or path.startswith(os.path.join(folder, ""))


def show_named(show, new, every, message, category, *args, **kwargs):
    """Show a warning with the paths of images in place of their positions.

    Those of the rate are about all samples in the model, others about new images.
    """
    paths = every if issubclass(category, FalseAlarmRateWarning) else new
    show(name_positions(message, paths), category, *args, **kwargs)
