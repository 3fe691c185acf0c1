"""Achieved against target false-positive rates."""

import numpy as np

from ._bands import fraction_band
from ._base import PValueBasedDisplay, labelled

# Enough for a band that looks smooth; the quantiles of each point take milliseconds.
_N_BAND_POINTS = 60


class FalsePositiveRateDisplay(PValueBasedDisplay):
    """Achieved against target false-positive rates, on normal samples.

    The curve of a calibrated detector stays in the band around the diagonal. Above it
    there are more false alarms than asked for.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`; all parameters
    become attributes.

    Parameters
    ----------
    target_fpr : ndarray of shape (n_thresholds,)
        Rates asked for, in (0, 1], ascending: those where the achieved rate changes.

    achieved_fpr : ndarray of shape (n_thresholds,)
        Fraction of the normal samples flagged at each target, in (0, 1].

    n_samples : int
        Number of normal samples.

    n_calibration : int or None, default=None
        Number of training samples whose held-out distances the p-values come from, or
        of groups where whole groups were held out; for the band.

    name : str or None, default=None
        Name of the detector, for the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The achieved rates.

    identity_ : matplotlib Line2D
        The diagonal.

    band_ : matplotlib PolyCollection
        Where the curve of a calibrated detector lies, each point with the confidence
        that :meth:`plot` takes.

    ax_ : matplotlib Axes
        The axes drawn on.

    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    PValueDisplay : The same p-values as a histogram.
    skgaussad.reporting.calibration_report : The figures at single rates.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.inspection import FalsePositiveRateDisplay
    >>> rng = np.random.default_rng(0)
    >>> detector = MahalanobisDetector().fit(rng.normal(size=(200, 4)))
    >>> FalsePositiveRateDisplay.from_estimator(detector, rng.normal(size=(300, 4)))
    <...>
    """

    def __init__(
        self, *, target_fpr, achieved_fpr, n_samples, n_calibration=None, name=None
    ):
        self.target_fpr = target_fpr
        self.achieved_fpr = achieved_fpr
        self.n_samples = n_samples
        self.n_calibration = n_calibration
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator, X, *, name=None, ax=None, confidence=0.95, **kwargs
    ):
        """Draw the rates of a detector on normal samples.

        Parameters
        ----------
        estimator : outlier detector or Pipeline
            Fitted, with p-values (see :func:`skgaussad.detectors.p_values`).
        X : array-like of shape (n_samples, n_features), or sequence of images
            Normal samples that were not in the fit.
        name : str or None, default=None
            For the legend; None is the class of the detector.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        confidence : float, default=0.95
            Probability of the band at each point, in (0, 1).
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the curve.

        Returns
        -------
        display : FalsePositiveRateDisplay

        Raises
        ------
        TypeError
            If the detector has no p-values.
        ImportError
            If matplotlib is not installed.
        """
        p_values, known = cls._ask(estimator, X, name)
        return cls.from_predictions(
            p_values,
            ax=ax,
            confidence=confidence,
            **known,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        p_values,
        *,
        n_calibration=None,
        name=None,
        ax=None,
        confidence=0.95,
        **kwargs,
    ):
        """Draw the rates from p-values of normal samples.

        Parameters
        ----------
        p_values : array-like of shape (n_samples,)
            In (0, 1], of normal samples that were not in the fit.
        n_calibration : int or None, default=None
            Number of training samples whose held-out distances the p-values come from,
            or of groups where whole groups were held out. The fewer, the wider the
            band; None takes it for infinite.
        name : str or None, default=None
            For the legend.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        confidence : float, default=0.95
            Probability of the band at each point, in (0, 1).
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the curve.

        Returns
        -------
        display : FalsePositiveRateDisplay

        Raises
        ------
        ValueError
            If there is no p-value, or one is not in (0, 1].
        ImportError
            If matplotlib is not installed.
        """
        p_values = cls._check_predictions(p_values, n_calibration)
        target_fpr, counts = np.unique(p_values, return_counts=True)
        display = cls(
            target_fpr=target_fpr,
            achieved_fpr=np.cumsum(counts) / len(p_values),
            n_samples=len(p_values),
            n_calibration=n_calibration,
            name=name,
        )
        return display.plot(ax=ax, confidence=confidence, **kwargs)

    def plot(self, ax=None, *, name=None, confidence=0.95, **kwargs):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        name : str or None, default=None
            For the legend; None is the one given before.
        confidence : float, default=0.95
            Probability of the band at each point, in (0, 1).
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the curve.

        Returns
        -------
        display : FalsePositiveRateDisplay
            Itself.
        """
        name = self._begin(ax, name, confidence)

        targets = self._band_targets()
        low, high = fraction_band(
            targets, self.n_samples, confidence, self.n_calibration
        )
        # Rates of 0 have no place on a logarithmic axis.
        least = 0.8 * min(targets[0], self.target_fpr[0], 1 / self.n_samples)
        self.band_ = self.ax_.fill_between(
            targets,
            np.maximum(low, least),
            np.maximum(high, least),
            color="tab:grey",
            alpha=0.25,
            linewidth=0,
            label=f"{100 * confidence:g} % band if calibrated",
        )
        (self.identity_,) = self.ax_.plot(
            [least, 1], [least, 1], color="black", linestyle="--", label="as asked for"
        )
        style = {
            "label": labelled(name, f"{self.n_samples} normal samples"),
            "drawstyle": "steps-post",
        }
        (self.line_,) = self.ax_.plot(
            np.append(self.target_fpr, 1),
            np.append(self.achieved_fpr, 1),
            **(style | kwargs),
        )
        self.ax_.set(
            xscale="log",
            yscale="log",
            xlim=(least, 1),
            ylim=(least, 1),
            aspect="equal",
            xlabel="false-positive rate asked for",
            ylabel="fraction of normal samples flagged",
        )
        for axis in (self.ax_.xaxis, self.ax_.yaxis):
            axis.set_major_formatter(lambda rate, _: f"{100 * rate:g} %")
        self.ax_.legend(loc="upper left")
        return self

    def _band_targets(self):
        """Rates at which to draw the band: those that p-values can have."""
        if self.n_calibration is None:
            least = min(self.target_fpr[0], 1 / self.n_samples)
            return np.geomspace(least, 1, _N_BAND_POINTS)
        n_values = self.n_calibration + 1
        points = np.geomspace(1, n_values, _N_BAND_POINTS)
        return np.unique(np.rint(points)) / n_values
