"""Scores of image files by a model file, a few images at a time."""

from itertools import islice

import numpy as np

from .._utils.file_stamp import stamp_of
from .._utils.score_table import score_rows
from ..detectors import (
    find_decider,
    find_held_out,
    find_threshold,
    find_transformer,
)
from ..features import ReplacedImages
from ._model_file import load_with_facts

# Enough to occupy threads and GPUs, and few enough for rows to come soon.
_CHUNK = 128


class Scorer:
    """A model that scores image files.

    Parameters
    ----------
    path : str
        Of a file written by :func:`skgaussad.save`.

    Attributes
    ----------
    model : estimator
    threshold : float
        On the distance.
    fpr : float or None
        The false-positive rate it was set for.
    held_out : HeldOutDistances or None
    facts : dict
        As of `model_info`.
    version : str
        The beginning of the SHA-256 of the file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no model file, or the model does not score images.
    """

    def __init__(self, path):
        self._path = path
        self._stamp = stamp_of(path)
        self._is_refused = False
        self._read()

    def reload_if_changed(self):
        """Read the model again if its file was replaced.

        Returns
        -------
        message : str or None
            That it was read, or why the model of before is kept. A file may be
            written bit by bit, and counts as one until a model comes of it.
        """
        stamp = stamp_of(self._path)
        if stamp == self._stamp:
            return None
        self._stamp, was_refused = stamp, self._is_refused
        before = vars(self).copy()
        try:
            self._read()
        except (OSError, ValueError) as error:
            vars(self).update(before)
            self._is_refused = True
            return None if was_refused else f"the model of before is kept: {error}"
        self._is_refused = False
        return f"model read again from {self._path!r}"

    def _read(self):
        """Read the model."""
        model, self.facts, digest = load_with_facts(self._path)
        threshold = find_threshold(model)
        if threshold is None or find_transformer(model) is None:
            raise ValueError(
                f"{self._path!r} holds a {type(model).__name__} that cannot score "
                "images: it takes a detector with a threshold, and a "
                "DeepFeatureTransformer before it or in it."
            )
        self.model, self.threshold, self.version = model, threshold, digest[:12]
        self.fpr = getattr(find_decider(model), "fpr", None)
        self.held_out = find_held_out(model)

    def score(self, paths):
        """Score some images, which go through the network once.

        Parameters
        ----------
        paths : list of str
            At least one.

        Returns
        -------
        rows : list of dict
            As of `score_rows`, one a path.
        """
        images = ReplacedImages(paths, find_transformer(self.model).preprocessing_)
        return self.rows(paths, self.model.score_samples(images), images.errors)

    def rows(self, paths, scores, errors):
        """Make the rows of images with these scores.

        Parameters
        ----------
        paths : list of str
        scores : array-like of shape (n_images,)
            As of ``score_samples``.
        errors : dict of {int: str}
            By position, the problem of each image that could not be used.

        Returns
        -------
        rows : list of dict
            As of `score_rows`, one a path.
        """
        distances = -np.asarray(scores, dtype=np.float64)
        p_values = None
        if self.held_out is not None:
            p_values = self.held_out.p_values(distances)
        return score_rows(paths, distances, self.threshold, p_values, errors)

    def stream(self, paths, *, on_error):
        """Score any number of images, a few at a time.

        Parameters
        ----------
        paths : iterable of str
        on_error : {"raise", "record"}

        Yields
        ------
        paths : list of str
            Some of the images, in their order.
        rows : list of dict
            Of these.

        Raises
        ------
        ValueError
            At an image that cannot be used, if that is to raise. Those before it are
            yielded first.
        """
        paths = iter(paths)
        while chunk := list(islice(paths, _CHUNK)):
            rows = self.score(chunk)
            if on_error == "raise":
                for index, row in enumerate(rows):
                    if row["error"] is not None:
                        yield chunk[:index], rows[:index]
                        raise ValueError(f"{chunk[index]}: {row['error']}")
            yield chunk, rows
