"""Fit and score on a cluster of Dask workers."""

from ._fit import fit
from ._scoring import score_to_parquet

__all__ = ["fit", "score_to_parquet"]
