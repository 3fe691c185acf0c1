"""The examples of the package beside the scripts, which pytest does not collect."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    ("module", "n_examples"),
    [
        ("_autoencoder", 5),
        ("_classifier", 5),
        ("_nearest_neighbors", 6),
        ("_one_class_svm", 7),
        ("_residuals", 5),
    ],
)
def test_examples_run(module, n_examples):
    results = doctest.testmod(importlib.import_module(f"baselines.{module}"))
    assert (results.failed, results.attempted) == (0, n_examples)
