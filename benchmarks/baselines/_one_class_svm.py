"""The one-class support vector machine that is fitted to each level."""

from sklearn.svm import OneClassSVM


def one_class_svm():
    """Make the detector that the paper [1]_ fits to each level for comparison.

    A one-class support vector machine with an RBF kernel, for
    :class:`~skgaussad.LevelEnsemble` (section IV-C). The paper names the
    kernel only: the other settings are scikit-learn's defaults, ``nu=0.5`` and
    ``gamma="scale"``, on features that are not standardized.

    Returns
    -------
    detector : :class:`~sklearn.svm.OneClassSVM`
        Not fitted. Its own threshold calls half of the training samples anomalous;
        :class:`~skgaussad.LevelEnsemble` sets one on the sum of the scores.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from baselines import one_class_svm
    >>> from skgaussad import LevelEnsemble
    >>> X_normal = np.random.default_rng(0).normal(size=(100, 5))
    >>> columns = {"shallow": slice(0, 2), "deep": slice(2, 5)}
    >>> ensemble = LevelEnsemble(one_class_svm(), columns=columns).fit(X_normal)
    >>> ensemble.predict([[0, 0, 0, 0, 0], [3, 3, 4, 4, 0]])
    array([ 1, -1])
    """
    return OneClassSVM(kernel="rbf", gamma="scale", nu=0.5)
