"""Large images with small defects: cut into tiles, judged as one."""

from ._tiled_detector import TiledDetector

__all__ = ["TiledDetector"]
