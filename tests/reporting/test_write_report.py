"""Tests of the report, as a page and in a browser."""

import base64
import io
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline

from skgaussad import (
    ConformalDetector,
    DeepFeatureTransformer,
    MahalanobisDetector,
    PositionDetector,
    make_detector,
)
from skgaussad.calibration import estimate_rate
from skgaussad.datasets import make_textures
from skgaussad.detectors import p_values
from skgaussad.exceptions import InvalidImageError
from skgaussad.features import resize
from skgaussad.inspection import anomaly_maps, held_out_maps
from skgaussad.inspection._map_colors import (
    color_map,
    limit_of,
    map_norm,
    overlay_map,
)
from skgaussad.metrics import roc_auc_interval
from skgaussad.reporting import calibration_report, write_report
from skgaussad.reporting._calibration_report import describe_rate
from skgaussad.reporting._text import asked, percent

VOID = {"meta", "link", "img", "br"}
# Spoken by Debian, Ubuntu, Google and Microsoft, in this order.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "microsoft-edge")
browser = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_browser = pytest.mark.skipif(
    browser is None, reason=f"needs a browser: {', '.join(BROWSERS)}"
)


class Page(HTMLParser):
    """A page taken apart; fails where elements are not closed in their order."""

    def __init__(self, path):
        super().__init__()
        self.open = []
        self.elements = []
        self.texts = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"[ \n]+", " ", " ".join(self.texts))

    def attributes(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def cards(self):
        """The text of each card, by the heading above it."""
        cards, heading = {}, None
        for line in re.findall(
            r"<h3>(.*?)</h3>|<li class=\"card\">(.*?)</li>", self.source, re.DOTALL
        ):
            if line[0]:
                heading = line[0]
                cards[heading] = []
            else:
                words = re.sub(r"<[^>]*>", " ", line[1])
                cards[heading].append(" ".join(words.split()))
        return cards


@pytest.fixture(scope="module")
def data():
    return make_textures(60, 20, size=64, random_state=0)


@pytest.fixture(scope="module")
def good(data):
    return data.images[data.labels == 1]


@pytest.fixture(scope="module")
def tested(data, good):
    return [*good[40:], *data.images[data.labels == -1]]


@pytest.fixture(scope="module")
def y(tested):
    return np.repeat([1, -1], [20, len(tested) - 20])


@pytest.fixture(scope="module")
def defect_types(data):
    return np.concatenate([["good"] * 20, data.defect_types[data.labels == -1]])


def make_transformer(**settings):
    return DeepFeatureTransformer(levels=3, image_size=64, device="cpu", **settings)


@pytest.fixture(scope="module")
def pipe(good):
    steps = [
        ("features", make_transformer()),
        ("detector", MahalanobisDetector(fpr=0.1)),
    ]
    return Pipeline(steps).fit(good[:40])


@pytest.fixture(scope="module")
def path(pipe, tested, y, defect_types, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert (
        write_report(
            pipe,
            tested,
            path,
            y=y,
            defect_types=defect_types,
            names=[f"part {number:02d} <&>" for number in range(len(tested))],
            groups=np.where(np.arange(len(tested)) % 3, "<B>", "A"),
            title="Textures & <defects>",
            n_images=3,
        )
        == path
    )
    return path


@pytest.fixture(scope="module")
def page(path):
    return Page(path)


def row_of(page, name):
    """The cells of a row of a table, by its head."""
    found = re.search(
        rf'<tr><th scope="row">{re.escape(name)}</th>(.*?)</tr>', page.source, re.DOTALL
    )
    cells = re.findall(r"<td[^>]*>(.*?)</td>", found.group(1), re.DOTALL)
    return [" ".join(cell.replace("\N{NO-BREAK SPACE}", " ").split()) for cell in cells]


# The page


def test_nothing_comes_from_elsewhere(page):
    """Nor is code run, and nothing is left of what names hold."""
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "base"}
    for _, attributes in page.elements:
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")
    assert "http" not in re.sub(r"base64,[^\"]*", "", page.source)
    assert "url(" not in page.source and "@import" not in page.source
    assert "&lt;&amp;&gt;" in page.source and "<&>" not in page.source
    assert "Textures & <defects>" in page.text


def test_every_picture_says_what_it_shows(page):
    pictures = page.attributes("img")
    assert len(pictures) > 10
    for picture in pictures:
        assert len(picture["alt"]) > 10
    assert page.attributes("html") == [{"lang": "en"}]
    assert len(page.attributes("main")) == len(page.attributes("h1")) == 1


def test_rates_are_those_of_the_detector(page, pipe, tested, y, defect_types):
    flagged = pipe.predict(tested) == -1
    scores = pipe.score_samples(tested)
    n_false, n_true = flagged[y == 1].sum(), flagged[y == -1].sum()
    assert n_true > 0
    value, counts, *_ = row_of(page, "False alarms")
    assert (value, counts) == (f"{100 * n_false / 20:.1f} %", f"{n_false} of 20")
    value, counts, *_ = row_of(page, "Defects found")
    n_defects = len(y) - 20
    assert value == f"{100 * n_true / n_defects:.1f} %"
    assert counts == f"{n_true} of {n_defects}"
    kind = defect_types[-1]
    of_kind = defect_types == kind
    assert row_of(page, f"Found: {kind}")[1] == (
        f"{flagged[of_kind].sum()} of {of_kind.sum()}"
    )
    low, high = roc_auc_interval(y, scores)
    value, _, interval, _ = row_of(page, "AUROC")
    assert value == f"{100 * roc_auc_score(y == 1, scores):.1f} %"
    assert interval == f"{100 * low:.1f} to {100 * high:.1f} %"
    assert f"{flagged.sum()} of {len(y)} images are flagged" in page.text


def test_errors_are_in_the_headline_and_the_verdict(page, pipe, tested, y):
    flagged = pipe.predict(tested) == -1
    n_bad, n_found = np.sum(y == -1), np.sum(flagged & (y == -1))
    headline = page.text.split("What was learned")[0]
    assert f"Missed defects: {n_bad - n_found} " in headline
    assert f"False alarms: {np.sum(flagged & (y == 1))} " in headline
    verdict = page.text.split("Acceptance")[1].replace("\N{NO-BREAK SPACE}", " ")
    found = estimate_rate(flagged[y == -1])
    assert (
        f"{n_found} of {n_bad} defects were found, {n_bad - n_found} missed: "
        f"{100 * found.rate:.1f} % (95 % interval {100 * found.low:.1f} to "
        f"{100 * found.high:.1f} %)."
    ) in verdict
    assert describe_rate(calibration_report(pipe, tested[:20]).overall) in verdict
    assert "Date and signature" in verdict


def test_counts_by_lot(page, pipe, tested, y):
    flagged = pipe.predict(tested) == -1
    is_a = np.arange(len(tested)) % 3 == 0
    for name, of_lot in (("A", is_a), ("&lt;B&gt;", ~is_a)):
        normal, bad = of_lot & (y == 1), of_lot & (y == -1)
        # Both intervals together, by Bonferroni.
        estimate = estimate_rate(flagged[normal], 0.1, 0.975)
        counts, rate, interval, found, meaning = row_of(page, name)
        assert counts == f"{flagged[normal].sum()} of {normal.sum()}"
        assert rate == f"{100 * flagged[normal].mean():.1f} %"
        assert interval == f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f} %"
        assert found == f"{flagged[bad].sum()} of {bad.sum()}"
        assert "10 % asked for" in meaning


