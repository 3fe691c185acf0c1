import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skgaussad import load
from skgaussad._utils.score_table import score_rows
from skgaussad.commands import _outputs, _scoring
from skgaussad.detectors import p_values
from skgaussad.inspection import anomaly_maps
from skgaussad.inspection._map_colors import color_map

COLUMNS = ["path", "distance", "threshold_ratio", "p_value", "label", "error"]


@pytest.fixture
def expected(parts, model):
    """What the pipeline itself says of the new images."""
    paths = sorted(map(str, (parts / "new").rglob("*.png")))
    pipe = load(model)
    distances = -pipe.score_samples(paths)
    return pd.DataFrame(
        {
            "path": paths,
            "distance": distances,
            "threshold_ratio": distances / -pipe[-1].offset_,
            "p_value": p_values(pipe, paths),
            "label": pipe.predict(paths),
        }
    )


def check(table, expected):
    assert list(table) == COLUMNS
    assert table["error"].isna().all()
    for name in expected:
        if expected[name].dtype == float:
            np.testing.assert_allclose(table[name], expected[name], rtol=1e-6)
        else:
            assert table[name].tolist() == expected[name].tolist()


@pytest.mark.parametrize(
    ("name", "options", "read"),
    [
        ("a.csv", [], pd.read_csv),
        ("a.csv", ["--json"], lambda path: pd.read_json(path, lines=True)),
        ("a.jsonl", [], lambda path: pd.read_json(path, lines=True)),
        ("a", ["--csv"], pd.read_csv),
        ("a.parquet", [], pd.read_parquet),
        ("a", ["--parquet"], pd.read_parquet),
    ],
)
def test_files_hold_what_the_pipeline_says(
    run, parts, model, expected, tmp_path, name, options, read
):
    output = tmp_path / name
    options = [*options, "--quiet"]
    result = run("score", model, parts / "new", "-o", output, *options)
    assert result == (0, "", "")
    table = read(output)
    check(table, expected)
    assert {1, -1} == set(table["label"])
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("option", ["--csv", "--json"])
def test_standard_output(run, parts, model, expected, tmp_path, option):
    status, out, err = run("score", model, parts / "new", option)
    assert status == 0
    assert "11/11" in err, "a progress bar that reached the end"
    path = tmp_path / "out"
    path.write_text(out)
    check(
        pd.read_csv(path) if option == "--csv" else pd.read_json(path, lines=True),
        expected,
    )


