"""Anomaly maps, and Displays of scores, rates and covariances.

The Displays need the extra ``skgaussad[plot]``.
"""

from ._adaptive_threshold import AdaptiveThresholdDisplay
from ._anomaly_map_display import AnomalyMapDisplay
from ._anomaly_maps import (
    DistanceSplit,
    anomaly_maps,
    map_meaning,
    split_distance,
)
from ._cell_maps import cell_map_drawer, held_out_maps, send_through_network
from ._chi_square_qq import ChiSquareQQDisplay
from ._component_split import ComponentSplit, split_by_component
from ._covariance_spectrum import CovarianceSpectrumDisplay
from ._false_positive_rate import FalsePositiveRateDisplay
from ._level_auroc import LevelAUROCDisplay
from ._map_colors import COLORS, limit_of, map_norm, overlay_map, ticks_of
from ._matplotlib import check_matplotlib
from ._p_value import PValueDisplay
from ._score_distribution import ScoreDistributionDisplay
from ._scores import ask_for_scores
from ._working_point import WorkingPointDisplay

__all__ = [
    "AdaptiveThresholdDisplay",
    "AnomalyMapDisplay",
    "ChiSquareQQDisplay",
    "ComponentSplit",
    "CovarianceSpectrumDisplay",
    "DistanceSplit",
    "FalsePositiveRateDisplay",
    "LevelAUROCDisplay",
    "PValueDisplay",
    "ScoreDistributionDisplay",
    "WorkingPointDisplay",
    "anomaly_maps",
    "split_by_component",
    "split_distance",
]
