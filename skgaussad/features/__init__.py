"""Images in, feature matrix out."""

from ._cache import FeatureCache
from ._decoding import as_picture, decode_image, read_image_size
from ._device import resolve_batch_size, resolve_device
from ._folders import (
    at_least_one,
    explain_left_out,
    is_image_file,
    is_something_else,
    list_folder,
    name_some,
    stream_folder,
    walk_folders,
    walk_images,
    warn_left_out,
)
from ._formats import IMAGE_EXTENSIONS
from ._ignored import LEAST_FRACTION
from ._input import LazyImages, as_image_sequence, check_items
from ._intensity import LEAST_DEVIATION, STANDARD_DEVIATION, STANDARD_MEAN
from ._parts import slices_of
from ._preprocessing import resolve_max_value
from ._replaced_images import ReplacedImages
from ._survey import describe_odd_images
from ._tags import ImageInputMixin
from ._tiles import TiledImages, TileGrid
from ._transformer import DeepFeatureTransformer
from ._upsampling import draw_map, draw_maps, resize, resolve_size
from ._weight_store import WeightStore

__all__ = ["DeepFeatureTransformer", "FeatureCache"]
