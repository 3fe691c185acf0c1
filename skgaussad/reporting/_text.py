"""Numbers as they stand on a report."""


def percent(share):
    """Write a share that was measured in percent.

    Parameters
    ----------
    share : float
        In [0, 1].

    Returns
    -------
    text : str
        With a space that does not break.
    """
    is_tiny = 0 < share < 0.001
    return _with_sign(f"{100 * share:.1g}" if is_tiny else f"{100 * share:.1f}")


def asked(share):
    """Write a share that was chosen in percent, without digits it does not have.

    Parameters
    ----------
    share : float
        In [0, 1].

    Returns
    -------
    text : str
        With a space that does not break.
    """
    return _with_sign(f"{100 * share:g}")


def _with_sign(number):
    return f"{number}\N{NO-BREAK SPACE}%"
