"""Tests of what is needed, and of what is said where it is missing."""

import subprocess
import sys

import pytest

from skgaussad import distributed

CODE = """if True:
    import sys
    import skgaussad.distributed
    loaded = {"dask", "distributed", "pyarrow", "torch"} & set(sys.modules)
    print(sorted(loaded - {"pyarrow"} if "pandas" in sys.modules else loaded))
"""


@pytest.mark.slow
def test_import_loads_no_dask():
    process = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


@pytest.mark.parametrize("missing", ["dask.distributed", "pyarrow"])
def test_missing_package_is_named_with_its_remedy(make, paths, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    calls = [lambda: distributed.score_to_parquet(make(), paths, "folder")]
    if missing == "dask.distributed":
        calls.append(lambda: distributed.fit(make(), paths))
    for call in calls:
        with pytest.raises(ImportError) as error:
            call()
        assert str(error.value).endswith(
            f"works with {missing.split('.')[0]}, which is not installed. Run: "
            'pip install "skgaussad[dask]"'
        )
