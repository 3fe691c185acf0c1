"""Fit and score on a cluster of Dask workers."""

from ._fit import fit
from ._score_to_parquet import score_to_parquet

__all__ = ["fit", "score_to_parquet"]
