"""Model files: fitted estimators that load without running code."""

from ._model_file import load, model_info, save
from ._scorer import Scorer

__all__ = ["load", "model_info", "save"]
