"""Metadata requests of scikit-learn without references to their estimator."""

import contextlib

from sklearn.base import BaseEstimator


@contextlib.contextmanager
def owners_by_name(estimator):
    """Replace the owner of all metadata requests by its name, for the time of a `with`.

    In newer versions of scikit-learn the owner is the estimator itself, a circular
    reference that skops cannot write. Earlier versions have the name, and all accept
    it, because it serves for messages only.
    """
    owners = []
    for part in _estimators_in(estimator):
        request = vars(part).get("_metadata_request")
        if request is None:
            continue
        for item in (request, *vars(request).values()):
            if hasattr(item, "owner"):
                owners.append((item, item.owner))
                item.owner = type(part).__name__
    try:
        yield
    finally:
        for item, owner in owners:
            item.owner = owner


def _estimators_in(item):
    """Yield the estimators in an object, in its attributes and in containers."""
    if isinstance(item, BaseEstimator):
        yield item
        children = list(vars(item).values())
    elif isinstance(item, dict):
        children = item.values()
    elif isinstance(item, list | tuple):
        children = item
    else:
        return
    for child in children:
        yield from _estimators_in(child)
