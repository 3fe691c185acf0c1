import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "solar_cells_auroc.py"


@pytest.mark.slow
def test_aurocs_are_those_of_the_independent_reference(test_data):
    """Every level, distance and cell type within 0.3 points; a minute of work."""
    reference = test_data / "reference" / "elpv_auroc.csv"
    process = subprocess.run(
        [sys.executable, str(SCRIPT), "--quiet", "--reference", str(reference)],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.count("difference  ") == 16
    assert "[holds]" in process.stdout
