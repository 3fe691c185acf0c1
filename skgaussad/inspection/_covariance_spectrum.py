"""The spectrum of a fitted covariance, with the signal of anomalies."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.validation import check_integer, check_real
from ..detectors import gaussian_parts, innermost
from ._base import NamedDisplay
from ._component_split import split_squared_distances
from ._components import Components
from ._matplotlib import check_matplotlib
from ._scores import check_both_kinds, percent

# Width of the place for directions without variance, as a fraction of that of the
# others.
_PLACE_OF_REST = 0.1
_N_BARS = 10


class CovarianceSpectrumDisplay(NamedDisplay):
    """Variance of normal samples along each component, and the signal of anomalies.

    Section IV-A of the paper [1]_ as a picture: the components along which normal
    samples hardly vary are those that tell anomalies from them. The signal of a
    component is its fraction of the difference between anomalous and normal samples in
    squared distance: the mean of its terms over the anomalous samples less that over
    the normal ones, divided by the sum of these differences over all components. It is
    negative where normal samples deviate more.

    Create it with :meth:`from_estimator`; all parameters become attributes.

    Parameters
    ----------
    variances : ndarray of shape (n_components,)
        Eigenvalues of the fitted covariance, largest first.

    n_directions : ndarray of shape (n_components,)
        Number of directions that a component stands for: 1, but for the last where
        there are directions in which the training samples do not vary. All of them are
        one component, because nothing tells one from another.

    sample_variances : ndarray of shape (n_components,) or None, default=None
        Eigenvalues of the sample covariance, before any shrinkage.

    signal : ndarray of shape (n_components,) or None, default=None
        Signal of each component; adds up to 1.

    name : str or None, default=None
        Name of the detector, for the title.

    Attributes
    ----------
    line_ : matplotlib Line2D
        `variances`, a point for each component. Directions without variance, which may
        be many times the others, have a place of their own at the right.

    sample_line_ : matplotlib Line2D or None
        `sample_variances`, but for directions without variance.

    leading_line_ : matplotlib Line2D
        Where the components end that together explain the fraction of the variance
        that :meth:`plot` takes.

    bars_ : matplotlib BarContainer or None
        Signal of groups of components, in percent: of as many components each, as far
        as that goes, and of those without variance.

    signal_ax_ : matplotlib Axes or None
        The axes of the bars, behind `ax_`.

    ax_ : matplotlib Axes
        The axes drawn on.

    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    split_by_component : The terms for each sample.
    skgaussad.NegatedPCA : Keeps the components of least variance.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.inspection import CovarianceSpectrumDisplay
    >>> rng = np.random.default_rng(0)
    >>> detector = MahalanobisDetector().fit(rng.normal(size=(300, 3)) * [9, 3, 1])
    >>> X, y = rng.normal(size=(90, 3)) * [9, 3, 1], np.repeat([1, -1], [60, 30])
    >>> X[y == -1, 2] += 5
    >>> display = CovarianceSpectrumDisplay.from_estimator(detector, X, y, n_bars=3)
    >>> display.variances.round()
    array([76.,  9.,  1.])
    >>> display.signal.round(1)
    array([-0., -0.,  1.])
    """

    def __init__(
        self, *, variances, n_directions, sample_variances=None, signal=None, name=None
    ):
        self.variances = variances
        self.n_directions = n_directions
        self.sample_variances = sample_variances
        self.signal = signal
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X=None,
        y=None,
        *,
        group=None,
        name=None,
        ax=None,
        n_bars=None,
        variance_fraction=0.99,
        **kwargs,
    ):
        """Draw the spectrum of a detector's Gaussian.

        Parameters
        ----------
        estimator : outlier detector, Pipeline, or meta-estimator around one
            As for :func:`split_by_component`.
        X : array-like of shape (n_samples, n_features), sequence of images or None, \
                default=None
            Normal and anomalous samples to compute the signal of, which were not in the
            fit. None draws the spectrum alone.
        y : array-like of shape (n_samples,) or None, default=None
            +1 for the normal samples of `X`, -1 for the anomalous ones.
        group : str or None, default=None
            Which Gaussian of a :class:`~skgaussad.LevelEnsemble` to draw, by
            its name in ``columns_``, such as ``"level7"``.
        name : str or None, default=None
            For the title; None is `group`, or the class of the detector.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        n_bars : int or None, default=None
            Number of groups of components that the signal is summed over; None is 10.
            Only to be given with a signal, that is with `X` and `y`.
        variance_fraction : float, default=0.99
            Fraction of the variance at the end of which to draw a line, in (0, 1).
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the variances.

        Returns
        -------
        display : CovarianceSpectrumDisplay

        Raises
        ------
        ValueError
            If the detector has no Gaussian, or several and `group` names none of them;
            if one of `X` and `y` is missing, `y` does not hold both kinds, or the
            anomalous samples of `X` are no farther away than the normal ones.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        if (X is None) != (y is None):
            raise ValueError(
                "X and y must be given together, with normal samples (+1) and "
                f"anomalous ones (-1), or neither; {'X' if X is None else 'y'} is None."
            )
        check_is_fitted(estimator)
        gaussians = gaussian_parts(innermost(estimator)[1])
        group, detector = _choose(gaussians, group)
        components = Components.of(detector)
        signal = None
        if X is not None:
            terms = split_squared_distances(estimator, X)[1][group]
            signal = _signal_of(terms, check_both_kinds("y", y, len(terms)))
        display = cls(
            variances=components.variances,
            n_directions=components.n_directions,
            sample_variances=components.sample_variances,
            signal=signal,
            name=_name_of(group, detector) if name is None else name,
        )
        return display.plot(
            ax=ax, n_bars=n_bars, variance_fraction=variance_fraction, **kwargs
        )

    def plot(
        self, ax=None, *, name=None, n_bars=None, variance_fraction=0.99, **kwargs
    ):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        name : str or None, default=None
            For the title; None is the one given before.
        n_bars : int or None, default=None
            Number of groups of components that the signal is summed over; None is 10.
            Only to be given with a signal, that is with `X` and `y`.
        variance_fraction : float, default=0.99
            Fraction of the variance at the end of which to draw a line, in (0, 1).
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the variances.

        Returns
        -------
        display : CovarianceSpectrumDisplay
            Itself.
        """
        if n_bars is None:
            n_bars = _N_BARS
        elif self.signal is None:
            raise ValueError(
                f"n_bars={n_bars!r} has no effect without a signal. Give X and y, or "
                "leave it None."
            )
        check_integer("n_bars", n_bars, 1)
        check_real("variance_fraction", variance_fraction, 0, 1)
        name = self._begin(ax, name)
        numbers = np.arange(1, self._rank + 1)
        places, variances = numbers, self.variances[: self._rank]
        if self._has_rest:
            places = np.append(places, [self._rank + 0.5, self._end])
            variances = np.append(variances, np.repeat(self.variances[-1], 2))
        style = {"label": "fitted covariance", "color": "black"}
        (self.line_,) = self.ax_.plot(places, variances, **(style | kwargs))
        self.sample_line_ = None
        if self.sample_variances is not None:
            (self.sample_line_,) = self.ax_.plot(
                numbers,
                self.sample_variances[: self._rank],
                color="tab:blue",
                linestyle="--",
                label="sample covariance",
            )
        self._draw_leading(variance_fraction)
        self.bars_ = self.signal_ax_ = None
        if self.signal is not None:
            self._draw_signal(n_bars)
        self.ax_.set(
            xlim=(0.5, self._end),
            yscale="log",
            xlabel="component, by falling variance",
            ylabel="variance, in the squared unit of the features",
            title=name or "",
        )
        if self._has_rest:
            self._name_rest()
        # Room for the legend above the lines.
        low, high = np.log(self.ax_.dataLim.intervaly)
        span = max(high - low, 1)
        self.ax_.set_ylim(np.exp([low - 0.05 * span, high + 0.6 * span]))
        artists = [self.line_, self.sample_line_, self.bars_, self.leading_line_]
        self.ax_.legend(
            handles=[artist for artist in artists if artist is not None],
            loc="upper right",
            framealpha=1,
        )
        return self

    @property
    def _rank(self):
        """Number of components of one direction, with variance."""
        return len(self.variances) - self._has_rest

    @property
    def _has_rest(self):
        """Whether the last component stands for all directions without variance."""
        return self.n_directions[-1] > 1 or self._is_without_variance

    @property
    def _is_without_variance(self):
        return self.sample_variances is not None and self.sample_variances[-1] == 0

    @property
    def _end(self):
        """Right end of the axes: those directions may be many times the others."""
        return self._rank + 0.5 + self._has_rest * max(1, _PLACE_OF_REST * self._rank)

    def _name_rest(self):
        """Say what stands at the end, which has no numbers."""
        ticks = self.ax_.get_xticks()
        # One close to the end would meet the name.
        ticks = ticks[(ticks >= 1) & (ticks <= (1 - _PLACE_OF_REST) * self._rank)]
        names = [*(f"{tick:g}" for tick in ticks), "rest"]
        self.ax_.set_xticks([*ticks, (self._rank + 0.5 + self._end) / 2], names)
        n_directions = self.n_directions[-1]
        directions = "direction" if n_directions == 1 else "directions"
        self.ax_.set_xlabel(
            f"component, by falling variance (rest: {n_directions} {directions} "
            "without variance)"
        )

    def _draw_leading(self, variance_fraction):
        """Draw the line that PCA and negated PCA would cut at."""
        variances = (
            self.variances if self.sample_variances is None else self.sample_variances
        )
        explained = np.cumsum(variances * self.n_directions)
        n_leading = 1 + np.searchsorted(explained, variance_fraction * explained[-1])
        label = f"left of it {100 * variance_fraction:g} % of the variance"
        if self.signal is not None:
            label += f",\n{percent(self.signal[:n_leading].sum())} of the signal"
        self.leading_line_ = self.ax_.axvline(
            n_leading + 0.5, color="dimgrey", linestyle=":", label=label
        )

    def _draw_signal(self, n_bars):
        """Draw the bars, behind the lines."""
        self.signal_ax_ = self.ax_.twinx()
        self.ax_.set_zorder(self.signal_ax_.get_zorder() + 1)
        self.ax_.patch.set_visible(False)
        groups = np.array_split(np.arange(self._rank), min(n_bars, self._rank))
        edges = [group[0] + 0.5 for group in groups] + [self._rank + 0.5]
        if self._has_rest:
            groups.append([self._rank])
            edges.append(self._end)
        self.bars_ = self.signal_ax_.bar(
            edges[:-1],
            [100 * self.signal[group].sum() for group in groups],
            width=np.diff(edges),
            align="edge",
            color="orange",
            edgecolor="white",
            alpha=0.6,
            label="signal of anomalies, by groups of components",
        )
        low, high = self.signal_ax_.dataLim.intervaly
        # Room for the legend above the bars.
        self.signal_ax_.set_ylim(1.05 * min(low, 0), 1.7 * max(high, 0))
        self.signal_ax_.set_ylabel("fraction of the signal, %")


def _choose(gaussians, group):
    """Find the Gaussian to draw, by its name."""
    if group is None and len(gaussians) == 1:
        (group,) = gaussians
    if group not in gaussians:
        raise ValueError(
            f"group must name one of the Gaussians, {', '.join(map(repr, gaussians))}; "
            f"got {group!r}."
        )
    return group, gaussians[group][-1]


def _name_of(group, detector):
    return type(detector).__name__ if group == "all" else group


def _signal_of(terms, is_anomalous):
    """Fraction of each component of the difference in squared distance."""
    farther = terms[is_anomalous].mean(axis=0) - terms[~is_anomalous].mean(axis=0)
    if not farther.sum() > 0:
        raise ValueError(
            "The anomalous samples are no farther away than the normal ones, on "
            "average, and there is no signal to split over components. Check the "
            "labels in y: +1 is normal, -1 anomalous."
        )
    return farther / farther.sum()
