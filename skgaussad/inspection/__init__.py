"""Pictures of what a detector does; they take the extra ``skgaussad[plot]``."""

from ._chi_square_qq import ChiSquareQQDisplay
from ._false_positive_rate import FalsePositiveRateDisplay
from ._p_value import PValueDisplay

__all__ = ["ChiSquareQQDisplay", "FalsePositiveRateDisplay", "PValueDisplay"]
