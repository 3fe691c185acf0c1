"""Export of fitted pipelines to ONNX, with the extra ``skgaussad[onnx]``."""

from ._to_onnx import to_onnx

__all__ = ["to_onnx"]
