"""The main job in one call."""

import re

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skgaussad import (
    CellwiseMahalanobisDetector,
    DeepFeatureTransformer,
    DetectorPipeline,
    LevelEnsemble,
    MahalanobisDetector,
    PositionDetector,
    load,
    make_detector,
    save,
)
from skgaussad.detectors import p_values
from skgaussad.exceptions import FalseAlarmRateWarning
from skgaussad.inspection import anomaly_maps
from skgaussad.model_selection import NormalKFold, auroc_scorer

SETTINGS = {
    "backbone": "test_resnet",
    "weights": None,
    "image_size": 32,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (30, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def fitted(pictures):
    return make_detector(levels=2, pooling=4, **SETTINGS).fit(pictures)


@pytest.mark.parametrize(
    ("method", "pooling", "detector"),
    [
        ("cells", 4, CellwiseMahalanobisDetector(cells=16, fpr=0.05)),
        ("paper", "average", MahalanobisDetector(fpr=0.05)),
    ],
)
def test_it_is_the_pipeline_written_by_hand(pictures, method, pooling, detector):
    fitted = make_detector(method=method, levels=2, pooling=pooling, **SETTINGS)
    fitted.fit(pictures)
    features = DeepFeatureTransformer(
        levels=2,
        pooling=pooling,
        standardize_intensity=method == "cells",
        **SETTINGS,
    )
    by_hand = Pipeline([("features", features), ("detector", detector)]).fit(pictures)
    np.testing.assert_array_equal(
        fitted.decision_function(pictures), by_hand.decision_function(pictures)
    )


@pytest.mark.parametrize(
    ("method", "pooling", "kind"),
    [
        ("cells", 7, CellwiseMahalanobisDetector),
        ("paper", "average", MahalanobisDetector),
    ],
)
def test_defaults(method, pooling, kind):
    default = make_detector(method=method)
    assert (default[0].levels, default[0].pooling) == ("auto", pooling)
    assert default[0].standardize_intensity == (method == "cells")
    given = make_detector(method=method, standardize_intensity=method != "cells")
    assert given[0].standardize_intensity == (method != "cells")
    assert type(default[1]) is kind
    assert (default[1].threshold, default[1].fpr) == ("quantile", 0.05)
    assert type(make_detector()[1]) is CellwiseMahalanobisDetector


def test_the_default_takes_level_6_in_7_by_7_cells():
    pictures = np.random.default_rng(0).integers(0, 256, (4, 40, 50), dtype=np.uint8)
    detector = make_detector(fpr=0.4, weights=None).fit(pictures)
    assert detector[0].levels_ == (6,)
    assert detector[-1].cells_[:8] == [
        *(f"grid7_r0c{i}" for i in range(7)),
        "grid7_r1c0",
    ]
    assert detector[-1].n_features_in_ == 49 * 112


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "average"}, "pooling must be.*got 'average'.*method='paper'"),
        ({"pooling": [7, 4]}, r"pooling must be the number.*got \[7, 4\]"),
        ({"threshold": "chi2"}, "threshold='chi2'.*one level of method='paper'"),
        (
            {"threshold": "f", "method": "paper", "levels": [6, 7]},
            r"threshold='f'.*levels=\[6, 7\]",
        ),
    ],
    ids=str,
)
def test_what_does_not_go_with_the_method_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make_detector(**settings)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method must be one of 'cells', 'paper'"):
        make_detector(method="cell")


def test_it_forwards_what_a_pipeline_does_not(fitted, pictures):
    detector = fitted[-1]
    assert fitted.offset_ == detector.offset_
    assert fitted.calibration_distances_ is detector.calibration_distances_
    assert fitted.fpr_bound(0.9) == detector.fpr_bound(0.9)
    features = fitted[:-1].transform(pictures)
    np.testing.assert_array_equal(
        fitted.p_values(pictures), detector.p_values(features)
    )
    np.testing.assert_array_equal(fitted.p_values(pictures), p_values(fitted, pictures))
    np.testing.assert_array_equal(
        fitted.predict_batch(pictures, fdr=0.3),
        detector.predict_batch(features, fdr=0.3),
    )
    for drawn, expected in zip(
        fitted.anomaly_maps(pictures[:2], size=(8, 9)),
        anomaly_maps(fitted, pictures[:2], size=(8, 9)),
        strict=True,
    ):
        np.testing.assert_array_equal(drawn, expected)
    assert np.shape(fitted.anomaly_maps(pictures[:2])) == (2, 32, 32)


