"""Variations of the cellwise Gaussian that were tried, and did not become part of it.

All are fitted to maps, arrays of shape (n_images, height, width, n_channels), and
measure residuals of shape (n_images, height, width). `CellwiseGaussian` does so by the
detector of the package.
"""

import numpy as np

from skgaussad import CellwiseMahalanobisDetector


class CellwiseGaussian:
    """The detector of the package, on maps."""

    def fit(self, maps):
        """Fit the joint Gaussian; keep the detector."""
        n_cells = maps.shape[1] * maps.shape[2]
        self.detector = CellwiseMahalanobisDetector(cells=n_cells)
        self.detector.fit(_rows(maps))
        return self

    def residuals(self, maps):
        """Residual of each cell."""
        return self.detector.cell_residuals(_rows(maps)).reshape(maps.shape[:3])


class PositionGaussians:
    """A Gaussian with Ledoit-Wolf shrinkage for each position."""

    def fit(self, maps):
        """Fit to the vectors at each position."""
        self.location = maps.mean(axis=0)
        rows = (maps - self.location).reshape(len(maps), -1, maps.shape[-1])
        rows = rows.transpose(1, 0, 2)
        covariances = rows.transpose(0, 2, 1) @ rows / len(maps)
        fourth = ((rows**2).sum(axis=2) ** 2).mean(axis=1)
        shrunk = np.array(
            [
                _shrink(*both, len(maps))
                for both in zip(covariances, fourth, strict=True)
            ]
        )
        variances, axes = np.linalg.eigh(shrunk)
        self._whiten = axes / np.sqrt(variances)[:, None, :]
        return self

    def transform(self, maps):
        """Whiten the vector at each position."""
        rows = (maps - self.location).reshape(len(maps), -1, maps.shape[-1])
        white = rows.transpose(1, 0, 2) @ self._whiten
        return white.transpose(1, 0, 2).reshape(maps.shape)

    def residuals(self, maps):
        """Mahalanobis distance at each position."""
        return np.linalg.norm(self.transform(maps), axis=-1)


class GeometricMean:
    """Residuals of the joint Gaussian and of one for each position, both exact."""

    def __init__(self, weight=0.5):
        self._weight = weight

    def fit(self, maps):
        """Fit both."""
        self._joint = CellwiseGaussian().fit(maps)
        self._own = PositionGaussians().fit(maps)
        return self

    def residuals(self, maps):
        """Product of both, with the weights as exponents."""
        joint, own = self._joint.residuals(maps), self._own.residuals(maps)
        return joint ** (1 - self._weight) * own**self._weight


class WhitenedGaussian:
    """The joint Gaussian shrunk towards the covariance of each cell, or a common one.

    Shrinking towards a block-diagonal matrix is shrinking towards the identity after
    the blocks have been whitened.

    Parameters
    ----------
    whitening : {"cell", "channels", "scale", "features"}
        By the covariance of each cell, by that of all cells together, by the standard
        deviation of each cell, or by that of each feature.
    """

    def __init__(self, whitening):
        self._whitening = whitening

    def fit(self, maps):
        """Learn how to whiten, then fit the joint Gaussian."""
        deviations = maps - maps.mean(axis=0)
        if self._whitening == "cell":
            self._transform = PositionGaussians().fit(maps).transform
        elif self._whitening == "channels":
            rows = deviations.reshape(-1, maps.shape[-1])
            fourth = ((rows**2).sum(axis=1) ** 2).mean()
            shrunk = _shrink(rows.T @ rows / len(rows), fourth, len(rows))
            variances, axes = np.linalg.eigh(shrunk)
            self._transform = lambda maps: maps @ (axes / np.sqrt(variances))
        else:
            over = (0, 3) if self._whitening == "scale" else 0
            scale = np.sqrt((deviations**2).mean(axis=over))
            scale = scale[..., None] if self._whitening == "scale" else scale
            self._transform = lambda maps: maps / scale
        self._joint = CellwiseGaussian().fit(self._transform(maps))
        return self

    def residuals(self, maps):
        """Residual of each cell, in its whitened space."""
        return self._joint.residuals(self._transform(maps))


class OverLeftOut(CellwiseGaussian):
    """Residuals over the mean leave-one-out residual of their cell."""

    def residuals(self, maps):
        """Residuals of a mean of about 1."""
        left_out = self.detector.calibration_residuals_.mean(axis=0)
        return super().residuals(maps) / left_out.reshape(maps.shape[1:3])


def smooth(maps):
    """Average over 3 x 3 positions, fewer at the border.

    Parameters
    ----------
    maps : ndarray of shape (n_images, height, width, ...)
    """
    height, width = maps.shape[1:3]
    margins = [(0, 0), (1, 1), (1, 1)] + [(0, 0)] * (maps.ndim - 3)
    padded = np.pad(maps, margins, constant_values=np.nan)
    shifted = [
        padded[:, row : row + height, column : column + width]
        for row in range(3)
        for column in range(3)
    ]
    total = np.zeros(maps.shape)
    count = np.zeros(maps.shape)
    for part in shifted:
        total += np.nan_to_num(part)
        count += ~np.isnan(part)
    return total / count


def _shrink(covariance, fourth, n_samples):
    """Shrink by Ledoit and Wolf; `fourth` is the mean of |z|^4."""
    n_features = len(covariance)
    mean = np.trace(covariance) / n_features
    squared = (covariance**2).sum()
    spread = squared - n_features * mean**2
    noise = (fourth - squared) / n_samples
    intensity = min(noise, spread) / spread
    return (1 - intensity) * covariance + intensity * mean * np.eye(n_features)


def _rows(maps):
    """One row an image, cell by cell."""
    return maps.reshape(len(maps), -1)
