"""Base classes of the displays."""

from .._utils.validation import check_integer, check_real
from ..detectors import n_calibration_units, send_to_part
from ._bands import check_p_values
from ._matplotlib import axes_to_draw_on, check_matplotlib


class BaseDisplay:
    """Picture in scikit-learn's manner."""

    def _draw_on(self, ax):
        """Set ``ax_`` and ``figure_``."""
        self.ax_ = axes_to_draw_on(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_.figure


class NamedDisplay(BaseDisplay):
    """Picture with a parameter ``name``."""

    def _begin(self, ax, name):
        """Set ``ax_`` and ``figure_``; return the name to show."""
        self._draw_on(ax)
        return self.name if name is None else name


class BandDisplay(NamedDisplay):
    """Picture with a band that holds with some confidence."""

    def _begin(self, ax, name, confidence):
        """Check `confidence` as well."""
        check_real("confidence", confidence, 0, 1)
        return super()._begin(ax, name)


class PValueBasedDisplay(BandDisplay):
    """Picture of p-values."""

    @classmethod
    def _ask(cls, estimator, X, name):
        """Return p-values of an estimator, and keywords for `from_predictions`."""
        check_matplotlib(f"{cls.__name__}.from_estimator")
        detector, X = send_to_part(estimator, "p_values", X)
        return detector.p_values(X), {
            "n_calibration": n_calibration_units(detector),
            "name": type(detector).__name__ if name is None else name,
        }

    @classmethod
    def _check_predictions(cls, p_values, n_calibration):
        """Return the p-values as an array, or raise where one is out of range."""
        check_matplotlib(f"{cls.__name__}.from_predictions")
        p_values = check_p_values(p_values)
        if n_calibration is not None:
            check_integer("n_calibration", n_calibration, 1)
        return p_values


def labelled(name, counted):
    """Write the entry of a legend."""
    return counted if name is None else f"{name}, {counted}"
