"""Tests of a detector of tiles: its calibration by images, its finds and its maps."""

import pickle

import joblib
import numpy as np
import pytest
from PIL import Image
from scipy.stats import betabinom
from sklearn.base import clone, is_outlier_detector
from sklearn.covariance import LedoitWolf
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import KFold
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import estimator_checks, get_tags

from skgaussad import (
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    NegatedPCA,
    TiledDetector,
)
from skgaussad.datasets import make_textures
from skgaussad.detectors import p_values
from skgaussad.exceptions import FalseAlarmRateWarning, InvalidImageError
from skgaussad.features import LazyImages, TileGrid
from skgaussad.inspection import anomaly_maps, split_distance

few_images = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)
DEFECT = 4


def make_transformer(levels=2, **settings):
    settings = {"image_size": 32, "device": "cpu", "weights": None, **settings}
    return DeepFeatureTransformer("test_resnet", levels=levels, **settings)


def make_detector(*steps, levels=2, **settings):
    steps = steps or (MahalanobisDetector(),)
    return TiledDetector(make_pipeline(make_transformer(levels), *steps), **settings)


@pytest.fixture(scope="module")
def normal():
    """Pictures of two sizes."""
    rng = np.random.default_rng(0)
    sizes = [(60, 50)] * 10 + [(40, 80)] * 4
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


@pytest.fixture(scope="module")
def tested():
    rng = np.random.default_rng(1)
    sizes = [(60, 50), (40, 80), (33, 32)]
    return [rng.integers(60, 140, (*size, 3), dtype=np.uint8) for size in sizes]


def cut(image, tile_size=(32, 32), overlap=0.25):
    grid = TileGrid.covering(image.shape[:2], tile_size, overlap)
    return [image[grid.box(index)] for index in range(len(grid))]


# Scores


@few_images
def test_score_is_that_of_the_worst_tile(normal, tested):
    detector = make_detector(levels=[2, 4], tile_size=(24, 32)).fit(normal)
    pipe = detector.tile_estimator_
    by_hand = [-pipe.score_samples(cut(image, (24, 32))) for image in tested]
    scores = detector.score_samples(tested)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, [-d.max() for d in by_hand], rtol=1e-5)
    distances = detector.tile_distances(tested)
    boxes = detector.worst_tiles(tested)
    for image, found, expected, box in zip(
        tested, distances, by_hand, boxes, strict=True
    ):
        grid = TileGrid.covering(image.shape[:2], (24, 32), 0.25)
        assert found.shape == grid.shape
        np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5)
        top, left, bottom, right = box
        assert (bottom - top, right - left) == (24, 32)
        worst = image[top:bottom, left:right]
        distance = -pipe.score_samples([worst])[0]
        np.testing.assert_allclose(distance, expected.max(), rtol=1e-5)
    labels = np.where(scores >= detector.offset_, 1, -1)
    np.testing.assert_array_equal(detector.predict(tested), labels)


@few_images
@pytest.mark.parametrize("with_cache", [False, True])
def test_tiles_are_standardized_by_their_image(normal, tested, with_cache, tmp_path):
    cache = tmp_path if with_cache else None
    standardized, plain = (
        TiledDetector(
            make_pipeline(
                make_transformer(standardize_intensity=value, cache=cache),
                MahalanobisDetector(),
            )
        )
        for value in (True, False)
    )
    by_hand = [
        [
            np.clip((image - image.mean()) / image.std() * 0.2 + 0.5, 0, 1).astype(
                np.float32
            )
            for image in some
        ]
        for some in (normal, tested)
    ]
    plain.fit(by_hand[0])
    expected = plain.tile_distances(by_hand[1])
    found = standardized.fit(normal).tile_distances(tested)
    for some, others in zip(found, expected, strict=True):
        np.testing.assert_allclose(some, others, rtol=1e-3)
    for some, others in zip(
        anomaly_maps(standardized, tested), anomaly_maps(plain, by_hand[1]), strict=True
    ):
        np.testing.assert_allclose(some, others, atol=1e-3 * np.abs(others).max())