def test_lots_without_labels_or_without_normal_images(pipe, tested, y, tmp_path):
    flagged = pipe.predict(tested) == -1
    groups = np.where(y == 1, 1, 2)
    page = Page(write_report(pipe, tested, tmp_path / "a.html", groups=groups))
    assert "inspect the images before you sign" in page.text
    for lot in (1, 2):
        counts = f"{flagged[groups == lot].sum()} of {np.sum(groups == lot)}"
        assert row_of(page, str(lot))[0] == counts
    page = Page(write_report(pipe, tested, tmp_path / "a.html", y=y, groups=groups))
    assert row_of(page, "1")[3] == ""
    found = f"{flagged[y == -1].sum()} of {np.sum(y == -1)}"
    assert row_of(page, "2") == ["", "", "", found, ""]


def test_what_the_threshold_rests_on(page, pipe):
    assert row_of(page, "Threshold")[0] == f"{-pipe[-1].offset_:.4g}"
    assert row_of(page, "Rate asked for")[0] == "10 %"
    assert row_of(page, "Calibrated on")[0] == "40"
    bound = pipe[-1].fpr_bound(0.95)
    assert row_of(page, "Rate at most")[0] == f"{100 * bound:.1f} %"


def test_settings(page, pipe):
    assert row_of(page, "SHA-256 of the weights") == [
        f"<code>{pipe[0].weights_sha256_}</code>"
    ]
    assert "MahalanobisDetector(fpr=0.1)" in page.text
    assert "tf_efficientnet_lite0, of 9 levels: 3" in page.text


