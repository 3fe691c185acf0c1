"""Matplotlib, which is optional and imported where something is drawn."""

import threading

from .._utils.optional import check_packages


def check_matplotlib(user, *, extra="plot"):
    """Raise unless matplotlib can be imported.

    Parameters
    ----------
    user : str
        What draws with it, for the message.
    extra : str, default="plot"
        The optional dependencies of the package that have it.

    Raises
    ------
    ImportError
        If it is missing; says how to install it.
    """
    check_packages(user, extra, "matplotlib.figure")


def axes_to_draw_on(ax, user):
    """Return `ax`, or the axes of a new figure where it is None.

    In threads other than the main one, pyplot does not know that figure.

    Parameters
    ----------
    ax : matplotlib Axes or None
    user : str
        What draws on them, for the message if matplotlib is missing.

    Returns
    -------
    ax : matplotlib Axes
    """
    check_matplotlib(user)
    if ax is not None:
        return ax
    if threading.current_thread() is not threading.main_thread():
        # Windows and the figures of pyplot belong to the main thread.
        from matplotlib.figure import Figure

        return Figure(layout="constrained").subplots()
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(layout="constrained")
    return ax
