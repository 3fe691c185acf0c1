import pickle

import numpy as np
import pytest
from baselines import NearestNeighborDetector, one_class_svm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import shuffle
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgaussad import DeepFeatureTransformer, LevelEnsemble
from skgaussad.datasets import load_solar_cells


def brute_force(X, X_train, n_neighbors):
    return np.sort(cdist(X, X_train), axis=1)[:, :n_neighbors].mean(axis=1)


@parametrize_with_checks([NearestNeighborDetector()])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:fpr=0.05 needs at least 19:UserWarning")
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_features=st.sampled_from([1, 3, 40]),
    n_neighbors=st.integers(1, 9),
    has_duplicates=st.booleans(),
)
def test_distances_are_those_of_brute_force(
    seed, n_features, n_neighbors, has_duplicates
):
    rng = np.random.default_rng(seed)
    X_train, X = rng.normal(size=(25, n_features)), rng.normal(size=(10, n_features))
    if has_duplicates:
        X_train[:10] = X_train[10:20]
    detector = NearestNeighborDetector(n_neighbors, fpr=0.1).fit(X_train)
    # Distances of exact copies are differences of squares, hence the absolute error.
    np.testing.assert_allclose(
        -detector.score_samples(X), brute_force(X, X_train, n_neighbors), atol=1e-6
    )
    left_out = [
        brute_force(X_train[[i]], np.delete(X_train, i, axis=0), n_neighbors)[0]
        for i in range(25)
    ]
    np.testing.assert_allclose(detector.calibration_distances_, left_out, atol=1e-6)
    # ceil(0.9 * 26) = 24
    assert -detector.offset_ == pytest.approx(np.sort(left_out)[23], abs=1e-6)


def test_new_normal_samples_are_lost_at_the_rate_asked_for():
    rng = np.random.default_rng(0)
    detector = NearestNeighborDetector(fpr=0.1).fit(rng.normal(size=(1000, 6)))
    labels = detector.predict(rng.normal(size=(20_000, 6)))
    assert np.mean(labels == -1) == pytest.approx(0.1, abs=0.03)


def test_decision_function_and_predict_follow_the_offset():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    detector = NearestNeighborDetector().fit(X[:50])
    decision = detector.decision_function(X)
    np.testing.assert_array_equal(
        decision, detector.score_samples(X) - detector.offset_
    )
    np.testing.assert_array_equal(detector.predict(X), np.where(decision >= 0, 1, -1))
    assert set(detector.predict(X)) == {-1, 1}


def test_pickle_keeps_the_scores():
    X = np.random.default_rng(0).normal(size=(30, 4))
    detector = NearestNeighborDetector().fit(X)
    copy = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(copy.score_samples(X), detector.score_samples(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_neighbors": 0}, "n_neighbors must be at least 1; got 0"),
        ({"n_neighbors": 2.0}, "n_neighbors must be an integer.*got 2.0"),
        ({"fpr": 1}, r"fpr must be a number in \(0, 1\); got 1"),
        ({"n_neighbors": 20}, "minimum of 21 is required"),
    ],
    ids=str,
)
def test_bad_parameters_are_named_in_fit(parameters, message):
    X = np.random.default_rng(0).normal(size=(20, 4))
    with pytest.raises(ValueError, match=message):
        NearestNeighborDetector(**parameters).fit(X)


@pytest.fixture(scope="module")
def cells():
    """Features of two levels of solar cells: training, normal and defective ones."""
    data = load_solar_cells("mono")
    normal = shuffle(data.paths[data.labels == 1][:85], random_state=0)
    transformer = DeepFeatureTransformer(levels=[4, 6], image_size=96, device="cpu")
    transformer.set_output(transform="pandas").fit(normal[:1])
    defective = data.paths[data.labels == -1][:25]
    return [transformer.transform(p) for p in (normal[:60], normal[60:85], defective)]


def test_neighbours_of_each_level_find_defective_cells(cells):
    train, normal, defective = cells
    ensemble = LevelEnsemble(NearestNeighborDetector()).fit(train)
    y = np.repeat([1, -1], 25)
    scores = np.concatenate(
        [ensemble.score_samples(normal), ensemble.score_samples(defective)]
    )
    assert roc_auc_score(y, scores) > 0.75


def kernel_scores(X, X_train):
    """Scores of the support vector machine, from its dual solved otherwise.

    The dual is a convex quadratic programme over the simplex with weights of at most
    1 / (nu n); projected gradient steps solve it.
    """
    gamma = 1 / (X_train.shape[1] * X_train.var())
    kernel = np.exp(-gamma * cdist(X_train, X_train, "sqeuclidean"))
    bound = 1 / (0.5 * len(X_train))
    weights = np.full(len(X_train), 1 / len(X_train))
    step = 1 / np.linalg.eigvalsh(kernel)[-1]
    for _ in range(1000):
        moved = weights - step * kernel @ weights
        # Projection onto the weights in [0, bound] that add up to 1, by bisection.
        low, high = moved.min() - bound, moved.max()
        for _ in range(40):
            shift = (low + high) / 2
            low, high = (
                (shift, high)
                if (moved - shift).clip(0, bound).sum() > 1
                else (low, shift)
            )
        weights = (moved - shift).clip(0, bound)
    return np.exp(-gamma * cdist(X, X_train, "sqeuclidean")) @ weights


def test_support_vector_machines_are_summed_over_the_levels(cells):
    train, normal, _ = cells
    ensemble = LevelEnsemble(one_class_svm()).fit(train)
    expected = sum(
        kernel_scores(normal.to_numpy()[:, group], train.to_numpy()[:, group])
        for group in ensemble.columns_.values()
    )
    found = ensemble.group_scores(normal).sum(axis=1)
    # scikit-learn scales the weights to a sum of nu n = 30.
    np.testing.assert_allclose(found, 30 * expected, rtol=1e-3)
    assert LevelEnsemble(one_class_svm()).estimator.nu == 0.5
    assert make_pipeline(one_class_svm()).fit(train).predict(train).min() == -1
