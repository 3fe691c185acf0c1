"""Every command that the page on the service shows, against a service."""

import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import httpx2
import pytest
from PIL import Image

PAGE = Path(__file__).parents[2] / "docs" / "user_guide" / "serve.rst"
ADDRESS = re.compile(r"http://(127\.0\.0\.1|line-4):8000")

pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("openssl") is None,
    reason="runs curl and openssl, as the page does",
)


def blocks():
    """Return the blocks of the page that call curl."""
    found = re.findall(
        r"^\.\. code-block:: bash\n\n((?:   .*\n|\n)+)", PAGE.read_text(), re.M
    )
    return [textwrap.dedent(block).strip() for block in found if "curl" in block]


@pytest.fixture
def shell(images, tmp_path):
    """Return a function that runs commands where a.png and b.png lie."""
    for name, path in zip("ab", sorted(images.glob("new/*.png")), strict=False):
        shutil.copy(path, tmp_path / f"{name}.png")
    # Refusals are errors.
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")

    def run(commands, **environment):
        return subprocess.run(
            ["bash", "-e", "-c", commands],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "CURL_HOME": str(tmp_path), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_requests_are_answered(shell, start, model_file, tmp_path):
    first, _ = blocks()
    _, address = start(str(model_file))
    done = shell(ADDRESS.sub(address, first))
    assert done.returncode == 0, done.stdout + done.stderr
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.format == "PNG"
    # Two images, one with its map, feedback, an update and its undo.
    assert first.count("curl") == 6
    for text in ('"error":null', '"verdict":"good"', '"n_after":41', '"n_after":40'):
        assert text in done.stdout


def test_the_token_is_that_of_the_page(shell, start, model_file):
    _, second = blocks()
    make, command, request = second.splitlines()
    token = shell(f"{make}; printf %s $SKGAUSSAD_TOKEN").stdout
    assert len(token) == 64
    options = command.removeprefix("skgaussad serve model.skgaussad ").split()
    _, address = start(str(model_file), *options, SKGAUSSAD_TOKEN=token)
    request = ADDRESS.sub(address.replace("0.0.0.0", "127.0.0.1"), request)
    assert '"error":null' in shell(request, SKGAUSSAD_TOKEN=token).stdout
    assert '"status":401' in shell(request, SKGAUSSAD_TOKEN="other").stdout


def test_the_table_has_all_requests(service):
    text = PAGE.read_text()
    for path in httpx2.get(f"{service}/openapi.json").json()["paths"]:
        name = path.split("/{")[0]
        assert f"{name}``" in text or f"{name}/ID``" in text, path
