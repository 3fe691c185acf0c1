"""Image data sets as paths and labels, and generated ones."""

from ._files import existing_folder, is_image_name, subfolders
from ._folders import load_folders
from ._mvtec import load_mvtec
from ._solar_cells import load_solar_cells
from ._textures import make_textures

__all__ = [
    "load_folders",
    "load_mvtec",
    "load_solar_cells",
    "make_textures",
]
