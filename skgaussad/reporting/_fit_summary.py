"""What a fit has learned, and what to do about it, in plain sentences."""

import html
import math
from dataclasses import dataclass

from ..calibration import required_samples
from ..detectors import (
    find_apart,
    find_decider,
    find_threshold,
    find_transformer,
    n_calibration_units,
    offers,
)
from ._text import asked, percent

_CONFIDENCE = 0.95
# So many of those that stand apart are named.
_N_NAMED = 5
_STYLE = "max-width:46em;border-left:3px solid #3b6ea5;padding:.2em 0 .2em 1em"


@dataclass(frozen=True)
class FitSummary:
    """What a detector has learned, which rate its images support, what to look at.

    ``print`` it, or leave it as the last line of a cell of a notebook.

    Attributes
    ----------
    n_images : int or None
        Training images, or samples; None where the detector does not say.

    n_lots : int or None
        Lots of them that were held out whole, None where single ones were.

    network : str or None
        Network, levels and size of its input.

    detector : str
        Class of the detector.

    threshold : float
        Distance from which on images are flagged.

    fpr : float or None
        False-positive rate that was asked for.

    rate : float or None
        The rate that the threshold is set for: `fpr`, or the least one that the images
        support, where `fpr` takes more.

    n_needed : int or None
        Images, or lots, that `fpr` takes.

    bound : float or None
        What the rate is at most, with a confidence of 95 %, for images like those of
        the fit.

    apart : tuple of (str, float)
        Names and held-out distances of training images that stand apart from the
        others, the farthest first.

    following : float or None
        The largest held-out distance of the others, where some stand apart.

    sets_threshold : bool
        Whether those that stand apart set the threshold.

    supported_without : float or None
        The least rate whose threshold they do not set, where they do.

    warnings : tuple of str
        What `fit` warned of, with the names of images.

    notes : tuple of str
        Which images are of other sizes, or much darker or brighter, than most.

    See Also
    --------
    fit_summary : Makes one of any fitted pipeline or detector.
    """

    n_images: int | None
    n_lots: int | None
    network: str | None
    detector: str
    threshold: float
    fpr: float | None
    rate: float | None
    n_needed: int | None
    bound: float | None
    apart: tuple = ()
    following: float | None = None
    sets_threshold: bool = False
    supported_without: float | None = None
    warnings: tuple = ()
    notes: tuple = ()

    def sentences(self):
        """Say all of it.

        Returns
        -------
        sentences : list of str
            A paragraph each.
        """
        told = [self._learned(), *self._rated(), *self._standing_apart(), *self.notes]
        # Terminals may not have no-break spaces.
        told = [sentence.replace("\N{NO-BREAK SPACE}", " ") for sentence in told]
        # That the images are too few for the rate has been said.
        said = f"fpr={self.fpr} needs"
        others = [each for each in self.warnings if not each.startswith(said)]
        return [*told, *(f"Warning: {each}" for each in others)]

    def _learned(self):
        number = "Images" if self.n_images is None else f"{self.n_images} images"
        lots = "" if self.n_lots is None else f" of {self.n_lots} lots"
        network = "" if self.network is None else f", on {self.network}"
        return (
            f"{number}{lots} were learned by {self.detector}{network}. Images with a "
            f"distance above {self.threshold:.4g} are flagged."
        )

    def _rated(self):
        if self.fpr is None:
            return
        unit = "images" if self.n_lots is None else "lots"
        like = "like these" if self.n_lots is None else "of a new lot"
        text = f"Up to {asked(self.fpr)} of good images may be flagged"
        if self.rate is not None and self.rate > self.fpr:
            text = (
                f"{asked(self.fpr)} of good images were to be flagged at most, which "
                f"takes {self.n_needed} {unit} or more. These support "
                f"{percent(self.rate)}, and the threshold is set for that"
            )
        elif self.n_needed is not None:
            text += f", which takes {self.n_needed} {unit} or more"
        yield f"{text}."
        if self.bound is not None:
            yield (
                f"With {asked(_CONFIDENCE)} confidence at most {percent(self.bound)} "
                f"of good images {like} are flagged."
            )

    def _standing_apart(self):
        if not self.apart:
            return
        named = ", ".join(f"{name} ({d:.4g})" for name, d in self.apart[:_N_NAMED])
        if len(self.apart) > _N_NAMED:
            named += ", ..."
        one = len(self.apart) == 1
        text = (
            f"{len(self.apart)} training image{'' if one else 's'} "
            f"stand{'s' if one else ''} apart from the others, which go up to "
            f"{self.following:.4g}: {named}. Look at {'it' if one else 'them'}."
        )
        if self.sets_threshold:
            it = "it" if one else "them"
            rate = math.ceil(1000 * self.supported_without) / 1000
            text += (
                f" The threshold comes from {it} alone, and defects that are no "
                f"farther out are missed. Leave {it} out if not good, for a threshold "
                f"closer to {self.following:.4g}; or ask for a rate of {rate:g} or "
                f"more; or give more images like {it}."
            )
        yield text

    def __str__(self):
        return "\n".join(self.sentences())

    def _repr_html_(self):
        paragraphs = "".join(f"<p>{html.escape(s)}</p>" for s in self.sentences())
        return f'<div style="{_STYLE}">{paragraphs}</div>'


