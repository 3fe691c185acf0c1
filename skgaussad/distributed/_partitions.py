"""Images divided into partitions of whole batches."""

import os

import numpy as np

from .._utils.validation import check_integer


def choose_partition_size(partition_size, n_wanted, transformer):
    """Return the number of images in a partition: whole batches, about `n_wanted`.

    The features of an image depend on its batch by rounding. With whole batches they
    are bit for bit those that one process computes.
    """
    from ..features import resolve_batch_size, resolve_device

    device = resolve_device(transformer.device, transformer.precision_)
    batch_size = resolve_batch_size(transformer.batch_size, device)
    if partition_size is None:
        return batch_size * max(1, -(-n_wanted // batch_size))
    check_integer("partition_size", partition_size, 1)
    if partition_size % batch_size:
        nearest = batch_size * -(-partition_size // batch_size)
        raise ValueError(
            "partition_size must be a multiple of the transformer's batch size, which "
            f"is {batch_size}; got {partition_size}. Take {nearest}, or None."
        )
    return int(partition_size)


def cut(n_images, partition_size):
    """Return the positions of each partition, a list of ranges."""
    return [
        range(start, min(start + partition_size, n_images))
        for start in range(0, n_images, partition_size)
    ]


def take(images, positions):
    """Return the images at some positions, a range, as a list or an array."""
    if isinstance(images, np.ndarray):
        # A copy: the worker may not have the file of a memory map.
        return np.asarray(images[positions.start : positions.stop])
    return [images[position] for position in positions]


def paths_of(images):
    """Return the paths of images; raise a TypeError where one is in memory."""
    for index, image in enumerate(images):
        if not isinstance(image, str | os.PathLike):
            raise TypeError(
                f"X[{index}] must be a path, which identifies its score; got "
                f"{type(image).__name__}. Images in memory are scored by the pipeline "
                "itself."
            )
    return [os.fsdecode(image) for image in images]