def test_images_of_each_group(page, pipe, tested, y):
    distances = -pipe.score_samples(tested)
    threshold = -pipe[-1].offset_
    order = np.argsort(-distances)
    wrong = [row for row in order if y[row] == 1 and distances[row] > threshold]
    missed = [
        row for row in order[::-1] if y[row] == -1 and distances[row] <= threshold
    ]
    expected = {
        "Missed defects": missed,
        "False alarms": wrong,
        "Defects found": [r for r in order if y[r] == -1 and distances[r] > threshold],
        "Normal images passed": [
            r for r in order if y[r] == 1 and distances[r] <= threshold
        ],
    }
    expected = {heading: rows[:3] for heading, rows in expected.items()}
    cards = page.cards()
    assert list(cards) == [heading for heading, rows in expected.items() if len(rows)]
    p = p_values(pipe, tested)
    for heading, found in cards.items():
        for card, row in zip(found, expected[heading], strict=True):
            assert card.startswith(f"part {row:02d} &lt;&amp;&gt;")
            decision = "flagged" if distances[row] > threshold else "passed"
            if heading == "Missed defects":
                decision = "passed: missed defect"
            elif heading == "False alarms":
                decision = "flagged: false alarm"
            assert f"Decision {decision}" in card
            assert f"Label {'normal' if y[row] == 1 else ''}" in card
            ratio = distances[row] / threshold
            assert f"{distances[row]:.4g}, {ratio:.2f} times the threshold" in card
            assert f"p-value {p[row]:.2g}" in card
    pictures = [i for i in page.attributes("img") if i.get("loading") == "lazy"]
    assert len({picture["src"] for picture in pictures}) == len(pictures)
    for picture in pictures:
        content = base64.b64decode(picture["src"].split(",")[1])
        size = Image.open(io.BytesIO(content)).size
        assert size == (int(picture["width"]), int(picture["height"]))
    n_hidden = len(missed) - 3
    assert (f"{n_hidden} more are not shown" in page.text) == (n_hidden > 0)


def test_no_missed_defect_looks_good(pipe, good, tested, y, tmp_path):
    """All images are there, and none that was decided wrongly is green."""
    strict = clone(pipe).set_params(detector__fpr=0.025).fit(good[:40])
    page = Page(write_report(strict, tested, tmp_path / "report.html", y=y))
    flagged = strict.predict(tested) == -1
    assert sum(map(len, page.cards().values())) == len(tested)
    kinds = re.findall(r'<span class="(\w+)">([^<]*)</span>', page.source)
    assert ("wrong", "passed: missed defect") in kinds or not (y[~flagged] == -1).any()
    for kind, decision in kinds:
        assert (kind == "good") == (decision == "passed")
        assert (kind == "wrong") == (":" in decision)