@few_images
def test_model_is_that_of_all_tiles(normal):
    detector = make_detector().fit(normal)
    tiles = [tile for image in normal for tile in cut(image)]
    reference = LedoitWolf().fit(make_transformer().fit_transform(tiles).astype(float))
    gaussian = detector.tile_estimator_[-1]
    np.testing.assert_allclose(gaussian.location_, reference.location_, rtol=1e-4)
    np.testing.assert_allclose(
        gaussian.covariance_, reference.covariance_, rtol=1e-3, atol=1e-6
    )


@few_images
@pytest.mark.parametrize("chunk", [1, 7, 10**6])
def test_scores_do_not_depend_on_the_chunks(normal, tested, chunk, monkeypatch):
    detector = make_detector().fit(normal)
    expected = detector.score_samples(tested)
    monkeypatch.setitem(TiledDetector._stream_tiles.__globals__, "_CHUNK", chunk)
    np.testing.assert_allclose(detector.score_samples(tested), expected, rtol=1e-5)


@few_images
def test_tile_size_is_the_input_of_the_network(normal):
    transformer = make_transformer(image_size=(24, 40))
    detector = TiledDetector(make_pipeline(transformer, MahalanobisDetector()))
    assert detector.fit(normal).tile_size_ == (24, 40)
    detector.set_params(tile_size=30)
    assert detector.fit(normal).tile_size_ == (30, 30)


@few_images
def test_image_smaller_than_a_tile_is_a_tile(normal):
    detector = make_detector(tile_size=45).fit(normal)
    small = np.random.default_rng(3).integers(0, 256, (20, 60), dtype=np.uint8)
    assert detector.tile_distances([small])[0].shape == (1, 2)
    boxes = detector.worst_tiles([small, small[:, :45]])
    np.testing.assert_array_equal(boxes[1], [0, 0, 20, 45])


# The working point


def held_out_by_refits(detector, images, groups):
    """The greatest distance of a tile of each image, by fits without its group."""
    expected = []
    for image, group in zip(images, groups, strict=True):
        others = [
            tile
            for other, its_group in zip(images, groups, strict=True)
            if its_group != group
            for tile in cut(other)
        ]
        pipe = clone(detector.estimator).fit(others)
        expected.append(-pipe.score_samples(cut(image)).min())
    return expected


PIPELINES = {
    "exact": [MahalanobisDetector()],
    "exact, another covariance": [MahalanobisDetector("oas")],
    "refits": [NegatedPCA(0.5), MahalanobisDetector()],
    "another detector": [LocalOutlierFactor(novelty=True, n_neighbors=10)],
}


@few_images
@pytest.mark.parametrize("name", PIPELINES)
def test_calibration_leaves_out_whole_images(normal, name):
    images = normal[:8]
    detector = make_detector(*PIPELINES[name]).fit(images)
    expected = held_out_by_refits(detector, images, range(8))
    np.testing.assert_allclose(detector.calibration_distances_, expected, rtol=1e-4)
    # Of too few images it is the largest.
    assert detector.offset_ == -detector.calibration_distances_.max()
    farther = np.array(expected) >= -detector.score_samples(normal)[8]
    assert p_values(detector, normal[8:9]) == pytest.approx((1 + farther.sum()) / 9)


@few_images
@pytest.mark.parametrize("name", ["exact", "refits"])
def test_calibration_leaves_out_groups_of_images(normal, name):
    images, groups = normal[:8], np.array(list("aabbbccc"))
    detector = make_detector(*PIPELINES[name])
    detector.fit(images, groups=groups)
    expected = held_out_by_refits(detector, images, groups)
    np.testing.assert_allclose(detector.calibration_distances_, expected, rtol=1e-4)
    assert detector._held_out.n_units == 3


@few_images
def test_exact_calibration_of_an_ensemble(normal):
    features = make_transformer([1, 2]).set_output(transform="pandas")
    detector = TiledDetector(make_pipeline(features, LevelEnsemble())).fit(normal[:8])
    expected = held_out_by_refits(detector, normal[:8], range(8))
    np.testing.assert_allclose(detector.calibration_distances_, expected, rtol=1e-4)
    assert detector.score_samples(normal[8:]).shape == (6,)


