"""The ROC curve of a detector, with the point of its threshold."""

from sklearn.metrics import auc, roc_curve

from ._base import NamedDisplay, labelled
from ._matplotlib import check_matplotlib
from ._scores import (
    ask_for_scores,
    check_both_kinds,
    check_scores,
    check_threshold,
    percent,
)


class WorkingPointDisplay(NamedDisplay):
    """ROC curve with the point of the detector's threshold.

    The curve has the rates at all thresholds. A detector sets its threshold by normal
    samples alone (section IV-B of [1]_): the point has its rates, and the dotted line
    the false-positive rate asked for.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`; all parameters
    become attributes.

    Parameters
    ----------
    fpr : ndarray of shape (n_thresholds,)
        False-positive rates: fractions of the normal samples, ascending.

    tpr : ndarray of shape (n_thresholds,)
        True-positive rates: fractions of the anomalous samples.

    roc_auc : float
        Area under the curve (AUROC), in [0, 1].

    achieved : tuple of (float, float) or None, default=None
        False- and true-positive rate at the detector's threshold.

    target_fpr : float or None, default=None
        False-positive rate that the threshold was set for, in (0, 1).

    name : str or None, default=None
        Name of the detector, for the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.

    point_ : matplotlib Line2D or None
        The working point.

    target_line_ : matplotlib Line2D or None
        The rate asked for.

    chance_line_ : matplotlib Line2D
        The diagonal.

    ax_ : matplotlib Axes
        The axes drawn on.

    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    sklearn.metrics.RocCurveDisplay : The curve alone, for classifiers.
    FalsePositiveRateDisplay : The rate achieved for every rate asked for.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.inspection import WorkingPointDisplay
    >>> rng = np.random.default_rng(0)
    >>> detector = MahalanobisDetector().fit(rng.normal(size=(200, 4)))
    >>> X, y = rng.normal(size=(90, 4)), np.repeat([1, -1], [60, 30])
    >>> X[y == -1] *= 3
    >>> display = WorkingPointDisplay.from_estimator(detector, X, y)
    >>> [float(round(rate, 2)) for rate in display.achieved]
    [0.0, 0.9]
    """

    def __init__(self, *, fpr, tpr, roc_auc, achieved=None, target_fpr=None, name=None):
        self.fpr = fpr
        self.tpr = tpr
        self.roc_auc = roc_auc
        self.achieved = achieved
        self.target_fpr = target_fpr
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, y, *, name=None, ax=None, **kwargs):
        """Draw the curve of a detector's scores.

        Parameters
        ----------
        estimator : outlier detector, Pipeline, or meta-estimator around one
            Fitted, with ``score_samples``. The threshold is minus its ``offset_``.
        X : array-like of shape (n_samples, n_features), or sequence of images
            Samples that were not in the fit.
        y : array-like of shape (n_samples,)
            +1 for normal samples, -1 for anomalous ones.
        name : str or None, default=None
            For the legend; None is the class of the detector.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the curve.

        Returns
        -------
        display : WorkingPointDisplay

        Raises
        ------
        TypeError
            If the detector has no scores.
        ValueError
            If `y` holds other labels or one of the two only, or is of another length.
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
            name=asked if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls, y_true, y_score, *, offset=None, fpr=None, name=None, ax=None, **kwargs
    ):
        """Draw the curve of scores.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            +1 for normal samples, -1 for anomalous ones, which are the positives.
        y_score : array-like of shape (n_samples,)
            Finite; higher is more normal, as ``score_samples`` returns, of samples that
            were not in the fit.
        offset : float or None, default=None
            Score below which samples are flagged: the detector's ``offset_``.
        fpr : float or None, default=None
            False-positive rate asked for, in (0, 1).
        name : str or None, default=None
            For the legend.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the curve.

        Returns
        -------
        display : WorkingPointDisplay

        Raises
        ------
        ValueError
            If there is no score, one is not finite, or `y_true` holds other labels or
            one of the two only, or is of another length.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        y_score = check_scores("y_score", y_score)
        check_threshold(offset, fpr)
        is_anomalous = check_both_kinds("y_true", y_true, len(y_score))
        rates, tpr, _ = roc_curve(is_anomalous, -y_score, drop_intermediate=False)
        achieved = None
        if offset is not None:
            flagged = y_score < offset
            achieved = tuple(
                float(flagged[kind].mean()) for kind in (~is_anomalous, is_anomalous)
            )
        display = cls(
            fpr=rates,
            tpr=tpr,
            roc_auc=float(auc(rates, tpr)),
            achieved=achieved,
            target_fpr=fpr,
            name=name,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        name : str or None, default=None
            For the legend; None is the one given before.
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the curve.

        Returns
        -------
        display : WorkingPointDisplay
            Itself.
        """
        name = self._begin(ax, name)
        (self.chance_line_,) = self.ax_.plot(
            [0, 1], [0, 1], color="black", linestyle="--", label="chance"
        )
        self.target_line_ = self.point_ = None
        if self.target_fpr is not None:
            self.target_line_ = self.ax_.axvline(
                self.target_fpr,
                color="dimgrey",
                linestyle=":",
                label=f"{100 * self.target_fpr:g} % false alarms asked for",
            )
        style = {"label": labelled(name, f"AUROC {percent(self.roc_auc)}")}
        (self.line_,) = self.ax_.plot(self.fpr, self.tpr, **(style | kwargs))
        if self.achieved is not None:
            false, true = self.achieved
            (self.point_,) = self.ax_.plot(
                [false],
                [true],
                color="tab:red",
                linestyle="none",
                marker="o",
                markersize=9,
                markeredgecolor="black",
                clip_on=False,
                zorder=3,
                label=f"working point: {percent(false)} false alarms,\n"
                f"{percent(true)} of the anomalous samples found",
            )
        self.ax_.set(
            # Beyond 0 and 1, so that lines there are visible.
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
            aspect="equal",
            xlabel="false-positive rate: fraction of normal samples flagged",
            ylabel="true-positive rate: fraction of anomalous samples flagged",
        )
        for axis in (self.ax_.xaxis, self.ax_.yaxis):
            axis.set_major_formatter(lambda rate, _: f"{100 * rate:g} %")
        self.ax_.legend(loc="lower right")
        return self
