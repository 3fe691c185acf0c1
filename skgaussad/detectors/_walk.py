"""The way to the part of a fitted estimator that knows something."""

from sklearn.pipeline import Pipeline


def find_part(estimator, attribute):
    """Find what has an attribute, from the outside in.

    Parameters
    ----------
    estimator : outlier detector, Pipeline, or meta-estimator around one
        Fitted.
    attribute : str
        Such as ``"offset_"``; one that is None does not count.

    Returns
    -------
    part : estimator or None
        `estimator` itself, the last step of a pipeline, what a meta-estimator has
        fitted, or a part of these; None where none has it.
    """
    part = estimator
    while part is not None and getattr(part, attribute, None) is None:
        if isinstance(part, Pipeline):
            part = part[-1]
        else:
            part = getattr(part, "estimator_", None)
    return part