@few_images
@pytest.mark.parametrize("cv", [4, KFold(4, shuffle=True, random_state=0)])
def test_calibration_by_folds_of_images(normal, cv):
    with joblib.parallel_config("threading"):
        detector = make_detector(cv=cv, n_jobs=2).fit(normal)
    splitter = KFold(4, shuffle=True, random_state=0)
    for train, test in splitter.split(normal):
        tiles = [tile for row in train for tile in cut(normal[row])]
        pipe = clone(detector.estimator).fit(tiles)
        for row in test:
            np.testing.assert_allclose(
                detector.calibration_distances_[row],
                -pipe.score_samples(cut(normal[row])).min(),
                rtol=1e-4,
            )


@few_images
def test_steps_are_fitted_to_all_tiles_with_a_memory(normal, tested, tmp_path):
    plain = make_detector(NegatedPCA(0.5), MahalanobisDetector(), cv=3)
    expected = plain.fit(normal).score_samples(tested)
    plain.set_params(estimator__memory=str(tmp_path))
    found = plain.fit(normal).score_samples(tested)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@few_images
def test_false_alarms_are_of_images_not_of_tiles():
    """Four tiles may each exceed a threshold, and the image has one rate."""
    X = make_textures(400, 0, size=64, random_state=0).images
    detector = make_detector(levels=1, overlap=0, fpr=0.1).fit(X[:100])
    distances = -detector.score_samples(X[100:])
    n_alarms = np.count_nonzero(detector.predict(X[100:]) == -1)
    # Over training sets the number of alarms follows a beta-binomial law.
    rank = np.ceil(0.9 * 101)
    low, high = betabinom.ppf([0.005, 0.995], 300, 101 - rank, rank)
    assert low <= n_alarms <= high
    # At the threshold of a tile they would be many more.
    tiles = detector.tile_estimator_[0].transform(
        [tile for image in X[:100] for tile in cut(image, overlap=0)]
    )
    of_tile = MahalanobisDetector(fpr=0.1).fit(tiles)
    assert np.count_nonzero(distances > -of_tile.offset_) > 2 * high


def test_too_few_images_are_warned_of_once(normal):
    with pytest.warns(FalseAlarmRateWarning, match="at least 19 .* there are 14") as w:
        make_detector().fit(normal)
    assert len(w) == 1
    with pytest.warns(FalseAlarmRateWarning) as w:
        make_detector(NegatedPCA(0.5), MahalanobisDetector()).fit(normal)
    assert len(w) == 1
    assert w[0].filename == __file__


# Small defects in large images


@pytest.fixture(scope="module")
def textures():
    """Good pictures, and copies of some with a square of few pixels."""
    good = make_textures(32, 0, size=192, random_state=0).images
    bad = good[-8:].copy()
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 192 - DEFECT, (8, 2))
    for image, (top, left) in zip(bad, corners, strict=True):
        image[top : top + DEFECT, left : left + DEFECT] = 0
    return good, bad, corners


@pytest.fixture(scope="module")
def pretrained():
    transformer = DeepFeatureTransformer(levels=5, image_size=64, device="cpu")
    return Pipeline([("features", transformer), ("detector", MahalanobisDetector())])


@pytest.fixture(scope="module")
def fitted(textures, pretrained):
    return TiledDetector(pretrained, overlap=0.1).fit(textures[0][:24])


def test_defects_of_few_pixels_are_found_by_tiles_only(textures, pretrained, fitted):
    good, bad, _ = textures
    whole = clone(pretrained).fit(good[:24])
    rank_of_whole = whole.score_samples(bad)[:, None] < whole.score_samples(good[24:])
    assert rank_of_whole.mean() < 0.8
    assert (fitted.predict(bad) == -1).all()
    assert (fitted.predict(good[24:]) == 1).sum() >= 7


