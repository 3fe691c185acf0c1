"""What a detector sees, and pictures of what it does.

The pictures take the extra ``skgaussad[plot]``.
"""

from ._anomaly_maps import DistanceSplit, anomaly_maps, split_distance
from ._chi_square_qq import ChiSquareQQDisplay
from ._false_positive_rate import FalsePositiveRateDisplay
from ._p_value import PValueDisplay
from ._position_detector import PositionDetector

__all__ = [
    "ChiSquareQQDisplay",
    "DistanceSplit",
    "FalsePositiveRateDisplay",
    "PValueDisplay",
    "PositionDetector",
    "anomaly_maps",
    "split_distance",
]
