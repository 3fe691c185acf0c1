"""A histogram of p-values."""

import numpy as np
from sklearn.utils.validation import check_consistent_length

from .._utils.labels import check_labels
from .._utils.validation import check_integer
from ._bands import fraction_band
from ._base import PValueBasedDisplay


class PValueDisplay(PValueBasedDisplay):
    """Histogram of p-values, of normal samples and of anomalous ones.

    P-values of normal samples are uniform where the detector is calibrated: their bars
    end in the band. Those of anomalous samples are small.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`; all parameters
    become attributes.

    Parameters
    ----------
    p_values : ndarray of shape (n_samples,)
        In (0, 1].

    y_true : ndarray of shape (n_samples,) or None, default=None
        +1 for normal samples, -1 for anomalous ones; None takes all for normal.

    n_calibration : int or None, default=None
        Number of training samples whose held-out distances the p-values come from, or
        of groups where whole groups were held out; for the band.

    name : str or None, default=None
        Name of the detector, for the title.

    Attributes
    ----------
    bars_ : dict of {1, -1: matplotlib BarContainer}
        The bars of the normal and of the anomalous samples, as far as there are any.

    uniform_line_ : matplotlib Line2D
        The height of all bars if the p-values are uniform.

    band_ : matplotlib PolyCollection or None
        Where the bars of normal samples end if the detector is calibrated, each with
        the confidence that :meth:`plot` takes; None without normal samples.

    ax_ : matplotlib Axes
        The axes drawn on.

    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    FalsePositiveRateDisplay : The same p-values of normal samples, cumulated.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.inspection import PValueDisplay
    >>> rng = np.random.default_rng(0)
    >>> detector = MahalanobisDetector().fit(rng.normal(size=(200, 4)))
    >>> PValueDisplay.from_estimator(detector, rng.normal(size=(300, 4)))
    <...>
    """

    def __init__(self, *, p_values, y_true=None, n_calibration=None, name=None):
        self.p_values = p_values
        self.y_true = y_true
        self.n_calibration = n_calibration
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        name=None,
        ax=None,
        n_bins=20,
        confidence=0.95,
        **kwargs,
    ):
        """Draw the p-values that a detector gives.

        Parameters
        ----------
        estimator : outlier detector or Pipeline
            Fitted, with p-values (see :func:`skgaussad.detectors.p_values`).
        X : array-like of shape (n_samples, n_features), or sequence of images
            Samples that were not in the fit.
        y : array-like of shape (n_samples,) or None, default=None
            +1 for normal samples, -1 for anomalous ones; None takes all for normal.
        name : str or None, default=None
            For the title; None is the class of the detector.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        n_bins : int, default=20
            Number of bars, of equal width.
        confidence : float, default=0.95
            Probability of the band at each bar, in (0, 1).
        **kwargs : dict
            Passed to matplotlib's ``bar``.

        Returns
        -------
        display : PValueDisplay

        Raises
        ------
        TypeError
            If the detector has no p-values.
        ImportError
            If matplotlib is not installed.
        """
        p_values, known = cls._ask(estimator, X, name)
        return cls.from_predictions(
            y,
            p_values,
            ax=ax,
            n_bins=n_bins,
            confidence=confidence,
            **known,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true,
        p_values,
        *,
        n_calibration=None,
        name=None,
        ax=None,
        n_bins=20,
        confidence=0.95,
        **kwargs,
    ):
        """Draw p-values.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or None
            +1 for normal samples, -1 for anomalous ones; None takes all for normal.
        p_values : array-like of shape (n_samples,)
            In (0, 1], of samples that were not in the fit.
        n_calibration : int or None, default=None
            Number of training samples whose held-out distances the p-values come from,
            or of groups where whole groups were held out. The fewer, the wider the
            band; None takes it for infinite.
        name : str or None, default=None
            For the title.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        n_bins : int, default=20
            Number of bars, of equal width.
        confidence : float, default=0.95
            Probability of the band at each bar, in (0, 1).
        **kwargs : dict
            Passed to matplotlib's ``bar``.

        Returns
        -------
        display : PValueDisplay

        Raises
        ------
        ValueError
            If there is no p-value, one is not in (0, 1], or `y_true` holds other
            labels or is of another length.
        ImportError
            If matplotlib is not installed.
        """
        p_values = cls._check_predictions(p_values, n_calibration)
        if y_true is not None:
            y_true = check_labels("y_true", y_true)
            check_consistent_length(p_values, y_true)
        display = cls(
            p_values=p_values, y_true=y_true, n_calibration=n_calibration, name=name
        )
        return display.plot(ax=ax, n_bins=n_bins, confidence=confidence, **kwargs)

    def plot(self, ax=None, *, name=None, n_bins=20, confidence=0.95, **kwargs):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        name : str or None, default=None
            For the title; None is the one given before.
        n_bins : int, default=20
            Number of bars, of equal width.
        confidence : float, default=0.95
            Probability of the band at each bar, in (0, 1).
        **kwargs : dict
            Passed to matplotlib's ``bar``.

        Returns
        -------
        display : PValueDisplay
            Itself.
        """
        check_integer("n_bins", n_bins, 1)
        name = self._begin(ax, name, confidence)
        y_true = np.ones(len(self.p_values)) if self.y_true is None else self.y_true

        edges = np.arange(n_bins + 1) / n_bins
        self.bars_ = {}
        for label, kind, color in (
            (1, "normal", "tab:blue"),
            (-1, "anomalous", "tab:red"),
        ):
            chosen = self.p_values[y_true == label]
            if len(chosen) == 0:
                continue
            style = {
                "label": f"{len(chosen)} {kind} samples",
                "color": color,
                "alpha": 0.6,
            }
            self.bars_[label] = self.ax_.bar(
                edges[:-1],
                100 * _fractions(chosen, n_bins),
                width=1 / n_bins,
                align="edge",
                **(style | kwargs),
            )
        self.band_ = None
        if 1 in self.bars_:
            self.band_ = self._draw_band(edges, (y_true == 1).sum(), confidence)
        self.uniform_line_ = self.ax_.axhline(
            100 / n_bins, color="black", linestyle="--", label="uniform"
        )
        self.ax_.set(
            xlim=(0, 1),
            xlabel="p-value",
            ylabel="fraction of the samples of each kind, %",
            title=name or "",
        )
        # Room for the legend above the bars.
        self.ax_.set_ylim(0, 1.4 * self.ax_.dataLim.ymax)
        self.ax_.legend(loc="upper right")
        return self

    def _draw_band(self, edges, n_samples, confidence):
        if self.n_calibration is None:
            widths = np.diff(edges)
        else:
            # Of few possible p-values, some bars have one more than others.
            n_values = self.n_calibration + 1
            possible = np.arange(1, n_values + 1) / n_values
            widths = _fractions(possible, len(edges) - 1)
        low, high = fraction_band(widths, n_samples, confidence, self.n_calibration)
        return self.ax_.fill_between(
            edges,
            100 * np.append(low, low[-1]),
            100 * np.append(high, high[-1]),
            step="post",
            facecolor="none",
            edgecolor="dimgrey",
            hatch="////",
            linewidth=0.5,
            label=f"{100 * confidence:g} % band if calibrated",
        )


def _fractions(p_values, n_bins):
    """Fraction of the p-values in each of `n_bins` bins of equal width.

    A bin holds its upper edge, because a sample is flagged at a p-value equal to the
    rate asked for.
    """
    edges = np.arange(1, n_bins + 1) / n_bins
    bins = np.searchsorted(edges, p_values, side="left")
    return np.bincount(bins, minlength=n_bins) / len(p_values)
