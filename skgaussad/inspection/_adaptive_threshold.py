"""A moving threshold over time, with what it decided."""

import numpy as np

from ._base import BaseDisplay
from ._matplotlib import check_matplotlib


class AdaptiveThresholdDisplay(BaseDisplay):
    """Distances of parts in the order of production, and the threshold as it moved.

    Alarms that inspection found good or defective, those that wait for a verdict, and
    defects that were missed and reported have marks of their own.

    Create it with :meth:`from_threshold`; all parameters become attributes.

    Parameters
    ----------
    distance : ndarray of shape (n_parts,)
        In the order of production.

    threshold : ndarray of shape (n_parts,)
        That decided each part; NaN where it is not known.

    label : ndarray of shape (n_parts,)
        +1 for parts that passed, -1 for flagged ones.

    verdict : ndarray of shape (n_parts,)
        +1 for parts found good, -1 for defective ones, 0 without a verdict.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The threshold.

    points_ : dict of {str: matplotlib Line2D}
        Parts by what is known of them: ``"passed"``, ``"false alarm"``, ``"defect
        found"``, ``"defect missed"`` and ``"alarm that waits"``.

    ax_ : matplotlib Axes
        The axes drawn on.

    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    skgaussad.calibration.AdaptiveThreshold : What moves the threshold.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.calibration import AdaptiveThreshold
    >>> from skgaussad.inspection import AdaptiveThresholdDisplay
    >>> rng = np.random.default_rng(0)
    >>> detector = MahalanobisDetector().fit(rng.normal(size=(200, 4)))
    >>> adaptive = AdaptiveThreshold(detector)
    >>> labels = adaptive.predict(rng.normal(size=(300, 4)))
    >>> AdaptiveThresholdDisplay.from_threshold(adaptive)
    <...>
    """

    def __init__(self, *, distance, threshold, label, verdict):
        self.distance = distance
        self.threshold = threshold
        self.label = label
        self.verdict = verdict

    @classmethod
    def from_threshold(cls, adaptive, *, ax=None, **kwargs):
        """Draw what a threshold decided.

        Parameters
        ----------
        adaptive : AdaptiveThreshold
            With at least one part decided.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the threshold.

        Returns
        -------
        display : AdaptiveThresholdDisplay

        Raises
        ------
        ValueError
            If no part has been decided.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{cls.__name__}.from_threshold")
        history = adaptive.history()
        if not len(history["label"]):
            raise ValueError("No part has been decided; call predict or decide first.")
        return cls(**history).plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a new figure.
        **kwargs : dict
            Passed to matplotlib's ``plot`` for the threshold.

        Returns
        -------
        display : AdaptiveThresholdDisplay
            Itself.
        """
        self._draw_on(ax)
        number = np.arange(len(self.label))
        flagged = self.label == -1
        kinds = {
            "passed": (~flagged & (self.verdict != -1), "tab:grey", "."),
            "false alarm": (flagged & (self.verdict == 1), "tab:orange", "o"),
            "defect found": (flagged & (self.verdict == -1), "tab:green", "^"),
            "defect missed": (~flagged & (self.verdict == -1), "tab:red", "v"),
            "alarm that waits": (flagged & (self.verdict == 0), "tab:blue", "x"),
        }
        self.points_ = {}
        for name, (chosen, color, marker) in kinds.items():
            (self.points_[name],) = self.ax_.plot(
                number[chosen],
                self.distance[chosen],
                color=color,
                marker=marker,
                linestyle="none",
                label=f"{name} ({chosen.sum()})",
            )
        style = {"color": "black", "label": "threshold", "drawstyle": "steps-mid"}
        (self.line_,) = self.ax_.plot(number, self.threshold, **(style | kwargs))
        self.ax_.set(xlabel="part, in the order of production", ylabel="distance")
        self.ax_.legend(loc="best")
        return self