def test_worst_tile_and_map_show_the_defect(textures, fitted):
    _, bad, corners = textures
    maps = anomaly_maps(fitted, bad)
    boxes = fitted.worst_tiles(bad)
    for drawn, box, (top, left) in zip(maps, boxes, corners, strict=True):
        assert drawn.shape == (192, 192)
        middle = np.array([top, left]) + DEFECT / 2
        assert (box[:2] <= middle).all() and (middle <= box[2:]).all()
        peak = np.array(np.unravel_index(drawn.argmax(), drawn.shape))
        # A position of the feature map is 16 pixels wide.
        assert np.abs(peak - middle).max() <= 24


# Maps


@few_images
def test_map_is_the_maximum_of_the_maps_of_tiles(normal, tested):
    detector = make_detector(levels=[1, 2]).fit(normal)
    maps = anomaly_maps(detector, tested)
    pipe = detector.tile_estimator_
    unit = pipe[-1].offset_ ** 2 / detector.offset_**2
    for image, drawn in zip(tested, maps, strict=True):
        grid = TileGrid.covering(image.shape[:2], (32, 32), 0.25)
        expected = np.full(image.shape[:2], -np.inf)
        of_tiles = anomaly_maps(pipe, cut(image))
        for index, of_tile in enumerate(of_tiles):
            box = grid.box(index)
            expected[box] = np.maximum(expected[box], of_tile * unit)
        assert drawn.dtype == np.float32
        np.testing.assert_allclose(
            drawn, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()
        )
    resized = anomaly_maps(detector, tested, size=(20, 30))
    assert [drawn.shape for drawn in resized] == [(20, 30)] * 3
    for drawn, small in zip(maps, resized, strict=True):
        expected = Image.fromarray(drawn).resize((30, 20), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(small, expected, rtol=1e-4, atol=1e-4)


@few_images
def test_map_of_a_single_tile_has_its_distance_as_mean(normal):
    detector = make_detector(levels=1).fit(normal)
    X = [image[:32, :32] for image in normal[:3]]
    for image, drawn in zip(X, anomaly_maps(detector, X), strict=True):
        squared = detector.score_samples([image])[0] ** 2 / detector.offset_**2
        assert drawn.mean() == pytest.approx(squared, rel=0.05)


@few_images
def test_distance_of_tiles_is_not_split(normal):
    detector = make_detector().fit(normal)
    with pytest.raises(ValueError, match="got TiledDetector"):
        split_distance(detector, normal[:1])
    split = split_distance(detector.tile_estimator_, normal[0][np.newaxis, :32, :32])
    assert split.totals.shape == (1,)


def test_maps_of_a_detector_that_is_not_fitted(tested):
    with pytest.raises(NotFittedError):
        anomaly_maps(make_detector(), tested)


# Images and errors


class Lazy(LazyImages):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


@few_images
@pytest.mark.parametrize("kind", ["paths", "pil", "lazy"])
def test_images_of_all_kinds(normal, tested, kind, tmp_path):
    expected = make_detector().fit(normal).score_samples(tested)

    def convert(images, name):
        if kind == "lazy":
            return Lazy(images)
        pictures = [Image.fromarray(image) for image in images]
        if kind == "pil":
            return pictures
        paths = [tmp_path / f"{name}{i}.png" for i in range(len(images))]
        for path, picture in zip(paths, pictures, strict=True):
            picture.save(path)
        return paths

    detector = make_detector().fit(convert(normal, "normal"))
    found = detector.score_samples(convert(tested, "tested"))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@few_images
def test_features_of_tiles_are_cached(normal, tested, tmp_path):
    expected = make_detector().fit(normal).score_samples(tested)
    detector = make_detector()
    detector.set_params(estimator__deepfeaturetransformer__cache=tmp_path)
    for _ in range(2):
        found = detector.fit(normal).score_samples(tested)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@few_images
def test_bad_image_is_named_by_its_position(normal, tested, tmp_path):
    path = tmp_path / "bad.png"
    path.write_bytes(b"no image")
    detector = make_detector().fit(normal)
    for call in (detector.fit, detector.score_samples, detector.worst_tiles):
        with pytest.raises(InvalidImageError, match=r"^X\[2\] \('.*bad.png'\)"):
            call([*tested[:2], path])
    detector = make_detector().fit(normal)
    with pytest.raises(InvalidImageError, match=r"^X\[2\] \('.*bad.png'\)"):
        anomaly_maps(detector, [*tested[:2], path])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tile_size": 0}, r"tile_size must be a positive integer.*got 0\."),
        ({"tile_size": (3,)}, r"tile_size must .* got \(3,\)"),
        ({"tile_size": 2.5}, r"tile_size must .* got 2\.5"),
        ({"tile_size": "32"}, r"tile_size must .* got '32'"),
        ({"overlap": 1}, r"overlap must be a number in \[0, 1\); got 1"),
        ({"overlap": -0.1}, r"overlap must be a number in \[0, 1\); got -0.1"),
        ({"fpr": 0}, "fpr must be"),
        ({"threshold": "chi2"}, "threshold must be one of"),
        ({"cv": 2.5}, "cv"),
        ({"estimator": MahalanobisDetector()}, "estimator must be a Pipeline"),
        ({"estimator": make_pipeline(make_transformer())}, "estimator must be"),
        (
            {"estimator": make_pipeline(NegatedPCA(), MahalanobisDetector())},
            "begins with a DeepFeatureTransformer",
        ),
        (
            {"estimator__deepfeaturetransformer__ignore": (0, 0, 0.1, 1)},
            "ignore of the DeepFeatureTransformer",
        ),
        ({"estimator__deepfeaturetransformer__crop_pct": 0.9}, "Set crop_pct=None"),
    ],
    ids=str,
)
def test_what_is_refused(normal, settings, message):
    with pytest.raises(ValueError, match=message):
        make_detector().set_params(**settings).fit(normal)


