"""The examples of a deployment run commands that there are."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from skgaussad.commands._main import make_parser

FOLDER = Path(__file__).parents[2] / "examples" / "deploy"


def commands():
    """Yield the command lines, without the program."""
    docker = (FOLDER / "Dockerfile").read_text()
    yield json.loads(re.search(r"^CMD (\[.*\])$", docker, re.MULTILINE)[1])
    for service in yaml.safe_load((FOLDER / "compose.yaml").read_text())[
        "services"
    ].values():
        yield service["command"]
    unit = (FOLDER / "skgaussad.service").read_text()
    started = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1]
    yield shlex.split(started)[1:]


@pytest.mark.parametrize("command", list(commands()), ids=lambda c: c[0])
def test_commands_are_understood(command):
    assert make_parser().parse_args(command).model.endswith("model.skgaussad")


def test_the_image_does_not_run_as_root():
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    assert "USER inspector" in lines
    assert lines.index("USER inspector") < next(
        number for number, line in enumerate(lines) if line.startswith("ENTRYPOINT")
    )
