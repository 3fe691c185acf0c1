import json
import re

import _paper_figures
import _paper_protocol
import numpy as np
import paper
import pytest
from PIL import Image
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold

from skgaussad import DeepFeatureTransformer
from skgaussad.datasets import make_textures

# The tables are made of scores; a dozen images support no rate.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning"),
]

BACKBONE = "tf_efficientnet_lite0"


def save(images, folder):
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03d}.png")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two categories; the second has no normal images in its test set."""
    root = tmp_path_factory.mktemp("data")
    for seed, category in enumerate(("checks", "stripes")):
        data = make_textures(25, 6, size=48, random_state=seed)
        normal = data.images[data.labels == 1]
        save(normal[:15], root / category / "train" / "good")
        save(data.images[data.labels == -1], root / category / "test" / "defect")
        if category == "checks":
            save(normal[15:], root / category / "test" / "good")
    return root


@pytest.fixture(scope="module")
def printed(root, tmp_path_factory):
    """Output of a first run, and the folder of its figures."""
    import contextlib
    import io

    work = tmp_path_factory.mktemp("work")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        run(root, work, 1, 3, 4, 5, 8)
    return out.getvalue(), work


def run(root, work, *tables):
    numbers = [str(table) for table in tables]
    arguments = ["--data", str(root), "--work", str(work), "--quiet", "--backbone"]
    return paper.main([*arguments, BACKBONE, "--table", *numbers])


def level_features(paths):
    transformer = DeepFeatureTransformer(BACKBONE, levels="all").fit(paths)
    return transformer.transform(paths), transformer.level_slices_


def test_aurocs_equal_a_hand_written_loop(root, printed):
    _, work = printed
    by_category = []
    for category in ("checks", "stripes"):
        folder = root / category
        train = sorted(map(str, (folder / "train" / "good").iterdir()))
        test = sorted(map(str, folder.glob("test/*/*.png")))
        features, slices = level_features(train + test)
        labels = np.array([1] * len(train) + [-1 if "defect" in p else 1 for p in test])
        folds = []
        splits = list(KFold(5, shuffle=True, random_state=0).split(train))
        for fit, out in splits[:2]:
            rows = np.arange(len(train), len(features))
            if category == "stripes":
                rows = np.concatenate([out, rows])
            distances = [
                np.sqrt(
                    LedoitWolf()
                    .fit(features[fit, part].astype(float))
                    .mahalanobis(features[rows, part].astype(float))
                )
                for part in slices.values()
            ]
            distances.append(np.sum(distances, axis=0))
            folds.append(
                [100 * roc_auc_score(labels[rows] == -1, d) for d in distances]
            )
        by_category.append(folds)
    entries = [
        json.loads(line)
        for line in (work / "figures.jsonl").read_text().splitlines()
        if line
    ]
    found = {
        (entry["key"][0], entry["key"][6]): entry["figures"]
        for entry in entries
        if entry["key"][3:6] == ["auroc", BACKBONE, "mahalanobis"]
    }
    for name, folds in zip(("checks", "stripes"), by_category, strict=True):
        for number, figures in enumerate(folds):
            np.testing.assert_allclose(found[name, number], figures, atol=1.5)


def test_tables_have_the_paper_s_figures(printed):
    tables = printed[0].split("\nTable ")[1:]
    assert [table[0] for table in tables] == list("13458")
    numbers = [re.findall(r"\d+\.\d", table) for table in tables]
    for mean, error in _paper_figures.TABLE_1["mahalanobis"]:
        assert {f"{mean:.1f}", f"{error:.1f}"} <= set(numbers[0])
    assert {"30.4", "89.1"} <= set(numbers[2])
    for table, name in zip(
        tables[1:], ("NPCA 0.01%", "", "oc-SVM", "checks"), strict=True
    ):
        assert name in table


def test_a_resumed_run_computes_nothing_again(root, printed, monkeypatch, capsys):
    out, work = printed
    with (work / "figures.jsonl").open("a") as log:
        log.write('\n{"key": ["checks", "an interrupted li')

    def fail(*args, **kwargs):
        raise AssertionError("computed again")

    monkeypatch.setattr(_paper_protocol.Protocol, "fit_fold", fail)
    monkeypatch.setattr(_paper_protocol.Protocol, "level_features", fail)
    assert run(root, work, 1, 3, 4, 5, 8) == 0
    assert capsys.readouterr().out == out


def test_an_interrupted_run_keeps_what_was_done(tmp_path):
    store = _paper_protocol.Store(tmp_path)
    assert store.figures(("a", 1), lambda: [1.0]) == [1.0]
    with (tmp_path / "figures.jsonl").open("a") as log:
        log.write('\n{"key": ["a", 2], "fig')
    again = _paper_protocol.Store(tmp_path)
    assert again.figures(("a", 1), lambda: [2.0]) == [1.0]
    assert again.figures(("a", 2), lambda: [3.0]) == [3.0]
    assert _paper_protocol.Store(tmp_path).figures(("a", 2), list) == [3.0]


def test_augmented_copies_enlarge_the_training_set_only(root, tmp_path, capsys):
    plain = ["--data", str(root / "checks"), "--backbone", BACKBONE, "--table", "4"]
    plain += ["--quiet", "--work", str(tmp_path)]
    assert paper.main(plain) == 0
    assert paper.main([*plain, "--augmented-epochs", "3"]) == 0
    arrays = [np.load(path)["features"] for path in sorted(tmp_path.glob("*.npz"))]
    short, long = sorted(arrays, key=len)
    assert len(short) == 15 + 16
    assert len(long) == 3 * 15 + 16
    np.testing.assert_allclose(long[:15], short[:15], atol=1e-4)
    np.testing.assert_allclose(long[45:], short[15:], atol=1e-4)
    assert (np.abs(long[15:30] - short[:15]).max(axis=1) > 1e-3).all()
    assert "3 epochs" in capsys.readouterr().out


def test_trained_methods_are_in_tables_5_and_8(root, tmp_path, capsys):
    arguments = ["--data", str(root / "checks"), "--backbone", BACKBONE, "--trained"]
    arguments += ["--table", "5", "--training-epochs", "1", "--image-size", "32"]
    assert paper.main([*arguments, "--quiet", "--work", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for name in ("MSE AE map-mean", "MSE AE CCA", "fine-tuned classifier"):
        (row,) = [line for line in out.splitlines() if line.startswith(name)]
        assert 0 <= float(row.removeprefix(name).split()[0]) <= 100


@pytest.mark.parametrize("method", _paper_figures.TABLE_8)
def test_published_means_follow_from_the_published_categories(method):
    figures = _paper_figures.TABLE_8[method]
    assert len(figures) == 15
    summary = paper.summarize({name: [figure] for name, figure in figures.items()})
    assert summary == pytest.approx(_paper_figures.TABLE_5[method], abs=0.06)


def test_folds_are_averaged_before_categories():
    by_category = {"screw": [50.0, 50.0, 50.0, 50.0], "pill": [70.0]}
    assert paper.summarize(by_category) == pytest.approx((60, 10))
    mean, error = paper.summarize({"screw": [50.0, 60.0]})
    assert mean == 55
    assert np.isnan(error)


def test_unknown_folder_ends_with_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        run(tmp_path / "nothing", tmp_path / "work", 1)