def test_other_rates_are_those_of_the_held_out_distances(page, pipe, tested, y):
    distances = -pipe.score_samples(tested)
    for rate, needed in ((0.01, 99), (0.02, 49)):
        assert row_of(page, f"{100 * rate:g}\N{NO-BREAK SPACE}%") == [
            f"takes {needed} training images",
            "",
            "",
        ]
    for rate in (0.05, 0.1):
        threshold = pipe[-1]._held_out.threshold(rate)
        cells = row_of(page, f"{100 * rate:g}\N{NO-BREAK SPACE}%")
        flagged = distances > threshold
        assert cells == [
            f"{threshold:.4g}",
            f"{flagged[y == 1].sum()} of 20",
            f"{flagged[y == -1].sum()} of {len(y) - 20}",
        ]


def test_what_was_learned_and_what_to_recheck(good, tmp_path):
    folder = tmp_path / "good"
    folder.mkdir()
    for number, image in enumerate(good[:40]):
        Image.fromarray(image).save(folder / f"{number:02}.png")
    fitted = make_detector(levels=3, image_size=64, pooling=4, device="cpu").fit(folder)
    page = Page(write_report(fitted, good[40:], tmp_path / "report.html"))
    assert "40 images were learned by CellwiseMahalanobisDetector" in page.text
    order = np.argsort(-fitted.calibration_distances_)[:8]
    cards = page.cards()["Training images to recheck"]
    for card, row in zip(cards, order, strict=True):
        assert card.startswith(f"good/{row:02}.png")
    # By the model of the others, as far out as their distances say.
    (drawn,) = held_out_maps(fitted, [str(folder / f"{order[0]:02}.png")], order[:1])
    residuals = fitted[-1].calibration_residuals_[order[0]].reshape(4, 4)
    expected = resize(residuals / -fitted.offset_, drawn.shape)
    np.testing.assert_allclose(drawn, expected, rtol=1e-5)
    for path in folder.iterdir():
        path.unlink()
    page = Page(write_report(fitted, good[40:], tmp_path / "report.html"))
    assert "Training images to recheck" not in page.text
    assert "Date and signature" in page.text


def test_images_that_were_learned_from_are_told(good, tmp_path):
    paths = []
    for number, image in enumerate(good[:24]):
        paths.append(str(tmp_path / f"{number:02}.png"))
        Image.fromarray(image).save(paths[-1])
    pipe = make_detector(levels=3, image_size=32, pooling=2, fpr=0.1).fit(paths[:20])
    words = "1 of the 5 images are those that the model was fitted to"
    with pytest.warns(UserWarning, match=words):
        path = write_report(pipe, paths[19:], tmp_path / "known.html")
    assert words in path.read_text(encoding="utf-8")
    path = write_report(pipe, paths[20:], tmp_path / "new.html")
    assert "was fitted to" not in path.read_text(encoding="utf-8")
    folder = tmp_path / "new"
    folder.mkdir()
    for path in paths[20:]:
        shutil.copy(path, folder)
    for name in (folder, str(folder)):
        path = write_report(pipe, name, tmp_path / "folder.html")
        assert "4 images" in path.read_text(encoding="utf-8")
    with pytest.raises(OSError):
        write_report(pipe, "nowhere", tmp_path / "nowhere.html")
    # As pixels they cannot be told.
    write_report(pipe, good[:5], tmp_path / "pixels.html")


def test_nothing_flagged_is_said_so(pipe, good, tmp_path):
    page = Page(write_report(pipe, good[:3], tmp_path / "report.html"))
    assert "None of the 3 images is flagged: no distance" in page.text


