"""Metadata requests of scikit-learn without a way back to their estimator."""

import contextlib

from sklearn.base import BaseEstimator


@contextlib.contextmanager
def owners_by_name(estimator):
    """Have metadata requests name their estimator instead of holding it.

    Newer scikit-learn has them hold it, which makes a circle that skops cannot write.
    Earlier ones have the name, and all take it: it is for messages.

    Parameters
    ----------
    estimator : estimator
        With all estimators in it. It is as before at the end.
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
    """Yield the estimators in an object, by way of attributes and containers."""
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
