"""Affine steps as matrices, by which a distance is led back to the features."""

from dataclasses import dataclass

import numpy as np

# Fraction of the largest value by which an affine step may differ from its matrix.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class AffineMap:
    """Steps y = A x + b.

    Attributes
    ----------
    matrix : ndarray of shape (n_outputs, n_inputs) or None
        A; None where y is x.
    steps : list of transformers
        The steps, fitted.
    """

    matrix: np.ndarray | None
    steps: list

    @classmethod
    def of(cls, steps, n_inputs):
        """Find the matrix of steps.

        Parameters
        ----------
        steps : list of transformers
            Fitted.
        n_inputs : int
            Number of features that the first one takes.

        Returns
        -------
        affine : AffineMap

        Raises
        ------
        ValueError
            If the steps are not affine.
        """
        if not steps:
            return cls(None, [])
        origin = _apply(steps, np.zeros((1, n_inputs)))
        matrix = (_apply(steps, np.eye(n_inputs)) - origin).T
        probes = np.random.default_rng(0).normal(size=(3, n_inputs))
        expected = probes @ matrix.T + origin
        deviation = np.abs(_apply(steps, probes) - expected).max()
        if not deviation <= _ROUNDING * np.abs(expected).max():
            names = ", ".join(type(step).__name__ for step in steps)
            raise ValueError(
                "A distance is split over positions through steps that are affine, "
                f"such as StandardScaler, PCA and NegatedPCA; got {names}, which "
                "together are not. Leave them out."
            )
        return cls(matrix, steps)

    def apply(self, X):
        """Send rows through the steps.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_inputs)

        Returns
        -------
        Y : ndarray of shape (n_samples, n_outputs)
        """
        return _apply(self.steps, X)

    def pull_back(self, gradients):
        """Turn gradients by the outputs into gradients by the inputs.

        Parameters
        ----------
        gradients : ndarray of shape (n_samples, n_outputs)

        Returns
        -------
        gradients : ndarray of shape (n_samples, n_inputs)
        """
        return gradients if self.matrix is None else gradients @ self.matrix

    def source_of(self, y):
        """Find an input that the steps send to an output.

        Parameters
        ----------
        y : ndarray of shape (n_outputs,)

        Returns
        -------
        x : ndarray of shape (n_inputs,)
        """
        if self.matrix is None:
            return y
        x = y[np.newaxis]
        if all(hasattr(step, "inverse_transform") for step in self.steps):
            for step in reversed(self.steps):
                x = np.asarray(step.inverse_transform(x))
        else:
            x = np.zeros((1, self.matrix.shape[1]))
        # Steps that drop features have no inverse that is exact.
        missing = y - self.apply(x)[0]
        return x[0] + np.linalg.lstsq(self.matrix, missing, rcond=None)[0]


def apply_steps(steps, X):
    """Send rows through steps, each in its own precision.

    Parameters
    ----------
    steps : list of transformers
        Fitted.
    X : ndarray of shape (n_samples, n_inputs), or what the first step takes

    Returns
    -------
    Y : ndarray of shape (n_samples, n_outputs)
    """
    for step in steps:
        names = getattr(step, "feature_names_in_", None)
        if names is not None:
            import pandas as pd

            X = pd.DataFrame(X, columns=names)
        # In the precision of the step, since the score is what it makes of it.
        X = np.asarray(step.transform(X))
    return X


def _apply(steps, X):
    return apply_steps(steps, X).astype(np.float64, copy=False)
