"""Telling images apart by their content."""

import hashlib
import os
import time

from ._decoding import apply_at, decode, decode_content, read_file, resize_bands
from ._input import check_item

# Stamp and digest of the files that this process has read, by path.
_known_files = {}
_MAX_KNOWN_FILES = 1_000_000
# Some file systems have time stamps in steps of two seconds: within twice that, a file
# may change again and keep its stamp.
_SETTLED_NS = 4_000_000_000


def load_identified_image(
    images, index, size, resample, crop_pct=None, max_value=None, least_side=None
):
    """Decode one image and resize it, and return the digest of its content, too.

    Parameters
    ----------
    images, index, size, resample, crop_pct, max_value, least_side
        As for `load_image`.

    Returns
    -------
    pixels : ndarray of shape (height, width, 3), dtype float32
        As of `load_image`.
    digest : bytes
        As of `identify_image`, of the content that was decoded, even if the file has
        changed since.

    Raises
    ------
    InvalidImageError
        As of `load_image`.
    """
    bands, digest = apply_at(
        images, index, lambda item: _decode_and_identify(item, max_value, least_side)
    )
    return resize_bands(bands, size, resample, crop_pct), digest


def identify_image(images, index, max_value=None):
    """Return a digest of the content of one image.

    Parameters
    ----------
    images : sequence
        Items, as returned by `as_image_sequence`.

    index : int
        Position of the image.

    max_value : int or None, default=None
        As for `load_image`. The digest of an image in memory depends on it.

    Returns
    -------
    digest : bytes
        SHA-256 of the content of the file, or of the pixels of an image in memory.
        A file that this process has read before, and whose size and time stamps have
        not changed since, is not read again.

    Raises
    ------
    InvalidImageError
        If the item is not an image, or a file that cannot be read.
    """
    return apply_at(images, index, lambda item: _identify(item, max_value))


def _decode_and_identify(item, max_value, least_side):
    """Return the bands of an item, and its digest."""
    check_item(item)
    if isinstance(item, (str, os.PathLike)):
        content = read_file(item)
        bands = decode_content(content, max_value, least_side)
        return bands, _digest_of_file(content)
    bands = decode(item, max_value)
    return bands, _digest_of_bands(bands)


def _identify(item, max_value):
    """Return the digest of an item."""
    if not isinstance(item, (str, os.PathLike)):
        check_item(item)
        return _digest_of_bands(decode(item, max_value))
    known = _known_files.get(item)
    if known is not None and known[0] == _stamp(item):
        return known[1]
    check_item(item)
    stamp = _stamp(item)
    digest = _digest_of_file(read_file(item))
    # A file that is still being written is not remembered.
    if stamp == _stamp(item) and time.time_ns() - stamp[0] > _SETTLED_NS:
        if len(_known_files) >= _MAX_KNOWN_FILES:
            _known_files.clear()
        _known_files[item] = stamp, digest
    return digest


def _stamp(path):
    """Return what differs when a file has changed, its modification time first."""
    status = os.stat(path)
    return (
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_size,
        status.st_ino,
        status.st_dev,
    )


def _digest_of_file(content):
    return hashlib.sha256(content).digest()


def _digest_of_bands(bands):
    digest = hashlib.sha256()
    for band in bands:
        digest.update(f"{band.mode} {band.size}\n".encode())
        digest.update(band.tobytes())
    return digest.digest()
