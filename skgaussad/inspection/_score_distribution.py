"""The distances of normal and of anomalous samples, with the threshold."""

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d

from .._utils.labels import check_labels
from .._utils.validation import check_choice
from ._base import NamedDisplay
from ._matplotlib import check_matplotlib
from ._scores import ask_for_scores, check_scores, check_threshold, percent

_KINDS = ("histogram", "ecdf")
_N_BINS = 40
_NORMAL = "tab:blue"
# Colors that differ with any colour vision (those of Okabe and Ito), and lines to tell
# them apart in print. Their numbers have no common factor: twenty types differ.
_COLORS = ("#d55e00", "black", "#009e73", "#e69f00", "#cc79a7")
_LINES = ("-", "--", "-.", ":")


class ScoreDistributionDisplay(NamedDisplay):
    """Distribution of the distances of normal and of anomalous samples.

    Samples right of the threshold are flagged. The legend has their fraction of each
    kind: of the normal samples, the false-positive rate.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`; all parameters
    become attributes.

    Parameters
    ----------
    distances : ndarray of shape (n_samples,)
        Minus the scores: higher is more anomalous.

    kinds : ndarray of shape (n_samples,), dtype str
        Kind of each sample: ``"normal"``, ``"anomalous"`` or a type of defect, or
        ``"unlabelled"``.

    threshold : float or None, default=None
        Distance above which samples are flagged: minus the detector's ``offset_``.

    fpr : float or None, default=None
        False-positive rate that the threshold was set for, in (0, 1).

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
    WorkingPointDisplay : The rates at all thresholds.
    PValueDisplay : P-values, which are uniform for normal samples.

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
        bins=None,
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
            +1 for normal samples, -1 for anomalous ones; None where not known.
        defect_types : array-like of shape (n_samples,) or None, default=None
            Names of the types of defect, by which to draw the anomalous samples; those
            of normal samples are not used. None draws all anomalous samples as one.
        name : str or None, default=None
            For the title; None is the class of the detector.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        kind : {"histogram", "ecdf"}, default="histogram"
            Whether to draw histograms, or the empirical distribution functions.
        bins : int, str, sequence of float or None, default=None
            Bins of the histograms, the same for all, as for
            :func:`numpy.histogram_bin_edges`. None is 40.
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
        y_score, offset, fpr, asked = ask_for_scores(estimator, X)
        return cls.from_predictions(
            y,
            y_score,
            offset=offset,
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
        y_true,
        y_score,
        *,
        offset=None,
        fpr=None,
        defect_types=None,
        name=None,
        ax=None,
        kind="histogram",
        bins=None,
        **kwargs,
    ):
        """Draw the distances that scores are the negatives of.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or None
            +1 for normal samples, -1 for anomalous ones; None where not known.
        y_score : array-like of shape (n_samples,)
            Finite; higher is more normal, as ``score_samples`` returns, of samples that
            were not in the fit.
        offset : float or None, default=None
            Score below which samples are flagged: the detector's ``offset_``.
        fpr : float or None, default=None
            False-positive rate that `offset` was set for, in (0, 1).
        defect_types : array-like of shape (n_samples,) or None, default=None
            Names of the types of defect, by which to draw the anomalous samples; those
            of normal samples are not used. None draws all anomalous samples as one.
        name : str or None, default=None
            For the title.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        kind : {"histogram", "ecdf"}, default="histogram"
            Whether to draw histograms, or the empirical distribution functions.
        bins : int, str, sequence of float or None, default=None
            Bins of the histograms, the same for all, as for
            :func:`numpy.histogram_bin_edges`. None is 40.
        **kwargs : dict
            Passed to matplotlib's ``stairs`` or ``ecdf``.

        Returns
        -------
        display : ScoreDistributionDisplay

        Raises
        ------
        ValueError
            If there is no score, one is not finite, `y_true` holds other labels, an
            anomalous sample has the type ``"good"`` or ``"normal"``, lengths differ, or
            `fpr`, `defect_types` or `bins` is given where it has no effect: without
            `offset`, without `y_true` or with ``kind="ecdf"``.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        y_score = check_scores("y_score", y_score)
        check_threshold(offset, fpr)
        if fpr is not None and offset is None:
            raise ValueError(
                f"fpr={fpr!r} has no effect without offset, the threshold that was set "
                "for it. Give both or neither."
            )
        display = cls(
            distances=-y_score,
            kinds=_kinds_of(y_true, defect_types, len(y_score)),
            threshold=None if offset is None else -offset,
            fpr=fpr,
            name=name,
        )
        return display.plot(ax=ax, kind=kind, bins=bins, **kwargs)

    def plot(self, ax=None, *, name=None, kind="histogram", bins=None, **kwargs):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        name : str or None, default=None
            For the title; None is the one given before.
        kind : {"histogram", "ecdf"}, default="histogram"
            Whether to draw histograms, or the empirical distribution functions.
        bins : int, str, sequence of float or None, default=None
            Bins of the histograms, the same for all, as for
            :func:`numpy.histogram_bin_edges`. None is 40.
        **kwargs : dict
            Passed to matplotlib's ``stairs`` or ``ecdf``.

        Returns
        -------
        display : ScoreDistributionDisplay
            Itself.
        """
        check_choice("kind", kind, _KINDS)
        if bins is not None and kind == "ecdf":
            raise ValueError(
                f"bins={bins!r} has no effect with kind='ecdf'; leave it None."
            )
        name = self._begin(ax, name)
        edges = np.histogram_bin_edges(
            self.distances, _N_BINS if bins is None else bins
        )
        defects = sorted(set(self.kinds.tolist()) - {"normal"})
        styles = {"normal": {"color": _NORMAL, "linestyle": "-"}} | {
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
                percents = 100 * np.histogram(chosen, edges)[0] / len(chosen)
                # Of several types, filled ones would hide each other.
                if of_kind == "normal" or len(defects) == 1:
                    style |= {"fill": True, "alpha": 0.6}
                artist = self.ax_.stairs(percents, edges, **(style | kwargs))
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
            ylabel="fraction of the samples of each kind, %",
            title=name or "",
        )
        if kind == "ecdf":
            self.ax_.set_ylabel("fraction of the samples up to this distance")
            self.ax_.yaxis.set_major_formatter(lambda rate, _: f"{100 * rate:g} %")
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
        what = {"normal": "false alarms", "unlabelled": "flagged"}.get(kind, "found")
        return f"{counted}, {flagged} {what}"


def _kinds_of(y_true, defect_types, n_samples):
    """Name the kind of each sample."""
    if y_true is None:
        if defect_types is not None:
            raise ValueError(
                "defect_types has no effect without labels, +1 for normal and -1 for "
                "anomalous samples. Give both or neither."
            )
        return np.full(n_samples, "unlabelled")
    y_true = check_labels("y_true", y_true)
    check_consistent_length(np.empty(n_samples), y_true)
    if defect_types is None:
        return np.where(y_true == 1, "normal", "anomalous")
    types = column_or_1d(np.asarray(defect_types)).astype(str)
    check_consistent_length(y_true, types)
    misnamed = np.isin(types, ("good", "normal")) & (y_true == -1)
    if misnamed.any():
        index = np.argmax(misnamed)
        raise ValueError(
            "defect_types names an anomalous sample (-1 in y_true) "
            f"{str(types[index])!r}, at position {index}. Give it a type of defect, or "
            "the label +1."
        )
    return np.where(y_true == 1, "normal", types)