def test_chunks_do_not_show(run, parts, model, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(_scoring, "_CHUNK", 3)
    monkeypatch.setattr(_outputs, "_ROW_GROUP", 4)
    output = tmp_path / "a.parquet"
    assert run("score", model, parts / "new", "-o", output, "--quiet")[0] == 0
    check(pd.read_parquet(output), expected)


def test_an_image_goes_through_the_network_once(run, parts, model, monkeypatch):
    from skgaussad.features._extraction import Extractor

    seen = []
    features = Extractor._features

    def count(self, batch):
        seen.append(len(batch))
        return features(self, batch)

    monkeypatch.setattr(Extractor, "_features", count)
    assert run("score", model, parts / "new")[0] == 0
    assert sum(seen) == 11


def test_exit_status_of_anomalies(run, parts, model, expected):
    paths = expected.groupby("label")["path"].first()
    options = ["--quiet", "--anomaly-status", 3]
    anomalous = paths[-1]
    assert run("score", model, anomalous, *options)[0] == 3
    assert run("score", model, anomalous)[0] == 0
    assert run("score", model, paths[1], *options)[0] == 0


def test_images_above_the_threshold_are_anomalous(model, expected):
    scorer = _scoring.Scorer(model)
    paths = expected["path"].tolist()[:1]
    (row,) = scorer.score(paths)
    for threshold, label in [
        (row["distance"], 1),
        (np.nextafter(row["distance"], 0), -1),
    ]:
        scorer.threshold = threshold
        assert scorer.score(paths)[0]["label"] == label


def test_no_ratio_of_a_negative_threshold():
    """As of a OneClassSVM, where a ratio above 1 would be normal."""
    normal, anomalous = score_rows(["a.png", "b.png"], [-3.0, -1.0], -2.0, [0.5, 0.1])
    assert (normal["label"], anomalous["label"]) == (1, -1)
    assert normal["threshold_ratio"] is anomalous["threshold_ratio"] is None


def test_types_of_the_columns(run, parts, model, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    output = tmp_path / "a.parquet"
    assert run("score", model, parts / "new", "-o", output, "--quiet")[0] == 0
    types = [str(field.type) for field in parquet.read_schema(output)]
    assert types == ["string", "double", "double", "double", "int8", "string"]


def test_lists_with_spaces_and_unicode(run, parts, model, tmp_path):
    names = ["ä b.png", 'quote", comma.png', "new\nline.png", "return\r.png"]
    for name in names:
        shutil.copy(parts / "good" / "00.png", tmp_path / name)
    listed = "\n".join(str(tmp_path / name) for name in names[:2])
    _, out, _ = run("score", model, "-", "--json", stdin=listed.encode())
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["path"] for row in rows] == [str(tmp_path / name) for name in names[:2]]
    output = tmp_path / "a.csv"
    assert run("score", model, tmp_path, "-o", output, "--quiet")[0] == 0
    with open(output, newline="") as file:
        found = pd.read_csv(file)["path"]
    assert set(found) == {str(tmp_path / name) for name in names}


def test_a_name_that_is_no_text_is_written_and_no_error(run, parts, model, tmp_path):
    path = bytes(tmp_path) + b"/\xff.png"
    shutil.copy(parts / "good" / "00.png", path)
    status, out, _ = run("score", model, tmp_path, "--json")
    assert status == 0
    assert json.loads(out)["path"] == f"{tmp_path}/\\xff.png"


def test_an_empty_list_gives_no_rows(run, model):
    status, out, _ = run("score", model, "-", "--quiet", stdin=b"")
    assert (status, out) == (0, f"{','.join(COLUMNS)}\n")


@pytest.fixture
def with_bad_files(parts, tmp_path):
    """A folder of two images and three files that are none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(parts / "good" / "00.png", folder / "a.png")
    (folder / "b.png").write_bytes((parts / "good" / "00.png").read_bytes()[:300])
    (folder / "c.png").touch()
    (folder / "d.png").symlink_to("nowhere.png")
    shutil.copy(parts / "good" / "01.png", folder / "e.png")
    return folder


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_record_records_bad_files(run, model, with_bad_files, tmp_path, name):
    output = tmp_path / name
    status, _, err = run(
        "score", model, with_bad_files, "--on-error", "record", "-o", output, "--quiet"
    )
    assert status == 0
    assert err == (
        "skgaussad: 3 of 5 images could not be used; the column error says why.\n"
    )
    read = {
        "csv": pd.read_csv,
        "jsonl": lambda path: pd.read_json(path, lines=True),
        "parquet": pd.read_parquet,
    }[name.partition(".")[2]]
    table = read(output)
    assert table["distance"].isna().tolist() == [False, True, True, True, False]
    assert table["label"].isna().tolist() == [False, True, True, True, False]
    assert table["error"].isna().tolist() == [True, False, False, False, True]
    for message, part in zip(
        table["error"][1:4], ["decoding failed", "empty file", "not exist"], strict=True
    ):
        assert part in message
    alone = -load(model).score_samples([str(with_bad_files / "e.png")])
    np.testing.assert_allclose(table["distance"][4], alone, rtol=1e-6)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_raise_leaves_no_half_file(run, model, with_bad_files, tmp_path, name):
    output = tmp_path / name
    output.write_text("from before")
    status, out, err = run("score", model, with_bad_files, "-o", output, "--quiet")
    assert (status, out) == (1, "")
    assert err.startswith(f"skgaussad: {with_bad_files / 'b.png'}: expected an intact")
    assert err.count("\n") == 1
    assert output.read_text() == "from before"
    assert {path.name for path in tmp_path.iterdir()} == {"photos", name}


def test_raise_gives_the_rows_before_the_bad_file(run, model, with_bad_files):
    status, out, _ = run("score", model, with_bad_files)
    assert status == 1
    assert [line.split(",")[0] for line in out.splitlines()[1:]] == [
        str(with_bad_files / "a.png")
    ]


def test_maps_are_drawn_to_files_of_their_own(run, parts, model, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(parts / "new", folder)
    with Image.open(folder / "good" / "40.png") as image:
        image.save(folder / "cut" / "40.png")
        image.save(folder / "cut" / "40.bmp")
    maps = folder / "maps"
    for _ in range(2):  # the maps are not scored the second time
        status, out, _ = run("score", model, folder, "--maps", maps)
        assert status == 0
        paths = [line.split(",")[0] for line in out.splitlines()[1:]]
        assert len(paths) == 13
    names = {path.relative_to(folder) for path in map(type(folder), paths)}
    drawn = {path.relative_to(maps) for path in maps.rglob("*.*")}
    assert drawn == {name.with_name(f"{name.name}.png") for name in names}
    for path in paths[:3]:
        (values,) = anomaly_maps(load(model), [path])
        name = type(folder)(path).relative_to(folder)
        with Image.open(maps / f"{name}.png") as picture:
            expected = color_map(values, "cell")
            np.testing.assert_array_equal(np.asarray(picture), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL", "no.png"], "no.png: the file does not exist; check the path."),
        (["MODEL", "no*.png"], "No image matches 'no*.png'."),
        (["no.skgaussad", "a.png"], "'no.skgaussad'"),
        (["a.png", "a.png"], "is not a zip archive"),
        (["MODEL", "a.png", "-o", "no/a.csv"], "There is no folder 'no'"),
        (["MODEL", "a.png", "-o", "/dev/null"], "'/dev/null' is not a file"),
    ],
)
def test_mistakes_end_in_one_line(
    run, parts, model, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(parts / "good" / "00.png", "a.png")
    arguments = [model if name == "MODEL" else name for name in arguments]
    status, _, err = run("score", *arguments, "--quiet")
    assert status == 1
    assert err.startswith("skgaussad: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--parquet"],
        ["--csv", "--json"],
        ["--anomaly-status", "256"],
        ["--anomaly-status", "-1"],
        ["--on-error", "ignore"],
        ["--watch"],
        ["--watch", "-o", "a.parquet"],
        ["--watch", "-o", "a.csv", "--anomaly-status", "3"],
        ["--watch", "-o", "a.csv", "other"],
        ["--watch", "-o", "a.csv", "--interval", "0"],
        ["--interval", "2"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_status_2(run, model, options):
    with pytest.raises(SystemExit) as stopped:
        run("score", model, "photos", *options)
    assert stopped.value.code == 2


def test_a_model_that_does_not_score_images_is_refused(run, tmp_path):
    from skgaussad import MahalanobisDetector, save

    path = tmp_path / "features.skgaussad"
    X = np.random.default_rng(0).normal(size=(50, 2))
    save(MahalanobisDetector().fit(X), path)
    status, _, err = run("score", path, "a.png")
    assert status == 1
    assert "a MahalanobisDetector that cannot score images" in err
