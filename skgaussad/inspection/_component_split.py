"""Distances split over the principal components of normal samples."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from ..detectors import (
    aggregation_weights,
    apply_steps,
    gaussian_parts,
    innermost,
)
from ._components import Components


@dataclass(frozen=True)
class ComponentSplit:
    """The distances of samples, split over groups of features and components.

    The dicts have an entry a group: those of a
    :class:`~skgaussad.LevelEnsemble` by their names, ``"all"`` of a single
    Gaussian. Components are in the order of falling variance.

    Attributes
    ----------
    totals : ndarray of shape (n_samples,)
        The squared Mahalanobis distance to a single Gaussian, or the aggregated
        distance (not squared) of a :class:`~skgaussad.LevelEnsemble`.

    components : dict of {str: ndarray of shape (n_samples, n_components)}
        Contribution of each component, not negative. Those of a sample, over all
        groups, add up to its total.

    groups : dict of {str: ndarray of shape (n_samples,)}
        Contribution of each group: the sum over its components.

    variances : dict of {str: ndarray of shape (n_components,)}
        Eigenvalues of the fitted covariance: the variance of normal samples along each
        component, in the squared unit of the features that the detector gets.

    n_directions : dict of {str: ndarray of shape (n_components,)}
        Number of directions that a component stands for. All those in which the
        training samples do not vary are one component, the last, because nothing tells
        one of them from another; others have one direction each.
    """

    totals: np.ndarray
    components: dict
    groups: dict
    variances: dict
    n_directions: dict


def split_by_component(estimator, X):
    """Split distances over the principal components of normal samples, exactly.

    With the eigenvectors v_k of the covariance and its eigenvalues, the variances
    lambda_k, the squared distance of x to a Gaussian of mean m is the sum of

        (v_k' (x - m))^2 / lambda_k,

    one term a component. Section IV-A of [1]_ finds that defects show in components of
    little variance; the terms show it for each image.

    The aggregated distance of a :class:`~skgaussad.LevelEnsemble` is split by
    group first. A group's distance is its squared distance over itself, so that each of
    its components contributes to the distance in proportion to its term of the square.

    Parameters
    ----------
    estimator : outlier detector, Pipeline, or meta-estimator around one
        Fitted; ends in a :class:`~skgaussad.MahalanobisDetector` or a
        :class:`~skgaussad.LevelEnsemble` of these, after any steps. The
        components are those of what the steps make of `X`.

    X : array-like of shape (n_samples, n_features), or sequence of images
        As `estimator` takes it.

    Returns
    -------
    split : ComponentSplit

    Raises
    ------
    ValueError
        If the detector is another one, or `X` does not fit it.

    See Also
    --------
    split_distance : Splits the same distances over the positions of an image.
    CovarianceSpectrumDisplay : A picture of it.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    The first sample deviates along the component of most variance, the second where
    normal samples vary least:

    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.inspection import split_by_component
    >>> rng = np.random.default_rng(0)
    >>> detector = MahalanobisDetector().fit(rng.normal(size=(300, 3)) * [9, 3, 1])
    >>> split = split_by_component(detector, [[30, 0, 0], [0, 0, 10]])
    >>> split.totals.round(1)
    array([12.6, 74. ])
    >>> split.components["all"].round(1)
    array([[12.6,  0. ,  0. ],
           [ 0. ,  0. , 74. ]])
    """
    squared, contributions, components = split_squared_distances(estimator, X)
    _, detector = innermost(estimator)
    totals = np.column_stack(list(squared.values()))
    if hasattr(detector, "aggregation"):
        distances = np.sqrt(totals)
        weights = aggregation_weights(
            distances, detector.aggregation, detector.top_fraction
        )
        # A distance is its square over itself, or nothing.
        factors = np.divide(
            weights, distances, out=np.zeros_like(weights), where=distances > 0
        )
        for name, factor in zip(contributions, factors.T, strict=True):
            contributions[name] *= factor[:, np.newaxis]
        totals = weights * distances
    return ComponentSplit(
        totals.sum(axis=1),
        contributions,
        {name: of_group.sum(axis=1) for name, of_group in contributions.items()},
        {name: of_group.variances for name, of_group in components.items()},
        {name: of_group.n_directions for name, of_group in components.items()},
    )


def split_squared_distances(estimator, X):
    """Split the squared distance to each Gaussian of an estimator.

    Parameters
    ----------
    estimator, X
        As for `split_by_component`.

    Returns
    -------
    squared : dict of {str: ndarray of shape (n_samples,)}
        Squared distances, by group.
    contributions : dict of {str: ndarray of shape (n_samples, n_components)}
        Their terms, by component.
    components : dict of {str: Components}
    """
    check_is_fitted(estimator)
    steps, detector = innermost(estimator)
    gaussians = gaussian_parts(detector)
    if not steps:
        X = validate_data(estimator, X, reset=False)
    X = apply_steps(steps, X)
    squared, contributions, components = {}, {}, {}
    for name, (columns, inner_steps, gaussian) in gaussians.items():
        Y = apply_steps(inner_steps, X[:, columns]).astype(np.float64, copy=False)
        components[name] = Components.of(gaussian)
        squared[name] = gaussian._gaussian.mahalanobis(Y)
        contributions[name] = components[name].split(Y - gaussian.location_)
    return squared, contributions, components
