"""Features in, fewer features out."""

from ._negated_pca import NegatedPCA

__all__ = ["NegatedPCA"]
