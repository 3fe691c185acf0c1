import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgaussad import MahalanobisDetector, NegatedPCA
from skgaussad.decomposition._negated_pca import _first_kept
from skgaussad.model_selection import NormalKFold

# Both sides of the switch between the decompositions, in sample and in feature space.
SHAPES = [(200, 12), (13, 12), (12, 12), (12, 40), (30, 40), (2, 3)]


def spread(n_samples, n_features, seed=0, rank=None, offset=0.0):
    """Rows with variances over four orders of magnitude, in random directions."""
    rng = np.random.default_rng(seed)
    rank = n_features if rank is None else rank
    scales = np.geomspace(1, 0.01, rank)
    directions = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0][:rank]
    return (rng.normal(size=(n_samples, rank)) * scales) @ directions + offset


@parametrize_with_checks([NegatedPCA(), NegatedPCA(1), NegatedPCA(0.5)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


def test_scikit_learn_estimator_checks_with_array_api():
    """The check skipped above, as it needs a setting before the first import."""
    code = """if True:
        from sklearn.utils.estimator_checks import check_estimator
        from skgaussad import NegatedPCA
        results = check_estimator(NegatedPCA(), on_fail=None, on_skip=None)
        print(len(results), {result["status"] for result in results})
    """
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    process = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    n_checks, statuses = process.stdout.split(maxsplit=1)
    assert int(n_checks) > 40
    assert statuses.strip() == "{'passed'}", process.stderr


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_components_are_the_eigenvectors_of_least_variance(shape, offset):
    X = spread(*shape, offset=offset)
    rank = min(shape[0] - 1, shape[1])
    n_components = min(rank, 5)
    reduction = NegatedPCA(n_components).fit(X)
    eigenvalues, vectors = np.linalg.eigh(np.atleast_2d(np.cov(X, rowvar=False)))
    least = slice(shape[1] - rank, shape[1] - rank + n_components)
    np.testing.assert_allclose(
        reduction.explained_variance_, eigenvalues[least][::-1], rtol=1e-7
    )
    np.testing.assert_allclose(
        reduction.explained_variance_ratio_,
        eigenvalues[least][::-1] / eigenvalues.sum(),
        rtol=1e-7,
    )
    cosines = np.einsum("ij,ji->i", reduction.components_, vectors[:, least][:, ::-1])
    np.testing.assert_allclose(np.abs(cosines), 1, rtol=1e-9)
    np.testing.assert_allclose(reduction.mean_, X.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_explained_variance_is_that_of_the_transformed_samples(shape):
    X = spread(*shape)
    reduction = NegatedPCA(0.3).fit(X)
    reduced = reduction.transform(X)
    assert reduced.shape == (shape[0], reduction.n_components_)
    np.testing.assert_allclose(reduced.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(
        np.atleast_2d(np.cov(reduced, rowvar=False)),
        np.diag(reduction.explained_variance_),
        atol=1e-12,
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
def test_shares_two_components_with_the_pca_of_the_other_part(shape, share):
    X = spread(*shape)
    leading = PCA(n_components=1 - share, svd_solver="full").fit(X)
    least = NegatedPCA(share).fit(X)
    rank = min(shape[0] - 1, shape[1])
    n_shared = min(2, leading.n_components_)
    assert leading.n_components_ + least.n_components_ == rank + n_shared
    # Signs as well as directions are those of scikit-learn.
    np.testing.assert_allclose(
        least.components_[:n_shared], leading.components_[-n_shared:], atol=1e-9
    )
    assert least.explained_variance_ratio_[n_shared:].sum() < share
    both = [leading.explained_variance_ratio_, least.explained_variance_ratio_]
    assert np.concatenate(both).sum() == pytest.approx(
        1 + leading.explained_variance_ratio_[-n_shared:].sum()
    )


@pytest.mark.parametrize(
    ("ratio", "share", "first"),
    [
        # The bound of 0.9 falls into the third component; it and the second are kept.
        ([0.5, 0.3, 0.15, 0.05], 0.1, 1),
        # A bound at the end of a component belongs to the next one, as in PCA.
        ([0.5, 0.25, 0.125, 0.125], 0.25, 1),
        # It falls into the first or the second component: all are kept.
        ([0.5, 0.3, 0.15, 0.05], 0.6, 0),
        ([0.5, 0.3, 0.15, 0.05], 0.4, 0),
        ([1.0], 0.01, 0),
        # Below rounding error: the last component remains.
        ([0.5, 0.3, 0.2], 1e-300, 2),
    ],
)
def test_first_component_kept_for_a_share(ratio, share, first):
    assert _first_kept(np.array(ratio), share) == first


def test_default_is_the_share_of_one_percent():
    X = spread(300, 12)
    assert NegatedPCA().fit(X).n_components_ == NegatedPCA(0.01).fit(X).n_components_
    assert 2 < NegatedPCA().fit(X).n_components_ < 12


@pytest.mark.parametrize("shape", [(200, 12), (12, 40)], ids=str)
def test_inverse_is_the_projection_through_the_mean(shape):
    X = spread(*shape, offset=3.0)
    reduction = NegatedPCA(4).fit(X)
    new = spread(5, shape[1], seed=1)
    projected = reduction.inverse_transform(reduction.transform(new))
    projector = reduction.components_.T @ reduction.components_
    np.testing.assert_allclose(
        projected - reduction.mean_, (new - reduction.mean_) @ projector, atol=1e-12
    )
    # Nothing is lost by a second projection.
    np.testing.assert_allclose(
        reduction.transform(projected), reduction.transform(new), atol=1e-12
    )


@pytest.mark.filterwarnings("ignore:The features are uncorrelated")
def test_all_components_are_a_rotation():
    X = spread(50, 6)
    reduction = NegatedPCA(6).fit(X)
    np.testing.assert_allclose(
        reduction.inverse_transform(reduction.transform(X)), X, atol=1e-12
    )
    np.testing.assert_allclose(
        MahalanobisDetector("empirical").fit(X).score_samples(X),
        MahalanobisDetector("empirical")
        .fit(reduction.transform(X))
        .score_samples(reduction.transform(X)),
    )


@pytest.mark.parametrize("shape", [(200, 12), (8, 40)], ids=str)
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_directions_without_variance_are_no_components(shape, offset):
    """Nor is what the rounding of the mean leaves in them."""
    X = spread(*shape)
    X[:, 2] = 0.1
    X[:, 5] = X[:, 4]
    X += offset
    n_varying = min(shape[0] - 1, shape[1] - 2)
    reduction = NegatedPCA(n_varying).fit(X)
    assert reduction.explained_variance_[-1] > 1e-5
    with pytest.raises(ValueError, match=f"more than the {n_varying} components"):
        NegatedPCA(n_varying + 1).fit(X)
    np.testing.assert_allclose(reduction.components_[:, 2], 0, atol=1e-8)
    np.testing.assert_allclose(
        reduction.components_[:, 4], reduction.components_[:, 5], atol=1e-8
    )


def test_signs_do_not_depend_on_the_sample():
    X = spread(100, 6)
    reduction = NegatedPCA(6).fit(X)
    largest = np.abs(reduction.components_).argmax(axis=1)
    assert (reduction.components_[np.arange(6), largest] > 0).all()
    mirrored = NegatedPCA(6).fit(-X)
    np.testing.assert_allclose(mirrored.components_, reduction.components_, atol=1e-9)


def test_no_matrix_of_features_by_features_for_few_samples():
    """It would take 80 GB."""
    X = np.random.default_rng(0).normal(size=(4, 100_000))
    assert NegatedPCA(2).fit(X).components_.shape == (2, 100_000)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_output_is_float64(dtype):
    X = (1000 * spread(50, 6)).astype(dtype)
    reduction = NegatedPCA(3).fit(X)
    reduced = reduction.transform(X)
    assert reduced.dtype == np.float64
    assert reduction.inverse_transform(reduced.astype(np.float32)).dtype == np.float64
    np.testing.assert_array_equal(
        reduced, NegatedPCA(3).fit(X.astype(float)).transform(X.astype(float))
    )


def test_names_and_pandas_output():
    frame = pd.DataFrame(spread(30, 4), columns=list("abcd"))
    reduction = NegatedPCA(2).set_output(transform="pandas").fit(frame)
    assert list(reduction.feature_names_in_) == list("abcd")
    assert list(reduction.get_feature_names_out()) == ["negatedpca0", "negatedpca1"]
    assert list(reduction.transform(frame).columns) == ["negatedpca0", "negatedpca1"]


@pytest.mark.parametrize("unit", [1e-200, 1e-160])
def test_units_whose_squares_leave_the_range_of_float64(unit):
    X = spread(30, 6)
    expected, found = NegatedPCA(0.1).fit(X), NegatedPCA(0.1).fit(unit * X)
    np.testing.assert_allclose(found.components_, expected.components_, atol=1e-9)
    np.testing.assert_allclose(
        found.explained_variance_ratio_, expected.explained_variance_ratio_
    )


def test_clone_and_pickle():
    X = spread(30, 4)
    reduction = NegatedPCA(np.int64(2)).fit(X)
    assert clone(reduction).get_params() == {"n_components": 2}
    copy = pickle.loads(pickle.dumps(reduction))
    np.testing.assert_array_equal(copy.transform(X), reduction.transform(X))


@pytest.mark.filterwarnings("ignore:The features are uncorrelated")
def test_grid_search_finds_where_the_anomalies_are():
    """They deviate along the three directions of least variance only."""
    rng = np.random.default_rng(0)
    scales = np.array([*[10.0] * 9, 0.1, 0.1, 0.1])
    X = rng.normal(size=(800, 12)) * scales
    X[400:, 9:] *= 2
    y = np.repeat([1, -1], [400, 400])
    search = GridSearchCV(
        Pipeline([("reduction", None), ("detector", MahalanobisDetector("empirical"))]),
        {"reduction": [NegatedPCA(3), PCA(9), "passthrough"]},
        scoring="roc_auc",
        cv=NormalKFold(4),
        refit=False,
    ).fit(X, y)
    assert isinstance(search.best_params_["reduction"], NegatedPCA)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] > scores[2] + 0.03
    assert scores[1] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("n_components", "message"),
    [
        (0.0, r"n_components, unless it is an int, must be a number in \(0, 1\)"),
        (1.0, r"must be a number in \(0, 1\); got 1.0"),
        (-0.1, r"must be a number in \(0, 1\); got -0.1"),
        (float("nan"), r"must be a number in \(0, 1\); got nan"),
        ("1%", r"must be a number in \(0, 1\); got '1%'"),
        (None, r"must be a number in \(0, 1\); got None"),
        (0, "n_components must be at least 1; got 0"),
        (True, "n_components must be an integer of at least 1; got True"),
        (6, "n_components=6 is more than the 5 components with variance that 20 "),
    ],
)
def test_bad_n_components_are_refused_in_fit(n_components, message):
    reduction = NegatedPCA(n_components)
    with pytest.raises(ValueError, match=message):
        reduction.fit(spread(20, 5))


def test_count_is_limited_by_the_samples():
    with pytest.raises(ValueError, match="the 3 components.* 4 samples in 9 features"):
        NegatedPCA(4).fit(spread(4, 9))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.full((5, 3), 0.1), "All 5 training samples are identical"),
        (np.ones((1, 3)), "minimum of 2 is required"),
        (np.array([[0.0, np.nan], [1, 2]]), "contains NaN"),
    ],
    ids=["identical", "one", "nan"],
)
def test_samples_that_cannot_be_used(X, message):
    with pytest.raises(ValueError, match=message):
        NegatedPCA().fit(X)


