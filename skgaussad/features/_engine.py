"""What computes the network: torch, or OpenVINO where it is installed."""

import importlib.util

from .._utils.optional import missing
from .._utils.validation import check_choice

ENGINES = ("auto", "torch", "openvino")


def resolve_engine(engine, device, compiled):
    """Choose what computes the network.

    Parameters
    ----------
    engine : {"auto", "torch", "openvino"}
    device : torch.device
    compiled : bool
        Whether torch is to compile the network.

    Returns
    -------
    engine : {"torch", "openvino"}

    Raises
    ------
    ValueError
        If OpenVINO is asked for where it has no effect.
    ImportError
        If it is asked for and not installed.
    """
    check_choice("engine", engine, ENGINES)
    is_possible = device.type == "cpu" and not compiled
    if engine == "auto":
        return "openvino" if is_possible and _is_installed() else "torch"
    if engine == "openvino":
        if not is_possible:
            raise ValueError(
                "engine='openvino' runs on the CPU, without torch_compile; got device="
                f"{str(device)!r} and torch_compile={compiled!r}. Use engine='auto'."
            )
        if not _is_installed():
            raise missing("engine='openvino'", "fast", "openvino")
    return engine


def _is_installed():
    """Whether OpenVINO is there, without importing it: see `_openvino`."""
    return importlib.util.find_spec("openvino") is not None
