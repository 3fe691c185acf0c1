"""Fitted pipelines as files that run elsewhere: ONNX.

It takes the extra ``skgaussad[onnx]``.
"""

from ._to_onnx import to_onnx

__all__ = ["to_onnx"]
