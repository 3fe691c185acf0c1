"""Displays ask for scores, p-values and the working point by the one walk."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from skgaussad import ConformalDetector, MahalanobisDetector, RobustDetector
from skgaussad.detectors import find_decider, p_values
from skgaussad.inspection import (
    CovarianceSpectrumDisplay,
    PValueDisplay,
    ScoreDistributionDisplay,
)

X = np.random.default_rng(0).normal(size=(60, 5))
X_TEST = np.random.default_rng(1).normal(size=(12, 5))


def wrapped():
    """Return fitted wrappings of a detector at 10 %, by name."""
    pipe = make_pipeline(Normalizer(), MahalanobisDetector(fpr=0.1))
    search = GridSearchCV(pipe, {}, scoring=lambda estimator, X, y=None: 0.0, cv=5)
    inner = make_pipeline(Normalizer(), MahalanobisDetector())
    return {
        "search": search.fit(X),
        "search in a pipeline": make_pipeline(Normalizer(), search).fit(X),
        "conformal": ConformalDetector(inner, fpr=0.1).fit(X),
        "robust": make_pipeline(Normalizer(), RobustDetector(fpr=0.1)).fit(X),
    }


@pytest.mark.parametrize("name", wrapped())
def test_every_wrapping_is_opened(name):
    estimator = wrapped()[name]
    decider = find_decider(estimator)
    scores = ScoreDistributionDisplay.from_estimator(estimator, X_TEST)
    assert scores.threshold == -decider.offset_
    np.testing.assert_array_equal(scores.distances, -estimator.score_samples(X_TEST))
    display = PValueDisplay.from_estimator(estimator, X_TEST)
    np.testing.assert_array_equal(display.p_values, p_values(estimator, X_TEST))
    spectrum = CovarianceSpectrumDisplay.from_estimator(estimator)
    assert spectrum.variances.shape == (5,)


def test_a_working_point_changed_after_the_fit_is_refused():
    detector = MahalanobisDetector().fit(X).set_params(fpr=0.2)
    with pytest.raises(ValueError, match="fpr was set to 0.2 after the threshold"):
        ScoreDistributionDisplay.from_estimator(detector, X_TEST)
