"""The one walk from an estimator to what is inside it.

Pipelines, meta-estimators and fitted searches are opened alike, for whoever asks: the
command line, the displays, the report, the graph.
"""

import os

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..features import DeepFeatureTransformer

# What a meta-estimator has fitted and scores by, and what a fitted search has chosen.
_INNER = ("best_estimator_", "estimator_")


def walk(estimator):
    """Yield an estimator, what it scores by, and so on inwards.

    Parameters
    ----------
    estimator : outlier detector, Pipeline, meta-estimator or search around one

    Yields
    ------
    steps : list of transformers
        What samples go through on the way to the part.
    part : estimator
        The pipeline itself comes before its last step.
    """
    steps = []
    while estimator is not None:
        estimator = _thaw(estimator)
        yield steps, estimator
        if isinstance(estimator, Pipeline):
            steps = [*steps, *_flatten(step for _, step in estimator.steps[:-1])]
            estimator = estimator.steps[-1][1]
        else:
            inner = (getattr(estimator, name, None) for name in _INNER)
            # Forests have an estimator_, too, and do not score by it.
            scoring = (part for part in inner if hasattr(part, "score_samples"))
            estimator = next(scoring, None)


def _thaw(estimator):
    """Take an estimator out of its FrozenEstimator."""
    while isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    return estimator


def _flatten(steps):
    """Yield transformers, those of pipelines one by one."""
    for step in map(_thaw, steps):
        if isinstance(step, Pipeline):
            yield from _flatten(inner for _, inner in step.steps)
        elif step not in (None, "passthrough"):
            yield step


def _locate(estimator, attribute):
    """Return the outermost part with an attribute that is not None, after its steps."""
    for steps, part in walk(estimator):
        # A pipeline forwards attributes of its last step, which is the part that has
        # them.
        if isinstance(part, Pipeline):
            continue
        if getattr(part, attribute, None) is not None:
            return steps, part
    return [], None


def find_part(estimator, attribute):
    """Return the outermost part with an attribute that is not None, or None."""
    return _locate(estimator, attribute)[1]


def find_decider(estimator):
    """Return the detector whose working point decides, or None.

    The outermost with a rate, or else with a threshold.
    """
    part = find_part(estimator, "fpr")
    return find_part(estimator, "offset_") if part is None else part


def find_held_out(estimator):
    """Return the held-out distances of an estimator's outermost part with any, or None.

    With what they tell of rates, as `HeldOutDistances`.
    """
    return getattr(find_part(estimator, "_held_out"), "_held_out", None)


def find_threshold(estimator):
    """Return the threshold on the distance of an estimator's decider, or None."""
    offset = getattr(find_decider(estimator), "offset_", None)
    # Some of scikit-learn's are arrays of one number.
    return None if offset is None else -float(np.squeeze(offset))


def send_to_part(estimator, attribute, X):
    """Send samples through the steps before the outermost part with an attribute.

    Parameters
    ----------
    estimator : outlier detector, Pipeline, meta-estimator or search around one
        Fitted.
    attribute : str
    X : array-like of shape (n_samples, n_features), or sequence of images
        As `estimator` takes it.

    Returns
    -------
    part : estimator
    X : array-like of shape (n_samples, n_features), or sequence of images
        As `part` takes it.

    Raises
    ------
    TypeError
        If no part has the attribute.
    """
    steps, part = _locate(estimator, attribute)
    if part is None:
        check_is_fitted(estimator)
        raise TypeError(
            f"{type(innermost(estimator)[1]).__name__} has no {attribute}. Take a "
            "detector of skgaussad, such as MahalanobisDetector, or a pipeline, "
            "meta-estimator or search (with refit=True) around one."
        )
    for step in steps:
        X = step.transform(X)
    return part, X


def innermost(estimator):
    """Return the steps to the innermost part, and that part: the one that scores."""
    *_, (steps, part) = walk(estimator)
    return steps, part


def find_transformer(estimator):
    """Return the DeepFeatureTransformer that images go through first, or None."""
    for steps, part in walk(estimator):
        # A detector of images has its own.
        for step in (*steps, part, getattr(part, "transformer_", None)):
            if isinstance(step, DeepFeatureTransformer):
                return step
    return None


def learned_files(estimator):
    """Return the real paths of the files that a fitted estimator has learned from."""
    names = getattr(estimator, "training_samples_", {}).get("name", [])
    return frozenset(os.path.realpath(name) for name in names if name)


def count_learned(images, learned):
    """Count the images that are among the files of `learned_files`."""
    if not learned:
        return 0
    paths = [item for item in images if isinstance(item, str | os.PathLike)]
    return sum(os.path.realpath(path) in learned for path in paths)


def say_learned(n_learned, n_images):
    """Say what is wrong with judging images that a model has learned from."""
    return (
        f"{n_learned} of the {n_images} images are those that the model was fitted to: "
        "their distances say nothing about new ones. Judge others."
    )


def check_whole_files(transformer, why):
    """Raise ValueError if a transformer reduces files, where it would get arrays."""
    if transformer.reduce_jpeg:
        raise ValueError(
            f"reduce_jpeg of the DeepFeatureTransformer has no effect here: {why}. Set "
            "reduce_jpeg=False."
        )


def find_max_value(estimator):
    """Return what is white in images of uint16, of a fitted estimator, or None."""
    transformer = find_transformer(estimator)
    return None if transformer is None else transformer.preprocessing_.max_value


def gaussian_parts(detector):
    """Find the Gaussians of a detector.

    Parameters
    ----------
    detector : outlier detector
        Fitted, out of its pipeline.

    Returns
    -------
    parts : dict of {str: tuple}
        By group: the columns of its features, the steps that these go through, and the
        :class:`~skgaussad.MahalanobisDetector`.

    Raises
    ------
    ValueError
        If the detector is made of others.
    """
    parts = {}
    if hasattr(detector, "_gaussian_parts"):
        parts = detector._gaussian_parts()
    for inner in [part for *_, part in parts.values()] or [detector]:
        if not hasattr(inner, "_gaussian_parts"):
            raise ValueError(
                "Distances to be split are those of MahalanobisDetector, or of a "
                f"LevelEnsemble of these; got {type(inner).__name__}. Of a "
                "TiledDetector take tile_estimator_, which scores tiles; what "
                "CellwiseMahalanobisDetector finds where is shown by anomaly_maps."
            )
    return parts
