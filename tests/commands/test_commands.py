"""The commands other than ``score`` and ``demo``, and what all have in common."""

import inspect
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from skgaussad import (
    CellwiseMahalanobisDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    load,
    make_detector,
)
from skgaussad.commands._main import _COMMANDS, main, make_parser
from skgaussad.export import to_onnx
from skgaussad.metrics import roc_auc_interval
from skgaussad.reporting import write_report


def test_fit_prints_what_it_made(run, parts, tiny_options, tmp_path):
    output = tmp_path / "m.skgaussad"
    status, out, err = run(
        "fit", parts / "good", *tiny_options, "--fpr", 0.04, "--levels", 3, "-o", output
    )
    assert status == 0
    assert "40/40" in err
    pipe = load(output)
    told = " ".join(out.replace("\N{NO-BREAK SPACE}", " ").split())
    for said in (
        "40 images were learned by CellwiseMahalanobisDetector, on level 3 of "
        "test_resnet at 64 x 64 pixels.",
        f"Images with a distance above {-pipe[-1].offset_:.4g} are flagged.",
        "Up to 4 % of good images may be flagged, which takes 24 images or more.",
        f"95 % confidence at most {100 * pipe[-1].fpr_bound(0.95):.1f} % of good",
        f"Model: {output}, ",
    ):
        assert said in told
    assert re.search(r"^Time: [\d.]+ s$", out, re.MULTILINE)
    assert pipe[0].get_params()["verbose"] is False


@pytest.mark.parametrize(
    ("levels", "expected"), [("3,4", (3, 4)), ("all", (1, 2, 3, 4, 5)), ("-1", (5,))]
)
@pytest.mark.parametrize("method", ["cells", "paper"])
def test_levels(run, parts, tiny_options, tmp_path, method, levels, expected):
    output = tmp_path / "m.skgaussad"
    options = [
        *tiny_options,
        "--method",
        method,
        "--fpr",
        0.1,
        f"--levels={levels}",
        "--quiet",
        "-o",
        output,
    ]
    assert run("fit", parts / "good", *options)[0] == 0
    pipe = load(output)
    assert pipe[0].levels_ == expected
    kind = MahalanobisDetector if len(expected) == 1 else LevelEnsemble
    if method == "cells":
        kind = CellwiseMahalanobisDetector
    assert type(pipe[-1]) is kind
    status, out, _ = run("score", output, parts / "good" / "00.png")
    assert status == 0
    assert len(out.splitlines()) == 2


def test_too_few_images_are_warned_of_in_one_line(run, parts, tiny_options, tmp_path):
    options = [*tiny_options, "--quiet", "-o", tmp_path / "m.skgaussad"]
    status, _, err = run("fit", parts / "good", "--fpr", 0.001, *options)
    assert status == 0
    assert err.startswith("skgaussad: warning: fpr=0.001 needs at least 999")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.png", b"no image", "x.png': expected an i"),
        ("x.txt", b"no image", "There are no images in"),
    ],
)
def test_fit_stops_at_what_is_no_image(
    run, tiny_options, tmp_path, name, content, message
):
    for each in (name, f"other_{name}"):
        (tmp_path / each).write_bytes(content)
    output = tmp_path / "m.skgaussad"
    status, _, err = run("fit", tmp_path, *tiny_options, "--quiet", "-o", output)
    assert status == 1
    assert message in err
    assert "X[0]" not in err
    assert err.count("\n") == 1
    assert not output.exists()


@pytest.fixture
def judged(parts, model):
    """Labels, types and distances of the new images, and the threshold."""
    paths = sorted(map(str, (parts / "new").rglob("*.png")))
    types = np.array([path.split("/")[-2] for path in paths])
    pipe = load(model)
    return types, -pipe.score_samples(paths), -pipe[-1].offset_


