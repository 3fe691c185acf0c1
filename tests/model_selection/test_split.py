import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedKFold,
    check_cv,
    cross_val_score,
    cross_validate,
)

from skgaussad import MahalanobisDetector
from skgaussad.model_selection import (
    GroupNormalKFold,
    NormalKFold,
    StratifiedNormalKFold,
    auroc_scorer,
)

SPLITTERS = [NormalKFold, StratifiedNormalKFold, GroupNormalKFold]


def labels_and_groups(n_normal=43, n_anomalous=17, n_groups=7, seed=0):
    """Labels in mixed order, and groups that cut across them."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([1, -1], [n_normal, n_anomalous]))
    groups = rng.integers(n_groups, size=len(y))
    groups[y == 1] = rng.permutation(np.arange(n_normal) % n_groups)
    return y, groups


def folds_of(splitter, y, groups):
    groups = None if type(splitter) is NormalKFold else groups
    return list(splitter.split(np.zeros((len(y), 2)), y, groups))


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_trains_on_normals_and_tests_on_the_others_and_all_anomalies(splitter, shuffle):
    y, groups = labels_and_groups()
    splitter = splitter(4, shuffle=shuffle, random_state=0 if shuffle else None)
    folds = folds_of(splitter, y, groups)
    assert len(folds) == splitter.get_n_splits() == 4
    normal, anomalous = np.flatnonzero(y == 1), np.flatnonzero(y == -1)
    for train, test in folds:
        assert isinstance(train, np.ndarray) and isinstance(test, np.ndarray)
        assert (y[train] == 1).all()
        np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(len(y)))
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
        np.testing.assert_array_equal(test[y[test] == -1], anomalous)
    held_out = np.concatenate([test[y[test] == 1] for _, test in folds])
    np.testing.assert_array_equal(np.sort(held_out), normal)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("splitter", "reference"),
    [
        (NormalKFold, KFold),
        (StratifiedNormalKFold, StratifiedKFold),
        (GroupNormalKFold, GroupKFold),
    ],
)
def test_normals_are_divided_as_by_scikit_learn(splitter, reference, shuffle):
    y, groups = labels_and_groups()
    parameters = {"shuffle": shuffle, "random_state": 3 if shuffle else None}
    normal = np.flatnonzero(y == 1)
    by = {
        StratifiedKFold: {"y": groups[normal]},
        GroupKFold: {"groups": groups[normal]},
    }
    expected = reference(4, **parameters).split(normal, **by.get(reference, {}))
    found = folds_of(splitter(4, **parameters), y, groups)
    for (train, test), (expected_train, expected_test) in zip(
        found, expected, strict=True
    ):
        np.testing.assert_array_equal(train, normal[expected_train])
        np.testing.assert_array_equal(test[y[test] == 1], normal[expected_test])


def test_strata_keep_their_fraction():
    y = np.repeat([1, -1], [60, 30])
    variants = np.concatenate([np.repeat(["a", "b", "c"], [30, 20, 10]), ["a"] * 30])
    for train, test in folds_of(StratifiedNormalKFold(5), y, variants):
        held_out = test[y[test] == 1]
        for name, fraction in [("a", 1 / 2), ("b", 1 / 3), ("c", 1 / 6)]:
            assert np.mean(variants[train] == name) == pytest.approx(fraction)
            assert np.mean(variants[held_out] == name) == pytest.approx(fraction)


@given(seed=st.integers(0, 2**32 - 1), n_splits=st.integers(2, 5))
def test_groups_of_normals_stay_together_and_anomalies_stay_in(seed, n_splits):
    y, groups = labels_and_groups(seed=seed)
    from_a_trained_group = 0
    for train, test in folds_of(GroupNormalKFold(n_splits), y, groups):
        held_out = test[y[test] == 1]
        assert not set(groups[train]) & set(groups[held_out])
        from_a_trained_group += np.isin(groups[test], groups[train]).sum()
    # Each of the 17 is in all folds, and its group is trained on in all but one.
    assert from_a_trained_group == 17 * (n_splits - 1)


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("fraction", "n_drawn"), [(0.5, 8), (0.3, 5), (0.001, 1), (0.999, 17)]
)
def test_fraction_of_anomalies_is_drawn_for_each_fold(
    splitter, shuffle, fraction, n_drawn
):
    y, groups = labels_and_groups()
    whole = folds_of(
        splitter(4, shuffle=shuffle, random_state=shuffle or None), y, groups
    )
    folds = splitter(4, shuffle=shuffle, random_state=1, anomalies=fraction)
    drawn = []
    for (train, test), (whole_train, whole_test) in zip(
        folds_of(folds, y, groups), whole, strict=True
    ):
        np.testing.assert_array_equal(train, whole_train)
        np.testing.assert_array_equal(
            test[y[test] == 1], whole_test[y[whole_test] == 1]
        )
        anomalies = test[y[test] == -1]
        assert len(set(anomalies)) == len(anomalies) == n_drawn
        assert (np.diff(test) > 0).all()
        drawn.append(tuple(anomalies))
    if fraction == 0.5:
        assert len(set(drawn)) == 4


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("parameters", [{"shuffle": True}, {"anomalies": 0.5}], ids=str)
def test_seed_decides_the_folds(splitter, parameters):
    y, groups = labels_and_groups()

    def tests(random_state):
        folds = splitter(4, random_state=random_state, **parameters)
        return [test.tolist() for _, test in folds_of(folds, y, groups)]

    assert tests(0) == tests(0) != tests(1)
    assert tests(np.random.RandomState(0)) == tests(np.random.RandomState(0))


@pytest.mark.parametrize("anomalies", [1.0, 0.5])
@pytest.mark.parametrize("splitter", SPLITTERS)
def test_without_labels_or_anomalies_all_are_normal(splitter, anomalies):
    _, groups = labels_and_groups()
    groups = None if splitter is NormalKFold else groups
    X = np.zeros((60, 2))
    folds = splitter(3, anomalies=anomalies)
    for labels in (None, np.ones(60)):
        for train, test in folds.split(X, labels, groups):
            np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(60))
            assert len(train) > len(test) > 0


@pytest.mark.parametrize(
    "X",
    [
        list("abcdef"),
        np.zeros((6, 4, 4, 3)),
        pd.DataFrame({"a": range(6)}),
        sparse.csr_array(np.eye(6)),
    ],
    ids=["list", "images", "frame", "sparse"],
)
def test_samples_of_any_kind(X):
    y = pd.Series([1, 1, -1, 1, 1, -1], index=list("uvwxyz"))
    expected = [([3, 4], [0, 1, 2, 5]), ([0, 1], [2, 3, 4, 5])]
    found = [(a.tolist(), b.tolist()) for a, b in NormalKFold(2).split(X, y)]
    assert found == expected
    assert len(list(NormalKFold(2).split(X))) == 2


@pytest.mark.parametrize(
    "strata", [np.array([0.5, 1.5] * 6), ["a", "b"] * 6, [True, False] * 6], ids=str
)
def test_strata_of_any_type(strata):
    folds = StratifiedNormalKFold(3).split(np.zeros(12), np.ones(12), strata)
    for train, _ in folds:
        assert sum(np.asarray(strata)[train] == strata[0]) == 4


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_splits": 1}, "n_splits must be at least 2; got 1"),
        ({"n_splits": 2.0}, "n_splits must be an integer of at least 2; got 2.0"),
        ({"n_splits": 44}, "n_splits=44 needs .*normal samples .*got 43 among 60"),
        ({"anomalies": 0}, r"anomalies must be a number in \(0, 1\]; got 0"),
        ({"anomalies": 17}, r"anomalies must be a number in \(0, 1\]; got 17"),
        ({"shuffle": "no"}, "shuffle must be True or False; got 'no'"),
        ({"random_state": 0}, "random_state=0 has no effect without shuffle=True"),
    ],
    ids=str,
)
def test_bad_parameters_are_named(splitter, parameters, message):
    y, groups = labels_and_groups()
    with pytest.raises(ValueError, match=message):
        folds_of(splitter(**parameters), y, groups)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, 1, 1, 0, 0, 0], r"y must hold.*got 0, 1.*np.where\(y == 1, -1, 1\)"),
        ([True] * 6, "got True.*np.where"),
        ([1, 1, 1, 1, 2, 2], r"got 1, 2\.$"),
        (["good"] * 6, r"got 'good'\.$"),
        ([1, 1, 1], "inconsistent numbers of samples"),
        ([-1] * 6, "n_splits=2 needs .*got 0 among 6"),
    ],
    ids=str,
)
def test_bad_labels(y, message):
    with pytest.raises(ValueError, match=message):
        list(NormalKFold(2).split(np.zeros((6, 2)), y))


@pytest.mark.parametrize(
    ("splitter", "groups", "message"),
    [
        (StratifiedNormalKFold, None, "StratifiedNormalKFold needs groups, one for"),
        (GroupNormalKFold, None, "GroupNormalKFold needs groups, one for each"),
        (GroupNormalKFold, [1, 2, 3], "inconsistent numbers of samples"),
        (GroupNormalKFold, [[1], [2]] * 3, r"shape \(n_samples,\); got \(6, 1\)"),
        (GroupNormalKFold, [1.0, np.nan] * 3, "groups contains NaN"),
        # The anomalies have a second group, the normal samples do not.
        (GroupNormalKFold, [1, 1, 1, 1, 2, 2], "n_splits=2 needs .*groups has 1"),
        (
            StratifiedNormalKFold,
            ["red", "red", "red", "blue", "blue", "blue"],
            "Stratum blue of groups has 1 normal samples, too few.*n_splits=2",
        ),
    ],
)
def test_bad_groups(splitter, groups, message):
    y = [1, 1, 1, 1, -1, -1]
    with pytest.raises(ValueError, match=message):
        list(splitter(2).split(np.zeros((6, 2)), y, groups))


def test_groups_without_effect_are_refused():
    with pytest.raises(ValueError, match="groups has no effect in NormalKFold"):
        list(NormalKFold(2).split(np.zeros((4, 2)), None, [1, 1, 2, 2]))


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_repr_and_check_cv(splitter):
    folds = splitter(3, anomalies=0.5)
    assert " ".join(repr(folds).split()) == (
        f"{splitter.__name__}(anomalies=0.5, n_splits=3, random_state=None, "
        "shuffle=False)"
    )
    assert check_cv(folds, [1, -1]) is folds


@pytest.fixture
def samples():
    """Anomalies are unlike the normal samples of all groups, but overlap with them."""
    y, groups = labels_and_groups()
    X = np.random.default_rng(0).normal(size=(60, 3))
    X[y == -1] += 1.5
    return X, y, groups


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("routing", [False, True])
def test_cross_validation_with_and_without_metadata_routing(splitter, routing, samples):
    X, y, groups = samples
    detector, folds = MahalanobisDetector(), splitter(4)
    metadata = {} if splitter is NormalKFold else {"groups": groups}
    arguments = {"params": metadata} if routing else metadata
    expected = [
        auroc_scorer(MahalanobisDetector().fit(X[train]), X[test], y[test])
        for train, test in folds.split(X, y, **metadata)
    ]
    with sklearn.config_context(enable_metadata_routing=routing):
        scores = cross_val_score(
            detector, X, y, cv=folds, scoring=auroc_scorer, **arguments
        )
        result = cross_validate(
            detector, X, y, cv=folds, scoring=auroc_scorer, n_jobs=2, **arguments
        )
        search = GridSearchCV(
            detector,
            {"covariance": ["ledoit_wolf", "empirical"]},
            scoring=auroc_scorer,
            cv=folds,
            refit=False,
        ).fit(X, y, **metadata)
    np.testing.assert_array_equal(scores, expected)
    np.testing.assert_array_equal(result["test_score"], expected)
    assert search.n_splits_ == 4
    assert search.cv_results_["mean_test_score"][0] == pytest.approx(np.mean(expected))
