"""Few and odd inputs through the whole pipeline: a finite score, or a named error."""

import errno
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skgaussad import MahalanobisDetector
from skgaussad.exceptions import InvalidImageError
from skgaussad.features import _decoding, _identity

# Whether there are enough images for the rate is for others to test.
pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)


def assert_scored(pipe, X):
    scores = pipe.score_samples(X)
    assert scores.shape == (len(X),)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert set(pipe.predict(X)) <= {-1, 1}
    return scores


def save(image, path, **options):
    image.save(path, **options)
    return str(path)


# Few images, and images that are alike


def test_one_image_is_too_few(make_pipeline, images):
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        make_pipeline().fit(images[:1])


@pytest.mark.parametrize(
    "n_images, settings",
    [(2, {"covariance": "shrunk", "threshold": "chi2"}), (5, {})],
)
def test_few_images(make_pipeline, images, n_images, settings):
    settings = {f"detector__{name}": value for name, value in settings.items()}
    pipe = make_pipeline(**settings).fit(images[:n_images])
    scores = assert_scored(pipe, images)
    assert scores[:n_images].min() > scores[n_images:].max()


def test_two_images_do_not_tell_how_far_to_shrink(make_pipeline, images):
    with pytest.raises(ValueError, match="2 samples.*too few.*covariance='shrunk'"):
        make_pipeline().fit(images[:2])


@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.DarkImagesWarning")
@pytest.mark.parametrize("value", [0, 128, 255])
def test_images_that_are_all_the_same(make_pipeline, value):
    """The features vary by rounding at most, which is no variation to measure by."""
    X = np.full((6, 40, 40, 3), value, dtype=np.uint8)
    with pytest.raises(ValueError, match="identical"):
        make_pipeline().fit(X)


def test_black_image_among_others(make_pipeline, images):
    black = np.zeros((40, 40), dtype=np.uint8)
    assert_scored(make_pipeline().fit([*images, black]), [*images, black])


# Kinds of images


def test_grey_and_colour_and_depths_in_one_list(make_pipeline, images, tmp_path):
    colour = Image.fromarray(images[0])
    grey = colour.convert("L")
    deep = np.asarray(grey).astype(np.uint16) * 257
    X = [
        images[0],
        images[0] / 255,
        np.asarray(grey)[..., np.newaxis],
        deep,
        Image.fromarray(deep),
        colour.convert("RGBA"),
        colour.convert("CMYK"),
        colour.convert("P"),
        grey.convert("1"),
        save(Image.fromarray(deep), tmp_path / "deep.png"),
        save(Image.fromarray(deep), tmp_path / "deep.tif"),
        save(colour.convert("CMYK"), tmp_path / "cmyk.jpg"),
        save(colour.convert("P"), tmp_path / "palette.png", transparency=3),
        save(colour.convert("P"), tmp_path / "palette.gif"),
    ]
    scores = assert_scored(make_pipeline().fit(X), X)
    # The same pixels get the same score, whatever they come in, ...
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-3)
    np.testing.assert_allclose(scores[[3, 4, 9, 10]], scores[2], rtol=1e-3)
    # ... and others do not.
    assert abs(scores[2] / scores[0] - 1) > 3e-3


@pytest.mark.parametrize("extension", ["gif", "png", "webp", "tif"])
def test_animations_and_pages_are_refused(fitted, images, tmp_path, extension):
    frames = [Image.fromarray(images[0][i:]) for i in range(2)]
    frames = [frame.resize((30, 30)) for frame in frames]
    path = tmp_path / f"a.{extension}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    message = rf"X\[1\] \(.*a\.{extension}'\): expected one image, got several"
    with pytest.raises(InvalidImageError, match=message):
        fitted.score_samples([images[0], path])


@pytest.mark.parametrize("crop_pct", [None, 0.9])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 1, 3), (10, 20_000), (20_000, 10, 3), (1, 5000)], ids=str
)
def test_sizes_that_are_out_of_proportion(
    make_pipeline, images, tmp_path, shape, crop_pct
):
    pipe = make_pipeline(features__crop_pct=crop_pct).fit(images)
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = save(Image.fromarray(array), tmp_path / "a.png")
    in_memory, in_file = assert_scored(pipe, [array, path])
    assert in_memory == pytest.approx(in_file, rel=1e-4)


