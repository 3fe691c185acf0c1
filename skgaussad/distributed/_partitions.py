"""Images cut into partitions, none of which cuts a batch of the network."""

import os

import numpy as np

from .._utils.validation import check_integer


def choose_partition_size(partition_size, n_wanted, transformer):
    """Choose the number of images in a partition.

    The features of an image depend on its batch by rounding. With whole batches they
    are, bit for bit, those that one process computes.

    Parameters
    ----------
    partition_size : int or None
        As given by the user; None for about as many as wanted.
    n_wanted : int
    transformer : DeepFeatureTransformer
        Fitted; has the size of the batches.

    Returns
    -------
    partition_size : int
        A multiple of the batch size.

    Raises
    ------
    ValueError
        If the size given is not a positive multiple of the batch size.
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
    """Cut images into partitions.

    Parameters
    ----------
    n_images : int
    partition_size : int

    Returns
    -------
    partitions : list of range
        The positions of the images of each.
    """
    return [
        range(start, min(start + partition_size, n_images))
        for start in range(0, n_images, partition_size)
    ]


def take(images, positions):
    """Take the images of a partition.

    Parameters
    ----------
    images : sequence of images
        As of `as_image_sequence`.
    positions : range

    Returns
    -------
    taken : list or ndarray
    """
    if isinstance(images, np.ndarray):
        # Not a memory map, whose file the worker may not have.
        return np.asarray(images[positions.start : positions.stop])
    return [images[position] for position in positions]


def paths_of(images):
    """Return the paths of images that are all in files.

    Parameters
    ----------
    images : sequence of images
        As of `as_image_sequence`.

    Returns
    -------
    paths : list of str

    Raises
    ------
    TypeError
        If one is in memory.
    """
    for index, image in enumerate(images):
        if not isinstance(image, str | os.PathLike):
            raise TypeError(
                f"X[{index}] must be a path, by which its score is found again; got "
                f"{type(image).__name__}. Images in memory are scored by the pipeline "
                "itself."
            )
    return [os.fsdecode(image) for image in images]
