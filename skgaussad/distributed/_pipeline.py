"""A pipeline divided into the transformer for the workers and the rest."""

import copy

from sklearn.pipeline import Pipeline

from ..detectors import walk
from ..features import DeepFeatureTransformer


def check_pipeline(pipeline):
    """Raise unless a DeepFeatureTransformer is the first of two or more steps."""
    if not isinstance(pipeline, Pipeline):
        came = type(pipeline).__name__
    elif not isinstance(pipeline[0], DeepFeatureTransformer):
        came = f"one that begins with {type(pipeline[0]).__name__}"
    elif len(pipeline) == 1:
        came = "one without a detector"
    else:
        return
    raise TypeError(
        "pipeline must be a Pipeline that begins with a DeepFeatureTransformer and "
        f"ends in a detector; got {came}."
    )


def open_pipeline(estimator):
    """Return the pipeline from images to a detector that an estimator scores by."""
    for steps, part in walk(estimator):
        is_whole = isinstance(part, Pipeline) and not steps
        if is_whole and isinstance(part[0], DeepFeatureTransformer):
            estimator = part
            break
    check_pipeline(estimator)
    return estimator


def copy_for_workers(pipeline):
    """Copy a fitted pipeline, without progress bars and files of features."""
    transformer = copy.copy(pipeline[0])
    transformer.set_params(verbose=False, memmap_folder=None)
    copied = copy.copy(pipeline)
    copied.steps = [(pipeline.steps[0][0], transformer), *pipeline.steps[1:]]
    return copied


class _Computed:
    """Replaces the extraction of a transformer by features that are computed."""

    def __init__(self, parts):
        self._parts = parts

    def stream(self, images, rows, **settings):
        """Yield the positions and features."""
        yield from self._parts


def assemble(transformer, images, parts):
    """Return the output of a transformer, from features that are computed.

    Parameters
    ----------
    transformer : DeepFeatureTransformer
        Fitted.
    images : sequence of images
    parts : iterable of (range, ndarray of shape (n_rows, n_features))
        Positions of images and their features.

    Returns
    -------
    features : ndarray of shape (n_images, n_features), or data frame
        Float32.
    """
    transformer = copy.copy(transformer).set_params(verbose=False)
    transformer._make_extraction = lambda *_: _Computed(parts)
    return transformer.transform(images)
