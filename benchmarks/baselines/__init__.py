"""Methods that the paper compares with, as scikit-learn estimators."""

from ._autoencoder import ConvolutionalAutoencoder
from ._classifier import FineTunedClassifier
from ._nearest_neighbors import NearestNeighborDetector
from ._one_class_svm import one_class_svm
from ._residuals import component_score

__all__ = [
    "ConvolutionalAutoencoder",
    "FineTunedClassifier",
    "NearestNeighborDetector",
    "component_score",
    "one_class_svm",
]
