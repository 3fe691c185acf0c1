"""Where the network runs, and how many images and threads at a time."""

import os

from .._utils.validation import check_integer


def resolve_device(device, precision):
    """Choose the device, and check that it is there and knows the precision.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes CUDA where present, then MPS, then the CPU.
    precision : {"float32", "bfloat16", "float16"}

    Returns
    -------
    device : torch.device

    Raises
    ------
    ValueError
        If there is no such device, or `precision` is not to be had on it.
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
            f"device={str(device)!r} is not there; torch {torch.__version__} sees: "
            f"{present}. Use device='auto' to take the best one present."
        )
    if precision == "float16" and device.type != "cuda":
        raise ValueError(
            f"precision='float16' needs a CUDA device, and the device is "
            f"{str(device)!r}. Use 'float32' or 'bfloat16'."
        )
    return device


def resolve_batch_size(batch_size, device):
    """Choose how many images to send through the network at once.

    Parameters
    ----------
    batch_size : int or "auto"
    device : torch.device

    Returns
    -------
    batch_size : int

    Raises
    ------
    ValueError
        If it is neither ``"auto"`` nor a positive integer.
    """
    if isinstance(batch_size, str) and batch_size == "auto":
        return 4 if device.type == "cpu" else 64
    if isinstance(batch_size, str):
        raise ValueError(
            f"batch_size must be a positive integer or 'auto'; got {batch_size!r}."
        )
    check_integer("batch_size", batch_size, 1)
    return batch_size


def resolve_num_workers(num_workers, device):
    """Choose how many threads decode images ahead of the network.

    Parameters
    ----------
    num_workers : int or "auto"
    device : torch.device

    Returns
    -------
    num_workers : int

    Raises
    ------
    ValueError
        If it is neither ``"auto"`` nor an integer of at least 0.
    """
    if isinstance(num_workers, str) and num_workers == "auto":
        # On a CPU the threads of the network decode, and others would be in their way.
        return 0 if device.type == "cpu" else min(os.cpu_count() or 1, 8)
    if isinstance(num_workers, str):
        raise ValueError(
            "num_workers must be an integer of at least 0 or 'auto'; got "
            f"{num_workers!r}."
        )
    check_integer("num_workers", num_workers, 0)
    return num_workers
