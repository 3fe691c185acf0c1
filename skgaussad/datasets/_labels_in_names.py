"""Recognizing labelled data sets by the names of their folders and files."""

import os
import re
from collections import defaultdict
from pathlib import PurePath

from ..features import name_some

# Of words in names, in lower case. Those of one label may begin so or be so.
_ANOMALOUS = re.compile(
    r"(?:anomal|abnormal|broken|damag|defect|fail|fault|outlier|reject).*"
    r"|bad|ko|nio|ng|nok|scrap"
)
_NORMAL = re.compile(
    r"clean|functional|good|healthy|intact|io|normals?|ok|pass(?:ed)?|perfect"
)
_OTHER = re.compile(r"annotations?|gts?|labels?|masks?|segmentations?|tests?|truth")
_NEGATION = re.compile(r"free|n|no|non|not|without")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# In the name of a mask, beside the image that has the rest of its name.
_MASK_WORD = "(?:ground_?truth|gt|label|mask|seg(?:mentation)?)"
_MASK = re.compile(rf"[ ._-]?{_MASK_WORD}$|^{_MASK_WORD}[ ._-]?", re.IGNORECASE)


def check_unlabelled(base, paths):
    """Raise if images that are to be normal come from a labelled data set.

    Parameters
    ----------
    base : str
        Folder that all images are below. What it is called does not count.
    paths : list of str

    Raises
    ------
    ValueError
        If folders below it are called as those of defects, masks or test images are,
        one of normal images has neighbours, or there are masks beside images; says what
        to give instead.
    """
    above = os.path.abspath(base)
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    folders = {PurePath(os.path.relpath(folder, above)) for folder in folders}
    refused = f"{str(base)!r} looks like a labelled data set: "
    reason = _find_folder(folders)
    if reason is not None:
        normal = sorted(folder for folder in folders if _holds_normal(folder))
        instead = name_some([os.path.join(base, folder) for folder in normal])
        raise ValueError(
            f"{refused}{reason}. A model would learn defects, masks or test images as "
            "normal. Give the folder of normal training images"
            f"{f', such as {instead}' if instead else ''}. If all of it is normal, "
            "give each of its folders by itself."
        )
    reason = _find_mask(paths)
    if reason is not None:
        raise ValueError(
            f"{refused}{reason}. A model would learn masks as normal. Give a folder "
            "without them, or rename them if they are images of their own."
        )


def _find_folder(folders):
    """Return what a folder's name tells of labels, or None."""
    neighbours = defaultdict(set)
    for folder in folders:
        for path in (folder, *folder.parents):
            if path.name:
                neighbours[path.parent].add(path)
    for paths in neighbours.values():
        kinds = {path: _kind_of(path.name) for path in sorted(paths)}
        labelled = [path for path, kind in kinds.items() if kind == "other"]
        if labelled:
            return f"it has a folder {str(labelled[0])!r}"
        normal = [path for path, kind in kinds.items() if kind == "normal"]
        if normal and len(normal) < len(paths):
            other = next(path for path, kind in kinds.items() if kind is None)
            return f"it has a folder {str(other)!r} beside {str(normal[0])!r}"
    return None


def _find_mask(paths):
    """Return which file is called as the mask of another one beside it, or None."""
    stems = {os.path.splitext(path)[0]: str(path) for path in paths}
    for stem, path in stems.items():
        folder, name = os.path.split(stem)
        rest = _MASK.sub("", name)
        image = stems.get(os.path.join(folder, rest)) if rest != name else None
        if image is not None:
            return f"{path!r} is called as the mask of {image!r}"
    return None


def _kind_of(name):
    """Return "normal", "other" for defects, masks and test images, or None."""
    words = [word.lower() for word in _WORD.findall(name)]

    def has(pattern):
        return any(pattern.fullmatch(word) for word in words)

    if has(_OTHER):
        return "other"
    is_anomalous = has(_ANOMALOUS)
    if not is_anomalous and not has(_NORMAL):
        return None
    return "other" if is_anomalous != has(_NEGATION) else "normal"


def _holds_normal(folder):
    """Tell whether a folder seems to hold normal training images."""
    kinds = [_kind_of(part) for part in folder.parts]
    return "other" not in kinds and ("normal" in kinds or "train" in folder.parts)
