"""The distances of good images and of anomalous ones, with the threshold."""

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d

from .._utils.labels import check_labels
from .._utils.validation import check_choice
from ._base import NamedDisplay
from ._distances import ask_for_distances, check_distances, check_working_point, percent
from ._matplotlib import check_matplotlib

_KINDS = ("histogram", "ecdf")
_GOOD = "tab:blue"
# Colors that differ with any colour vision (those of Okabe and Ito), and lines to tell
# them apart in print. Their numbers have no common factor: twenty types differ.
_COLORS = ("#d55e00", "black", "#009e73", "#e69f00", "#cc79a7")
_LINES = ("-", "--", "-.", ":")


class ScoreDistributionDisplay(NamedDisplay):
    """Distribution of the distances of good and of anomalous images.

    What lies right of the threshold is flagged. The legend says which share of each
    kind that is: of the good images, the false alarm rate.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`; all parameters
    become attributes.

    Parameters
    ----------
    distances : ndarray of shape (n_samples,)
        Higher is more anomalous, such as minus what ``score_samples`` gives.

    kinds : ndarray of shape (n_samples,), dtype str
        What each sample is: ``"good"``, ``"unlabelled"`` where that is not known, or
        else ``"anomalous"`` or a type of defect.

    threshold : float or None, default=None
        Distance from which on samples are flagged.

    fpr : float or None, default=None
        False alarm rate that the threshold was set for, in (0, 1).

    name : str or None, default=None
        Name of the detector, for the title.

    Attributes
    ----------
    artists_ : dict of {str: matplotlib StepPatch or Line2D}
        What was drawn for each kind: a histogram, or an empirical distribution
        function.

    threshold_line_ : matplotlib Line2D or None
        The threshold.

    ax_ : matplotlib Axes
        The axes drawn on.

    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    WorkingPointDisplay : What other thresholds would do.
    PValueDisplay : The same on a scale on which good samples are even.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.inspection import ScoreDistributionDisplay
    >>> rng = np.random.default_rng(0)
    >>> detector = MahalanobisDetector().fit(rng.normal(size=(200, 4)))
    >>> X, y = rng.normal(size=(90, 4)), np.repeat([1, -1], [60, 30])
    >>> X[y == -1] *= 3
    >>> ScoreDistributionDisplay.from_estimator(detector, X, y)
    <...>
    """

    def __init__(self, *, distances, kinds, threshold=None, fpr=None, name=None):
        self.distances = distances
        self.kinds = kinds
        self.threshold = threshold
        self.fpr = fpr
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        defect_types=None,
        name=None,
        ax=None,
        kind="histogram",
        bins=40,
        **kwargs,
    ):
        """Draw the distances that a detector gives.

        Parameters
        ----------
        estimator : outlier detector, Pipeline, or meta-estimator around one
            Fitted, with ``score_samples``. The threshold is minus its ``offset_``.
        X : array-like of shape (n_samples, n_features), or sequence of images
            Samples that were not in the fit.
        y : array-like of shape (n_samples,) or None, default=None
            +1 for good samples, -1 for anomalous ones; None takes all for good.
        defect_types : array-like of shape (n_samples,) or None, default=None
            Names of the types of defect, by which to draw the anomalous samples;
            those of good samples play no part. None draws them as one.
        name : str or None, default=None
            For the title; None is the class of the detector.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        kind : {"histogram", "ecdf"}, default="histogram"
            Whether to draw histograms, or the share of the samples up to each distance.
        bins : int, str or sequence of float, default=40
            Bins of the histograms, the same for all, as for
            :func:`numpy.histogram_bin_edges`.
        **kwargs : dict
            Passed to matplotlib's ``stairs`` or ``ecdf``.

        Returns
        -------
        display : ScoreDistributionDisplay

        Raises
        ------
        TypeError
            If the detector has no scores.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        distances, threshold, fpr, asked = ask_for_distances(estimator, X)
        return cls.from_predictions(
            distances,
            y,
            threshold=threshold,
            fpr=fpr,
            defect_types=defect_types,
            name=asked if name is None else name,
            ax=ax,
            kind=kind,
            bins=bins,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        distances,
        y=None,
        *,
        threshold=None,
        fpr=None,
        defect_types=None,
        name=None,
        ax=None,
        kind="histogram",
        bins=40,
        **kwargs,
    ):
        """Draw distances.

        Parameters
        ----------
        distances : array-like of shape (n_samples,)
            Finite; higher is more anomalous, such as minus what ``score_samples``
            gives, of samples that were not in the fit.
        y : array-like of shape (n_samples,) or None, default=None
            +1 for good samples, -1 for anomalous ones; None takes all for good.
        threshold : float or None, default=None
            Distance above which samples are flagged: minus the detector's ``offset_``.
        fpr : float or None, default=None
            False alarm rate that it was set for, in (0, 1).
        defect_types : array-like of shape (n_samples,) or None, default=None
            Names of the types of defect, by which to draw the anomalous samples;
            those of good samples play no part. None draws them as one.
        name : str or None, default=None
            For the title.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        kind : {"histogram", "ecdf"}, default="histogram"
            Whether to draw histograms, or the share of the samples up to each distance.
        bins : int, str or sequence of float, default=40
            Bins of the histograms, the same for all, as for
            :func:`numpy.histogram_bin_edges`.
        **kwargs : dict
            Passed to matplotlib's ``stairs`` or ``ecdf``.

        Returns
        -------
        display : ScoreDistributionDisplay

        Raises
        ------
        ValueError
            If there is no distance, one is not finite, `y` holds other labels, an
            anomalous sample is of the type ``"good"``, or lengths differ.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        distances = check_distances("distances", distances)
        check_working_point(threshold, fpr)
        display = cls(
            distances=distances,
            kinds=_kinds_of(y, defect_types, len(distances)),
            threshold=threshold,
            fpr=fpr,
            name=name,
        )
        return display.plot(ax=ax, kind=kind, bins=bins, **kwargs)

    def plot(self, ax=None, *, name=None, kind="histogram", bins=40, **kwargs):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        name : str or None, default=None
            For the title; None is the one given before.
        kind : {"histogram", "ecdf"}, default="histogram"
            Whether to draw histograms, or the share of the samples up to each distance.
        bins : int, str or sequence of float, default=40
            Bins of the histograms, the same for all, as for
            :func:`numpy.histogram_bin_edges`.
        **kwargs : dict
            Passed to matplotlib's ``stairs`` or ``ecdf``.

        Returns
        -------
        display : ScoreDistributionDisplay
            Itself.
        """
        check_choice("kind", kind, _KINDS)
        name = self._begin(ax, name)
        edges = np.histogram_bin_edges(self.distances, bins)
        defects = sorted(set(self.kinds.tolist()) - {"good"})
        styles = {"good": {"color": _GOOD, "linestyle": "-"}} | {
            defect: {
                "color": _COLORS[number % len(_COLORS)],
                "linestyle": _LINES[number % len(_LINES)],
            }
            for number, defect in enumerate(defects)
        }
        self.artists_ = {}
        for of_kind, style in styles.items():
            chosen = self.distances[self.kinds == of_kind]
            if len(chosen) == 0:
                continue
            style = {"label": self._label(of_kind, chosen), "linewidth": 1.5} | style
            if kind == "ecdf":
                artist = self.ax_.ecdf(chosen, **(style | kwargs))
            else:
                shares = 100 * np.histogram(chosen, edges)[0] / len(chosen)
                # Of several types, filled ones would hide each other.
                if of_kind == "good" or len(defects) == 1:
                    style |= {"fill": True, "alpha": 0.6}
                artist = self.ax_.stairs(shares, edges, **(style | kwargs))
            self.artists_[of_kind] = artist
        self.threshold_line_ = None
        if self.threshold is not None:
            rate = ""
            if self.fpr is not None:
                rate = f", for {100 * self.fpr:g} % false alarms"
            self.threshold_line_ = self.ax_.axvline(
                self.threshold,
                color="dimgrey",
                linestyle=(0, (8, 3)),
                label=f"threshold {self.threshold:.4g}{rate}",
            )
        self.ax_.set(
            xlabel="distance (minus the score)",
            ylabel="share of the samples of each kind, %",
            title=name or "",
        )
        if kind == "ecdf":
            self.ax_.set_ylabel("share of the samples up to this distance")
            self.ax_.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
            self.ax_.legend(loc="best", framealpha=1)
        else:
            # Room for the legend above the bars.
            heights = [artist.get_data().values for artist in self.artists_.values()]
            room = 1.15 + 0.09 * (len(self.artists_) + 1)
            self.ax_.set_ylim(0, room * np.max(heights))
            self.ax_.legend(loc="upper right", framealpha=1)
        return self

    def _label(self, kind, distances):
        """Write the entry of a kind in the legend."""
        counted = f"{len(distances)} {kind}"
        if self.threshold is None:
            return counted
        flagged = percent(np.mean(distances > self.threshold))
        what = {"good": "false alarms", "unlabelled": "flagged"}.get(kind, "found")
        return f"{counted}, {flagged} {what}"


def _kinds_of(y, defect_types, n_samples):
    """Name what each sample is."""
    y = np.ones(n_samples, dtype=int) if y is None else check_labels("y", y)
    check_consistent_length(np.empty(n_samples), y)
    if defect_types is None:
        return np.where(y == 1, "good", "anomalous")
    types = column_or_1d(np.asarray(defect_types)).astype(str)
    check_consistent_length(y, types)
    if (types[y == -1] == "good").any():
        raise ValueError(
            "defect_types names an anomalous sample (-1 in y) 'good', at position "
            f"{np.argmax((types == 'good') & (y == -1))}. Give it a type of defect, or "
            "the label +1."
        )
    return np.where(y == 1, "good", types)