def test_detectors_of_images_draw_their_own_maps(pictures):
    detector = PositionDetector(DeepFeatureTransformer(levels=2, **SETTINGS))
    pipe = DetectorPipeline([("detector", detector)]).fit(pictures)
    np.testing.assert_array_equal(
        pipe.anomaly_maps(pictures[:1])[0], pipe[-1].anomaly_maps(pictures[:1])[0]
    )


def test_several_levels_are_an_ensemble(pictures):
    several = make_detector(method="paper", levels=[2, 3], fpr=0.1, **SETTINGS)
    several.fit(pictures)
    assert list(several[-1].columns_) == ["level2", "level3"]
    assert several[-1].fpr == 0.1
    cells = LevelEnsemble(columns="cell", aggregation="max", fpr=0.1)
    one = make_detector(detector=cells, levels=2, pooling=2, **SETTINGS).fit(pictures)
    assert len(one[-1].columns_) == 4
    assert one.p_values(pictures).shape == (30,)


@pytest.mark.parametrize(
    "point", [{"fpr": 0.01}, {"threshold": "tail"}, {"confidence": 0.9}], ids=str
)
def test_a_working_point_beside_a_detector_is_refused(point):
    with pytest.raises(ValueError, match="no effect beside detector=Mahalanobis"):
        make_detector(detector=MahalanobisDetector(), **point)


def test_scikit_learn_takes_it(pictures, tmp_path):
    detector = make_detector(levels=2, pooling=2, fpr=0.1, **SETTINGS)
    y = np.repeat([1, -1], [26, 4])
    search = GridSearchCV(
        detector,
        {"features__levels": [2, 3]},
        scoring=auroc_scorer,
        cv=NormalKFold(2),
        refit=False,
    ).fit(pictures, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert isinstance(clone(detector), DetectorPipeline)
    assert isinstance(detector[:1], DetectorPipeline)
    assert not hasattr(detector, "offset_")
    fitted = detector.fit(pictures)
    save(fitted, tmp_path / "model.skgaussad")
    loaded = load(tmp_path / "model.skgaussad")
    assert isinstance(loaded, DetectorPipeline)
    np.testing.assert_array_equal(loaded.p_values(pictures), fitted.p_values(pictures))
    from sklearn import config_context

    with config_context(enable_metadata_routing=True):
        assert detector.fit(pictures).offset_ == fitted.offset_


def test_a_sample_that_sets_the_threshold_alone_is_named(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(100, 120, (12, 32, 32, 3), dtype=np.uint8)
    images[7, 8:16, 8:16] = 255
    paths = [tmp_path / f"{number}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    detector = make_detector(method="paper", levels=2, fpr=0.1, **SETTINGS)
    for X, name in ((paths, re.escape(str(paths[7]))), (images, r"X\[7\]")):
        with pytest.warns(FalseAlarmRateWarning, match=f"{name} alone sets"):
            detector.fit(X)
        largest = np.sort(detector.calibration_distances_)[-2:]
        assert largest[1] > 1.5 * largest[0]
        assert np.argmax(detector.calibration_distances_) == 7
    # Without it none does.
    detector.fit([*paths[:7], *paths[8:]])


def test_an_unknown_parameter_is_one_of_the_function_called():
    with pytest.raises(TypeError, match=r"make_detector\(\) got an .* 'fprr'"):
        make_detector(fprr=0.1)


def test_one_image_is_too_few(pictures):
    with pytest.raises(ValueError, match="at least two normal images; got one"):
        make_detector(**SETTINGS, levels=4, pooling=1).fit(pictures[:1])
