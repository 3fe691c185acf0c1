import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from skgaussad import MahalanobisDetector
from skgaussad.metrics import achieved_fpr, tpr_at_fpr
from skgaussad.model_selection import (
    NormalKFold,
    auroc_scorer,
    neg_achieved_fpr_scorer,
    tpr_at_fpr_scorer,
)

DETECTORS = [
    MahalanobisDetector(fpr=0.2),
    make_pipeline(StandardScaler(), MahalanobisDetector(fpr=0.2)),
    OneClassSVM(nu=0.2),
    EllipticEnvelope(random_state=0),
    IsolationForest(n_estimators=10, random_state=0),
    LocalOutlierFactor(novelty=True),
]
SCORING = {
    "auroc": auroc_scorer,
    "tpr": tpr_at_fpr_scorer(0.1),
    "neg_fpr": neg_achieved_fpr_scorer,
}


@pytest.fixture(scope="module")
def samples():
    """Normal samples and anomalies that overlap."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 3))
    X[100:] += 1.5
    return X, np.repeat([1, -1], [100, 60])


@pytest.mark.filterwarnings("ignore:Most features have the same")
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: type(d).__name__)
def test_scorers_in_cross_validation_of_any_detector(detector, samples):
    X, y = samples
    folds = NormalKFold(4)
    result = cross_validate(detector, X, y, cv=folds, scoring=SCORING)
    for fold, (train, test) in enumerate(folds.split(X, y)):
        detector.fit(X[train])
        scores, labels = detector.decision_function(X[test]), detector.predict(X[test])
        auroc = roc_auc_score(y[test] == -1, -scores)
        assert 0.6 < auroc < 1
        assert result["test_auroc"][fold] == pytest.approx(auroc)
        assert result["test_tpr"][fold] == tpr_at_fpr(y[test], scores, fpr=0.1)
        assert result["test_neg_fpr"][fold] == -achieved_fpr(y[test], labels)
    assert (result["test_neg_fpr"] < 0).any()


@pytest.mark.parametrize("scorer", SCORING.values(), ids=SCORING)
def test_grid_search_prefers_the_better_candidate(scorer, samples):
    X, y = samples
    X = X * [1, 1, 1] @ np.array([[1, 0.9, 0], [0, 0.2, 0], [0, 0, 1]])
    search = GridSearchCV(
        MahalanobisDetector(),
        {"covariance": ["empirical", "isotropic"], "fpr": [0.5, 0.02]},
        scoring=scorer,
        cv=NormalKFold(4),
        refit=False,
    ).fit(X, y)
    values = search.cv_results_["mean_test_score"]
    assert search.best_score_ == values.max() > values.min()
    if scorer is neg_achieved_fpr_scorer:
        assert search.best_params_["fpr"] == 0.02
    else:
        assert search.best_params_["covariance"] == "empirical"


def test_detector_that_has_a_decision_function_only(samples):
    X, y = samples

    class Plain(OutlierMixin, BaseEstimator):
        def fit(self, X, y=None):
            self.detector_ = MahalanobisDetector().fit(X)
            return self

        def decision_function(self, X):
            return -np.sqrt(self.detector_.mahalanobis(X))

    detector = MahalanobisDetector().fit(X[y == 1])
    plain = Plain().fit(X[y == 1])
    for scorer in (auroc_scorer, tpr_at_fpr_scorer(0.1)):
        assert scorer(plain, X, y) == scorer(detector, X, y)


@pytest.mark.parametrize("scorer", SCORING.values(), ids=SCORING)
def test_pickle(scorer, samples):
    X, y = samples
    detector = MahalanobisDetector().fit(X[y == 1])
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy(detector, X, y) == scorer(detector, X, y)


@pytest.mark.parametrize("scorer", SCORING.values(), ids=SCORING)
def test_labels_of_zero_and_one_are_refused(scorer, samples):
    X, y = samples
    detector = MahalanobisDetector().fit(X[y == 1])
    with pytest.raises(ValueError, match="y_true must hold.*got 0, 1.*np.where"):
        scorer(detector, X, np.where(y == -1, 1, 0))


@pytest.mark.parametrize("dtype", [float, object])
@pytest.mark.parametrize("scorer", SCORING.values(), ids=SCORING)
def test_labels_of_any_type(scorer, dtype, samples):
    X, y = samples
    detector = MahalanobisDetector().fit(X[y == 1])
    assert scorer(detector, X, y.astype(dtype)) == scorer(detector, X, y)


def test_auroc_needs_both_kinds(samples):
    X, y = samples
    detector = MahalanobisDetector().fit(X[y == 1])
    with pytest.raises(ValueError, match="AUROC needs .*; all 100 labels are 1"):
        auroc_scorer(detector, X[y == 1], y[y == 1])


@pytest.mark.parametrize("fpr", [-0.1, 1.1, None])
def test_rate_out_of_range(fpr):
    with pytest.raises(ValueError, match=r"fpr must be a number in \[0, 1\]"):
        tpr_at_fpr_scorer(fpr)