def test_maps_are_those_of_the_images(page, pipe, tested):
    """The picture beside the first image is its map in the colours of the scale."""
    first = np.argmin(pipe.score_samples(tested))
    (expected,) = anomaly_maps(pipe, [tested[first]])
    by_alt = {picture["alt"]: picture["src"] for picture in page.attributes("img")}
    (uri,) = {
        uri
        for alt, uri in by_alt.items()
        if alt.startswith(f"Anomaly map of part {first:02d}")
    }
    content = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    found = np.asarray(Image.open(io.BytesIO(content))).astype(float)
    # JPEG loses sharp edges, such as those of the line at the threshold.
    assert (
        np.abs(found - overlay_map(tested[first], expected, "contribution")).mean() < 12
    )
    assert (
        np.abs(
            found - overlay_map(tested[first], expected[::-1, ::-1], "contribution")
        ).mean()
        > 24
    )


def test_colours_of_a_map():
    values = np.full((9, 9), -3.0)
    values[2:7, 2:7] = 1000
    pixels = color_map(values, "contribution")
    norm = map_norm(limit_of("contribution"))
    assert float(map_norm(limit_of("cell"))(10)) == 1
    assert float(norm(0)) == 0 and float(norm(60)) == float(norm(900)) == 1
    assert float(norm(1)) == pytest.approx(np.log(2) / np.log(61))
    assert pixels.shape == (9, 9, 3) and pixels.dtype == np.uint8
    is_line = (pixels == 255).all(axis=2)
    ring = np.zeros((9, 9), bool)
    ring[2:7, 2:7] = True
    ring[3:6, 3:6] = False
    np.testing.assert_array_equal(is_line, ring)
    assert pixels[0, 0].sum() < 200 < pixels[4, 4].sum()


def test_a_map_covers_its_image_where_it_is_high():
    image = np.full((9, 9, 3), 100, dtype=np.uint8)
    values = np.full((9, 9), 0.4)
    np.testing.assert_array_equal(overlay_map(image, values, "cell"), image)
    values[4, 4] = 5
    picture = overlay_map(image, values, "cell").astype(int)
    assert (picture[4, 4] == 255).all(), "the line"
    values[:] = 3
    color = color_map(np.pad(values, 5, mode="edge"), "cell")[5, 5]
    picture = overlay_map(np.zeros((9, 9, 1)), values, "cell")
    np.testing.assert_allclose(picture[4, 4], 0.6 * color, atol=1)


# Other detectors and images


def test_without_labels(pipe, tested, tmp_path):
    page = Page(write_report(pipe, tested, tmp_path / "report.html"))
    flagged = pipe.predict(tested) == -1
    _, counts, _, meaning = row_of(page, "Flagged")
    assert counts == f"{flagged.sum()} of {len(tested)}"
    assert "if all were normal, about 10 % would be flagged" in meaning
    assert list(page.cards()) == ["All images"]
    assert "AUROC" not in page.text and "Label" not in page.cards()
    assert f"image {np.argmin(pipe.score_samples(tested))}" in page.text


@pytest.mark.parametrize("label", [1, -1])
def test_labels_of_one_kind(pipe, good, tmp_path, label):
    page = Page(
        write_report(pipe, good[40:], tmp_path / "report.html", y=np.full(20, label))
    )
    assert ("False alarms" in page.text) == (label == 1)
    assert ("Defects found" in page.text) == (label == -1)
    assert "AUROC" not in page.text


def test_names_of_files(pipe, good, tmp_path):
    folder = tmp_path / "lot 7"
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(2)]
    for image, file in zip(good, paths, strict=False):
        Image.fromarray(image).save(file)
    page = Page(write_report(pipe, paths, tmp_path / "report.html"))
    assert "lot 7/0.png" in page.text
    assert "64 x 64 pixels" in page.text


def test_detector_without_maps_and_p_values(good, tested, tmp_path):
    pipe = make_pipeline(
        make_transformer(pooling="max"), MahalanobisDetector(fpr=0.1)
    ).fit(good[:40])
    page = Page(write_report(pipe, tested, tmp_path / "report.html", n_images=2))
    assert "no anomaly maps for this detector: A distance is split over" in page.text
    assert not any(
        picture["alt"].startswith("Anomaly map") for picture in page.attributes("img")
    )


