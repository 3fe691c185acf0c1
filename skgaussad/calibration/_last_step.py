"""The detector of a pipeline, for what looks at its held-out distances."""


def last_step(estimator):
    """Return the last step of a pipeline, also of one in it, or what is none itself."""
    while getattr(estimator, "steps", None):
        estimator = estimator.steps[-1][1]
    return estimator
