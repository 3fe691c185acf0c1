import ast
import re
import sys
from pathlib import Path

import _speed_extraction as extraction
import numpy as np
import pytest
import speed
from _speed_cells import CellFit, LabelMeasurement
from _speed_detectors import measure_detectors
from _speed_engines import NetworkByEngine, Quality
from _speed_grid import GridMeasurement, measure_grid
from _speed_latency import Latency
from _speed_processes import Process, ProcessError, ask_once
from _speed_scale import (
    FILE_SIZE,
    ManyMeasurement,
    Projection,
    format_projection,
    make_images,
)
from _speed_verdicts import (
    CELL_FIT_LIMITS,
    check_cell_fits,
    check_engines,
    check_fits,
    check_grid,
    check_labels,
    check_latency,
    check_many,
    check_networks,
    check_quality,
    check_rates,
)
from PIL import Image
from solar_cells_auroc import aurocs_by_level

from skgaussad import DeepFeatureTransformer, MahalanobisDetector
from skgaussad.datasets import load_solar_cells
from skgaussad.features import FeatureCache

FOLDER = Path(speed.__file__).parent


def sides_of(rates):
    return {
        name: extraction.Side(name, None, "extract", {}, False, found)
        for name, found in rates.items()
    }


def holds(verdicts):
    return [verdict.holds for verdict in verdicts]


def test_rates_are_checked_against_the_peer():
    rates = {"skgaussad float32": [3.5], "skgaussad bfloat16": [5.49], "anomalib": [1]}
    sides = sides_of(rates)
    ours = {name: name for name in extraction.OURS}
    verdicts = check_rates("PNG", sides, ours, sides["anomalib"])
    assert holds(verdicts) == [True, False]
    assert "5.49 times" in verdicts[1].finding


@pytest.mark.parametrize(
    ("name", "auroc", "expected"),
    [
        ("bfloat16 by openvino", 90.31, False),
        ("bfloat16 by openvino", 90.29, True),
        ("bfloat16 by openvino", 89.69, False),
        ("float32 by openvino", 90.06, False),
        ("float32 by openvino", 89.96, True),
        ("reduced JPEG", 89.69, False),
    ],
)
def test_aurocs_may_differ_either_way_by_the_tolerance(name, auroc, expected):
    qualities = [
        Quality("mono", "first", None, 90.0, 82, 1000),
        Quality("mono", name, "first", auroc, 70, 1000),
        Quality("poly", "first", None, 50.0, 0, 1000),
    ]
    # Three standard errors are 2.07 points.
    assert holds(check_quality(qualities)) == [False, expected, True, True]


def test_networks_are_checked_against_torch():
    networks = [
        NetworkByEngine("one", 5, difference, {"openvino": 3.0, "torch": 2.0}, 1.0)
        for difference in (1e-4, 1.1e-4)
    ]
    assert networks[0].ratio == 1.5
    assert holds(check_networks(networks)) == [True, False]


def fitted(n_samples, n_features, seconds, sklearn_seconds, difference=1e-15):
    return {
        "n_samples": n_samples,
        "n_features": n_features,
        "spectrum": "white",
        "seconds": seconds,
        "sklearn_seconds": sklearn_seconds,
        "difference": difference,
    }


def test_fits_are_checked_at_one_size_and_by_the_number_of_features():
    measurements = [fitted(500, 3072, 1.0, 50.0), fitted(50, 200, 2.0, 1.0)]
    measurements.append(fitted(50, 201, 1.1, 1.0))
    assert holds(check_fits(measurements)) == [True, True, True, True]
    measurements = [
        fitted(500, 3072, 1.0, 49.0),
        fitted(50, 200, 2.1, 1.0),
        fitted(60, 50, 1.0, 1.0, difference=2e-9),
        fitted(50, 201, 1.2, 1.0),
    ]
    verdicts = check_fits(measurements)
    assert holds(verdicts) == [False, False, False, False]
    assert "1 of 2 do" in verdicts[1].finding
    assert "(50, 200, 'white'): 2.10 times" in verdicts[1].finding
    assert "(50, 201, 'white'): 1.20 times" in verdicts[2].finding
    assert "2.0e-09" in verdicts[3].finding
    assert len(check_fits([fitted(50, 50, 1.0, 1.0)])) == 3