@pytest.mark.parametrize("kind", ["conformal", "positions"])
def test_detectors_of_images(good, tested, tmp_path, kind):
    if kind == "positions":
        detector = PositionDetector(make_transformer(), fpr=0.1)
    else:
        conformal = ConformalDetector(MahalanobisDetector(), fpr=0.1, cv=3)
        detector = make_pipeline(make_transformer(), conformal)
    detector.fit(good[:40])
    page = Page(write_report(detector, tested, tmp_path / "report.html", n_images=2))
    threshold = -(detector if kind == "positions" else conformal).offset_
    assert row_of(page, "Threshold")[0] == f"{threshold:.4g}"
    assert "SHA-256 of the weights" in page.text
    n_maps = sum(
        picture["alt"].startswith("Anomaly map") for picture in page.attributes("img")
    )
    assert n_maps == 2


def test_deep_images(pipe, good, tmp_path):
    """Of 16 bits and of floats, in grey."""
    grey = good[0][..., 0]
    images = [grey.astype(np.uint16) * 257, (grey / 255)[..., np.newaxis]]
    page = Page(write_report(pipe, images, tmp_path / "report.html"))
    for picture in page.attributes("img"):
        if picture["alt"].startswith("Image image"):
            content = base64.b64decode(picture["src"].split(",")[1])
            found = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
            assert np.abs(found.astype(float) - grey).mean() < 8


@pytest.fixture
def seen(monkeypatch):
    """How many images go through the network, call by call."""
    counts = []
    stream = DeepFeatureTransformer._stream

    def count(transformer, images, *args, **options):
        counts.append(len(images))
        return stream(transformer, images, *args, **options)

    monkeypatch.setattr(DeepFeatureTransformer, "_stream", count)
    return counts


@pytest.mark.parametrize("wrapped", [False, True])
def test_images_go_through_the_network_once(good, tested, tmp_path, seen, wrapped):
    """And what comes of it are the scores and maps of the detector."""
    fitted = make_detector(levels=3, image_size=64, pooling=4, device="cpu")
    if wrapped:
        fitted.set_params(detector=ConformalDetector(fitted[-1], fpr=0.1, cv=3))
    fitted.fit(good[:40])
    distances, maps = -fitted.score_samples(tested), anomaly_maps(fitted, tested)
    p = p_values(fitted, tested)
    seen.clear()
    page = Page(write_report(fitted, tested, tmp_path / "report.html"))
    assert seen == [len(tested)]
    pictures = [i["src"] for i in page.attributes("img") if "Anomaly" in i["alt"]]
    order = np.argsort(-distances, kind="stable")
    for card, picture, row in zip(
        page.cards()["All images"], pictures, order, strict=True
    ):
        assert f"{distances[row]:.4g}, " in card
        assert f"p-value {p[row]:.2g}" in card
        content = base64.b64decode(picture.split(",")[1])
        found = np.asarray(Image.open(io.BytesIO(content))).astype(float)
        expected = overlay_map(tested[row], maps[row], "cell")
        assert np.abs(found - expected).mean() < 12


def test_pictures_of_large_images_are_small(pipe, good, tmp_path):
    large = np.asarray(Image.fromarray(good[0]).resize((500, 300)))
    page = Page(write_report(pipe, [large], tmp_path / "report.html"))
    pictures = [i for i in page.attributes("img") if i.get("loading") == "lazy"]
    assert [(i["width"], i["height"]) for i in pictures] == [("200", "120")] * 2


