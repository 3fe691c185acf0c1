"""Requests made up from the OpenAPI description: none ends in a server error."""

import subprocess
import sys
from pathlib import Path

CHECKS = (
    "not_a_server_error",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "status_code_conformance",
)


def test_requests_end_in_no_error_of_the_server(service, tmp_path):
    command = [
        Path(sys.executable).with_name("schemathesis"),
        "run",
        f"{service}/openapi.json",
        f"--checks={','.join(CHECKS)}",
        "--max-examples=20",
        "--seed=0",
        # It takes seconds each, and is asked for in test_api.py.
        "--exclude-path=/model/onnx",
        "--generation-database=none",
        "--no-color",
    ]
    process = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert process.returncode == 0, process.stdout
    assert "Tested: 19" in process.stdout
