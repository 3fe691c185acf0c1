"""Images through the network in batches: devices, decoding ahead, out of memory."""

import contextlib
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from .._validation import check_integer

_AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = tuple(_AUTOCAST)


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
        return 8 if device.type == "cpu" else 64
    if isinstance(batch_size, str):
        raise ValueError(
            f"batch_size must be a positive integer or 'auto'; got {batch_size!r}."
        )
    check_integer("batch_size", batch_size, 1)
    return batch_size


class Extractor:
    """Computes the features of images on one device.

    Parameters
    ----------
    backbone : Backbone
    parts : tuple of Part
        The parts of a row, in the order of their levels.
    preprocessing : Preprocessing
    device : torch.device
    precision : {"float32", "bfloat16", "float16"}
    compiled : bool, default=False
        Whether to have torch compile the network.
    """

    def __init__(
        self,
        backbone,
        parts,
        preprocessing,
        device,
        precision,
        compiled=False,
    ):
        module = backbone.module(device)
        self._module = torch.compile(module) if compiled else module
        self._parts = parts
        self._levels = tuple(sorted({part.level for part in parts}))
        self._preprocessing = preprocessing
        self._device = device
        self._precision = precision
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None
        shape = (3, 1, 1)
        self._mean = torch.tensor(preprocessing.mean, device=device).view(shape)
        self._std = torch.tensor(preprocessing.std, device=device).view(shape)

    def stream(
        self, images, rows, *, batch_size, num_workers, load=None, with_maps=False
    ):
        """Yield the features of images, a batch at a time, in order.

        The memory it takes does not grow with the number of images.

        Parameters
        ----------
        images : sequence of images
        rows : sequence of int
            Positions of the images to take.
        batch_size : int
            Images a pass. Halved, with a warning, when a GPU runs out of memory.
        num_workers : int
            Threads that decode images ahead of the network; 0 decodes in between.
        load : callable or None, default=None
            Takes `images` and a position, and returns the preprocessed image. None for
            that of the preprocessing.
        with_maps : bool, default=False
            Whether to yield the feature maps, too.

        Yields
        ------
        rows : sequence of int
            Some of the positions, in their order.
        features : ndarray of shape (len(rows), n_features)
            Float32, columns by part.
        maps : dict of {int: tensor of shape (len(rows), channels, height, width)}
            By level, float32 on the device; with `with_maps` only.

        Raises
        ------
        InvalidImageError
            If an image cannot be used.
        FloatingPointError
            If a feature is not finite.
        """
        load = self._preprocessing.load if load is None else load
        # The features of a batch are asked for when the network has the next one, so
        # that a GPU computes while the next images are decoded and copied.
        waiting = None
        with contextlib.closing(
            self._batches(images, rows, batch_size, num_workers, load)
        ) as batches:
            for positions, batch in batches:
                done = 0
                while done < len(batch):
                    part = batch[done : done + batch_size]
                    try:
                        pending = self._start(part, with_maps)
                    except torch.OutOfMemoryError:
                        if len(part) == 1:
                            raise
                        pending = None
                    # Outside the handler, where the failed pass is no longer held.
                    if pending is None:
                        batch_size = len(part) // 2
                        self._warn_memory(batch_size)
                        continue
                    if waiting is not None:
                        yield self._finish(*waiting)
                    waiting = positions[done : done + len(part)], pending
                    done += len(part)
        yield self._finish(*waiting)

    def _start(self, batch, with_maps):
        """Begin to compute the features of a batch; return what to call to get them."""
        x = torch.from_numpy(batch)
        if with_maps:
            maps = self._maps(x.to(self._device))
            features = self._pool(maps)
            return lambda: (
                features.cpu().numpy(),
                {level: feature_map for level, (feature_map, _) in maps.items()},
            )
        if self._copies is None:
            features = self._features(x.to(self._device))
            return lambda: (features.cpu().numpy(),)
        compute = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._copies):
            x = x.pin_memory().to(self._device, non_blocking=True)
        compute.wait_stream(self._copies)
        x.record_stream(compute)
        features = self._features(x)
        host = torch.empty(features.shape, dtype=features.dtype, pin_memory=True)
        host.copy_(features, non_blocking=True)
        copied = compute.record_event()

        def wait():
            copied.synchronize()
            return (host.numpy(),)

        return wait

    def _finish(self, rows, pending):
        features, *maps = pending()
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            index = rows[int(np.argmin(finite))]
            raise FloatingPointError(
                f"X[{index}]: the network's features hold NaN or infinity with "
                f"precision={self._precision!r}. Use precision='float32' or "
                "'bfloat16', whose range is wider than float16's, and check the "
                "weights."
            )
        return rows, features, *maps

    def _features(self, batch):
        """Pooled features of images of shape (n, height, width, 3)."""
        return self._pool(self._maps(batch))

    def _pool(self, maps):
        return torch.cat(
            [part.pooling(*maps[part.level]) for part in self._parts], dim=1
        )

    def _maps(self, batch):
        """Feature maps (float32) and prefix tokens of images, by level."""
        # Rows of RGB pixels seen as channels are what torch calls channels_last, the
        # layout in which convolutions run fastest.
        x = batch.permute(0, 3, 1, 2).sub(self._mean).div_(self._std)
        dtype = _AUTOCAST[self._precision]
        autocast = (
            contextlib.nullcontext()
            if dtype is None
            else torch.autocast(self._device.type, dtype=dtype)
        )
        with torch.inference_mode(), autocast:
            outputs = self._module(x, self._levels)
        return {
            level: (feature_map.float(), None if tokens is None else tokens.float())
            for level, (feature_map, tokens) in zip(self._levels, outputs, strict=True)
        }

    def _batches(self, images, rows, batch_size, num_workers, load):
        """Yield positions and decoded images, decoding at most two batches ahead."""
        starts = range(0, len(rows), batch_size)
        if num_workers == 0:
            for start in starts:
                positions = rows[start : start + batch_size]
                yield positions, np.stack([load(images, i) for i in positions])
            return
        pool = ThreadPoolExecutor(num_workers, thread_name_prefix="skgaussad-decode")
        try:
            pending = deque()
            submitted = 0
            for start in starts:
                positions = rows[start : start + batch_size]
                ahead = min(start + 2 * batch_size, len(rows))
                for row in rows[submitted:ahead]:
                    pending.append(pool.submit(load, images, row))
                submitted = max(submitted, ahead)
                yield (
                    positions,
                    np.stack([pending.popleft().result() for _ in positions]),
                )
        finally:
            pool.shutdown(cancel_futures=True)

    def _warn_memory(self, batch_size):
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        warnings.warn(
            f"Out of memory on {self._device}: going on with batch_size={batch_size}. "
            "Set batch_size to that to spare the failed attempts.",
            RuntimeWarning,
            # The caller of transform, above the wrapper of set_output.
            stacklevel=5,
        )
