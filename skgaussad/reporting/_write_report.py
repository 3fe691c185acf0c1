"""Write a self-contained HTML page about a detector."""

import os
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d

from .._utils.atomic_write import replacing
from .._utils.labels import check_labels
from .._utils.score_table import path_to_text
from .._utils.validation import check_integer, check_real
from ..exceptions import InvalidImageError
from ..inspection import (
    anomaly_maps,
    ask_for_scores,
    check_matplotlib,
    map_meaning,
)
from ._cards import ScoredImages, make_cards
from ._facts import calibration_facts, data_facts, setting_facts
from ._figures import color_bar, draw_distances, draw_roc
from ._rates import rate_rows
from ._text import asked

_CONFIDENCE = 0.95


def write_report(
    estimator,
    X,
    path,
    *,
    y=None,
    defect_types=None,
    names=None,
    title="Anomaly detection report",
    n_images=8,
    confidence=_CONFIDENCE,
):
    """Write a report on a fitted detector and its scores of images, as an HTML page.

    The page says how often the detector is right, with confidence intervals, and how
    its threshold was calibrated. It shows the most anomalous images, those nearest to
    the threshold and, with labels, the missed defects and the false alarms, with
    anomaly maps where the pipeline has them, and lists data, settings and versions. It
    is a single file that needs no network.

    Parameters
    ----------
    estimator : Pipeline or detector
        Fitted; takes images.

    X : sequence of n_images images
        Images that were not in the fit: paths, PIL images or arrays.

    path : str or path-like
        Where to write the page. An existing file is replaced once the new page is
        complete.

    y : array-like of shape (n_images,) or None, default=None
        +1 for normal, -1 for anomalous images. None where that is not known.

    defect_types : array-like of shape (n_images,) or None, default=None
        Name of the type of defect of each image, by which those found are counted.
        Those of normal images are not used. Needs `y`.

    names : sequence of n_images str or None, default=None
        What to call the images. None takes the names of files with their folder, and
        numbers for images in memory.

    title : str, default="Anomaly detection report"
        Heading of the page.

    n_images : int, default=8
        Most images to show in each group, at least 1.

    confidence : float, default=0.95
        Confidence level of the intervals, in (0, 1).

    Returns
    -------
    path : pathlib.Path
        Of the page.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    OSError
        If the page cannot be written.
    TypeError
        If `estimator` has no scores.
    ValueError
        If it has no threshold, or labels or names do not fit the images.
    InvalidImageError
        If an image cannot be used.

    See Also
    --------
    skgaussad.inspection.anomaly_maps : The maps.
    skgaussad.reporting.calibration_report : False alarms by group, as text.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.pipeline import make_pipeline
    >>> from skgaussad import DeepFeatureTransformer, MahalanobisDetector
    >>> from skgaussad.datasets import make_textures
    >>> from skgaussad.reporting import write_report
    >>> data = make_textures(60, 20, size=64, random_state=0)
    >>> good = data.images[data.labels == 1]
    >>> pipe = make_pipeline(
    ...     DeepFeatureTransformer(levels=3, image_size=64),
    ...     MahalanobisDetector(fpr=0.1),
    ... ).fit(good[:40])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report(pipe, good[40:], f"{folder}/report.html")
    ...     "20 images" in page.read_text(encoding="utf-8")
    True
    """
    check_matplotlib("A report")
    check_integer("n_images", n_images, 1)
    check_real("confidence", confidence, 0, 1)
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(path.parent)!r} to write the report to; create "
            "it or name another."
        )
    y, defect_types, names = _check_labels_and_names(X, y, defect_types, names)
    y_score, offset, fpr, detector_name = ask_for_scores(estimator, X)
    if offset is None or not np.isfinite(offset):
        raise ValueError(
            f"{detector_name} has the threshold {offset}, and a report "
            "needs a finite one. Fit on more images, or for a higher fpr."
        )
    scored = ScoredImages(X, names, -y_score, -offset, y, defect_types)
    groups = scored.groups(n_images)
    shown = sorted({row for group in groups for row in group.rows})
    maps, without_maps = _maps_of(estimator, scored, shown)
    cards = make_cards(estimator, scored, shown, maps)
    page = _template().render(
        title=title,
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z").strip(),
        version=version("skgaussad"),
        scored=scored,
        fpr=fpr,
        confidence=confidence,
        data=data_facts(scored),
        settings=setting_facts(estimator),
        calibration=calibration_facts(estimator, -offset, confidence),
        rates=rate_rows(scored, fpr, confidence),
        distances=draw_distances(scored, fpr),
        roc=draw_roc(scored, fpr),
        groups=[(group, [cards[row] for row in group.rows]) for group in groups],
        color_bar=color_bar(map_meaning(estimator)) if maps else None,
        map_meaning=map_meaning(estimator),
        without_maps=without_maps,
    )
    with replacing(path) as temporary:
        # Names of files may be no text.
        Path(temporary).write_text(page, "utf-8", errors="backslashreplace")
    return path


def _check_labels_and_names(X, y, defect_types, names):
    """Check labels and names, one entry an image."""
    if y is None:
        if defect_types is not None:
            raise ValueError(
                "defect_types needs y. Give y with +1 for normal and -1 for anomalous "
                "images."
            )
    else:
        y = check_labels("y", y)
        check_consistent_length(X, y)
    if defect_types is not None:
        defect_types = column_or_1d(np.asarray(defect_types, dtype=str))
        defect_types = np.array([path_to_text(str(name)) for name in defect_types])
        check_consistent_length(X, defect_types)
    if names is None:
        names = [_name_of(X[index], index) for index in range(len(X))]
    elif len(names) != len(X):
        raise ValueError(
            f"names must have one entry an image; got {len(names)} for {len(X)} images."
        )
    return y, defect_types, [path_to_text(str(name)) for name in names]


def _name_of(item, index):
    if isinstance(item, str | os.PathLike):
        return "/".join(Path(item).parts[-2:])
    return f"image {index}"


def _maps_of(estimator, scored, rows):
    """Return maps by row, and the reason where there are none."""
    images = [scored.images[row] for row in rows]
    draw = getattr(estimator, "anomaly_maps", None)
    try:
        maps = anomaly_maps(estimator, images) if draw is None else draw(images)
    except InvalidImageError:
        raise
    except ValueError as error:
        return {}, str(error)
    return dict(zip(rows, maps, strict=True)), ""


def _template():
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("skgaussad.reporting", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["asked"] = asked
    return environment.get_template("report.html")