def test_one_image_is_too_few(normal):
    with pytest.raises(ValueError, match="minimum of 2 is required by TiledDetector"):
        make_detector().fit(normal[:1])


# Conventions of scikit-learn


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_mixin_order,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_set_params,
        estimator_checks.check_valid_tag_types,
    ],
)
def test_estimator_checks_that_need_no_matrix(check):
    """Scikit-learn leaves these out for estimators that take no feature matrix."""
    check("TiledDetector", make_detector())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_estimator_checks_that_run_for_images():
    results = estimator_checks.check_estimator(make_detector(), on_skip=None)
    assert results
    assert {result["status"] for result in results} == {"passed"}


@few_images
def test_contract(normal, tested, tmp_path):
    detector = make_detector()
    assert is_outlier_detector(detector)
    tags = get_tags(detector)
    assert tags.input_tags.three_d_array and not tags.input_tags.two_d_array
    with pytest.raises(NotFittedError):
        detector.score_samples(tested)
    estimator = detector.estimator
    assert detector.fit(normal, y=np.ones(14)) is detector
    assert not hasattr(estimator[-1], "offset_")
    assert estimator[-1].threshold == "quantile"
    expected = detector.score_samples(tested)
    joblib.dump(detector, tmp_path / "detector.joblib")
    for copy in (
        clone(detector).fit(normal),
        pickle.loads(pickle.dumps(detector)),
        joblib.load(tmp_path / "detector.joblib"),
    ):
        np.testing.assert_allclose(copy.score_samples(tested), expected, rtol=1e-5)
        assert copy.offset_ == pytest.approx(detector.offset_, rel=1e-5)
    for row, image in enumerate(tested):
        assert detector.score_samples([image]) == pytest.approx(expected[row])


@few_images
def test_progress_bar_counts_images(normal, tested, capsys):
    detector = make_detector(verbose=True).fit(normal)
    assert "14/14" in capsys.readouterr().err
    detector.score_samples(tested)
    shown = capsys.readouterr()
    assert "tiles: 100%" in shown.err and "3/3" in shown.err
    assert not shown.out
    detector.set_params(verbose=False).score_samples(tested)
    assert not capsys.readouterr().err
