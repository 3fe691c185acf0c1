"""Device, batch size and number of decoding threads."""

import os

from .._utils.validation import check_integer


def resolve_device(device, precision):
    """Choose the device, and check that it is available and supports the precision.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes CUDA if available, then MPS, then the CPU.
    precision : {"float32", "bfloat16", "float16"}

    Returns
    -------
    device : torch.device

    Raises
    ------
    ValueError
        If there is no such device, or it does not support `precision`.
    """
    import torch

    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            device = "cuda"
        else:
            device = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            "device must be 'auto' or the name of a torch device such as 'cpu', "
            f"'cuda', 'cuda:1' or 'mps'; got {device!r}."
        ) from error
    available = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    n_devices = available.get(device.type, 0)
    if (device.index or 0) >= n_devices:
        present = ", ".join(f"{n} {kind}" for kind, n in available.items() if n)
        raise ValueError(
            f"device={str(device)!r} is not available; torch {torch.__version__} finds "
            f"{present}. Use device='auto' to take the best one available."
        )
    if precision == "float16" and device.type != "cuda":
        raise ValueError(
            f"precision='float16' needs a CUDA device, and the device is "
            f"{str(device)!r}. Use 'float32' or 'bfloat16'."
        )
    return device


def resolve_batch_size(batch_size, device):
    """Return how many images to send through the network at once."""
    if _is_auto("batch_size", batch_size, 1):
        return 4 if device.type == "cpu" else 64
    return batch_size


def resolve_num_workers(num_workers, device):
    """Return how many threads decode images ahead of the network."""
    if _is_auto("num_workers", num_workers, 0):
        # On a CPU decoding threads would slow down those of the network.
        return 0 if device.type == "cpu" else min(os.cpu_count() or 1, 8)
    return num_workers


def _is_auto(name, value, low):
    """Tell whether a parameter is ``"auto"``; raise unless it is that or an integer."""
    if not isinstance(value, str):
        check_integer(name, value, low)
    elif value != "auto":
        raise ValueError(
            f"{name} must be an integer of at least {low} or 'auto'; got {value!r}."
        )
    return isinstance(value, str)
