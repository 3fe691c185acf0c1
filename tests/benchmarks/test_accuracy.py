import sys

import _accuracy_prototypes as prototypes
import accuracy
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import uniform_filter
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold

from skgaussad import CellwiseMahalanobisDetector, DeepFeatureTransformer
from skgaussad.datasets import make_textures

# Few images support no rate.
pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)

METHOD = "cells level 6 top 0.05"


@pytest.fixture
def maps():
    return np.random.default_rng(0).normal(size=(30, 4, 5, 6)) ** 3


@pytest.fixture(scope="module")
def textures(tmp_path_factory):
    """Folder in the layout of MVTec AD, with normal images in both splits."""
    data = make_textures(20, 8, size=48, random_state=0)
    normal, anomalous = (data.images[data.labels == label] for label in (1, -1))
    root = tmp_path_factory.mktemp("data") / "textures"
    parts = {"train/good": normal[5:], "test/good": normal[:5], "test/bad": anomalous}
    for name, images in parts.items():
        (root / name).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(root / name / f"{number:03d}.png")
    return root


def run(monkeypatch, root, out, *options):
    """Run the study on the folder; return its figures."""
    arguments = ["--quiet", "--out", str(out), "--folder", str(root)]
    arguments += ["--sets", "textures", "--methods", "cells level 6 grid 7"]
    monkeypatch.setattr(sys, "argv", ["accuracy.py", *arguments, *options])
    status = accuracy.main()
    return status, pd.read_csv(out / "figures.csv")


@pytest.mark.slow
def test_figures_are_those_of_pipelines_and_kept(monkeypatch, textures, tmp_path):
    _, first = run(monkeypatch, textures, tmp_path, "--folds", "0", "1")
    normal, anomalous = (
        [str(path) for name in names for path in sorted((textures / name).iterdir())]
        for names in (("test/good", "train/good"), ("test/bad",))
    )
    transformer = DeepFeatureTransformer(pooling=7).fit(normal)
    normal, anomalous = map(transformer.transform, (normal, anomalous))
    splitters = {"random": KFold(5, shuffle=True, random_state=0), "file": KFold(5)}
    for order, splitter in splitters.items():
        rows = first[(first["method"] == METHOD) & (first["order"] == order)]
        splits = list(splitter.split(normal))[:2]
        for value, (train, test) in zip(rows["auroc"], splits, strict=True):
            detector = CellwiseMahalanobisDetector(cells=49).fit(normal[train])
            scores = detector.score_samples(np.vstack([normal[test], anomalous]))
            auroc = roc_auc_score(np.arange(len(scores)) < len(test), scores)
            # The study keeps maps in float16; one pair ranked otherwise is 3 points.
            assert value == pytest.approx(100 * auroc, abs=4)

    status, more = run(monkeypatch, textures, tmp_path)
    assert status == 0
    assert (more.groupby(["order", "fold", "method"]).size() == 1).all()
    pd.testing.assert_frame_equal(more[: len(first)], first)
    assert set(more["fold"]) == set(range(5))


@pytest.mark.slow
def test_reference_that_differs_fails(monkeypatch, textures, tmp_path, capsys):
    _, table = run(monkeypatch, textures, tmp_path)
    chosen = (table["method"] == METHOD) & (table["order"] == "random")
    mean = table[chosen]["auroc"].mean()
    for offset, status in ((0.1, 0), (0.3, 1)):
        reference = tmp_path / "reference.csv"
        reference.write_text(
            f"set,method,auroc_mean\n# by hand\ntextures,{METHOD},{mean + offset}\n"
        )
        options = ("--reference", str(reference))
        assert run(monkeypatch, textures, tmp_path, *options)[0] == status
        assert f"difference {-offset:+.2f}" in capsys.readouterr().out


def test_position_gaussians_are_those_of_scikit_learn(maps):
    residuals = prototypes.PositionGaussians().fit(maps[:20]).residuals(maps[20:])
    at_position = LedoitWolf().fit(maps[:20, 2, 3])
    expected = np.sqrt(at_position.mahalanobis(maps[20:, 2, 3]))
    np.testing.assert_allclose(residuals[:, 2, 3], expected)


def test_whitening_by_channels_makes_their_covariance_the_identity():
    """Residuals do not change when channels are mixed."""
    maps = np.random.default_rng(1).normal(size=(4000, 2, 2, 3))
    mixing = np.array([[1.0, 2, 0], [0, 3, 1], [1, 0, 2]])
    residuals = [
        prototypes.WhitenedGaussian("channels").fit(some).residuals(some)
        for some in (maps, maps @ mixing)
    ]
    np.testing.assert_allclose(*residuals, rtol=0.05)


def test_smoothing_averages_neighbours_inside(maps):
    residuals = maps[..., 0]
    smoothed = prototypes.smooth(residuals)
    filtered = uniform_filter(residuals, (1, 3, 3))
    np.testing.assert_allclose(smoothed[:, 1:-1, 1:-1], filtered[:, 1:-1, 1:-1])
    np.testing.assert_allclose(
        smoothed[:, 0, 0], residuals[:, :2, :2].mean(axis=(1, 2))
    )


def test_geometric_mean_lies_between(maps):
    joint, own, mean = (
        model.fit(maps).residuals(maps)
        for model in (
            prototypes.CellwiseGaussian(),
            prototypes.PositionGaussians(),
            prototypes.GeometricMean(0.25),
        )
    )
    np.testing.assert_allclose(np.log(mean), 0.75 * np.log(joint) + 0.25 * np.log(own))
