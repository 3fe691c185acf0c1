"""The mathematics of one Gaussian, by NumPy."""

from ._gaussian import Gaussian
from ._leave_out import leave_out, leave_out_residuals
from ._moments import Moments, TooFewSamplesError, mean_of
from ._shrinkage import COVARIANCES, DIAGONAL_COVARIANCES
from ._spectrum import Spectrum

__all__ = []