def fit_summary(estimator, *, names=None):
    """Say what a fitted detector has learned, and what to do about it.

    Parameters
    ----------
    estimator : outlier detector, Pipeline, meta-estimator or search around one
        Fitted, with a threshold.

    names : sequence of n_images str or None, default=None
        Of the training images; None takes what a pipeline of
        :func:`~skgaussad.make_detector` has kept, or numbers them.

    Returns
    -------
    summary : FitSummary

    Raises
    ------
    TypeError
        If the estimator has no threshold.
    ValueError
        If there are not as many `names` as training images.

    See Also
    --------
    calibration_report : Checks the rate on good images that were not in the fit.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.reporting import fit_summary
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> X[7] += 20
    >>> summary = fit_summary(MahalanobisDetector().fit(X))
    >>> summary.n_needed
    19
    >>> [name for name, distance in summary.apart]
    ['image 7']
    """
    detector = find_decider(estimator)
    threshold = find_threshold(estimator)
    if threshold is None:
        raise TypeError(f"{type(estimator).__name__} has no threshold to tell of.")
    facts = {
        "network": _describe_network(find_transformer(estimator)),
        "detector": type(detector).__name__,
        "threshold": threshold,
        "fpr": getattr(detector, "fpr", None),
        "n_images": getattr(detector, "n_samples_seen_", None),
        "n_lots": None,
        "rate": getattr(detector, "fpr", None),
        "n_needed": None,
        "bound": None,
        "warnings": tuple(getattr(estimator, "warnings_", ())),
        "notes": tuple(getattr(estimator, "notes_", ())),
    }
    if offers(detector, "fpr_bound"):
        facts |= _describe_calibration(estimator, detector, threshold, names)
    return FitSummary(**facts)


def _describe_network(transformer):
    """Name network, levels and input, or return None."""
    if transformer is None:
        return None
    height, width = transformer.preprocessing_.image_size
    levels = transformer.levels_
    return (
        f"level{'s' * (len(levels) > 1)} {', '.join(map(str, levels))} of "
        f"{transformer.backbone} at {width} x {height} pixels"
    )


def _describe_calibration(estimator, detector, threshold, names):
    """Return what the held-out distances tell."""
    distances = detector.calibration_distances_
    n_images, n_units = len(distances), n_calibration_units(detector)
    groups = getattr(getattr(detector, "_held_out", None), "groups", None)
    facts = {"n_images": n_images, "bound": detector.fpr_bound(_CONFIDENCE)}
    confidence = getattr(detector, "confidence", None)
    if groups is not None:
        facts["n_lots"] = n_units
    elif detector.threshold == "quantile":
        facts["n_needed"] = required_samples(detector.fpr, confidence)
        if n_units < facts["n_needed"]:
            facts["rate"] = max(detector.fpr, 1 / (n_units + 1))
    names = _names_of(estimator, n_images) if names is None else list(names)
    if len(names) != n_images:
        raise ValueError(
            f"There are {len(names)} names for {n_images} training images."
        )
    rows = find_apart(distances)
    if len(rows):
        others = distances[distances < distances[rows[-1]]]
        following = float(others.max())
        facts["following"] = following
        facts["apart"] = tuple((names[row], float(distances[row])) for row in rows)
        if threshold > following:
            facts["sets_threshold"] = True
            facts["supported_without"] = (len(rows) + 1) / (n_units + 1)
    return facts


def _names_of(estimator, n_images):
    """Return the names that a pipeline has kept, or numbers."""
    kept = getattr(estimator, "training_samples_", {}).get("name", [""] * n_images)
    return [name or f"image {number}" for number, name in enumerate(kept)]
