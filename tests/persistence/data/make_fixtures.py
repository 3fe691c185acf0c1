"""Writes the model files of this folder, and the scores that they are to give.

Run it with ``python tests/persistence/data/make_fixtures.py`` to add a file for a new
format. The files that are there stay as they are: they tell whether what was saved
before still loads.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgaussad import (
    ConformalDetector,
    LevelEnsemble,
    MahalanobisDetector,
    NegatedPCA,
    RobustDetector,
    VariantMahalanobisDetector,
    save,
)
from skgaussad.model_selection import NormalKFold

FOLDER = Path(__file__).parent


def make_estimators():
    """Return estimators by name; together they have all that detectors are made of."""
    diagonal = MahalanobisDetector("diagonal", threshold="tail", fpr=0.1)
    return {
        "pipeline-1": make_pipeline(StandardScaler(), NegatedPCA(2), diagonal),
        "ensemble-1": LevelEnsemble(columns={"level1": slice(0, 3)}, fpr=0.1),
        "conformal-1": ConformalDetector(
            MahalanobisDetector("diagonal"), threshold="tail", cv=NormalKFold(4)
        ),
        "robust-1": RobustDetector(MahalanobisDetector("diagonal"), threshold="tail"),
        "variants-1": VariantMahalanobisDetector(random_state=0),
        "incremental-1": MahalanobisDetector(threshold="chi2", fpr=0.2),
    }


def main():
    """Write what is missing."""
    X = np.random.default_rng(0).normal(size=(40, 4)).round(3) * [1, 2, 1, 0.1]
    path = FOLDER / "expected.json"
    expected = {"X": X[:5].tolist(), "scores": {}, "offsets": {}}
    if path.exists():
        expected = json.loads(path.read_text())
    for name, estimator in make_estimators().items():
        file = FOLDER / f"{name}.skgaussad"
        if file.exists():
            continue
        if name.startswith("incremental"):
            estimator.partial_fit(X[:20]).partial_fit(X[20:])
        else:
            estimator.fit(X)
        save(estimator, file)
        expected["scores"][file.name] = estimator.score_samples(X[:5]).tolist()
        last = estimator[-1] if hasattr(estimator, "steps") else estimator
        expected["offsets"][file.name] = float(last.offset_)
    path.write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
