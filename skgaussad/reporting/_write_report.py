"""Write a self-contained HTML page about a detector."""

import os
import warnings
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d

from .._utils.atomic_write import replacing
from .._utils.labels import check_labels, number_labels
from .._utils.score_table import path_to_text
from .._utils.validation import check_integer, check_real
from ..detectors import (
    count_learned,
    find_decider,
    find_held_out,
    find_part,
    find_threshold,
    learned_files,
    say_learned,
)
from ..features import list_folder
from ..inspection import (
    ask_for_scores,
    cell_map_drawer,
    check_matplotlib,
    held_out_maps,
    map_meaning,
    send_through_network,
)
from ._cards import ScoredImages, make_cards
from ._facts import calibration_facts, data_facts, setting_facts
from ._figures import color_bar, draw_distances, draw_roc
from ._fit_summary import fit_summary
from ._rates import evaluate_images, lot_rows, other_rate_rows, rate_rows, verdict
from ._text import asked

_CONFIDENCE = 0.95
# Of the training images.
_N_TO_RECHECK = 8


def write_report(
    estimator,
    X,
    path,
    *,
    y=None,
    defect_types=None,
    names=None,
    groups=None,
    title="Anomaly detection report",
    n_images=None,
    confidence=_CONFIDENCE,
):
    """Write a report on a fitted detector and its scores of images, as an HTML page.

    The page says what the fit has learned, how often the detector is right, with
    confidence intervals, also at other rates, and how its threshold was calibrated. It
    shows the missed defects and the false alarms, where labels are given, all images by
    their distances, and the training images to recheck, with anomaly maps where the
    pipeline has them; lists data, settings and versions; and says what an acceptance
    test finds, with lines to be signed on. It is a single file that needs no network,
    with about 20 kB for each image.

    Parameters
    ----------
    estimator : Pipeline or detector
        Fitted; takes images.

    X : sequence of n_images images
        Images that were not in the fit: paths, PIL images or arrays; or a folder.

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

    groups : array-like of shape (n_images,) or None, default=None
        What may make a difference, such as the lot, camera or shift of each image, by
        which false alarms and defects found are counted, or without `y` what is
        flagged. The intervals of all groups hold together with `confidence`.

    title : str, default="Anomaly detection report"
        Heading of the page.

    n_images : int or None, default=None
        Most images to show in each section, at least 1; None shows all.

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
        If it has no threshold, or labels, names or groups do not fit the images.
    InvalidImageError
        If an image cannot be used.

    Warns
    -----
    UserWarning
        If the detector was fitted to some of the images, by their paths.

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
    return write_report_of(
        estimator,
        X,
        path,
        None,
        y=y,
        defect_types=defect_types,
        names=names,
        groups=groups,
        title=title,
        n_images=n_images,
        confidence=confidence,
    )


def write_report_of(
    estimator,
    X,
    path,
    sent,
    *,
    y=None,
    defect_types=None,
    names=None,
    groups=None,
    title="Anomaly detection report",
    n_images=None,
    confidence=_CONFIDENCE,
):
    """Do what `write_report` does; `sent` is of `send_through_network`, or None."""
    check_matplotlib("A report")
    if isinstance(X, str | os.PathLike):
        X = list_folder(X)
    if n_images is not None:
        check_integer("n_images", n_images, 1)
    check_real("confidence", confidence, 0, 1)
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(path.parent)!r} to write the report to; create "
            "it or name another."
        )
    y, defect_types, names = _check_labels_and_names(X, y, defect_types, names)
    if groups is not None:
        lots, numbers = number_labels("groups", groups, X)
        groups = lots[numbers]
    rest, features = send_through_network(estimator, X) if sent is None else sent
    y_score, offset, fpr, detector_name = ask_for_scores(rest, features)
    if offset is None or not np.isfinite(offset):
        raise ValueError(
            f"{detector_name} has the threshold {offset}, and a report "
            "needs a finite one. Fit on more images, or for a higher fpr."
        )
    n_learned = count_learned(X, learned_files(estimator))
    caution = say_learned(n_learned, len(X)) if n_learned else None
    if caution:
        warnings.warn(caution, UserWarning, stacklevel=3)
    p = _p_values(estimator, -y_score)
    scored = ScoredImages(X, names, -y_score, p, -offset, y, defect_types)
    draw = cell_map_drawer(estimator, rest, features, scored.images)
    figures = evaluate_images(scored, fpr, confidence)
    sections = scored.sections(n_images)
    shown = [row for section in sections for row in section.rows]
    cards, without_maps = make_cards(estimator, scored, shown, draw)
    return _write_page(
        path,
        "report.html",
        estimator,
        title=title,
        scored=scored,
        fpr=fpr,
        confidence=confidence,
        caution=caution,
        data=data_facts(scored),
        settings=setting_facts(estimator),
        calibration=calibration_facts(estimator, -offset, confidence),
        figures=figures,
        rates=rate_rows(scored, figures, fpr, confidence),
        verdict=verdict(figures),
        lots=[] if groups is None else lot_rows(scored, groups, fpr, confidence),
        other_rates=other_rate_rows(estimator, scored),
        recheck=_cards_to_recheck(estimator)[0],
        distances=draw_distances(scored, fpr),
        roc=draw_roc(scored, fpr),
        sections=[
            (section, [cards[row] for row in section.rows]) for section in sections
        ],
        without_maps=without_maps,
    )


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


def _p_values(estimator, distances):
    """Return the p-values of distances, or None without held-out ones."""
    held_out = find_held_out(estimator)
    return None if held_out is None else held_out.p_values(distances)


def _training_names(estimator):
    """Return short names of the training images, where they were kept."""
    kept = getattr(estimator, "training_samples_", {}).get("name", [])
    names = [path_to_text(_name_of(str(name), 0)) for name in kept]
    return names if len(names) and all(names) else None


def _cards_to_recheck(estimator, n_images=_N_TO_RECHECK):
    """Make cards of the training images with the largest held-out distances.

    None where the images are not kept by name, or are no longer there; and why there
    are no maps.
    """
    names = getattr(estimator, "training_samples_", {}).get("name", [])
    distances = getattr(find_decider(estimator), "calibration_distances_", ())
    if len(names) != len(distances):
        return [], ""
    rows = np.argsort(-np.asarray(distances), kind="stable")[:n_images]
    paths = [str(names[row]) for row in rows]
    if not paths or not all(map(os.path.isfile, paths)):
        return [], ""
    distances = np.asarray(distances)[rows]
    scored = ScoredImages(
        paths,
        [path_to_text(_name_of(path, 0)) for path in paths],
        distances,
        _p_values(estimator, distances),
        find_threshold(estimator),
        None,
        None,
    )
    draw = None
    if hasattr(find_part(estimator, "cell_residuals"), "calibration_residuals_"):
        # To the model of all, which has seen them, they look normal.
        def draw(some):
            return held_out_maps(estimator, [paths[n] for n in some], rows[some])

    cards, without_maps = make_cards(estimator, scored, list(range(len(rows))), draw)
    return list(cards.values()), without_maps


def write_review(estimator, path):
    """Write a page of the training images, by their held-out distances.

    Parameters
    ----------
    estimator : DetectorPipeline
        Fitted to image files that are still there, such as that of
        :func:`~skgaussad.make_detector`.

    path : str or path-like
        Where to write the page. An existing file is replaced once the new page is
        complete.

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
    ValueError
        If the training images are not known by their files, or not there.

    See Also
    --------
    write_report : On new images.
    fit_summary : Names those that stand apart.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skgaussad import make_detector
    >>> from skgaussad.datasets import make_textures
    >>> from skgaussad.reporting import write_review
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number, image in enumerate(make_textures(30, 0, random_state=0).images):
    ...         Image.fromarray(image).save(f"{folder}/{number:02}.png")
    ...     detector = make_detector(levels=3, pooling=4, image_size=64).fit(folder)
    ...     page = write_review(detector, f"{folder}/review.html")
    ...     "30 images were learned" in page.read_text(encoding="utf-8")
    True
    """
    check_matplotlib("A page")
    cards, without_maps = _cards_to_recheck(estimator, None)
    if not cards:
        raise ValueError(
            "The training images cannot be shown: the model does not know their files, "
            "or these are no longer there. Fit to a folder or to paths."
        )
    return _write_page(
        path,
        "review.html",
        estimator,
        title="Training images",
        cards=cards,
        without_maps=without_maps,
    )


def _write_page(path, template, estimator, *, without_maps, **content):
    """Write a page, with what all pages have, and return its path."""
    meaning = map_meaning(estimator)
    page = _template(template).render(
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z").strip(),
        version=version("skgaussad"),
        learned=fit_summary(estimator, names=_training_names(estimator)).sentences(),
        color_bar=None if without_maps else color_bar(meaning),
        map_meaning=meaning,
        without_maps=without_maps,
        **content,
    )
    path = Path(path)
    with replacing(path) as temporary:
        # Names of files may be no text.
        Path(temporary).write_text(page, "utf-8", errors="backslashreplace")
    return path


def _template(name):
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("skgaussad.reporting", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["asked"] = asked
    return environment.get_template(name)