# What goes wrong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"defect_types": ["crack"] * 30}, "defect_types needs y"),
        ({"names": ["one"]}, "names must have one entry an image; got 1 for"),
        ({"y": [0, 1]}, "y must hold"),
        ({"groups": ["L1"]}, "inconsistent numbers of samples"),
        ({"n_images": 0}, "n_images must be at least 1"),
        ({"confidence": 1.0}, "confidence"),
    ],
)
def test_what_is_refused(pipe, tested, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_report(pipe, tested, tmp_path / "report.html", **options)
    assert list(tmp_path.iterdir()) == []


def test_bad_image_leaves_the_old_page(pipe, good, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(InvalidImageError, match=r"X\[1\]"):
        write_report(pipe, [good[0], "no-such-file.png"], path)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_no_folder(pipe, good, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*missing"):
        write_report(pipe, good, tmp_path / "missing" / "report.html")


def test_write_that_fails_leaves_the_old_page(pipe, good, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(pipe, good[40:43], path)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("fraction", "measured", "chosen"),
    [
        (0, "0.0", "0"),
        (0.0003, "0.03", "0.03"),
        (0.05, "5.0", "5"),
        (1, "100.0", "100"),
    ],
)
def test_percent(fraction, measured, chosen):
    assert percent(fraction) == f"{measured}\N{NO-BREAK SPACE}%"
    assert asked(fraction) == f"{chosen}\N{NO-BREAK SPACE}%"


# In a browser

# Measures the page from inside: what is wider than it, what covers what, how text
# contrasts, and whether pictures were read.
_PROBE = """
<script>
addEventListener("load", () => {
  const problems = [];
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) problems.push("page is too wide");
  for (const element of document.querySelectorAll("body *")) {
    const box = element.getBoundingClientRect();
    if (box.width && box.right > width + 1) problems.push("cut: " + element.className);
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth
        && getComputedStyle(element).display != "inline"
        && getComputedStyle(element).position == "static"
        && element.scrollWidth > box.width + 2)
      problems.push("overflows: " + element.tagName + " " + element.className);
  }
  for (const image of document.images)
    if (!image.complete || !image.naturalWidth) problems.push("no picture");
  const cards = [...document.querySelectorAll(".card, figure, table")].map(
    (card) => card.getBoundingClientRect());
  cards.forEach((a, i) => cards.slice(i + 1).forEach((b) => {
    if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1
        && b.top < a.bottom - 1) problems.push("overlap");
  }));
  const light = (color) => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  for (const element of document.querySelectorAll("p, td, th, dt, dd, h1, h2, h3")) {
    let behind = element;
    while (behind && getComputedStyle(behind).backgroundColor == "rgba(0, 0, 0, 0)")
      behind = behind.parentElement;
    const a = light(getComputedStyle(element).color);
    const b = light(getComputedStyle(behind).backgroundColor);
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) problems.push("contrast " + contrast + ": " + element.tagName);
  }
  document.title = "probed: " + [...new Set(problems)].join("; ");
});
</script>
</body>"""


@needs_browser
@pytest.mark.parametrize("width", [360, 800, 1400])
@pytest.mark.slow
def test_in_a_browser(path, tmp_path, width):
    """On a phone, a tablet and a screen, without a network."""
    probed = tmp_path / "probed.html"
    probed.write_text(path.read_text(encoding="utf-8").replace("</body>", _PROBE))
    picture = tmp_path / "page.png"
    common = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={tmp_path / 'profile'}",
        # Chromium's window is not narrower than 500 pixels, but its frames are.
        "--window-size=1600,3000",
    ]
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="probed.html" width="{width}" height="2900" frameborder="0" '
        'onload="setTimeout(() => document.title = '
        'this.contentDocument.title, 300)"></iframe>'
    )
    found = subprocess.run(
        [
            *common,
            "--allow-file-access-from-files",
            "--virtual-time-budget=5000",
            "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "<title>probed:</title>" in found.stdout, found.stdout[-500:]
    assert "CONSOLE" not in found.stderr
    subprocess.run(
        [*common, f"--screenshot={picture}", path.as_uri()],
        capture_output=True,
        timeout=120,
        check=True,
    )
    shot = np.asarray(Image.open(picture).convert("L"))
    # Something dark on something light, and not an empty page.
    assert 0.01 < (shot < 100).mean() < 0.6 and shot.max() == 255


def test_import_loads_no_matplotlib():
    code = (
        "import sys, skgaussad.reporting; "
        "assert not {'matplotlib', 'torch', 'jinja2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path.cwd())
