"""The images in a report, with their maps and captions."""

import base64
import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from ..detectors import find_max_value
from ..exceptions import InvalidImageError
from ..features import as_image_sequence, as_picture, decode_image, resize
from ..inspection import anomaly_maps, map_meaning, overlay_map

# Longer side of a picture, in pixels, of which pages show about 170: there are many.
_MAX_SIDE = 200
_JPEG_QUALITY = 78
# Maps are as large as their images.
_N_AT_ONCE = 16


@dataclass(frozen=True)
class Section:
    """Images that are shown together.

    Attributes
    ----------
    heading, explanation : str
    rows : list of int
        Positions of the images, the most telling first.
    n_others : int
        How many more belong to it than are shown.
    """

    heading: str
    explanation: str
    rows: list
    n_others: int


@dataclass(frozen=True)
class ScoredImages:
    """Images with their distances and, if known, their labels.

    Attributes
    ----------
    X : sequence of images
    names : list of str
    distances : ndarray of shape (n_images,)
    p_values : ndarray of shape (n_images,) or None
    threshold : float
    y : ndarray of shape (n_images,) or None
        +1 for normal, -1 for anomalous images.
    defect_types : ndarray of shape (n_images,) or None
    """

    X: object
    names: list
    distances: np.ndarray
    p_values: np.ndarray | None
    threshold: float
    y: np.ndarray | None
    defect_types: np.ndarray | None

    @cached_property
    def images(self):
        """The images as a sequence of items."""
        return as_image_sequence(self.X)

    @property
    def flagged(self):
        """Which images are above the threshold."""
        return ~(self.threshold - self.distances >= 0)

    def truth(self, row):
        """Return the label of an image in words; empty without labels."""
        if self.y is None:
            return ""
        if self.y[row] == 1:
            return "normal"
        return "anomalous" if self.defect_types is None else self.defect_types[row]

    def sections(self, n_images):
        """Put each image into one section, those with errors first.

        Parameters
        ----------
        n_images : int or None
            Most of each section; None takes all.

        Returns
        -------
        sections : list of Section
            Those that have an image.
        """
        flagged = self.flagged
        by_distance = np.argsort(-self.distances, kind="stable")
        if self.y is None:
            every = np.full(len(flagged), True)
            chosen = [("All images", "The largest distance first.", every, 1)]
        else:
            normal = self.y == 1
            chosen = [
                (
                    "Missed defects",
                    "Anomalous images below the threshold, the closest to normal "
                    "first.",
                    ~normal & ~flagged,
                    -1,
                ),
                (
                    "False alarms",
                    "Normal images above the threshold, the farthest first. "
                    "Check whether they are normal.",
                    normal & flagged,
                    1,
                ),
                (
                    "Defects found",
                    "Anomalous images above the threshold, the farthest first.",
                    ~normal & flagged,
                    1,
                ),
                (
                    "Normal images passed",
                    "The largest distance first.",
                    normal & ~flagged,
                    1,
                ),
            ]
        sections = []
        for heading, explanation, belongs, direction in chosen:
            rows = [int(row) for row in by_distance[::direction] if belongs[row]]
            shown = rows[:n_images]
            if rows:
                n_others = len(rows) - len(shown)
                sections.append(Section(heading, explanation, shown, n_others))
        return sections


def make_cards(estimator, scored, rows, draw=None):
    """Make what is shown of images.

    Parameters
    ----------
    estimator : Pipeline or detector
    scored : ScoredImages
    rows : list of int
        Positions of the images.
    draw : callable or None, default=None
        Takes some of the rows, and returns their maps. None draws those of new images.

    Returns
    -------
    cards : dict of {int: dict}
        By position: ``"name"``, ``"picture"`` and ``"map"`` (data URIs, the second may
        be None), ``"picture_alt"``, ``"map_alt"``, ``"width"`` and ``"height"`` (of
        both, in pixels), ``"distance"``, ``"ratio"``, ``"p_value"`` (or None),
        ``"decision"``, ``"kind"`` and ``"truth"``.
    without_maps : str
        Why there are no maps; empty where there are.
    """
    meaning, white = map_meaning(estimator), find_max_value(estimator)
    cards, without_maps = {}, ""
    for start in range(0, len(rows), _N_AT_ONCE):
        some = rows[start : start + _N_AT_ONCE]
        maps = {}
        if not without_maps:
            maps, without_maps = _maps_of(estimator, scored, some, draw)
        for row in some:
            cards[row] = _make_card(scored, row, maps.get(row), meaning, white)
    return cards, without_maps


def _maps_of(estimator, scored, rows, draw_rows):
    """Return maps by row, and the reason where there are none."""
    images = [scored.images[row] for row in rows]
    draw = getattr(estimator, "anomaly_maps", None)
    try:
        if draw_rows is not None:
            maps = draw_rows(rows)
        else:
            maps = anomaly_maps(estimator, images) if draw is None else draw(images)
    except InvalidImageError:
        raise
    except ValueError as error:
        return {}, str(error)
    return dict(zip(rows, maps, strict=True)), ""


def _decide(flagged, truth):
    """Say what was decided, and whether that was right: good, bad or wrong."""
    if truth in ("", "normal"):
        wrong = bool(truth) and flagged
        decision = "flagged" if flagged else "passed"
        kind = "wrong" if wrong else ("bad" if flagged else "good")
        return f"{decision}: false alarm" if wrong else decision, kind
    return ("flagged", "bad") if flagged else ("passed: missed defect", "wrong")


def _make_card(scored, row, anomaly_map, meaning, max_value):
    picture = _thumbnail(decode_image(scored.images, row, max_value))
    distance = scored.distances[row]
    ratio = distance / scored.threshold
    name, truth = scored.names[row], scored.truth(row)
    card = {
        "name": name,
        "picture": _data_uri(picture),
        "picture_alt": f"Image {name}",
        "width": picture.width,
        "height": picture.height,
        "map": None,
        "map_alt": "",
        "distance": f"{distance:.4g}",
        "ratio": f"{ratio:.2f}",
        "p_value": None if scored.p_values is None else f"{scored.p_values[row]:.2g}",
        "truth": truth,
    }
    card["decision"], card["kind"] = _decide(bool(scored.flagged[row]), truth)
    if anomaly_map is not None:
        values = resize(anomaly_map, picture.size[::-1])
        over = overlay_map(np.asarray(picture), values, meaning)
        card["map"] = _data_uri(Image.fromarray(over))
        card["map_alt"] = f"Anomaly map of {name}: {_where(values)}"
    return card


def _thumbnail(pixels):
    """Picture of at most `_MAX_SIDE` pixels a side."""
    image = as_picture(pixels)
    image.thumbnail((_MAX_SIDE, _MAX_SIDE), Image.Resampling.LANCZOS)
    return image.convert("RGB")


def _where(values):
    """Describe a map in words."""
    top = values.max()
    if top <= 1:
        return "no place alone reaches the threshold's value of 1"
    row, column = np.unravel_index(values.argmax(), values.shape)
    height, width = values.shape
    vertical = ("top", "middle", "bottom")[min(2, 3 * row // height)]
    horizontal = ("left", "centre", "right")[min(2, 3 * column // width)]
    return f"highest, {top:.1f} times the threshold, at the {vertical} {horizontal}"


def _data_uri(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True, progressive=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