# Paths


@pytest.mark.parametrize(
    "name",
    [
        "with spaces .png",
        "Prüfung 検査 🔍.png",
        "two\nlines.png",
        "100%s {0} *?[a].png",
        "no extension",
        "wrong extension.jpg",
        "x" * 200 + ".png",
    ],
)
def test_names_of_files(fitted, images, tmp_path, name):
    if os.name == "nt":
        pytest.skip("Windows forbids some of these characters")
    path = tmp_path / name
    Image.fromarray(images[0]).save(path, format="PNG")
    paths = [str(path), path]
    in_file = assert_scored(fitted, paths)
    np.testing.assert_allclose(in_file, fitted.score_samples(images[:1] * 2), rtol=1e-4)
    path.write_bytes(b"no image")
    with pytest.raises(InvalidImageError) as caught:
        fitted.score_samples(paths)
    # On one line, whatever the name is.
    assert repr(str(path)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_links(fitted, images, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(images[0]).save(path)
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "link to link").symlink_to(tmp_path / "link")
    scores = assert_scored(fitted, [path, tmp_path / "link", tmp_path / "link to link"])
    np.testing.assert_allclose(scores, scores[0], rtol=1e-4)


def test_links_in_a_circle(make_pipeline, fitted, images, tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    X = [images[0], tmp_path / "a"]
    for call in (fitted.score_samples, make_pipeline().fit):
        with pytest.raises(InvalidImageError, match=r"X\[1\] .*cannot be reached"):
            call(X)


@contextmanager
def without_privileges():
    """Have the rights of files apply, which they do not for root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs the users of POSIX")
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.parametrize("forbidden", ["file", "folder"])
def test_no_permission(fitted, images, tmp_path, forbidden):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "a.png"
    Image.fromarray(images[0]).save(path)
    (path if forbidden == "file" else folder).chmod(0)
    try:
        with (
            without_privileges(),
            pytest.raises(InvalidImageError, match=r"X\[0\] .*[Pp]ermission denied"),
        ):
            fitted.score_samples([path])
    finally:
        folder.chmod(0o700)


# Files that change


def test_file_that_vanishes_after_the_fit(make_pipeline, images, tmp_path):
    paths = [
        save(Image.fromarray(image), tmp_path / f"{i}.png")
        for i, image in enumerate(images)
    ]
    pipe = make_pipeline().fit(paths)
    os.remove(paths[3])
    with pytest.raises(InvalidImageError, match=r"X\[3\] .*3\.png.*does not exist"):
        pipe.score_samples(paths)


@pytest.mark.parametrize(("cached", "reader"), [(False, _decoding), (True, _identity)])
def test_file_that_vanishes_while_it_is_read(
    make_pipeline, images, tmp_path, monkeypatch, cached, reader
):
    """It is there when it is looked at, and gone when it is opened."""
    path = save(Image.fromarray(images[0]), tmp_path / "a.png")
    parameters = {"features__cache": tmp_path / "cache"} if cached else {}
    pipe = make_pipeline(**parameters).fit(images)
    read = _decoding.read_file

    def remove_and_read(name):
        os.remove(name)
        return read(name)

    monkeypatch.setattr(reader, "read_file", remove_and_read)
    with pytest.raises(InvalidImageError, match=r"X\[1\] .*No such file") as caught:
        pipe.score_samples([images[0], path])
    assert "truncated" not in str(caught.value)


def test_disk_that_fails_is_told_from_a_damaged_file(
    fitted, images, tmp_path, monkeypatch
):
    path = save(Image.fromarray(images[0]), tmp_path / "a.png")

    def fail(name):
        raise OSError(errno.EIO, os.strerror(errno.EIO), name)

    monkeypatch.setattr(_decoding, "read_file", fail)
    with pytest.raises(InvalidImageError, match="cannot be read.*the disk") as caught:
        fitted.score_samples([path])
    assert "damaged" not in str(caught.value)


def test_file_that_is_written_while_it_is_read(fitted, images, tmp_path, tell):
    """What is read is one picture or the other, or refused, but no mixture."""
    contents = []
    path = tmp_path / "a.png"
    pictures = [images[0], 255 - images[0]]
    for picture in pictures:
        Image.fromarray(picture).save(path)
        contents.append(path.read_bytes())
    expected = fitted.score_samples(pictures)
    assert not np.isclose(*expected, rtol=1e-2)
    stopped = threading.Event()

    def write():
        while not stopped.is_set():
            for content in contents:
                # In pieces, so that many of the files found are not whole.
                with open(path, "wb", buffering=0) as file:
                    for start in range(0, len(content), 1000):
                        file.write(content[start : start + 1000])

    writer = threading.Thread(target=write)
    writer.start()
    outcomes = {"first": 0, "second": 0, "refused": 0}
    try:
        deadline = time.monotonic() + 60
        while sum(outcomes.values()) < 300 or not (
            outcomes["refused"] and outcomes["first"] + outcomes["second"]
        ):
            if time.monotonic() > deadline:
                break
            try:
                (score,) = fitted.score_samples([path])
            except InvalidImageError:
                outcomes["refused"] += 1
                continue
            is_near = np.isclose(score, expected, rtol=1e-3)
            assert is_near.any()
            outcomes["first" if is_near[0] else "second"] += 1
    finally:
        stopped.set()
        writer.join()
    counts = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.items())
    tell(f"file that changes while it is read: {counts}")
    assert outcomes["refused"] > 0
    assert outcomes["first"] + outcomes["second"] > 0


# Features


FEATURES = np.random.default_rng(0).normal(size=(30, 4))
CALLS = ["score_samples", "decision_function", "predict", "mahalanobis", "p_values"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite(value, call):
    detector = MahalanobisDetector().fit(FEATURES)
    X = FEATURES[:5].copy()
    X[2, 1] = value
    for use in (getattr(detector, call), detector.fit, detector.partial_fit):
        with pytest.raises(ValueError, match="contains (NaN|infinity)"):
            use(X)


@pytest.mark.parametrize("call", CALLS)
def test_features_of_another_width(call):
    detector = MahalanobisDetector().fit(FEATURES)
    for X in (FEATURES[:, :3], np.hstack([FEATURES, FEATURES])):
        with pytest.raises(ValueError, match=f"X has {X.shape[1]} features.*expecting"):
            getattr(detector, call)(X)


@pytest.mark.parametrize("call", [*CALLS, "partial_fit"])
def test_columns_in_another_order(call):
    frame = pd.DataFrame(FEATURES, columns=list("abcd"))
    detector = MahalanobisDetector().fit(frame)
    with pytest.raises(ValueError, match="same order"):
        getattr(detector, call)(frame[list("badc")])
    with pytest.raises(ValueError, match="unseen at fit time"):
        getattr(detector, call)(frame.rename(columns={"d": "e"}))


def test_a_pipeline_of_another_width_is_refused(make_pipeline, images):
    """The network was exchanged, and the detector was not."""
    pipe = make_pipeline(features__levels=[2]).fit(images)
    pipe["features"].set_params(levels=[2, 4]).fit(images)
    with pytest.raises(ValueError, match="features, but MahalanobisDetector"):
        pipe.score_samples(images)


# Warnings


@pytest.mark.slow
def test_nothing_warns_where_warnings_are_errors():
    """From the import on, in a process of its own."""
    code = """
import numpy as np
from sklearn.pipeline import make_pipeline
from skgaussad import DeepFeatureTransformer, MahalanobisDetector
X = np.random.default_rng(0).integers(0, 256, (30, 40, 50), dtype=np.uint8)
features = DeepFeatureTransformer(
    "test_resnet", weights=None, image_size=32, device="cpu"
)
pipe = make_pipeline(features, MahalanobisDetector()).fit(X)
print(np.isfinite(pipe.score_samples(X)).sum())
"""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.stdout, result.stderr) == ("30\n", "")