@pytest.mark.parametrize("layout", ["folders", "mvtec"])
def test_evaluate(run, parts, model, judged, tmp_path, layout):
    folder = parts / "new"
    if layout == "mvtec":
        folder = tmp_path / "bottle"
        shutil.copytree(parts / "new", folder / "test")
        shutil.copytree(parts / "good", folder / "train" / "good")
    types, distances, threshold = judged
    is_good, flagged = types == "good", distances > threshold
    _, out, _ = run("evaluate", model, folder, "--json", "--quiet")
    figures = json.loads(out)
    assert figures["n_images"] == 11
    assert figures["fpr"] == 0.05
    y = np.where(is_good, 1, -1)
    auroc = figures["auroc"]
    assert auroc["value"] == pytest.approx(roc_auc_score(y, -distances))
    expected = pytest.approx(roc_auc_interval(y, -distances))
    assert (auroc["low"], auroc["high"]) == expected
    for found, rows in [
        (figures["false_alarms"], is_good),
        (figures["found"], ~is_good),
        (figures["found_by_type"]["cut"], ~is_good),
    ]:
        assert found["n_images"] == rows.sum()
        assert found["n_flagged"] == flagged[rows].sum()
        assert found["low"] <= found["rate"] <= found["high"]
    status, table, err = run("evaluate", model, folder)
    assert status == 0
    assert "11/11" in err
    number, counts = r"([\d.]+)", r"(\d+) of (\d+)"
    rows = rf"^(.+?) +{number} +{number} to +{number}(?: +{counts})?"
    found = {row[0]: row[1:] for row in re.findall(rows, table, re.MULTILINE)}
    assert set(found) == {"AUROC", "false alarms", "defects found", "  cut"}
    assert found["AUROC"][0] == f"{100 * auroc['value']:.1f}"
    assert found["  cut"][3:] == (str(flagged[~is_good].sum()), "5")


def test_evaluate_on_good_images_alone(run, parts, model, tmp_path):
    shutil.copytree(parts / "new" / "good", tmp_path / "good")
    _, out, _ = run("evaluate", model, tmp_path, "--json", "--quiet")
    figures = json.loads(out)
    assert figures["auroc"] is figures["found"] is None
    assert figures["false_alarms"]["n_images"] == 6
    assert "AUROC" not in run("evaluate", model, tmp_path, "--quiet")[1]


def test_evaluate_says_what_a_folder_must_have(run, parts, model):
    status, _, err = run("evaluate", model, parts / "new" / "cut")
    assert status == 1
    assert "must have a folder 'good'" in err


@pytest.mark.parametrize(
    ("source", "labelled"), [("new", True), ("new/good", False)], ids=["yes", "no"]
)
def test_report(run, parts, model, tmp_path, source, labelled):
    output = tmp_path / "report.html"
    options = ["-o", output, "--title", "Lot <17>", "--quiet"]
    status, out, err = run("report", model, parts / source, *options)
    assert (status, out, err) == (0, f"{output}\n", "")
    page = output.read_text(encoding="utf-8")
    assert "Lot &lt;17&gt;" in page
    assert ("Found: cut" in page) == labelled
    assert ("cut/46.png" in page) == labelled


def test_results_of_a_report_are_those_of_score(run, parts, model, tmp_path):
    page, results, scores = (tmp_path / n for n in ("a.html", "a.csv", "b.csv"))
    options = ["-o", page, "--results", results, "--quiet"]
    status, out, err = run("report", model, parts / "new" / "cut", *options)
    assert (status, out) == (0, f"{page}\n")
    _, _, said = run("score", model, parts / "new" / "cut", "-o", scores, "--quiet")
    assert err == said
    assert results.read_bytes() == scores.read_bytes()
    page.unlink()
    status, _, err = run("report", model, parts / "new", "-o", page, "--results", page)
    assert status == 1 and not page.exists()
    assert "would be written twice" in err


def test_info(run, model):
    status, out, _ = run("info", model)
    assert status == 0
    pipe = load(model)
    for text in (
        "test_resnet, 64 x 64 pixels, level 4, ",
        pipe[0].weights_sha256_,
        f"{-pipe[-1].offset_:.4g}, by quantile",
        "5 % asked for",
        "40 images",
    ):
        assert text in out
    facts = json.loads(run("info", model, "--json")[1])
    assert facts["detector"]["threshold_distance"] == pytest.approx(-pipe[-1].offset_)


