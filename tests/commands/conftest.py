"""A model of a small network and images for it, shared by the tests of commands."""

import io
import sys

import pytest
from PIL import Image

from skgaussad.commands._main import main
from skgaussad.datasets import make_textures

N_GOOD = 40


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """A folder with 40 images in ``good``, 6 in ``new/good`` and 5 in ``new/cut``."""
    root = tmp_path_factory.mktemp("parts")
    data = make_textures(N_GOOD + 6, 5, size=64, random_state=0)
    for index, image in enumerate(data.images):
        folder = root / "good" if index < N_GOOD else root / "new" / "good"
        if data.labels[index] == -1:
            folder = root / "new" / "cut"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index:02d}.png")
    return root


@pytest.fixture(scope="session")
def tiny_options():
    """Options of ``fit`` for a small network."""
    network = "--backbone", "test_resnet", "--weights", "none", "--image-size", "64"
    return *network, "--pooling", "2"


@pytest.fixture(scope="session")
def model(parts, tiny_options, tmp_path_factory):
    """Path of a model file that ``skgaussad fit`` wrote."""
    path = tmp_path_factory.mktemp("model") / "model.skgaussad"
    arguments = ("--fpr", "0.05", "--levels", "4", "--quiet", "-o", str(path))
    assert main(["fit", str(parts / "good"), *tiny_options, *arguments]) == 0
    return str(path)


@pytest.fixture
def run(capsysbinary):
    """Run a command line; return its status, standard output and standard error."""

    def run_command(*arguments, stdin=None):
        if stdin is not None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
                status = main(list(map(str, arguments)))
        else:
            status = main(list(map(str, arguments)))
        out, err = capsysbinary.readouterr()
        return status, out.decode(), err.decode()

    return run_command
