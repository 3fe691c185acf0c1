"""The mathematics of one Gaussian, by NumPy."""

from ._covariance import DiagonalCovariance
from ._estimation import (
    COVARIANCES,
    DIAGONAL_COVARIANCES,
    CentredRows,
    TooFewSamplesError,
    estimate,
    mean_of,
    square_of,
)
from ._gaussian import Gaussian
from ._leave_out import leave_one_out, leave_out
from ._moments import Moments
from ._spectrum import Spectrum

__all__ = []
