"""Quantiles of squared distances against those of the chi-square distribution."""

import numpy as np
from scipy.stats import beta, chi2
from sklearn.utils.validation import column_or_1d

from .._utils.validation import check_real
from ..detectors import send_to_part
from ._base import BandDisplay, labelled
from ._matplotlib import check_matplotlib


class ChiSquareQQDisplay(BandDisplay):
    """Quantile plot of squared distances against the chi-square distribution.

    Equation 8 of the paper [1]_ sets the threshold by this distribution, as ``"chi2"``
    detectors do. Where the points of normal samples lie above the diagonal, more of
    them are flagged than asked for.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`; all parameters
    become attributes.

    Parameters
    ----------
    squared_distances : ndarray of shape (n_samples,)
        Squared Mahalanobis distances of normal samples, ascending.

    n_dof : float
        Degrees of freedom of the distribution.

    name : str or None, default=None
        Name of the detector, for the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        A point for each sample: its squared distance over the quantile of the
        distribution at (i - 0.5) / n, for the i-th smallest of n.

    identity_ : matplotlib Line2D
        The diagonal.

    band_ : matplotlib PolyCollection
        Where the points lie if the distribution holds, each with the confidence that
        :meth:`plot` takes.

    ax_ : matplotlib Axes
        The axes drawn on.

    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    FalsePositiveRateDisplay : For thresholds from held-out distances.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.inspection import ChiSquareQQDisplay
    >>> rng = np.random.default_rng(0)
    >>> detector = MahalanobisDetector().fit(rng.normal(size=(200, 4)))
    >>> ChiSquareQQDisplay.from_estimator(detector, rng.normal(size=(300, 4)))
    <...>
    """

    def __init__(self, *, squared_distances, n_dof, name=None):
        self.squared_distances = squared_distances
        self.n_dof = n_dof
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator, X, *, name=None, ax=None, confidence=0.95, **kwargs
    ):
        """Draw the squared distances of normal samples to a detector's Gaussian.

        Parameters
        ----------
        estimator : outlier detector or Pipeline
            Fitted, with ``mahalanobis`` and ``n_dof_``, such as
            :class:`~skgaussad.MahalanobisDetector`, or a
            :class:`~sklearn.pipeline.Pipeline` that ends in such a detector.
        X : array-like of shape (n_samples, n_features), or sequence of images
            Normal samples. Those of the fit are closer to the Gaussian than others.
        name : str or None, default=None
            For the legend; None is the class of the detector.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        confidence : float, default=0.95
            Probability of the band at each point, in (0, 1).
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the points.

        Returns
        -------
        display : ChiSquareQQDisplay

        Raises
        ------
        TypeError
            If the detector has no squared distances or degrees of freedom.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        detector, X = send_to_part(estimator, "mahalanobis", X)
        if not hasattr(detector, "n_dof_"):
            raise TypeError(
                f"{type(detector).__name__} has no mahalanobis and n_dof_, so no "
                "chi-square distribution applies to it. Take a fitted "
                "MahalanobisDetector, or a pipeline that ends in one."
            )
        return cls.from_predictions(
            detector.mahalanobis(X),
            n_dof=detector.n_dof_,
            name=type(detector).__name__ if name is None else name,
            ax=ax,
            confidence=confidence,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls, squared_distances, *, n_dof, name=None, ax=None, confidence=0.95, **kwargs
    ):
        """Draw squared distances.

        Parameters
        ----------
        squared_distances : array-like of shape (n_samples,)
            Squared Mahalanobis distances of normal samples, finite and >= 0.
        n_dof : float
            Degrees of freedom of the distribution, > 0.
        name : str or None, default=None
            For the legend.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        confidence : float, default=0.95
            Probability of the band at each point, in (0, 1).
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the points.

        Returns
        -------
        display : ChiSquareQQDisplay

        Raises
        ------
        ValueError
            If there is no distance, one is negative or not finite, or `n_dof` is out of
            its range.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        check_real("n_dof", n_dof, 0, np.inf)
        squared = column_or_1d(np.asarray(squared_distances, dtype=np.float64))
        if len(squared) == 0 or not np.all(np.isfinite(squared) & (squared >= 0)):
            raise ValueError(
                "squared_distances must be finite and not negative, and at least one."
            )
        display = cls(squared_distances=np.sort(squared), n_dof=n_dof, name=name)
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
            Passed to matplotlib's ``plot`` for the points.

        Returns
        -------
        display : ChiSquareQQDisplay
            Itself.
        """
        name = self._begin(ax, name, confidence)

        n_samples = len(self.squared_distances)
        ranks = np.arange(1, n_samples + 1)
        expected = chi2.ppf((ranks - 0.5) / n_samples, self.n_dof)
        # The i-th smallest of n uniform numbers follows a beta distribution.
        levels = [[(1 - confidence) / 2], [(1 + confidence) / 2]]
        low, high = chi2.ppf(beta.ppf(levels, ranks, n_samples + 1 - ranks), self.n_dof)
        self.band_ = self.ax_.fill_between(
            expected,
            low,
            high,
            color="tab:grey",
            alpha=0.25,
            linewidth=0,
            label=f"{100 * confidence:g} % band if it holds",
        )
        ends = expected[[0, -1]]
        (self.identity_,) = self.ax_.plot(
            ends, ends, color="black", linestyle="--", label="chi-square distribution"
        )
        style = {
            "label": labelled(name, f"{n_samples} samples"),
            "linestyle": "none",
            "marker": ".",
        }
        (self.line_,) = self.ax_.plot(
            expected, self.squared_distances, **(style | kwargs)
        )
        self.ax_.set(
            xlabel=f"chi-square quantile, {self.n_dof:g} degrees of freedom",
            ylabel="squared Mahalanobis distance",
        )
        self.ax_.legend(loc="upper left")
        return self
