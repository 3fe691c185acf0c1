"""Tests of what importing the package loads: the network's libraries come later."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "timm", "huggingface_hub", "matplotlib", "tqdm")


def run(code):
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.parametrize(
    "module", ["skgaussad", "skgaussad.features", "skgaussad.inspection"]
)
def test_import_loads_no_heavy_library(module):
    loaded = run(f"import {module}, sys, json; print(json.dumps(list(sys.modules)))")
    assert module in json.loads(loaded)
    assert not set(HEAVY) & set(json.loads(loaded))


def test_detector_needs_neither_torch_nor_pandas():
    """Scikit-learn loads pandas where it finds it, so it is hidden."""
    code = f"""if True:
        import sys
        class Missing:
            def find_spec(name, path=None, target=None):
                if name in (*{HEAVY!r}, "pandas", "polars"):
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Missing)
        import numpy as np
        from skgaussad import DeepFeatureTransformer, MahalanobisDetector
        X = np.random.default_rng(0).normal(size=(30, 4))
        print(MahalanobisDetector().fit(X).predict(100 + X[:2]))
        print(DeepFeatureTransformer())
    """
    assert run(code).splitlines() == ["[-1 -1]", "DeepFeatureTransformer()"]


def test_public_names_are_there_before_their_first_use():
    code = """if True:
        import skgaussad
        print(set(skgaussad.__all__) <= set(dir(skgaussad)))
        print(all(getattr(skgaussad, n).__name__ == n for n in skgaussad.__all__))
        print(hasattr(skgaussad, "Nonsense"))
    """
    assert run(code).split() == ["True", "True", "False"]
