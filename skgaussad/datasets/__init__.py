"""Image data sets as paths and labels, and generated ones."""

from ._files import existing_folder, group_same_files, subfolders
from ._folders import load_folders
from ._labels_in_names import check_unlabelled
from ._mvtec import load_mvtec, read_mask
from ._solar_cells import load_solar_cells
from ._textures import make_textures

__all__ = [
    "load_folders",
    "load_mvtec",
    "load_solar_cells",
    "make_textures",
    "read_mask",
]