def test_wrong_widths_and_order_of_calls():
    with pytest.raises(NotFittedError):
        NegatedPCA().transform(spread(5, 4))
    with pytest.raises(NotFittedError):
        NegatedPCA().inverse_transform(spread(5, 4))
    reduction = NegatedPCA(2).fit(spread(20, 4))
    with pytest.raises(ValueError, match="5 features.*expecting 4 features"):
        reduction.transform(spread(5, 5))
    with pytest.raises(ValueError, match="X has 4 columns, but NegatedPCA keeps 2"):
        reduction.inverse_transform(spread(5, 4))


@settings(deadline=None, max_examples=150)
@given(
    n_samples=st.integers(2, 25),
    n_features=st.integers(1, 25),
    data=st.data(),
    seed=st.integers(0, 2**32 - 1),
    exponent=st.integers(-100, 100),
)
def test_whatever_the_shape_rank_and_unit(n_samples, n_features, data, seed, exponent):
    rank = data.draw(st.integers(1, n_features), label="rank")
    share = data.draw(st.floats(1e-4, 0.999), label="share")
    X = 10.0**exponent * spread(n_samples, n_features, seed, rank)
    n_components = min(rank, n_samples - 1)
    reduction = NegatedPCA(n_components).fit(X)
    with pytest.raises(ValueError, match=f"than the {n_components} components"):
        NegatedPCA(n_components + 1).fit(X)

    axes = reduction.components_
    np.testing.assert_allclose(axes @ axes.T, np.eye(n_components), atol=1e-9)
    assert (np.diff(reduction.explained_variance_) <= 0).all()
    assert reduction.explained_variance_ratio_.sum() == pytest.approx(1)
    total = X.var(axis=0, ddof=1).sum()
    assert reduction.explained_variance_.sum() == pytest.approx(total)

    by_share = NegatedPCA(share).fit(X)
    kept = by_share.n_components_
    np.testing.assert_allclose(by_share.components_, axes[-kept:], atol=1e-9)
    # With the component of the bound at least the share is kept, without it less.
    ratio = by_share.explained_variance_ratio_
    assert ratio.sum() >= share * (1 - 1e-9)
    assert ratio[2:].sum() < share
