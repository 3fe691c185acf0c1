"""Outlier detectors: one contract, a class a file."""

from ._affine import AffineMap, apply_steps
from ._aggregation import aggregate, aggregation_weights, count_top
from ._apart import find_apart
from ._augmented import AugmentedDetector
from ._cellwise import CellwiseMahalanobisDetector
from ._conformal import ConformalDetector
from ._copies import digest_rows, number_copies
from ._level_ensemble import LevelEnsemble
from ._mahalanobis import MahalanobisDetector
from ._mondrian import MondrianDetector
from ._p_values import n_calibration_units, offers, p_values
from ._position import PositionDetector
from ._robust import RobustDetector
from ._tiled import TiledDetector
from ._variant_mahalanobis import VariantMahalanobisDetector
from ._walk import (
    count_learned,
    find_decider,
    find_held_out,
    find_max_value,
    find_part,
    find_threshold,
    find_transformer,
    gaussian_parts,
    innermost,
    learned_files,
    say_learned,
    send_to_part,
    walk,
)

__all__ = [
    "AugmentedDetector",
    "CellwiseMahalanobisDetector",
    "ConformalDetector",
    "LevelEnsemble",
    "MahalanobisDetector",
    "MondrianDetector",
    "PositionDetector",
    "RobustDetector",
    "TiledDetector",
    "VariantMahalanobisDetector",
    "p_values",
]
