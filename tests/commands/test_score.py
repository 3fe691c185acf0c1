import io
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skgaussad import load
from skgaussad._utils.score_table import score_rows
from skgaussad.commands import _outputs
from skgaussad.detectors import p_values
from skgaussad.features import decode_image
from skgaussad.inspection import anomaly_maps
from skgaussad.inspection._map_colors import overlay_map
from skgaussad.persistence import _scorer

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


def check(table, expected, rtol=1e-6):
    assert list(table) == COLUMNS
    assert table["error"].isna().all()
    for name in expected:
        if expected[name].dtype == float:
            # CSV has four digits.
            np.testing.assert_allclose(table[name], expected[name], rtol=rtol)
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
    n_flagged = (expected["label"] == -1).sum()
    n_images = len(expected)
    assert result == (0, "", f"skgaussad: {n_flagged} of {n_images} images flagged.\n")
    table = read(output)
    check(table, expected, 6e-4 if read is pd.read_csv else 1e-6)
    assert {1, -1} == set(table["label"])
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("option", ["--csv", "--json"])
def test_standard_output(run, parts, model, expected, tmp_path, option):
    status, out, err = run("score", model, parts / "new", option)
    assert status == 0
    assert "11/11" in err, "a progress bar that reached the end"
    path = tmp_path / "out"
    path.write_text(out)
    if option == "--csv":
        check(pd.read_csv(path), expected, 6e-4)
    else:
        check(pd.read_json(path, lines=True), expected)


