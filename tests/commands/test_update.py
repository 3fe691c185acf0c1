import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from skgaussad import load, save
from skgaussad.commands._main import main


@pytest.fixture
def own(model, tmp_path):
    """A copy of the model file, to be changed."""
    return shutil.copy(model, tmp_path / "own.skgaussad")


@pytest.fixture(scope="module")
def lots_model(parts, tiny_options, tmp_path_factory):
    """A model of two lots, of which each image lies in a folder."""
    root = tmp_path_factory.mktemp("lots")
    for index, path in enumerate(sorted((parts / "good").iterdir())):
        folder = root / "photos" / ("2026-11-26", "2026-11-27")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    path = root / "lots.skgaussad"
    options = ("--lots", "folder", "--fpr", "0.5", "--levels", "4", "--quiet")
    arguments = ["fit", str(root / "photos"), *tiny_options, *options, "-o", str(path)]
    assert main(arguments) == 0
    return path


def test_update_and_undo(run, parts, own, model):
    status, out, _ = run("update", own, parts / "new" / "good", "--quiet")
    assert status == 0
    assert "40 before, 46 now" in out
    paths = [str(path) for path in sorted((parts / "new" / "good").iterdir())]
    expected = load(model).update(paths)
    updated = load(own)
    np.testing.assert_array_equal(
        updated.score_samples(paths), expected.score_samples(paths)
    )
    assert updated.training_samples_["name"][-6:].tolist() == paths
    info = run("info", own)[1]
    assert "46, for updates" in info
    assert "last update" in info
    assert "46 before, 40 now" in run("update", own, "--undo")[1]
    assert load(own).offset_ == load(model).offset_
    status, _, err = run("update", own, "--undo")
    assert status == 1
    assert "no update to undo" in err


def test_an_image_is_forgotten(run, parts, own):
    path = parts / "good" / "07.png"
    assert "40 before, 39 now" in run("update", own, "--forget", path)[1]
    assert str(path) not in load(own).training_samples_["name"]
    status, _, err = run("update", own, "--forget", path)
    assert status == 1
    assert "no image of this path" in err


@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
def test_lots_come_and_go(run, parts, lots_model, tmp_path):
    own = shutil.copy(lots_model, tmp_path / "own.skgaussad")
    new = parts / "new" / "good"
    before = own.read_bytes()
    for options, message in (
        ((new,), "give that of the new images as --lot"),
        ((new, "--lot", "a", "--forget", "b"), "no such lot"),
    ):
        status, _, err = run("update", own, *options)
        assert status == 1
        assert message in err
    status, _, err = run("update", own, "--forget-before", "2027")
    assert status == 1
    assert "would leave 0 training samples" in err
    assert own.read_bytes() == before
    options = ("--lot", "2026-11-28", "--forget-before", "2026-11-27", "--quiet")
    status, out, err = run("update", own, new, *options)
    assert status == 0, err
    assert "40 of 2 lots before, 26 of 2 lots now" in out
    assert set(load(own).training_samples_["group"]) == {"2026-11-27", "2026-11-28"}
    assert (
        json.loads(run("info", own, "--json")[1])["training_samples"]["n_groups"] == 2
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("NEW", "--lot", "a"), "takes no --lot"),
        (("--forget-before", "a"), "fitted without them"),
    ],
)
def test_lots_of_a_model_without(run, parts, own, options, message):
    new = str(parts / "new" / "good")
    before = own.read_bytes()
    options = [new if option == "NEW" else option for option in options]
    status, _, err = run("update", own, *options)
    assert status == 1
    assert message in err
    assert own.read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("photos", "--undo"),
        ("--forget", "a", "--undo"),
        ("--lot", "a"),
        ("photos", "--lot", ""),
        ("--undo", "--lot", "a"),
        ("--forget", ""),
        ("--forget-before", " "),
    ],
)
def test_it_takes_something_to_do(run, own, options):
    before = own.read_bytes()
    with pytest.raises(SystemExit, match="2"):
        run("update", own, *options)
    assert own.read_bytes() == before


@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
def test_lots_are_numbers_where_those_of_the_fit_are(run, parts, lots_model, tmp_path):
    model = load(lots_model)
    samples = model.training_samples_
    numbers = np.unique(samples["group"], return_inverse=True)[1]
    paths = samples["name"].tolist()
    path = tmp_path / "numbers.skgaussad"
    save(model.fit(paths, detector__groups=numbers), path)
    new = parts / "new" / "good"
    status, _, err = run("update", path, new, "--lot", "later")
    assert status == 1
    assert "must be a number" in err
    assert run("update", path, "--quiet", "--lot", "7", new)[0] == 0
    assert load(path).training_samples_["group"][-1] == 7


def test_images_of_the_model_are_not_added_again(run, parts, own):
    before = own.read_bytes()
    first = load(own).training_samples_["name"][0]
    status, _, err = run("update", own, first)
    assert status == 1
    assert f"1 of the 1 images are in the model already, such as {first}" in err
    assert own.read_bytes() == before


def test_an_image_is_forgotten_by_its_file_name(run, own):
    first = load(own).training_samples_["name"][0]
    assert run("update", own, "--forget", os.path.basename(first))[0] == 0
    assert first not in load(own).training_samples_["name"]
    run("update", own, "--undo")


def test_images_may_stand_behind_options(run, parts, lots_model, tmp_path):
    path = tmp_path / "m.skgaussad"
    shutil.copy(lots_model, path)
    new = str(parts / "new" / "good")
    assert run("update", path, "--quiet", "--lot", "later", new)[0] == 0
    assert "later" in load(path).training_samples_["group"]


def test_a_bad_image_is_named_and_nothing_written(run, parts, own, tmp_path):
    folder = tmp_path / "today"
    shutil.copytree(parts / "new" / "good", folder)
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n no image")
    before = own.read_bytes()
    status, _, err = run("update", own, folder, "--quiet")
    assert status == 1
    assert str(folder / "bad.png") in err
    assert own.read_bytes() == before


def test_warnings_name_images(run, parts, own, tmp_path):
    copy = shutil.copy(parts / "good" / "03.png", tmp_path / "again.png")
    status, _, err = run("update", own, copy, "--quiet")
    assert status == 0
    assert f"{copy} = {parts / 'good' / '03.png'}" in err


@pytest.mark.slow
def test_two_updates_at_once_lose_nothing(parts, own):
    images = sorted((parts / "new" / "good").iterdir())
    statuses = []

    def update(path):
        command = [sys.executable, "-m", "skgaussad", "update", own, path, "--quiet"]
        statuses.append(subprocess.run([*map(str, command)]).returncode)

    threads = [threading.Thread(target=update, args=(path,)) for path in images[:2]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0, 0]
    assert len(load(own).training_samples_["name"]) == 42
