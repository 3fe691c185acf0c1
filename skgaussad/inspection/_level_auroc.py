"""AUROC of each level of the network."""

import re

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.utils.validation import check_is_fitted

from ..detectors import aggregate, find_part, send_to_part
from ._base import NamedDisplay, labelled
from ._matplotlib import check_matplotlib
from ._scores import check_both_kinds, check_scores, percent

_LEVEL = re.compile(r"level(\d+)")
# As many names as fit under the axes.
_MOST_NAMES = 25


class LevelAUROCDisplay(NamedDisplay):
    """AUROC of each level, with that of the levels together as a line.

    Table I of the paper [1]_ as a picture: which levels tell anomalous images from
    normal ones, and how the sum of all levels compares, which needs no choice.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`; all parameters
    become attributes.

    Parameters
    ----------
    roc_auc : dict of {str: float}
        AUROC of each level, or other group of features, in [0, 1].

    roc_auc_together : float
        AUROC of the aggregated scores.

    aggregation : str, default="sum"
        How the levels were aggregated, for the legend.

    name : str or None, default=None
        Name of the detector, for the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        A point for each level, in percent.

    together_line_ : matplotlib Line2D
        The AUROC of the levels together.

    chance_line_ : matplotlib Line2D
        50 %.

    ax_ : matplotlib Axes
        The axes drawn on.

    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    skgaussad.LevelEnsemble : The detector.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import LevelEnsemble
    >>> from skgaussad.inspection import LevelAUROCDisplay
    >>> rng = np.random.default_rng(0)
    >>> columns = {"level1": slice(0, 2), "level2": slice(2, 5)}
    >>> ensemble = LevelEnsemble(columns=columns).fit(rng.normal(size=(200, 5)))
    >>> X, y = rng.normal(size=(90, 5)), np.repeat([1, -1], [60, 30])
    >>> X[y == -1, 2:] *= 3
    >>> display = LevelAUROCDisplay.from_estimator(ensemble, X, y)
    >>> {level: round(auroc, 2) for level, auroc in display.roc_auc.items()}
    {'level1': 0.58, 'level2': 0.94}
    """

    def __init__(self, *, roc_auc, roc_auc_together, aggregation="sum", name=None):
        self.roc_auc = roc_auc
        self.roc_auc_together = roc_auc_together
        self.aggregation = aggregation
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, y, *, name=None, ax=None, **kwargs):
        """Draw the AUROC of the levels of an ensemble.

        Parameters
        ----------
        estimator : LevelEnsemble, Pipeline, or meta-estimator around one
            Fitted; ends in a :class:`~skgaussad.LevelEnsemble`.
        X : array-like of shape (n_samples, n_features), or sequence of images
            Samples that were not in the fit.
        y : array-like of shape (n_samples,)
            +1 for normal samples, -1 for anomalous ones.
        name : str or None, default=None
            For the legend.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the points.

        Returns
        -------
        display : LevelAUROCDisplay

        Raises
        ------
        TypeError
            If the detector is no LevelEnsemble.
        ValueError
            If `y` holds other labels or one of the two only, or is of another length.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        if find_part(estimator, "group_scores") is None:
            raise TypeError(
                "LevelAUROCDisplay draws the levels of a fitted LevelEnsemble, or of a "
                f"pipeline that ends in one; got {type(estimator).__name__}. With the "
                "scores of each level at hand, use from_predictions."
            )
        ensemble, X = send_to_part(estimator, "group_scores", X)
        distances = -np.asarray(ensemble.group_scores(X), dtype=np.float64)
        return cls._draw(
            y,
            dict(zip(ensemble.columns_, -distances.T, strict=True)),
            -aggregate(distances, ensemble.aggregation, ensemble.top_fraction),
            aggregation=ensemble.aggregation,
            name=name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(cls, y_true, y_score, *, name=None, ax=None, **kwargs):
        """Draw the AUROC of the scores of levels, and of their sum.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            +1 for normal samples, -1 for anomalous ones.
        y_score : dict of {str: array-like of shape (n_samples,)}
            Scores of each level, by its name, such as ``"level7"``: finite; higher is
            more normal, as ``score_samples`` returns.
        name : str or None, default=None
            For the legend.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the points.

        Returns
        -------
        display : LevelAUROCDisplay

        Raises
        ------
        ValueError
            If there is no level, a score is not finite, or `y_true` holds other labels
            or one of the two only, or is of another length.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        if not isinstance(y_score, dict) or len(y_score) == 0:
            raise ValueError(
                "y_score must be a dict with the scores of each level, by its name; "
                f"got {type(y_score).__name__}"
                f"{' without an entry' if isinstance(y_score, dict) else ''}."
            )
        y_score = {
            level: check_scores(f"y_score[{level!r}]", of_level)
            for level, of_level in y_score.items()
        }
        lengths = {level: len(of_level) for level, of_level in y_score.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f"y_score must have as many samples of each level; got {lengths}."
            )
        together = sum(y_score.values())
        return cls._draw(
            y_true, y_score, together, aggregation="sum", name=name, ax=ax, **kwargs
        )

    @classmethod
    def _draw(cls, y_true, y_score, together, *, aggregation, name, ax, **kwargs):
        is_anomalous = check_both_kinds("y_true", y_true, len(together))
        display = cls(
            roc_auc={
                level: float(roc_auc_score(~is_anomalous, of_level))
                for level, of_level in y_score.items()
            },
            roc_auc_together=float(roc_auc_score(~is_anomalous, together)),
            aggregation=aggregation,
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
            Passed to matplotlib's ``plot`` for the points.

        Returns
        -------
        display : LevelAUROCDisplay
            Itself.
        """
        name = self._begin(ax, name)
        self.chance_line_ = self.ax_.axhline(
            50, color="dimgrey", linestyle=":", label="chance"
        )
        together = f"{self.aggregation}: {percent(self.roc_auc_together)}"
        self.together_line_ = self.ax_.axhline(
            100 * self.roc_auc_together, color="black", linestyle="--", label=together
        )
        best = max(self.roc_auc, key=self.roc_auc.get)
        best_one = f"single, best {best}: {percent(self.roc_auc[best])}"
        positions = np.arange(len(self.roc_auc))
        aurocs = 100 * np.array(list(self.roc_auc.values()))
        style = {"label": labelled(name, best_one), "marker": "o"}
        (self.line_,) = self.ax_.plot(positions, aurocs, **(style | kwargs))
        self._name_levels(positions)
        low = min(aurocs.min(), 100 * self.roc_auc_together, 50)
        self.ax_.set(ylim=(low - 3, 102), ylabel="AUROC, %")
        self.ax_.legend(loc="best")
        return self

    def _name_levels(self, positions):
        """Write the names of levels under the axes, thinned out where many."""
        levels = [_LEVEL.fullmatch(name) for name in self.roc_auc]
        every = slice(None, None, 1 + len(positions) // _MOST_NAMES)
        if all(levels):
            self.ax_.set_xlabel("level")
            names, rotation = [level[1] for level in levels], 0
        else:
            self.ax_.set_xlabel("group of features")
            names, rotation = list(self.roc_auc), 90
        self.ax_.set_xticks(positions[every], names[every], rotation=rotation)
