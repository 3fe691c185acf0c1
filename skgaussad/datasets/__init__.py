"""Image data sets as paths and labels, and generated ones."""

from ._files import (
    existing_folder,
    explain_left_out,
    group_same_files,
    is_image_file,
    is_something_else,
    name_some,
    subfolders,
    warn_left_out,
)
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
