"""Running images through the network in batches and threads."""

import contextlib
import functools
import itertools
import os
import threading
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial

import numpy as np
import threadpoolctl
import torch

from .._utils.torch_guard import torch_run
from ._intensity import standardize_batch

_AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = tuple(_AUTOCAST)


@functools.cache
def _open_lanes(n_lanes, n_threads):
    """Return lasting threads for the network, each with some OpenMP threads.

    Threads that end hold locks of the libraries for a while, and a process that is
    forked meanwhile would wait for these for ever.
    """

    def limit_threads():
        # First, since torch sets its own limit at the first call in a thread.
        torch.get_num_threads()
        # For this thread only, so it ends with the pool.
        threadpoolctl.threadpool_limits(n_threads, user_api="openmp")

    return ThreadPoolExecutor(n_lanes, "skgaussad-lane", limit_threads)


if hasattr(os, "register_at_fork"):
    # A child does not have the threads of its parent.
    os.register_at_fork(after_in_child=_open_lanes.cache_clear)


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
    kept_area : KeptArea or None, default=None
        What is not ignored; None if nothing is.
    network : OpenVinoNetwork or None, default=None
        What runs the network of `backbone` in the place of torch.
    """

    def __init__(
        self,
        backbone,
        parts,
        preprocessing,
        device,
        precision,
        compiled=False,
        kept_area=None,
        network=None,
    ):
        self._network = network
        # How many lanes there are, and threads to be divided among these.
        self._of_thread = threading.local()
        # With a network, too: what was not stored must be that of the fit.
        module = backbone.module(device)
        self._module = torch.compile(module) if compiled else module
        self._is_compiled = compiled
        self._parts = parts
        self._levels = tuple(sorted({part.level for part in parts}))
        self._preprocessing = preprocessing
        self._device = device
        self._precision = precision
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None
        with torch_run(device.type):
            self._make_constants(backbone.shapes, kept_area)

    def _make_constants(self, shapes, kept_area):
        """Put on the device what is the same for all images."""
        device, image_size = self._device, self._preprocessing.image_size
        self._weights = dict.fromkeys(self._levels)
        seen = torch.ones(image_size, dtype=torch.float32, device=device)
        self._seen = None
        if kept_area is not None:
            seen = torch.tensor(kept_area.seen(*image_size), device=device).float()
            self._seen = _by_value(seen)
            for level in self._levels:
                _, height, width, _ = shapes[level]
                self._weights[level] = torch.tensor(
                    kept_area.fractions(height, width),
                    dtype=torch.float32,
                    device=device,
                )
        self._intensity_weights = None
        if self._preprocessing.standardize_intensity:
            # Zero for all if no pixel is seen.
            self._intensity_weights = _by_value(seen / (3 * seen.sum()).clamp(min=1))
        # Of a row of pixels: broadcasting three values takes five times as long.
        self._mean, self._std = (
            torch.tensor(values, dtype=torch.float32, device=device).repeat(
                image_size[1]
            )
            for values in (self._preprocessing.mean, self._preprocessing.std)
        )

    def stream(
        self, images, rows, *, batch_size, num_workers, load=None, with_maps=False
    ):
        """Yield the features of images in order, one batch at a time.

        Memory use does not grow with the number of images.

        Parameters
        ----------
        images : sequence of images
        rows : sequence of int
            Positions of the images to take.
        batch_size : int
            Images per pass. Halved, with a warning, when a GPU runs out of memory.
        num_workers : int
            Threads that decode images ahead of the network; with 0, the threads of the
            network do it.
        load : callable or None, default=None
            Takes `images` and a position, and returns the preprocessed image. None for
            ``preprocessing.load``.
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
        n_batches = -(-len(rows) // batch_size)
        # torch compiles in one thread at a time, for a fixed number of threads.
        has_lanes = self._device.type == "cpu" and not self._is_compiled
        n_threads = torch.get_num_threads()
        n_lanes = min(n_threads, n_batches) if has_lanes else 1
        # The threads are those of this one, since each lane has its part of them.
        start = partial(self._start, with_maps, (n_lanes, n_threads))
        with _decoding_threads(num_workers) as decoders:
            batches = _list_batches(images, rows, batch_size, decoders, load)
            if n_lanes == 1 and self._network is None:
                yield from self._stream_in_turn(batches, batch_size, start)
            else:
                yield from self._stream_in_lanes(batches, n_lanes, start)

    def _stream_in_turn(self, batches, batch_size, start):
        """Yield the features of batches that go through the network one by one."""
        # The features of a batch are fetched after the next one was started, so that a
        # GPU computes while images are decoded and copied.
        waiting = None
        for positions, load_batch in batches:
            batch = load_batch()
            done = 0
            while done < len(batch):
                part = batch[done : done + batch_size]
                try:
                    pending = start(part)
                except torch.OutOfMemoryError:
                    if len(part) == 1:
                        raise
                    pending = None
                # Outside the handler, whose exception keeps the memory of the pass.
                if pending is None:
                    batch_size = len(part) // 2
                    self._warn_memory(batch_size)
                    continue
                if waiting is not None:
                    yield self._finish(*waiting)
                waiting = positions[done : done + len(part)], pending
                done += len(part)
        yield self._finish(*waiting)

    def _stream_in_lanes(self, batches, n_lanes, start):
        """Yield the features of batches that are each processed in a thread of its own.

        Threads that share each convolution would wait for one another at its end.
        """
        # Threads of torch that wait for work would take the processor from OpenVINO.
        n_threads = torch.get_num_threads() // n_lanes if self._network is None else 1
        lanes = _open_lanes(n_lanes, n_threads)

        def compute(positions, load_batch):
            return self._finish(positions, start(load_batch()))

        pending = deque()
        try:
            # Two per thread, so that none waits for the caller.
            for batch in itertools.islice(batches, 2 * n_lanes):
                pending.append(lanes.submit(compute, *batch))
            while pending:
                result = pending.popleft().result()
                for batch in itertools.islice(batches, 1):
                    pending.append(lanes.submit(compute, *batch))
                yield result
        finally:
            running = [future for future in pending if not future.cancel()]
            wait(running)

    def _start(self, with_maps, threads, batch):
        """Start computing the features of a batch; return a function to fetch them."""
        with torch_run(self._device.type, alone=self._is_compiled):
            self._of_thread.threads = threads
            return self._run(torch.from_numpy(batch), with_maps)

    def _run(self, x, with_maps):
        """Do what `_start` does, by the settings of torch that are in force."""
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
            [
                part.pooling(*maps[part.level], self._weights[part.level])
                for part in self._parts
            ],
            dim=1,
        )

    def _maps(self, batch):
        """Feature maps (float32) and prefix tokens of images, by level."""
        if self._intensity_weights is not None:
            batch = standardize_batch(batch, self._intensity_weights)
        rows = batch.flatten(2).sub(self._mean).div_(self._std)
        if self._seen is not None:
            # Zero is the mean colour, as in the padding of convolutions.
            rows.mul_(self._seen)
        # A view of RGB pixels with channels first has torch's layout channels_last, in
        # which convolutions are fastest.
        outputs = self._run_network(rows.view_as(batch).permute(0, 3, 1, 2))
        return {
            level: (feature_map.float(), None if tokens is None else tokens.float())
            for level, (feature_map, tokens) in zip(self._levels, outputs, strict=True)
        }

    def _run_network(self, x):
        """Run the network on a normalized batch; return what each level gives."""
        if self._network is not None:
            return self._network(x, *self._of_thread.threads)
        dtype = _AUTOCAST[self._precision]
        if dtype is None:
            return self._module(x, self._levels)
        with torch.autocast(self._device.type, dtype=dtype):
            return self._module(x, self._levels)

    def _warn_memory(self, batch_size):
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        warnings.warn(
            f"Out of memory on {self._device}: continuing with batch_size="
            f"{batch_size}. Set batch_size to that to avoid the failed attempts.",
            RuntimeWarning,
            # The caller of transform, above the wrapper of set_output.
            stacklevel=7,
        )


def _by_value(pixels):
    """Repeat each value of a map of pixels for red, green and blue."""
    return pixels.repeat_interleave(3, dim=1)


@contextlib.contextmanager
def _decoding_threads(num_workers):
    """Provide the threads that decode images ahead, or None for 0."""
    if num_workers == 0:
        yield None
        return
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="skgaussad-decode")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _list_batches(images, rows, batch_size, decoders, load):
    """Yield the positions of each batch, and a function that returns its images.

    Without decoders that function decodes; these are at most two batches ahead.
    """
    pending = deque()
    submitted = 0
    for start in range(0, len(rows), batch_size):
        positions = rows[start : start + batch_size]
        if decoders is None:
            yield positions, partial(_load_batch, load, images, positions)
            continue
        ahead = min(start + 2 * batch_size, len(rows))
        for row in rows[submitted:ahead]:
            pending.append(decoders.submit(load, images, row))
        submitted = max(submitted, ahead)
        futures = [pending.popleft() for _ in positions]
        yield positions, partial(_gather_batch, futures)


def _load_batch(load, images, rows):
    return np.stack([load(images, row) for row in rows])


def _gather_batch(futures):
    return np.stack([future.result() for future in futures])