def test_export(run, parts, model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    output = tmp_path / "m.onnx"
    status, out, _ = run("export", model, "--onnx", output)
    assert status == 0
    assert "distance, label, p_value" in out
    session = onnxruntime.InferenceSession(str(output))
    assert [o.name for o in session.get_outputs()] == ["distance", "label", "p_value"]


def test_completion_in_bash(run, tmp_path):
    status, script, _ = run("completion", "bash")
    assert status == 0
    path = tmp_path / "skgaussad"
    path.write_text(script)
    command = f"""
    source {shlex.quote(str(path))}
    COMP_WORDS=(skgaussad score --an) COMP_CWORD=2
    $(complete -p skgaussad | sed 's/.*-F \\([^ ]*\\).*/\\1/')
    echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout.strip() == "--anomaly-status"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_knows_commands_options_and_files(run, shell):
    _, script, _ = run("completion", shell)
    complete = {"zsh": "_files", "fish": "__fish_complete_path"}[shell]
    for text in ("evaluate", "anomaly-status", "tail for rates", complete):
        assert text in script


def test_completion_without_its_package(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    status, _, err = run("completion", "bash")
    assert status == 1
    assert 'pip install "skgaussad[completion]"' in err


def test_parquet_without_its_package(run, parts, model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    output = tmp_path / "a.parquet"
    status, _, err = run("score", model, parts / "new", "-o", output, "--quiet")
    assert status == 1
    assert 'pip install "skgaussad[parquet]"' in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [c.__name__ for c in _COMMANDS])
def test_examples_of_the_help_are_command_lines(command, capsys):
    name = command.rpartition("._")[2]
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    lines = capsys.readouterr().out.partition("examples:")[2].splitlines()
    examples = [line.rpartition("| ")[2].strip() for line in lines if line]
    examples = [line for line in examples if not line.startswith("#")]
    assert examples
    for example in examples:
        program, *arguments = shlex.split(example.partition(" > ")[0])
        assert program == "skgaussad"
        assert arguments[0] == name
        make_parser().parse_args(arguments)


def test_options_have_the_defaults_of_the_python_parameters():
    parse = make_parser().parse_args
    python = DeepFeatureTransformer().get_params() | {
        name: parameter.default
        for name, parameter in inspect.signature(make_detector).parameters.items()
    }
    options = vars(parse(["fit", "photos", "-o", "m.skgaussad"]))
    names = python.keys() & options.keys()
    assert {
        "backbone",
        "fpr",
        "levels",
        "max_value",
        "method",
        "pooling",
        "precision",
        "standardize_intensity",
        "threshold",
        "weights",
    } <= names
    assert {name: options[name] for name in names} == {n: python[n] for n in names}
    assert parse(["demo"]).fpr == python["fpr"]
    title = inspect.signature(write_report).parameters["title"].default
    assert parse(["report", "m.skgaussad", "photos", "-o", "a.html"]).title == title
    to_onnx_default = inspect.signature(to_onnx).parameters["with_maps"].default
    export = parse(["export", "m.skgaussad", "--onnx", "m.onnx"])
    assert export.with_maps is to_onnx_default


def test_lists_have_commas():
    options = ["--levels", "6,7", "--image-size", "240,320"]
    arguments = make_parser().parse_args(["fit", "photos", "-o", "m", *options])
    assert (arguments.levels, arguments.image_size) == ([6, 7], (240, 320))
    for option in ("--levels=6, 7", "--image-size=240x320", "--image-size=0.5"):
        with pytest.raises(SystemExit):
            make_parser().parse_args(["fit", "photos", "-o", "m", option])


def test_export_with_maps(run, model, tmp_path):
    pytest.importorskip("onnxruntime")
    status, out, _ = run("export", model, "--onnx", tmp_path / "m.onnx", "--with-maps")
    assert status == 0
    assert "anomaly_map" in out


def test_help_is_there_at_once():
    code = """if True:
        import sys
        from skgaussad.commands._main import make_parser
        make_parser().format_help()
        print(sorted({"numpy", "sklearn", "torch", "PIL"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_a_closed_pipe_is_quiet(model):
    """The reader is gone before the first line comes, as with ``| head -0``."""
    code = """if True:
        import sys
        from skgaussad.commands._main import main
        sys.exit(main(sys.argv[1:]))
    """
    with subprocess.Popen(
        [sys.executable, "-c", code, "completion", "bash"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        error = process.stderr.read()
    assert process.returncode == 141
    assert error == b""


def test_a_file_that_is_not_there_is_named(run, tmp_path):
    path = str(tmp_path / "no.skgaussad")
    expected = f"skgaussad: {path!r}: no such file or directory.\n"
    assert run("score", path, "a.png") == (1, "", expected)


def test_a_report_is_a_page(run, model, parts, tmp_path):
    status, _, err = run("report", model, parts / "new", "-o", tmp_path / "r.pdf")
    assert status == 1
    assert "r.pdf is written as HTML: name it .html." in err


def test_a_port_in_use_is_named(run, model):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, _, err = run("serve", model, "--port", port)
    assert status == 1
    assert f"port {port} of 127.0.0.1 is in use; give another one with --port." in err


def test_an_interrupt_is_quiet(run, model, monkeypatch):
    from skgaussad.persistence import _scorer

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_scorer, "load_with_facts", interrupt)
    assert run("score", model, "a.png", "--quiet") == (130, "", "")


def test_fit_refuses_the_root_of_a_labelled_data_set(
    run, parts, tiny_options, tmp_path
):
    output = tmp_path / "m.skgaussad"
    options = [*tiny_options, "--quiet", "-o", output]
    status, out, err = run("fit", parts, *options)
    assert (status, out) == (1, "")
    assert err.startswith(f"skgaussad: '{parts}' looks like a labelled data set: it ")
    assert f"such as '{parts / 'good'}'" in err
    assert err.count("\n") == 1
    assert not output.exists()


def test_fit_counts_files_once_and_names_copies(run, parts, tiny_options, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(parts / "good", folder)
    shutil.copy(folder / "00.png", folder / "copy.png")
    with Image.open(folder / "01.png") as image:
        image.save(folder / "other.bmp")
    (folder / "link.png").symlink_to("02.png")
    sources = [folder, f"{folder}/*.png", folder / ".." / "photos" / "03.png"]
    options = [*tiny_options, "--levels", "4", "--quiet", "-o", tmp_path / "m"]
    status, out, err = run("fit", *sources, *options)
    assert status == 0
    assert out.startswith("42 images were learned by")
    # The folder has 43 paths to 42 files, the pattern 42 paths again.
    assert "44 of the 86 paths lead to files that others name, too" in err
    assert "2 of the 42 training samples are copies of others: " in err
    assert f"{folder / 'copy.png'} = {folder / '00.png'}" in err
    assert f"{folder / 'other.bmp'} = {folder / '01.png'}" in err


def test_report_of_names_that_are_no_text(run, parts, model, tmp_path):
    folder = os.fsencode(tmp_path) + b"/photos"
    shutil.copytree(os.fsencode(parts / "new" / "good"), folder + b"/good")
    shutil.copytree(os.fsencode(parts / "new" / "cut"), folder + b"/Br\xfcche")
    os.rename(folder + b"/good/40.png", folder + b"/good/\xe4.png")
    output = tmp_path / "report.html"
    status, _, _ = run("report", model, os.fsdecode(folder), "-o", output, "--quiet")
    assert status == 0
    page = output.read_text(encoding="utf-8")
    assert "good/\\xe4.png" in page
    assert "Br\\xfcche" in page
    status, out, _ = run("evaluate", model, os.fsdecode(folder), "--quiet")
    assert status == 0
    assert "  Br\\xfcche " in out


def test_a_file_in_two_folders_is_not_evaluated(run, parts, model, tmp_path):
    shutil.copytree(parts / "new", tmp_path / "new")
    (tmp_path / "new" / "cut" / "x.png").symlink_to(tmp_path / "new/good/40.png")
    status, _, err = run("evaluate", model, tmp_path / "new", "--quiet")
    assert status == 1
    assert "One file is there more than once: " in err
