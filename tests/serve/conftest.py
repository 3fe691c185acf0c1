"""A small model, images for it, and the service of the model."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from PIL import Image

from skgaussad import load, make_detector, save
from skgaussad.datasets import make_textures
from skgaussad.serve import make_app

ROOT = Path(__file__).parents[2]
N_GOOD = 40


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A folder with 40 images in ``good``, 8 others of the kind and 4 with a defect."""
    root = tmp_path_factory.mktemp("images")
    data = make_textures(N_GOOD + 8, 4, size=64, random_state=0)
    for index, (pixels, label) in enumerate(zip(data.images, data.labels, strict=True)):
        folder = root / ("cut" if label == -1 else "good" if index < N_GOOD else "new")
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    return root


def fit(folder, **fit_params):
    """Fit a pipeline of a small network to a folder."""
    detector = make_detector(
        backbone="test_resnet",
        weights=None,
        device="cpu",
        image_size=32,
        levels=4,
        pooling=2,
        fpr=0.05,
    )
    return detector.fit(sorted(map(str, folder.glob("*.png"))), **fit_params)


@pytest.fixture(scope="session")
def fitted(images, tmp_path_factory):
    """Path of a model file, not to be changed."""
    path = tmp_path_factory.mktemp("fitted") / "model.skgaussad"
    save(fit(images / "good"), path)
    return path


@pytest.fixture
def model_file(fitted, tmp_path):
    """Path of a model file of the test's own."""
    return Path(shutil.copy(fitted, tmp_path / "model.skgaussad"))


@pytest.fixture
def pipe(fitted):
    """The model itself."""
    return load(fitted)


@pytest.fixture
def start(tmp_path):
    """Return a function that starts the command, and returns process and address."""
    if os.name != "posix":
        pytest.skip("stops the command by signals of POSIX")
    with contextlib.ExitStack() as stack:

        def start_command(*arguments, **environment):
            process = subprocess.Popen(
                [sys.executable, "-m", "skgaussad", "serve", *arguments, "--port=0"],
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                start_new_session=True,
            )
            stack.callback(process.stderr.close)
            stack.callback(process.wait)
            stack.callback(_kill, process)
            lines = []
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"running on (http://\S+)", line):
                    return process, found[1]
            raise AssertionError("".join(lines))

        yield start_command


def _kill(process):
    """End a process and its workers."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def running(path, **options):
    """Run the service in a thread of this process; give its address."""
    app = make_app(path, **options)
    config = uvicorn.Config(app, port=0, ws="none", log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def service(fitted, tmp_path_factory):
    """Address of a service of the module."""
    folder = tmp_path_factory.mktemp("service")
    with running(shutil.copy(fitted, folder / "model.skgaussad")) as address:
        yield address
