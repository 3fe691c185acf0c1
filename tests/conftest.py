"""Pictures and fitted transformers that the tests of several modules share."""

import functools
import os
from pathlib import Path

import numpy as np
import pytest
from joblib.externals.loky import reusable_executor
from PIL import Image

from skgaussad import DeepFeatureTransformer

# Of pictures this small several threads make slower work than one. Torch reads this
# when it is first imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SIZES = [(40, 60), (64, 64), (70, 50), (33, 47), (64, 64), (90, 31), (48, 52)]


@pytest.fixture
def tell(record_property):
    """Have the end of the run say what a test has counted, in a line."""
    return functools.partial(record_property, "counted")


def pytest_terminal_summary(terminalreporter):
    """Print what tests have counted, wherever they ran."""
    lines = [
        line
        for report in terminalreporter.getreports("passed")
        for name, line in report.user_properties
        if name == "counted"
    ]
    if lines:
        terminalreporter.section("counted")
        for line in sorted(lines):
            terminalreporter.write_line(line)


@pytest.fixture(scope="module", autouse=True)
def no_idle_processes():
    """End joblib's processes with the module that started them.

    They end by themselves after some minutes without work, and a test whose work comes
    at that very moment may wait for ever.
    """
    yield
    if reusable_executor._executor is not None:
        reusable_executor._executor.shutdown(wait=True)


@pytest.fixture(scope="session")
def images():
    """Seven pictures, shaded and noisy, no two alike, the last two of them grey."""
    rng = np.random.default_rng(0)
    pictures = []
    for height, width in SIZES:
        shades = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        shades = shades.resize((width, height), Image.Resampling.BICUBIC)
        noisy = np.asarray(shades) + rng.normal(scale=8, size=(height, width, 3))
        pictures.append(noisy.clip(0, 255).astype(np.uint8))
    pictures[-2:] = [picture[:, :, 0] for picture in pictures[-2:]]
    for picture in pictures:
        picture.setflags(write=False)
    return pictures


@pytest.fixture(scope="session")
def lite0(images):
    """All nine levels of the default network; not to be changed by tests."""
    transformer = DeepFeatureTransformer(levels="all", image_size=64, device="cpu")
    return transformer.fit(images)


@pytest.fixture(scope="session")
def tiny(images):
    """A small network with random weights; not to be changed by tests."""
    transformer = DeepFeatureTransformer(
        "test_resnet", levels=[2, 4], weights=None, image_size=64, device="cpu"
    )
    return transformer.fit(images)


@pytest.fixture(scope="session")
def tiny_features(tiny, images):
    """What `tiny` makes of `images`, in one batch."""
    features = tiny.transform(images)
    features.setflags(write=False)
    return features


@pytest.fixture(scope="session")
def test_data():
    """Return the folder of images and figures that are not part of the project."""
    folder = os.environ.get("SKGAUSSAD_TEST_DATA")
    if not folder:
        pytest.skip("SKGAUSSAD_TEST_DATA does not name a folder with test data")
    return Path(folder)