def test_chunks_do_not_show(run, parts, model, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(_scorer, "_CHUNK", 3)
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
    scorer = _scorer.Scorer(model)
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
        "skgaussad: 0 of 2 images flagged.\n"
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
    np.testing.assert_allclose(table["distance"][4], alone, rtol=6e-4)


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
            image = decode_image([path], 0)
            expected = overlay_map(image, values, "cell")
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


def test_a_folder_of_many_formats_is_scored_and_the_rest_named(
    run, parts, model, tmp_path
):
    folder = tmp_path / "photos"
    folder.mkdir()
    names = ["a.jfif", "b.JP2", "c.ppm", "d.TIF", "e.Gif", "f.pgm", "g", "h.dat"]
    with Image.open(parts / "good" / "00.png") as image:
        for name in names:
            kind = Image.registered_extensions().get(os.path.splitext(name)[1].lower())
            image.save(folder / name, kind or "PNG")
    for name in ("x.heic", "y.dng", "notes.txt"):
        (folder / name).write_bytes(b"no image")
    status, out, err = run("score", model, folder, "--json", "--quiet")
    assert status == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [os.path.basename(row["path"]) for row in rows] == names
    assert all(row["error"] is None for row in rows)
    assert "2 files cannot be read as images and were left out, 'x.heic', 'y.d" in err
    assert err.splitlines()[1:] == ["skgaussad: 0 of 8 images flagged."]


def test_names_that_are_formulas_stay_text(run, parts, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["+b.png", "-c.png", "=1+1.png", "@d.png", "'e.png", "f=.png"]
    for name in names:
        shutil.copy(parts / "good" / "00.png", name)
    status, out, _ = run("score", model, "*.png", "--quiet")
    assert status == 0
    table = pd.read_csv(io.StringIO(out))
    assert table["path"].str[0].isin(["'", "f"]).all()
    assert sorted(map(_outputs.unquote, table["path"])) == sorted(names)
    _, out, _ = run("score", model, "*.png", "--json", "--quiet")
    assert sorted(json.loads(line)["path"] for line in out.splitlines()) == sorted(
        names
    )


def test_negative_numbers_are_no_formulas():
    row = score_rows(["a.png"], [-3.0], -2.0)[0]
    assert _outputs.encode([row], "csv") == b"a.png,-3.0,,,1,\n"


@pytest.mark.parametrize("threshold", [np.nan, np.inf, 2.0])
@pytest.mark.parametrize("distance", [np.nan, np.inf, 2.0, 1.0, np.nextafter(2, 3)])
def test_labels_are_those_of_predict(threshold, distance):
    from skgaussad import MahalanobisDetector

    class Fixed(MahalanobisDetector):
        offset_ = -threshold

        def score_samples(self, X):
            return np.array([-distance])

    with np.errstate(invalid="ignore"):
        expected = Fixed().predict([[0.0]])[0]
        (row,) = score_rows(["a.png"], np.array([distance]), threshold)
    assert row["label"] == expected


@pytest.fixture
def photos(parts, model, tmp_path, monkeypatch):
    """Two images, a model and a map, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("00.png", "01.png"):
        shutil.copy(parts / "good" / name, tmp_path / "photos")
    shutil.copy(model, "model.bin")
    shutil.copy(model, "other.skgaussad")
    os.symlink("photos/00.png", "link")
    os.link("photos/01.png", "hard")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["photos", "-o", "photos/00.png"],
        ["photos", "-o", "link"],
        ["photos", "-o", "hard"],
        ["photos/*.png", "-o", "hard"],
        ["-", "-o", "hard", "--csv"],
        ["photos/../photos/01.png", "-o", "hard"],
        ["photos", "-o", "model.bin"],
        ["photos", "-o", "other.skgaussad"],
        ["photos/01.png", "-o", "photos/00.png"],
        ["photos", "-o", "model.bin", "--watch"],
        ["photos", "-o", "photos/00.png", "--watch"],
        ["photos", "--maps", "model.bin"],
        ["photos", "--maps", "a.csv", "-o", "a.csv"],
        ["photos", "--maps", ".", "-o", "./00.png.png"],
    ],
    ids=" ".join,
)
def test_nothing_is_replaced_that_is_read(run, photos, arguments):
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    status, out, err = run("score", "model.bin", *arguments, stdin=b"photos/01.png")
    assert status == 1
    assert out == ""
    assert "name another" in err
    after = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    # The lock of --watch is there, too.
    assert before == {path: after[path] for path in before}
    assert all(path.name.startswith(".") for path in set(after) - set(before))


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("export", ["--onnx", "model.bin"]),
        ("report", ["photos", "-o", "model.bin"]),
        ("report", ["photos", "-o", "hard"]),
        ("report", ["photos", "-o", "other.skgaussad"]),
    ],
)
def test_nothing_is_replaced_that_other_commands_read(run, photos, command, options):
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    status, _, err = run(command, "model.bin", *options)
    assert status == 1
    assert "would be replaced" in err
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize("output", ["hard", "weights.pth", "photos/00.png"])
def test_fit_replaces_no_input(run, photos, tiny_options, output):
    (photos / "weights.pth").write_bytes(b"weights")
    before = (photos / output).read_bytes()
    options = [*tiny_options[:2], "--weights", "weights.pth", "--quiet"]
    status, _, err = run("fit", "photos", *options, "-o", output)
    assert status == 1
    assert "would be replaced" in err
    assert (photos / output).read_bytes() == before


def test_a_map_replaces_maps_only(run, photos):
    shutil.copy("photos/01.png", "photos/00.png.png")
    before = (photos / "photos" / "00.png.png").read_bytes()
    for images in ("photos/00.png", "photos/0[01].png"):
        arguments = ["photos/00.png", images, "--maps", "photos", "--quiet"]
        status, out, err = run("score", "model.bin", *arguments)
        assert status == 1
        assert "is no map" in err or "No image matches" in err
        assert out == ""
        assert (photos / "photos" / "00.png.png").read_bytes() == before
        assert not (photos / "photos" / "01.png.png").exists()


def test_record_goes_on_in_all_of_these(run, photos, monkeypatch):
    folder = photos / "photos"
    long_name = "x" * 251 + ".png"
    shutil.copy(folder / "00.png", folder / long_name)
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "closed").mkdir()
    (folder / "dir.png.png").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    too_long = "y" * 300 + ".png"
    # A folder is where the map of 00.png should be.
    (photos / "maps" / "photos" / "00.png.png").mkdir(parents=True)
    options = ["--on-error", "record", "--maps", "maps", "-o", "a.csv", "--quiet"]
    status, _, err = run(
        "score", "model.bin", "-", too_long, *options, stdin=b"photos/00.png"
    )
    assert status == 0
    assert "photos/00.png: no map: " in err
    assert "maps missing: 1" in err
    table = pd.read_csv("a.csv")
    assert table["error"].isna().tolist() == [True, False]
    shutil.rmtree("maps")
    status, _, _ = run("score", "model.bin", "photos", *options)
    assert status == 0
    table = pd.read_csv("a.csv").set_index("path")
    assert len(table) == 5
    assert table["error"].dropna().index.tolist() == [
        "photos/loop.png",
        "photos/closed",
    ]
    assert len(list((photos / "maps").iterdir())) == 3
