"""Fitted pipelines that are updated: equal to those fitted to all at once."""

import copy
import datetime
import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.preprocessing import Normalizer, StandardScaler

from skgaussad import (
    CellwiseMahalanobisDetector,
    ConformalDetector,
    DetectorPipeline,
    LevelEnsemble,
    MahalanobisDetector,
    MondrianDetector,
    RobustDetector,
    VariantMahalanobisDetector,
    _make_detector,
    load,
    make_detector,
    save,
)
from skgaussad.datasets import make_textures
from skgaussad.exceptions import FalseAlarmRateWarning
from skgaussad.persistence import model_info

SETTINGS = {"backbone": "test_resnet", "weights": None, "device": "cpu"}
DAYS = np.repeat(["2026-11-26", "2026-11-27", "2026-11-28"], 40)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 5))
X_NEW = RNG.normal(size=(30, 5))


def make(detector=None, *before):
    steps = [*before, ("detector", detector or MahalanobisDetector(fpr=0.5))]
    return DetectorPipeline(steps)


def assert_equal(first, second, samples=X):
    expected = second.score_samples(samples)
    np.testing.assert_array_equal(first.score_samples(samples), expected)
    assert first.offset_ == second.offset_


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (60, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize(
    ("method", "detector"),
    [
        ("cells", None),
        ("paper", None),
        ("cells", LevelEnsemble(columns="cell")),
        ("cells", ConformalDetector(CellwiseMahalanobisDetector())),
        ("paper", RobustDetector(MahalanobisDetector())),
    ],
)
@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
def test_it_equals_a_fit_to_all(pictures, method, detector, tmp_path):
    pipe = make_detector(
        method=method, detector=detector, levels=2, image_size=32, **SETTINGS
    )
    fitted = clone(pipe).fit(pictures)
    updated = clone(pipe).fit(pictures[:45]).update(pictures[45:])
    assert_equal(updated, fitted, pictures)
    save(updated, tmp_path / "m.skgaussad")
    loaded = load(tmp_path / "m.skgaussad")
    assert_equal(loaded.undo_update(), clone(pipe).fit(pictures[:45]), pictures)
    assert_equal(loaded.update(pictures[45:]), fitted, pictures)


@pytest.mark.parametrize("one_label", [True, False])
def test_groups_come_and_go(one_label):
    groups = "2026-11-29" if one_label else ["2026-11-29"] * 30
    pipe = make().fit(X, detector__groups=DAYS)
    samples = pipe.training_samples_
    pipe.update(X_NEW, groups=groups, forget=samples["group"] < "2026-11-27")
    expected = make().fit(
        np.concatenate([X[40:], X_NEW]),
        detector__groups=[*DAYS[40:], *["2026-11-29"] * 30],
    )
    assert_equal(pipe, expected)
    assert pipe.training_samples_["revision"].tolist() == [0] * 80 + [1] * 30
    pipe.undo_update()
    assert_equal(pipe, make().fit(X, detector__groups=DAYS))
    np.testing.assert_array_equal(pipe.training_samples_["group"], DAYS)


def test_dates_and_objects_are_groups(tmp_path):
    for groups in (DAYS.astype("datetime64[D]"), DAYS.astype(object)):
        pipe = make().fit(X, detector__groups=groups).update(X_NEW, groups="2026-12-01")
        save(pipe, tmp_path / "m.skgaussad")
        assert load(tmp_path / "m.skgaussad").training_samples_["group"][-1] == (
            "2026-12-01"
        )


def test_only_the_last_update_is_undone():
    pipe = make().fit(X).update(X_NEW[:15]).update(X_NEW[15:], forget=[0, -1])
    pipe.undo_update()
    assert_equal(pipe, make().fit(np.concatenate([X, X_NEW[:15]])))
    with pytest.raises(ValueError, match="no update to undo"):
        pipe.undo_update()
    # What was taken out for good is no longer kept.
    pipe.update(forget=range(10)).update(X_NEW[15:])
    assert len(pipe._training.features) == 120 + 30 - 10


def test_nothing_changes_where_the_fit_fails():
    pipe = make().fit(X)
    for options in (
        {"forget": np.ones(120, dtype=bool)},
        {"X": np.full((3, 5), np.nan)},
        {"X": np.ones((3, 4))},
        {"X": X_NEW, "groups": "a"},
        {"forget": [120]},
        {"forget": np.ones(119, dtype=bool)},
        {"forget": np.arange(120) % 2},
        {"forget": range(119)},
        {"forget": ["a"]},
        {"X": X_NEW[:0]},
        {},
    ):
        with pytest.raises(ValueError, match=r"."):
            pipe.update(**options)
        assert_equal(pipe, make().fit(X))
        assert len(pipe.training_samples_["name"]) == 120


def test_what_the_detector_took_in_by_itself_is_not_dropped():
    """It would be, without a word, by a fit to the samples that were kept."""
    for change in (
        lambda detector: detector.partial_fit(X_NEW),
        lambda detector: detector.remove_samples(X[:10]),
        lambda detector: detector.remove_samples(X[:30]).partial_fit(X_NEW),
        lambda detector: detector.merge(MahalanobisDetector().fit(X_NEW)),
    ):
        pipe = make().fit(X).update(X_NEW[:5])
        change(pipe[-1])
        for act in (lambda p: p.update(X_NEW), lambda p: p.undo_update()):
            with pytest.raises(AttributeError, match="changed the detector since"):
                act(pipe)
        pipe.fit(X).update(X_NEW)


@pytest.mark.parametrize(
    ("detector", "find"),
    [
        (RobustDetector(), lambda outer: outer.estimator_),
        (MondrianDetector(), lambda outer: outer.estimators_[0]),
        (ConformalDetector(MahalanobisDetector()), lambda o: o.fold_estimators_[1]),
        (
            LevelEnsemble(columns={"a": [0, 1], "b": [2]}),
            lambda outer: outer.estimators_[1],
        ),
        (
            RobustDetector(ConformalDetector(MahalanobisDetector())),
            lambda outer: outer.estimator_.fold_estimators_[0],
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_detector_inside_took_in_is_not_dropped(detector, find, tmp_path):
    pipe = make(detector).fit(X).update(X_NEW[:5])
    inner = find(pipe[-1])
    inner.partial_fit(X_NEW[:, : inner.n_features_in_])
    save(pipe, tmp_path / "m.skgaussad")
    for changed in (pipe, load(tmp_path / "m.skgaussad")):
        for act in (lambda p: p.update(X_NEW), lambda p: p.undo_update()):
            with pytest.raises(AttributeError, match="changed the detector since"):
                act(changed)


@pytest.mark.parametrize(
    "change",
    [
        lambda pipe: pipe[-1].fit(X[:50]),
        lambda pipe: pipe.set_params(detector=MahalanobisDetector(fpr=0.5).fit(X[:50])),
        lambda pipe: pipe[-1].calibrate(X[:50]),
    ],
)
def test_a_detector_that_was_fitted_by_itself_is_not_updated(change):
    pipe = make().fit(X).update(X_NEW[:5])
    change(pipe)
    for act in (lambda p: p.update(X_NEW), lambda p: p.undo_update()):
        with pytest.raises(AttributeError, match="a fit or calibrate of its own"):
            act(pipe)


@pytest.mark.parametrize(
    ("detector", "find"),
    [
        (RobustDetector(), lambda outer: outer.estimator_),
        (MondrianDetector(), lambda outer: outer.estimators_[0]),
        (ConformalDetector(MahalanobisDetector()), lambda o: o.fold_estimators_[1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_own_fit_of_a_detector_inside_is_seen(detector, find):
    pipe = make(detector).fit(X)
    find(pipe[-1]).fit(X[:50])
    with pytest.raises(AttributeError, match="a fit or calibrate of its own"):
        pipe.update(X_NEW)


def test_what_changes_no_score_may_be_set():
    pipe = make(LevelEnsemble(columns={"a": [0, 1], "b": [2]}, fpr=0.5)).fit(X)
    pipe.set_params(detector__n_jobs=1, detector__fpr=np.float64(0.5)).update(X_NEW)
    assert len(pipe.training_samples_["name"]) == 150
    forest = ConformalDetector(IsolationForest(n_estimators=5, random_state=0), fpr=0.5)
    pipe = (
        make(forest)
        .fit(X)
        .set_params(
            detector__estimator__n_jobs=2, detector__estimator__n_estimators=np.int64(5)
        )
    )
    pipe.update(X_NEW)


def test_steps_before_the_detector_must_be_those_of_the_fit(pictures):
    pipe = make(None, ("norm", Normalizer())).fit(X).set_params(norm__norm="l1")
    with pytest.raises(ValueError, match="other values of norm__norm"):
        pipe.update(X_NEW)
    images = make_detector(levels=2, image_size=32, pooling=2, fpr=0.3, **SETTINGS)
    images.fit(pictures[:40]).set_params(features__standardize_intensity=False)
    with pytest.raises(ValueError, match="features__standardize_intensity"):
        images.update(pictures[40:])
    images.set_params(features__standardize_intensity=True, features__batch_size=1)
    images.update(pictures[40:])


@pytest.mark.parametrize("label", [np.uint64(2**54 + 5), 5.5, 5.0])
def test_numbers_of_groups_stay_what_they_are(label):
    """As floats, large ones would become equal."""
    groups = 2**54 + np.arange(120) % 4
    pipe = make().fit(X, detector__groups=groups)
    if label == 5.5:
        with pytest.raises(ValueError, match="must be numbers of the type int64"):
            pipe.update(X_NEW, groups=label)
    else:
        pipe.update(X_NEW, groups=label)
        assert len(set(pipe.training_samples_["group"].tolist())) == 5
        pipe.undo_update()
    assert pipe.training_samples_["group"].tolist() == groups.tolist()


def test_masked_samples_are_refused():
    pipe = make().fit(X)
    with pytest.raises(ValueError, match=r"X\[3, 2\] is masked"):
        pipe.update(np.ma.masked_where(np.arange(150).reshape(30, 5) == 17, X_NEW))


def test_one_group_is_not_enough():
    pipe = make().fit(X, detector__groups=DAYS)
    with pytest.raises(ValueError, match="would leave one group"):
        pipe.update(forget=DAYS[0] != DAYS)


@pytest.mark.parametrize(
    ("detector", "name", "value"),
    [
        (MahalanobisDetector(), "covariance", "diagonal"),
        (ConformalDetector(MahalanobisDetector()), "cv", 3),
        (RobustDetector(MahalanobisDetector()), "estimator__covariance", "diagonal"),
        (VariantMahalanobisDetector(random_state=0), "n_variants", 3),
    ],
    ids=str,
)
def test_an_update_changes_nothing_but_samples(detector, name, value, tmp_path):
    """Undone it would be another model than before."""
    pipe = make(detector).fit(X).update(X_NEW[:5])
    before = pipe.get_params()[f"detector__{name}"]
    pipe.set_params(**{f"detector__{name}": value})
    save(pipe, tmp_path / "m.skgaussad")
    for changed in (pipe, load(tmp_path / "m.skgaussad")):
        for act in (lambda p: p.update(X_NEW), lambda p: p.undo_update()):
            with pytest.raises(ValueError, match=f"other values of detector__{name}"):
                act(changed)
        changed.set_params(**{f"detector__{name}": before}).undo_update()
        assert_equal(changed, make(detector).fit(X))


def test_a_generator_of_random_numbers_is_no_changed_parameter(tmp_path):
    detector = VariantMahalanobisDetector(random_state=np.random.RandomState(0))
    pipe = make(detector).fit(X)
    save(pipe, tmp_path / "m.skgaussad")
    assert load(tmp_path / "m.skgaussad").update(X_NEW)


def test_dates_of_any_type_are_one_lot():
    day = "2026-11-28"
    for label in (
        np.datetime64(day),
        np.datetime64(day, "m"),
        np.datetime64(day, "ns"),
        datetime.date(2026, 11, 28),
        datetime.datetime(2026, 11, 28),
        datetime.datetime(2026, 11, 28, tzinfo=datetime.timezone.utc),
        pd.Timestamp(day, tz="Europe/Berlin"),
        pd.Timestamp(day),
    ):
        for first, then in ((DAYS, label), (DAYS.astype("M8[s]"), [label] * 30)):
            pipe = make().fit(X, detector__groups=first).update(X_NEW, groups=then)
            assert np.unique(pipe.training_samples_["group"]).tolist() == sorted(
                set(DAYS)
            )
    shift = datetime.datetime(2026, 11, 28, 14)
    pipe = make().fit(X, detector__groups=DAYS).update(X_NEW, groups=shift)
    assert pipe.training_samples_["group"][-1] > day


@pytest.mark.filterwarnings("ignore:.*new samples are flagged")
def test_numbers_may_come_as_objects():
    numbers = np.arange(120) % 3
    pipe = make().fit(X, detector__groups=numbers.astype(object))
    pipe.update(X_NEW, groups=numbers[:30]).update(X_NEW + 1, groups=2)
    assert np.unique(pipe.training_samples_["group"]).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("groups", "label"),
    [(np.arange(120) % 3, True), (np.arange(120) % 2 == 1, 1.0), (DAYS, 1)],
    ids=["number", "boolean", "text"],
)
@pytest.mark.filterwarnings("ignore:fpr=0.5 needs at least 3 groups")
def test_labels_of_another_kind_are_refused(groups, label):
    pipe = make().fit(X, detector__groups=groups)
    with pytest.raises(ValueError, match="of the kind given to fit"):
        pipe.update(X_NEW, groups=label)


def test_a_row_forgotten_twice_is_named():
    with pytest.raises(ValueError, match="names row 119 more than once: -1, 119"):
        make().fit(X).update(forget=[0, -1, 119])


def test_warnings_point_to_the_call():
    pipe = make(MahalanobisDetector(fpr=0.01))
    with pytest.warns(FalseAlarmRateWarning, match="needs at least") as of_fit:
        pipe.fit(X[:50])
    with pytest.warns(FalseAlarmRateWarning, match="needs at least") as of_update:
        pipe.update(X_NEW)
    for caught in (of_fit, of_update):
        assert {each.filename for each in caught} == {__file__}


def test_what_is_left_must_be_enough():
    with pytest.raises(ValueError, match="would leave 1 training samples"):
        make().fit(X).update(forget=range(119))


def test_groups_are_asked_for_and_refused():
    pipe = make().fit(X, detector__groups=DAYS)
    with pytest.raises(ValueError, match="fitted with groups"):
        pipe.update(X_NEW)
    with pytest.raises(ValueError, match="of the kind given to fit"):
        pipe.update(X_NEW, groups=3)
    with pytest.raises(ValueError, match="one for each of the 30"):
        pipe.update(X_NEW, groups=["a", "b"])
    with pytest.raises(ValueError, match="there are none"):
        pipe.update(groups="a", forget=[0])
    with pytest.raises(ValueError, match="fitted without groups"):
        make().fit(X).update(X_NEW, groups="a")


@pytest.mark.filterwarnings("ignore:Most features have the same")
@pytest.mark.parametrize(
    ("pipe", "params", "reason"),
    [
        (make(None, ("scale", StandardScaler())), {}, "step 'scale', StandardScaler"),
        (
            make(VariantMahalanobisDetector()),
            {"detector__variants": np.arange(120) % 2},
            "with variants",
        ),
    ],
)
def test_it_says_why_it_cannot(pipe, params, reason):
    pipe.fit(X, **params)
    with pytest.raises(AttributeError, match=reason):
        pipe.update(X_NEW)
    assert not hasattr(pipe, "training_samples_")


def test_steps_that_learn_nothing_are_allowed():
    pipe = make(None, ("norm", Normalizer())).fit(X).update(X_NEW)
    expected = make(None, ("norm", Normalizer())).fit(np.concatenate([X, X_NEW]))
    assert_equal(pipe, expected)


def test_samples_of_too_many_bytes_are_not_kept(monkeypatch):
    monkeypatch.setattr(_make_detector, "_MAX_BYTES", X.nbytes)
    pipe = make().fit(X)
    with pytest.raises(ValueError, match="or forget some"):
        pipe.update(X_NEW)
    pipe.update(X_NEW, forget=range(30))
    monkeypatch.setattr(_make_detector, "_MAX_BYTES", X.nbytes - 1)
    with pytest.raises(AttributeError, match="at most 0 MB are kept"):
        make().fit(X).update(X_NEW)


def test_the_samples_are_the_pipelines_own():
    values = X.copy()
    pipe = make().fit(values)
    values[:] = 0
    assert_equal(pipe.update(X_NEW), make().fit(np.concatenate([X, X_NEW])))
    assert "_training" not in vars(clone(pipe))
    assert_equal(pickle.loads(pickle.dumps(pipe)).undo_update(), make().fit(X))


@pytest.mark.filterwarnings("ignore:.*new samples are flagged")
@pytest.mark.parametrize(
    ("first", "then"),
    [
        ((100 * X).astype(np.int64), X_NEW),
        (X.astype(np.float32), X_NEW),
        ((20 * X + 100).astype(np.uint8), (100 * X_NEW + 400).astype(np.int64)),
        (X, (100 * X_NEW).astype(np.int64)),
    ],
)
def test_types_of_numbers_are_joined(first, then):
    pipe = make().fit(first).update(then)
    assert_equal(pipe, make().fit(np.concatenate([first, then])), then)
    assert_equal(pipe.undo_update(), make().fit(first), then)


def test_a_shallow_copy_is_updated_alone():
    pipe = make().fit(X)
    copy.copy(pipe).update(X_NEW)
    assert_equal(pipe, make().fit(X))


def test_samples_of_a_fit_that_failed_are_not_kept():
    pipe = make().fit(X)
    with pytest.raises(ValueError, match="minimum of 2"):
        pipe.fit(X[:1])
    with pytest.raises(AttributeError, match="its last fit failed"):
        pipe.update(X_NEW)


def test_files_without_samples(tmp_path):
    pipe = make().fit(X, detector__groups=DAYS)
    with_samples, without = tmp_path / "a.skgaussad", tmp_path / "b.skgaussad"
    save(pipe, with_samples)
    save(pipe, without, keep_samples=False)
    assert with_samples.stat().st_size > without.stat().st_size + X.nbytes
    facts = model_info(with_samples)["training_samples"]
    assert facts == {"n_samples": 120, "n_groups": 3, "n_updates": 0, "changed": ""}
    assert model_info(without)["training_samples"] is None
    assert b"2026-11-26" not in without.read_bytes()
    with pytest.raises(AttributeError, match="saved without its training samples"):
        load(without).update(X_NEW, groups="a")
    assert_equal(load(without), pipe)
    # And of a version that did not keep any.
    del pipe._training
    save(pipe, without)
    with pytest.raises(AttributeError, match="by an earlier version"):
        load(without).update(X_NEW)


def test_other_threads_see_the_old_or_the_new_detector():
    first, second = make().fit(X), make().fit(np.concatenate([X, X_NEW]))
    expected = [first.decision_function(X), second.decision_function(X)]
    pipe, others, stop = make().fit(X), [], threading.Event()

    def score():
        while not stop.is_set():
            found = pipe.decision_function(X)
            if not any(np.array_equal(found, one) for one in expected):
                others.append(found)

    threads = [threading.Thread(target=score) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        pipe.update(X_NEW).undo_update()
    stop.set()
    for thread in threads:
        thread.join()
    assert not others


def test_updates_at_once_lose_nothing():
    pipe = make().fit(X)
    threads = [
        threading.Thread(target=pipe.update, args=(X_NEW[10 * i : 10 * i + 10],))
        for i in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pipe.training_samples_["name"]) == 150


@pytest.mark.parametrize(
    ("shift", "n_new", "is_told"), [(0, 40, False), (6, 40, True), (6, 1, True)]
)
def test_new_samples_that_look_like_defects_are_told(shift, n_new, is_told):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    pipe = DetectorPipeline([("detector", MahalanobisDetector(fpr=0.005))]).fit(X)
    new = rng.normal(size=(n_new, 4)) + shift
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipe.update(new)
    told = [
        str(w.message) for w in caught if "flagged by the model of" in str(w.message)
    ]
    assert len(told) == is_told
    if is_told:
        assert f"{n_new} of the {n_new} new samples" in told[0]
        assert "set to flag 0.5 % of good ones" in told[0]


def test_new_samples_are_told_of_where_they_are_images():
    images = make_textures(36, 0, size=64, random_state=0).images
    settings = {**SETTINGS, "image_size": 64, "levels": 4, "pooling": 2}
    pipe = make_detector(**settings).fit(list(images[:30]))
    with pytest.warns(FalseAlarmRateWarning, match="of the 6 new samples are flagged"):
        pipe.update(list(255 - images[30:]))