def test_engines_are_checked_against_torch():
    rates = {
        "skgaussad float32": [3.0],
        "skgaussad float32 torch": [2.0],
        "skgaussad bfloat16": [2.9],
        "skgaussad bfloat16 torch": [2.0],
    }
    sides = sides_of(rates)
    ours = {name: name for name in extraction.OURS}
    verdicts = check_engines("PNG", sides, ours)
    assert holds(verdicts) == [True, False]
    assert "1.45 times" in verdicts[1].finding
    ours = {"skgaussad float32 reduced": "skgaussad float32"}
    verdicts = check_engines(
        "large", sides_of(rates | {"skgaussad float32 reduced": [8]}), ours
    )
    assert holds(verdicts) == [True]
    assert "4.00 times" in verdicts[0].finding


def test_single_images_are_checked():
    by_torch = Latency("torch", 4, 1, 9)
    verdicts = check_latency([Latency("openvino", 7, 0.008, 0.016), by_torch])
    assert holds(verdicts) == [True, True, True]
    verdicts = check_latency([Latency("openvino", 7.1, 0.009, 0.019), by_torch])
    assert holds(verdicts) == [False, False, False]
    assert "9.0 ms" in verdicts[0].finding
    assert "2.11 times" in verdicts[1].finding


def test_labels_of_the_default_are_checked_against_the_extraction():
    measurements = [
        LabelMeasurement("cells", 100, 10.0, 11.4),
        LabelMeasurement("cells", 100, 10.0, 11.6),
        LabelMeasurement("paper", 100, 10.0, 20.0),
    ]
    verdicts = check_labels(measurements)
    assert holds(verdicts) == [True, False]
    assert "1.16 times" in verdicts[1].finding


def test_fits_to_cells_are_checked_by_time_and_memory():
    size, (seconds, peak) = (500, 5488), CELL_FIT_LIMITS[500, 5488]
    fits = [
        CellFit(*size, seconds, int(peak)),
        CellFit(*size, seconds + 0.1, int(peak)),
        CellFit(*size, seconds, int(peak) + 1),
        CellFit(20, 98, 1e9, 1),
    ]
    assert holds(check_cell_fits(fits)) == [True, False, False]


def many(n_images, extraction_peak, fit_peak):
    return ManyMeasurement(n_images, 40, 2.0, 0.5, extraction_peak, fit_peak)


def test_memory_is_checked_from_the_fewest_to_the_most():
    measurements = [many(10, 100, 50), many(50, 500, 500), many(100, 120, 61)]
    assert holds(check_many(measurements)) == [True, False]


def test_grid_search_is_checked_twice():
    measurement = GridMeasurement(24, 5, 100, 13.0, 0.66, 9.0, 1.0)
    assert measurement.ratio == pytest.approx(1.3)
    assert measurement.repeat_fraction == pytest.approx(0.66 / 13)
    assert measurement.overhead_fraction == pytest.approx(-0.34 / 13)
    assert holds(check_grid(measurement)) == [True, False]
    measurement = GridMeasurement(24, 5, 100, 13.1, 0.64, 9.0, 1.0)
    assert holds(check_grid(measurement)) == [False, True]


def test_sections_are_methods():
    assert all(callable(getattr(speed.Run, name)) for name in speed.SECTIONS)
    assert "many" not in speed.make_parser().parse_args([]).sections


def test_help_names_the_sections_and_the_versions_of_the_peers(capsys):
    with pytest.raises(SystemExit, match="0"):
        speed.main(["--help"])
    text = capsys.readouterr().out
    assert all(f"``{name}``" in text for name in speed.SECTIONS)
    assert "anomalib==2.7.0" in text
    assert re.search(r"torch==[\d.]+,", text)


def test_projection_by_hand():
    projection = Projection(10**7, 50.0, 200, 1e-5, 3000.0, n_machines=4)
    # 200,000 s on one machine.
    assert projection.extraction_days == pytest.approx(200_000 / 86_400 / 4)
    assert projection.matrix_bytes == 8e9
    assert projection.fit_minutes == pytest.approx(100 / 60 / 4)
    assert projection.fit_bytes == pytest.approx(3e10 / 4)
    # Scatter, mean, cubic moments, fourth moment and number of samples.
    assert projection.moments_bytes == 8 * (200 * 200 + 200 + 200 + 1 + 1)
    text = format_projection([projection])
    assert {"10,000,000", "0.58", "8.00", "0.42", "7.50"} <= set(text.split())


