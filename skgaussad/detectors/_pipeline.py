"""The way to a detector that stands at the end of a pipeline."""

from sklearn.pipeline import Pipeline


def split_pipeline(estimator, X):
    """Walk `X` through the steps of a pipeline up to its detector.

    A :class:`~sklearn.pipeline.Pipeline` forwards ``score_samples`` and ``predict`` of
    its last step, but no methods or attributes that scikit-learn does not know.

    Parameters
    ----------
    estimator : outlier detector or Pipeline
        Fitted. Pipelines may end in pipelines.
    X : array-like of shape (n_samples, n_features), or sequence of images
        As `estimator` takes it.

    Returns
    -------
    detector : outlier detector
        `estimator` itself if it is no pipeline.
    X : array-like of shape (n_samples, n_features), or sequence of images
        As `detector` takes it.
    """
    while isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            X = estimator[:-1].transform(X)
        estimator = estimator[-1]
    return estimator, X
