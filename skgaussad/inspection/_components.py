"""The principal components of a fitted Gaussian."""

from dataclasses import dataclass

import numpy as np

# Fraction of the least variance below which a difference from it is rounding:
# eigenvalues have errors of up to 2e-10 of it.
_ROUNDING = 3e-10


@dataclass(frozen=True, eq=False)
class Components:
    """Eigenvectors of the covariance of a Gaussian, in the order of falling variance.

    Attributes
    ----------
    axes : ndarray of shape (n_axes, n_features), or of shape (n_features,)
        Orthonormal rows; or, of a diagonal covariance, the numbers of the features that
        are the axes.
    variances : ndarray of shape (n_components,)
        Variance along each component.
    n_directions : ndarray of shape (n_components,), dtype int
        1 for each axis. Where there are directions in which the training samples do not
        vary, all of them are the last component, as nothing tells one from another.
    sample_variances : ndarray of shape (n_components,) or None
        Eigenvalues of the sample covariance that was shrunk; None without one.
    """

    axes: np.ndarray
    variances: np.ndarray
    n_directions: np.ndarray
    sample_variances: np.ndarray | None

    @classmethod
    def of(cls, detector):
        """Find the components.

        Parameters
        ----------
        detector : MahalanobisDetector
            Fitted.

        Returns
        -------
        components : Components
        """
        gaussian = detector._gaussian
        axes, variances = gaussian.axes, gaussian.variances
        ones = np.ones(len(variances), dtype=int)
        if axes is None:
            order = np.argsort(-variances, kind="stable")
            return cls(order, variances[order], ones, None)
        sample_variances = gaussian.sample_variances
        complement = gaussian.complement_variance
        if complement is None:
            return cls(axes, variances, ones, sample_variances)
        # The axis of a variance that is rounding is arbitrary.
        rank = np.count_nonzero(variances > (1 + _ROUNDING) * complement)
        # Rounding may have left axes of hardly any variance less than orthonormal.
        orthonormal, _ = np.linalg.qr(axes[:rank].T)
        return cls(
            orthonormal.T,
            np.append(variances[:rank], complement),
            np.append(ones[:rank], axes.shape[1] - rank),
            np.append(sample_variances[:rank], 0.0),
        )

    def split(self, centred):
        """Split squared distances.

        Parameters
        ----------
        centred : ndarray of shape (n_samples, n_features)
            Rows less the mean of the Gaussian.

        Returns
        -------
        contributions : ndarray of shape (n_samples, n_components)
            Not negative. Those of a row add up to its squared distance.
        """
        if self.axes.ndim == 1:
            return centred[:, self.axes] ** 2 / self.variances
        coordinates = centred @ self.axes.T
        squared = coordinates**2
        if len(self.axes) < len(self.variances):
            left = centred - coordinates @ self.axes
            squared = np.column_stack([squared, np.einsum("ij,ij->i", left, left)])
        return squared / self.variances
