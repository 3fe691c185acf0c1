"""``skgaussad check``, ``review`` and ``fit --leave-out``."""

import csv
import os
import re
import shutil

import numpy as np
import pytest

from skgaussad import DeepFeatureTransformer, load


def test_check_fits_scores_and_reports(run, parts, tmp_path, monkeypatch):
    seen = []
    stream = DeepFeatureTransformer._stream

    def count(transformer, images, *args, **options):
        seen.append(len(images))
        return stream(transformer, images, *args, **options)

    monkeypatch.setattr(DeepFeatureTransformer, "_stream", count)
    folder = tmp_path / "checked"
    new = parts / "new"
    status, out, err = run("check", parts / "good", new, "-o", folder, "--quiet")
    assert status == 0, err
    # The good images once, and the new ones.
    assert seen == [40, 11]
    assert {path.name for path in folder.iterdir()} == {
        "model.skgaussad",
        "results.csv",
        "report.html",
    }
    model = load(folder / "model.skgaussad")
    with open(folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    paths = [row["path"] for row in rows]
    labels = model.predict(paths)
    distances = -model.score_samples(paths)
    assert [float(row["distance"]) for row in rows] == pytest.approx(distances, 1e-3)
    p_values = [float(row["p_value"]) for row in rows]
    assert p_values == pytest.approx(model.p_values(paths), rel=1e-3)
    assert [int(row["label"]) for row in rows] == labels.tolist()
    assert "40 images were learned by" in out
    assert out.endswith(f"{folder / 'report.html'}\n")
    assert f"{np.sum(labels == -1)} of {len(rows)} images flagged." in err


def test_check_takes_folders_only(run, parts, tmp_path):
    folder = tmp_path / "checked"
    for name, good, new in (
        ("GOOD", tmp_path / "none", parts / "new"),
        ("NEW", parts / "good", parts / "good" / "00.png"),
    ):
        status, _, err = run("check", good, new, "-o", folder)
        assert status == 1
        assert err.startswith(f"skgaussad: {name} must be a folder, and ")
    assert not folder.exists()


@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
def test_images_that_were_learned_from_tell_nothing(run, parts, tmp_path):
    good = parts / "good"
    output = tmp_path / "out"
    status, _, err = run("check", good, good, "-o", output, "--quiet")
    assert status == 0
    words = "40 of the 40 images are those that the model was fitted to"
    assert err.count(words) == 1
    assert words in (output / "report.html").read_text()
    model = output / "model.skgaussad"
    for command in (("score", model, good), ("evaluate", model, parts / "both")):
        if command[0] == "evaluate":
            shutil.copytree(parts / "new", tmp_path / "both")
            os.symlink(good / "00.png", tmp_path / "both" / "good" / "000.png")
            command = (*command[:2], tmp_path / "both")
        status, _, err = run(*command, "--quiet")
        assert status == 0
        assert "images are those that the model was fitted to" in err
    assert "1 of the 12 images" in err
    for command in (
        ("score", model, parts / "new"),
        ("evaluate", model, parts / "new"),
    ):
        assert "fitted to" not in run(*command, "--quiet")[2]


def test_another_folder_with_the_same_names_is_another(
    run, parts, tiny_options, tmp_path, monkeypatch
):
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
    shutil.copytree(parts / "good", tmp_path / "monday" / "good")
    shutil.copytree(parts / "new" / "good", tmp_path / "tuesday" / "good")
    os.rename(tmp_path / "tuesday/good/40.png", tmp_path / "tuesday/good/00.png")
    model = tmp_path / "m.skgaussad"
    monkeypatch.chdir(tmp_path / "monday")
    assert run("fit", "good", *tiny_options, "--quiet", "-o", model)[0] == 0
    names = load(model).training_samples_["name"].tolist()
    assert names[0] == str(tmp_path / "monday" / "good" / "00.png")
    monkeypatch.chdir(tmp_path / "tuesday")
    assert "fitted to" not in run("score", model, "good")[2]
    assert "40 before, 46 now" in run("update", model, "good", "--quiet")[1]
    assert "1 of the 1 images are those" in run("score", model, "good/00.png")[2]
    assert "46 before, 45 now" in run("update", model, "--forget", "good/00.png")[1]


def test_a_check_that_fails_leaves_no_folder(run, parts, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.png").write_bytes(b"no image")
    status, _, _ = run("check", bad, parts / "new", "-o", tmp_path / "out", "--quiet")
    assert status == 1
    assert not (tmp_path / "out").exists()


def test_review_lists_by_distance_and_fit_leaves_out(
    run, parts, tiny_options, tmp_path
):
    folder = tmp_path / "good"
    shutil.copytree(parts / "good", folder)
    model = tmp_path / "a.skgaussad"
    options = (*tiny_options, "--levels", "4", "--quiet", "-o", model)
    assert run("fit", folder, *options)[0] == 0
    status, out, _ = run("review", model, "-n", "3")
    assert status == 0
    distances = load(model).calibration_distances_
    order = np.argsort(-distances)[:3]
    lines = out.splitlines()
    assert lines[0] == f"threshold {-load(model).offset_:.4g}"
    for line, row in zip(lines[3:], order, strict=True):
        assert line.split()[0] == f"{distances[row]:.4g}"
        assert line.split()[1] == str(folder / f"{row:02}.png")
    first, second = (f"{row:02}.png" for row in order[:2])
    leave_out = ("--leave-out", first, "--leave-out", folder / second)
    status, out, _ = run("fit", folder, *options, *leave_out)
    assert status == 0
    assert "38 images were learned" in out
    names = load(model).training_samples_["name"].tolist()
    assert not {str(folder / first), str(folder / second)} & set(names)
    before = model.read_bytes()
    status, _, err = run("fit", folder, *options, "--leave-out", "none.png")
    assert status == 1
    assert "--leave-out none.png: there is no such image among the 40" in err
    assert model.read_bytes() == before


def test_review_fits_to_a_folder(run, parts, tmp_path):
    page = tmp_path / "review.html"
    status, out, _ = run("review", parts / "good", "--quiet", "-o", page)
    assert status == 0
    assert len(out.splitlines()) == 3 + 10 + 2
    assert out.endswith(f"\n{page}\n")
    source = page.read_text(encoding="utf-8")
    assert source.count('<li class="card">') == 40
    assert source.count("Anomaly map of good/") == 40
    names = re.findall(r'<p class="name">good/(\S+?)</p>', source)
    listed = [line.rsplit("/", 1)[1].split()[0] for line in out.splitlines()[3:13]]
    assert names[:10] == listed
    with pytest.raises(SystemExit, match="2"):
        run("review", parts / "good", "-n", "0")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
def test_the_first_hour_with_cookies_ends_well(run, test_data, tmp_path):
    """Nothing tuned: what is printed is followed, once in each of two ways."""
    cookies = test_data / "data" / "cookies"
    good, new = cookies / "train" / "good", cookies / "test"

    def judge(name, *options):
        folder = tmp_path / name
        status, out, err = run("check", good, new, "-o", folder, "--quiet", *options)
        assert status == 0, err
        with open(folder / "results.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        flagged = [row["path"] for row in rows if row["label"] == "-1"]
        n_broken = sum("broken" in path for path in flagged)
        return " ".join(out.split()), n_broken, len(flagged) - n_broken

    told, n_broken, n_good = judge("first")
    assert n_broken >= 14
    assert n_good == 0
    named = re.search(r"go up to [\d.]+: (\S+) \([\d.]+\), (\S+) \([\d.]+\)\.", told)
    assert set(named.groups()) == {"030.jpg", "002.jpg"}
    rate = re.search(r"ask for a rate of ([\d.]+) or more", told)[1]
    without = [option for name in named.groups() for option in ("--leave-out", name)]
    for options in (without, ["--fpr", rate]):
        _, n_broken, n_good = judge(f"then{len(options)}{options[0]}", *options)
        assert n_broken >= 30
        assert n_good <= 2


@pytest.mark.parametrize("command", ["fit", "review"])
def test_one_image_is_too_few(run, parts, tmp_path, command):
    (tmp_path / "good").mkdir()
    shutil.copy(parts / "good" / "00.png", tmp_path / "good")
    output = tmp_path / ("model.skgaussad" if command == "fit" else "page.html")
    status, _, err = run(command, tmp_path / "good", "-o", output, "--quiet")
    assert status == 1
    expected = "A detector takes at least two normal images; got one. Give more."
    assert err == f"skgaussad: {expected}\n"
    assert not output.exists()


def test_a_page_is_written_as_html_only(run, parts, model, tmp_path, monkeypatch):
    """Told before a fit, which takes long."""
    monkeypatch.setattr(DeepFeatureTransformer, "fit", None)
    for source in (parts / "good", model):
        status, _, err = run("review", source, "-o", tmp_path / "page.pdf", "--quiet")
        assert status == 1
        assert "page.pdf is written as HTML: name it .html." in err
        assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_leads_to_the_help_of_its_command(run, parts, capsysbinary):
    with pytest.raises(SystemExit) as caught:
        run("review", parts / "good", "--rate", "0.1")
    assert caught.value.code == 2
    err = capsysbinary.readouterr().err.decode()
    assert err == (
        "skgaussad review: unrecognized arguments: --rate 0.1; "
        "see skgaussad review --help\n"
    )


def test_check_takes_folders_with_names_like_options(run, parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-q").symlink_to(parts / "good")
    (tmp_path / "--new").symlink_to(parts / "new")
    status, _, err = run("check", "--quiet", "--output=out", "--", "-q", "--new")
    assert status == 0, err
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize("command", ["fit", "check", "score"])
def test_what_is_there_is_not_replaced_by_something_else(
    run, parts, model, tmp_path, command
):
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    sources = {
        "fit": [parts / "good"],
        "check": [parts / "good", parts / "new"],
        "score": [model, parts / "new"],
    }[command]
    status, _, err = run(command, *sources, "-o", notes, "--quiet")
    assert status == 1
    assert err.count("\n") == 1
    assert str(notes) in err
    assert notes.read_text() == "mine"


def test_a_model_or_an_empty_file_is_replaced(
    run, parts, model, tiny_options, tmp_path
):
    path = tmp_path / "m.skgaussad"
    options = (*tiny_options, "--quiet", "-o", path)
    for content in (b"", None):
        if content is None:
            shutil.copy(model, path)
        else:
            path.write_bytes(content)
        assert run("fit", parts / "good", *options)[0] == 0
        assert len(load(path).training_samples_["name"]) == 40
    path.write_bytes(path.read_bytes()[:-100])
    status, _, err = run("fit", parts / "good", *options)
    assert status == 1
    assert "no whole model file" in err


def test_check_looks_at_all_images_before_it_fits(run, parts, tmp_path, monkeypatch):
    shutil.copytree(parts / "new", tmp_path / "new")
    (tmp_path / "new" / "good" / "bad.png").write_bytes(b"no image")
    monkeypatch.setattr(DeepFeatureTransformer, "fit", None)
    output = tmp_path / "out"
    status, _, err = run("check", parts / "good", tmp_path / "new", "-o", output)
    assert status == 1
    assert "bad.png': expected an i" in err
    assert not output.exists()


def test_the_order_of_arguments_is_told(run, parts, model):
    status, _, err = run("score", parts / "good", model)
    assert status == 1
    assert (
        err == f"skgaussad: '{parts / 'good'}' is a folder, and a file is expected.\n"
    )
    status, _, err = run("fit", "nowhere", "-o", "m.skgaussad", "--quiet")
    assert status == 1
    assert "'nowhere'" in err and "does not exist" in err
