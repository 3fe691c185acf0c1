"""Images through the network in batches: devices, decoding ahead, out of memory."""

import contextlib
import sys
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from tqdm import tqdm

from .._validation import check_integer
from ._backbone import explain_image_size

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
    poolings : tuple of Pooling
    preprocessing : Preprocessing
    device : torch.device
    precision : {"float32", "bfloat16", "float16"}
    """

    def __init__(self, backbone, poolings, preprocessing, device, precision):
        self._module = backbone.module(device)
        self._poolings = poolings
        self._preprocessing = preprocessing
        self._device = device
        self._precision = precision
        shape = (3, 1, 1)
        self._mean = torch.tensor(preprocessing.mean, device=device).view(shape)
        self._std = torch.tensor(preprocessing.std, device=device).view(shape)

    def probe(self):
        """Run one black image through the network.

        Returns
        -------
        shapes : list of tuple (channels, height, width, has_class_token)
            One a level.

        Raises
        ------
        ValueError
            If the network cannot take an input of this size.
        """
        image_size = self._preprocessing.image_size
        black = np.zeros((1, *image_size, 3), dtype=np.float32)
        with explain_image_size(image_size):
            maps = self._maps(black)
        return [
            (*feature_map.shape[1:], prefix_tokens is not None)
            for feature_map, prefix_tokens in maps
        ]

    def _maps(self, batch):
        """Feature maps (float32) and prefix tokens of a batch, a pair a level."""
        # Rows of RGB pixels seen as channels are what torch calls channels_last, the
        # layout in which convolutions run fastest.
        x = torch.from_numpy(batch).to(self._device).permute(0, 3, 1, 2)
        x = (x - self._mean) / self._std
        dtype = _AUTOCAST[self._precision]
        autocast = (
            contextlib.nullcontext()
            if dtype is None
            else torch.autocast(self._device.type, dtype=dtype)
        )
        with torch.inference_mode(), autocast:
            outputs = self._module(x)
        return [
            (feature_map.float(), None if tokens is None else tokens.float())
            for feature_map, tokens in outputs
        ]

    def _features(self, batch):
        vectors = [
            pooling(feature_map, prefix_tokens)
            for feature_map, prefix_tokens in self._maps(batch)
            for pooling in self._poolings
        ]
        return torch.cat(vectors, dim=1).cpu().numpy()

    def extract(self, images, out, *, batch_size, num_workers, verbose):
        """Write the features of all images into a matrix.

        Parameters
        ----------
        images : sequence of images
        out : ndarray of shape (n_images, n_features)
            Float32, written row by row.
        batch_size : int
            Images a pass. Halved, with a warning, when a GPU runs out of memory.
        num_workers : int
            Threads that decode images ahead of the network; 0 decodes in between.
        verbose : bool or int
            Whether to show a progress bar on standard error.

        Raises
        ------
        InvalidImageError
            If an image cannot be used.
        FloatingPointError
            If a feature is not finite.
        """
        bar = tqdm(
            total=len(images),
            desc="features",
            unit="image",
            file=sys.stderr,
            disable=not verbose,
        )
        with (
            bar,
            contextlib.closing(
                self._batches(images, batch_size, num_workers)
            ) as batches,
        ):
            start = 0
            for batch in batches:
                done = 0
                while done < len(batch):
                    part = batch[done : done + batch_size]
                    try:
                        rows = self._features(part)
                    except torch.OutOfMemoryError:
                        if len(part) == 1:
                            raise
                        rows = None
                    # Outside the handler, where the failed pass is no longer held.
                    if rows is None:
                        batch_size = len(part) // 2
                        self._warn_memory(batch_size)
                        continue
                    first = start + done
                    self._check_finite(rows, first)
                    out[first : first + len(part)] = rows
                    done += len(part)
                    bar.update(len(part))
                start += len(batch)

    def _batches(self, images, batch_size, num_workers):
        """Yield decoded batches in order, at most two batches ahead of their use."""
        n_images = len(images)
        starts = range(0, n_images, batch_size)
        if num_workers == 0:
            for start in starts:
                stop = min(start + batch_size, n_images)
                yield np.stack(
                    [self._preprocessing.load(images, i) for i in range(start, stop)]
                )
            return
        pool = ThreadPoolExecutor(num_workers, thread_name_prefix="skgaussad-decode")
        try:
            pending = deque()
            submitted = 0
            for start in starts:
                stop = min(start + batch_size, n_images)
                while submitted < min(stop + batch_size, n_images):
                    pending.append(
                        pool.submit(self._preprocessing.load, images, submitted)
                    )
                    submitted += 1
                yield np.stack([pending.popleft().result() for _ in range(start, stop)])
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

    def _check_finite(self, rows, first):
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            index = first + int(np.argmin(finite))
            raise FloatingPointError(
                f"X[{index}]: the network's features hold NaN or infinity with "
                f"precision={self._precision!r}. Use precision='float32' or "
                "'bfloat16', whose range is wider than float16's, and check the "
                "weights."
            )
