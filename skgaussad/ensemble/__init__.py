"""One detector a level, or a level and cell, their scores aggregated."""

from ._level_ensemble import LevelEnsemble, make_level_pipeline

__all__ = ["LevelEnsemble", "make_level_pipeline"]
