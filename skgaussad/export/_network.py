"""The network of a transformer as an ONNX model."""

import warnings

import torch

from .._utils.torch_guard import torch_run
from ._graph import OPSET


def export_network(backbone, levels, image_size):
    """Convert a network to ONNX.

    Parameters
    ----------
    backbone : Backbone
        Moved to the CPU.
    levels : tuple of int
        In rising order.
    image_size : tuple of (int, int)
        Height and width of the input.

    Returns
    -------
    model : onnx.ModelProto
        Takes a normalized batch of shape (n, 3, height, width), for any n. Its outputs
        are the feature map of each level, followed by its prefix tokens if it has any.

    Raises
    ------
    ValueError
        If the exporter of torch cannot convert the network.
    """
    module = backbone.flat_module(levels)
    # Two images, since the exporter takes sizes of 1 to be fixed.
    example = torch.zeros(2, 3, *image_size, dtype=torch.float32, device="cpu")
    try:
        with torch_run(alone=True), warnings.catch_warnings():
            # From within the exporter.
            warnings.simplefilter("ignore", FutureWarning)
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                opset_version=OPSET,
                verbose=False,
            )
    # The exporter raises many types of errors.
    except Exception as error:
        cause = error.__cause__ or error
        reason = " ".join(str(cause).strip().splitlines()[:1])
        raise ValueError(
            f"torch {torch.__version__} cannot convert the backbone "
            f"{backbone.name!r} to ONNX ({type(cause).__name__}: {reason}). Take "
            "another backbone, or another version of torch."
        ) from error
    return program.model_proto
