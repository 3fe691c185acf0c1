"""Rates as text."""


def percent(fraction):
    """Write a measured fraction in percent, with a no-break space."""
    is_tiny = 0 < fraction < 0.001
    return _with_sign(f"{100 * fraction:.1g}" if is_tiny else f"{100 * fraction:.1f}")


def asked(fraction):
    """Write a chosen fraction in percent, without digits it does not have."""
    return _with_sign(f"{100 * fraction:g}")


def _with_sign(number):
    return f"{number}\N{NO-BREAK SPACE}%"
