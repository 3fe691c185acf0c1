"""Scores of image files by a model file, a few images at a time."""

from dataclasses import dataclass
from itertools import islice

import numpy as np

from ..detectors import find_decider, find_part, find_transformer
from ..features import ReplacedImages
from ..persistence import load

# Enough for the threads and GPUs that share it, and few enough for rows to come soon.
_CHUNK = 128


@dataclass(frozen=True)
class Result:
    """What a model says of an image.

    Attributes
    ----------
    path : str
    distance : float or None
        Not squared. None, as all of the following, where the image cannot be used.
    threshold_ratio : float or None
        The distance over the threshold: anomalous above 1.
    p_value : float or None
        In (0, 1]; None, too, where the detector has no p-values.
    label : {"normal", "anomalous"} or None
    error : str or None
        What is wrong with the image.
    """

    path: str
    distance: float | None = None
    threshold_ratio: float | None = None
    p_value: float | None = None
    label: str | None = None
    error: str | None = None


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

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no model file, or the model does not judge images.
    """

    def __init__(self, path):
        self.model = load(path)
        part = find_decider(self.model)
        if (
            getattr(part, "offset_", None) is None
            or find_transformer(self.model) is None
        ):
            raise ValueError(
                f"{path!r} holds a {type(self.model).__name__} that cannot judge "
                "images: it takes a detector with a threshold, and a "
                "DeepFeatureTransformer before it or in it."
            )
        self.threshold = -float(part.offset_)
        self.fpr = getattr(part, "fpr", None)
        self._held_out = getattr(find_part(self.model, "_held_out"), "_held_out", None)

    def score(self, paths):
        """Score some images, which go through the network once.

        Parameters
        ----------
        paths : list of str
            At least one.

        Returns
        -------
        results : list of Result
        """
        images = ReplacedImages(paths)
        distances = -np.asarray(self.model.score_samples(images), dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = distances / self.threshold
        p_values = [None] * len(paths)
        if self._held_out is not None:
            p_values = self._held_out.p_values(distances).tolist()
        labels = np.where(distances > self.threshold, "anomalous", "normal")
        columns = distances.tolist(), ratios.tolist(), p_values, labels.tolist()
        return [
            Result(path, error=images.errors[index])
            if index in images.errors
            else Result(path, *values)
            for index, (path, *values) in enumerate(zip(paths, *columns, strict=True))
        ]

    def stream(self, paths, *, on_error):
        """Score any number of images, a few at a time.

        Parameters
        ----------
        paths : iterable of str
        on_error : {"stop", "skip"}

        Yields
        ------
        results : list of Result
            Of some of the images, in their order.

        Raises
        ------
        ValueError
            At an image that cannot be used, if that is to stop. Those before it are
            yielded first.
        """
        paths = iter(paths)
        while chunk := list(islice(paths, _CHUNK)):
            results = self.score(chunk)
            if on_error == "stop":
                for index, result in enumerate(results):
                    if result.error is not None:
                        yield results[:index]
                        raise ValueError(f"{result.path}: {result.error}")
            yield results
