"""Fitted estimators in files that run no code when they are loaded."""

from ._model_file import describe, load, save

__all__ = ["describe", "load", "save"]
