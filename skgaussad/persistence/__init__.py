"""Fitted estimators in files that run no code when they are loaded."""

from ._model_file import load, model_info, save

__all__ = ["load", "model_info", "save"]
