"""Facts about data, settings and calibration: names, values, meanings."""

from importlib.metadata import version

import numpy as np
from sklearn.pipeline import Pipeline

from ..detectors import (
    find_decider,
    find_transformer,
    n_calibration_units,
    offers,
)
from ..features import read_image_size
from ._text import asked, percent

_PACKAGES = ("skgaussad", "scikit-learn", "torch", "timm", "numpy", "scipy", "pillow")


def data_facts(scored):
    """Describe the images.

    Parameters
    ----------
    scored : ScoredImages

    Returns
    -------
    facts : list of (str, str)
    """
    images = scored.images
    sizes = np.array([read_image_size(images, row) for row in range(len(images))])
    (low_height, low_width), (height, width) = sizes.min(axis=0), sizes.max(axis=0)
    size = f"{width} x {height} pixels"
    if (low_height, low_width) != (height, width):
        size = (
            f"from {low_width} to {width} pixels wide, from {low_height} to {height} "
            "high"
        )
    facts = [("Images", f"{len(images)}, none of which should have been in the fit")]
    facts.append(("Size", size))
    if scored.y is not None:
        n_normal = int(np.count_nonzero(scored.y == 1))
        kinds = f"{n_normal} normal, {len(scored.y) - n_normal} anomalous"
        if scored.defect_types is not None:
            names, counts = np.unique(
                scored.defect_types[scored.y == -1], return_counts=True
            )
            listed = [
                f"{count} {name}" for name, count in zip(names, counts, strict=True)
            ]
            if listed:
                kinds += f": {', '.join(listed)}"
        facts.append(("Labels", kinds))
    else:
        facts.append(("Labels", "not given"))
    return facts


def setting_facts(estimator):
    """Describe the estimator that scored the images.

    Parameters
    ----------
    estimator : Pipeline or detector

    Returns
    -------
    facts : list of (str, str)
    """
    facts = [
        (
            f"Step {number}" if isinstance(estimator, Pipeline) else "Detector",
            repr(step),
        )
        for number, step in enumerate(_steps(estimator), start=1)
    ]
    transformer = find_transformer(estimator)
    if transformer is not None:
        preprocessing = transformer.preprocessing_
        height, width = preprocessing.image_size
        facts += [
            (
                "Network",
                f"{transformer.backbone}, of {transformer.n_levels_} levels: "
                f"{', '.join(map(str, transformer.levels_))}",
            ),
            ("Weights", f"{transformer.weights_source_}"),
            ("SHA-256 of the weights", transformer.weights_sha256_),
            (
                "Input",
                f"{width} x {height} pixels, {preprocessing.interpolation}"
                + ", standardized intensity" * preprocessing.standardize_intensity
                + ", JPEG files reduced while decoded" * preprocessing.reduce_jpeg
                + (
                    ""
                    if preprocessing.max_value is None
                    else f", white is {preprocessing.max_value} in 16 bits"
                ),
            ),
        ]
    facts.append(
        ("Versions", ", ".join(f"{name} {version(name)}" for name in _PACKAGES))
    )
    return facts


def calibration_facts(estimator, threshold, confidence):
    """Describe how a threshold was calibrated.

    Parameters
    ----------
    estimator : Pipeline or detector
    threshold : float
    confidence : float

    Returns
    -------
    facts : list of (str, str, str)
        Names, values and what they mean.
    """
    detector = find_decider(estimator)
    facts = [
        (
            "Threshold",
            f"{threshold:.4g}",
            "Images with a larger distance are flagged. The distance has no unit.",
        )
    ]
    if hasattr(detector, "fpr"):
        facts.append(
            (
                "Rate asked for",
                asked(detector.fpr),
                "Fraction of normal images that may be flagged.",
            )
        )
    if not offers(detector, "fpr_bound"):
        return facts
    n_units = n_calibration_units(detector)
    facts.append(
        (
            "Calibrated on",
            f"{n_units}",
            "Training images, or groups of them, each measured by a detector fitted "
            f"without it. The smallest p-value that so many support is "
            f"{percent(1 / (n_units + 1))}.",
        )
    )
    facts.append(
        (
            "Rate at most",
            percent(detector.fpr_bound(confidence)),
            f"With {asked(confidence)} confidence, if new normal images are like the "
            "training images.",
        )
    )
    return facts


def _steps(estimator):
    if isinstance(estimator, Pipeline):
        return [step for _, step in estimator.steps]
    return [estimator]
