"""How far the sample covariance is pulled towards a multiple of the identity.

Each function returns the intensity rho of the paper's equation (6),
C = (1 - rho) S + rho nu I with nu = tr(S) / D, from the moments of the centred rows
z_i alone. Moments may be arrays, of several samples at once.
"""

import numpy as np

COVARIANCES = ("ledoit_wolf", "oas", "shrunk", "empirical", "diagonal", "isotropic")
# Those that keep to the variances of single features.
DIAGONAL_COVARIANCES = ("diagonal", "isotropic")


def ledoit_wolf(n_samples, n_features, trace, squared_norm, mean_fourth):
    """Shrinkage of Ledoit and Wolf, which minimises the expected squared error.

    Parameters
    ----------
    n_samples, n_features : int
        n and D.
    trace : float or ndarray
        tr(S).
    squared_norm : float or ndarray
        Squared Frobenius norm of S.
    mean_fourth : float or ndarray
        Mean of the fourth powers of the rows' Euclidean norms, (1/n) sum |z_i|^4.

    Returns
    -------
    shrinkage : ndarray of the shape of the moments
        In [0, 1].

    References
    ----------
    O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional
    covariance matrices", Journal of Multivariate Analysis 88 (2004), 365-411.
    """
    mean_variance = trace / n_features
    dispersion = (squared_norm - n_features * mean_variance**2) / n_features
    n_values = n_features * n_samples
    error = np.minimum((mean_fourth - squared_norm) / n_values, dispersion)
    # Where all rows are +z or -z, as two samples always are, the error is estimated as
    # zero; what is left of the difference then is rounding.
    estimable = error > 1e-13 * mean_fourth / n_values
    return np.divide(error, dispersion, out=np.zeros_like(error), where=estimable)


def oas(n_samples, n_features, trace, squared_norm):
    """Oracle approximating shrinkage, which assumes Gaussian data.

    Parameters
    ----------
    n_samples, n_features : int
        n and D.
    trace : float or ndarray
        tr(S).
    squared_norm : float or ndarray
        Squared Frobenius norm of S.

    Returns
    -------
    shrinkage : ndarray of the shape of the moments
        In [0, 1].

    References
    ----------
    Y. Chen, A. Wiesel, Y. C. Eldar and A. O. Hero, "Shrinkage algorithms for MMSE
    covariance estimation", IEEE Transactions on Signal Processing 58 (2010),
    5016-5029. As in scikit-learn, without the factor 2/D of its equation (23).
    """
    mean_square = squared_norm / n_features**2
    mean_variance_squared = (trace / n_features) ** 2
    numerator = mean_square + mean_variance_squared
    denominator = (n_samples + 1) * (mean_square - mean_variance_squared / n_features)
    positive = denominator > 0
    ratio = numerator / np.where(positive, denominator, 1.0)
    return np.where(positive, np.minimum(ratio, 1.0), 1.0)


def choose_shrinkage(
    covariance, intensity, n_samples, n_features, trace, squared_norm, mean_fourth
):
    """Shrinkage intensity of the covariances that keep correlations.

    Parameters
    ----------
    covariance : {"ledoit_wolf", "oas", "shrunk", "empirical"}
    intensity : float
        The intensity for ``"shrunk"``.
    n_samples, n_features, trace, squared_norm, mean_fourth
        As for `ledoit_wolf`; the moments may be arrays.

    Returns
    -------
    shrinkage : ndarray of the shape of the moments
    """
    # A single variance has no other to shrink towards.
    if covariance == "empirical" or n_features == 1:
        return np.zeros_like(trace)
    if covariance == "shrunk":
        return np.full_like(trace, intensity)
    if covariance == "oas":
        return oas(n_samples, n_features, trace, squared_norm)
    return ledoit_wolf(n_samples, n_features, trace, squared_norm, mean_fourth)