def test_sides_have_the_median_of_rates_and_of_ratios():
    a = extraction.Side("a", None, "extract", {}, False, [1, 30, 9])
    b = extraction.Side("b", None, "extract", {}, False, [2, 3, 1])
    assert a.rate == 9
    assert a.times(b) == 9
    assert b.times(a) == 1 / 9


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Start a process with some tasks."""
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))
    script = tmp_path / "child.py"
    script.write_text(
        "from _speed_child import serve\n"
        "def talk(word):\n"
        "    print('noise')\n"
        "    return {'word': word}\n"
        "def hold(n_bytes):\n"
        "    bytearray(n_bytes)\n"
        "    return {}\n"
        "def fail():\n"
        "    raise ValueError('no such thing')\n"
        "serve({'talk': talk, 'hold': hold, 'fail': fail})\n"
    )
    with Process(str(script)) as process:
        yield process


def test_processes_answer_whatever_they_print(child):
    for word in ("one", "zwö\n"):
        assert child.ask("talk", word=word)["word"] == word


def test_processes_tell_why_they_ended(child):
    with pytest.raises(ProcessError, match=r"(?s)'fail'.*ValueError: no such thing"):
        child.ask("fail")
    with pytest.raises(ProcessError, match="status 1"):
        child.ask("talk", word="one")


@pytest.mark.skipif(sys.platform != "linux", reason="others tell less precisely")
def test_peak_memory_is_that_of_the_process_alone(child):
    # This one has torch loaded, some hundreds of megabytes.
    before = child.ask("talk", word="one")["peak"]
    assert before < 5e7
    held = child.ask("hold", n_bytes=10**8)["peak"]
    assert held - before == pytest.approx(10**8, rel=0.1)
    assert child.ask("talk", word="one")["peak"] == held


@pytest.mark.parametrize(
    ("script", "own"),
    [("_speed_child.py", set()), ("_speed_peers.py", {"_speed_child"})],
)
def test_what_the_peers_run_imports_nothing_from_here(script, own):
    names = set()
    for node in ast.walk(ast.parse((FOLDER / script).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    roots = {name.partition(".")[0] for name in names}
    here = {path.stem for path in FOLDER.iterdir()} | {"skgaussad"}
    assert roots & here == own
    if not own:
        assert roots <= set(sys.stdlib_module_names)


def test_images_are_copied_and_saved_as_jpeg(tmp_path):
    folders = extraction.copy_images(tmp_path, 3)
    originals = load_solar_cells().paths[:3]
    for kind, suffix in (("PNG", ".png"), ("JPEG", ".jpg")):
        paths = sorted(folders[kind].iterdir())
        assert [path.suffix for path in paths] == [suffix] * 3
        for path, original in zip(paths, originals, strict=True):
            with Image.open(path) as copy, Image.open(original) as image:
                assert copy.format == kind
                difference = np.subtract(copy, image, dtype=float)
            assert np.abs(difference).mean() < (2 if kind == "JPEG" else 1e-9)


def test_images_of_the_user_are_found_at_any_depth(tmp_path):
    source = tmp_path / "own"
    (source / "deep").mkdir(parents=True)
    (source / "notes.txt").write_text("no image")
    for name in ("b.PNG", "deep/c.jpg", "a.png"):
        Image.new("L", (4, 4)).save(source / name)
    folders = extraction.copy_images(tmp_path, 2, source)
    copied = [path.name for path in sorted(folders["images"].iterdir())]
    assert copied == ["000000.png", "000001.png"]
    with pytest.raises(ValueError, match="no image files in"):
        extraction.copy_images(tmp_path, 2, folders["images"].parent / "timed")


def test_generated_images_are_small_and_differ(tmp_path):
    make_images(tmp_path / "some", 3)
    images = []
    for path in sorted((tmp_path / "some").iterdir()):
        with Image.open(path) as image:
            assert image.size == (FILE_SIZE, FILE_SIZE)
            images.append(np.asarray(image, dtype=float))
    assert len(images) == 3
    assert np.abs(images[0] - images[1]).mean() > 10


@pytest.mark.slow
def test_all_sides_of_this_environment_extract_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "BATCH_SIZES", (2,))
    monkeypatch.setattr(extraction, "NUM_WORKERS", (0,))
    folder = extraction.copy_images(tmp_path, 3)["JPEG"]
    weights = tmp_path / "weights.pth"
    source = extraction.save_weights(weights)
    sides = extraction.measure_rates(folder, weights, None, n_rounds=2, n_tuned=2)
    by_name = {side.name: side for side in sides}
    ours = *extraction.OURS, *extraction.OURS_BY_TORCH
    assert list(by_name) == [*ours, extraction.TIMM, extraction.TIMM_CUT]
    for side in sides:
        assert len(side.rates) == 2
        assert side.answer["n_images"] == 3
        assert side.rates[-1] == 3 / side.answer["seconds"]
    assert [side.answer["n_columns"] for side in sides] == [
        192,
        192,
        192,
        192,
        112,
        192,
    ]
    assert by_name[extraction.TIMM].setting == "batch 2, 0 workers"
    # The float32 side is the transformer, and the cut by hand does the same.
    transformer = DeepFeatureTransformer(levels=[6, 7], interpolation="bilinear")
    paths = sorted(map(str, folder.iterdir()))
    mean = transformer.fit_transform(paths).mean(axis=0)
    assert transformer.weights_source_ == source
    slices = transformer.level_slices_
    expected = [7, 7, 7, 7, 6, 7]
    for side, level, tolerance in zip(
        sides, expected, (1e-5, 0.1, 1e-5, 0.1, 1e-4, 1e-4), strict=True
    ):
        difference = np.array(side.answer["mean"]) - mean[slices[level]]
        norm = np.linalg.norm(mean[slices[level]])
        assert np.linalg.norm(difference) < tolerance * norm
    assert extraction.relative_difference(sides) < 1e-4


def test_settings_of_the_peers_are_the_fastest():
    class Clock:
        def ask(self, task, *, folder, batch_size, num_workers, limit):
            assert (task, folder, limit) == ("extract", "images", 7)
            return {"n_images": limit, "seconds": abs(batch_size - 8) + num_workers}

    side = extraction.Side("peer", Clock(), "extract", {}, True)
    # No time is zero.
    original, extraction.NUM_WORKERS = extraction.NUM_WORKERS, (2, 1)
    try:
        side.tune("images", 7)
    finally:
        extraction.NUM_WORKERS = original
    assert side.arguments == {"batch_size": 8, "num_workers": 1}


def test_aurocs_of_detectors_are_those_of_the_protocol(tmp_path):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 6)).astype(np.float32)
    labels = np.where(np.arange(120) % 4 == 0, -1, 1)
    features[labels == -1] *= 1.5
    timings = measure_detectors(features, labels, tmp_path, None)
    (timing,) = timings.values()
    (expected, _) = aurocs_by_level(
        features, {7: slice(None)}, labels, MahalanobisDetector
    )
    assert np.mean(timing.aurocs) == pytest.approx(expected)
    assert len(timing.fit) == len(timing.score) == len(timing.aurocs) == 5
    assert min(timing.fit + timing.score) > 0


@pytest.mark.slow
def test_grid_search_and_its_parts_do_the_same(tmp_path):
    data = load_solar_cells("mono")
    rows = np.concatenate(
        [np.flatnonzero(data.labels == label)[:n] for label, n in ((1, 12), (-1, 4))]
    )
    measurement = measure_grid(
        data.paths[rows],
        data.labels[rows],
        tmp_path,
        image_size=64,
        n_folds=2,
        n_rounds=1,
    )
    assert (measurement.n_candidates, measurement.n_folds) == (24, 2)
    assert measurement.n_images == 16
    # Each image once, for all candidates and folds.
    assert FeatureCache(tmp_path / "cache_0").info()["n_images"] == 16
    assert min(measurement.first, measurement.second) > 0
    assert min(measurement.extraction, measurement.detectors) > 0


@pytest.mark.slow
def test_a_section_runs_from_the_command_line(capsys, monkeypatch):
    monkeypatch.setitem(speed.QUICK, "many", (6, 30))
    assert speed.main(["many", "--quick"]) == 0
    printed = capsys.readouterr().out
    assert "== many ==" in printed
    assert "OMP_NUM_THREADS" in printed
    assert "peers: none" in printed
    assert printed.count("[holds]") == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Fitted without the first or the last half")
def test_cells_are_labelled_and_fitted(capsys):
    speed.main(["cells", "--quick", "--rounds", "1"])
    printed = capsys.readouterr().out
    assert re.search(r"^cells +4 +[\d.]+ +[\d.]+", printed, re.MULTILINE)
    assert re.search(r"^ +20 +98 +[\d.]+ +\d+", printed, re.MULTILINE)
    assert "of 1 criteria failed" in printed


@pytest.mark.slow
def test_features_are_left_in_a_file(tmp_path):
    images = extraction.copy_images(tmp_path, 2)["PNG"]
    kept = tmp_path / "kept"
    answer = ask_once(
        "_speed_sides.py",
        "extract",
        folder=str(images),
        levels=[2, 3],
        image_size=64,
        memmap_folder=str(kept),
    )
    transformer = DeepFeatureTransformer(
        levels=[2, 3], image_size=64, interpolation="bilinear"
    )
    expected = transformer.fit_transform(sorted(map(str, images.iterdir())))
    np.testing.assert_allclose(np.load(answer["matrix"]), expected, rtol=1e-4)
