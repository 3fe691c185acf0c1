"""Judging constructor parameters in ``fit``, with messages that say what to do."""

import numbers


def check_choice(name, value, choices):
    """Raise unless `value` is one of the strings `choices`.

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : object
        Its value.
    choices : sequence of str
        The values allowed.

    Raises
    ------
    ValueError
        If `value` is none of `choices`.
    """
    if not isinstance(value, str) or value not in choices:
        expected = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {expected}; got {value!r}.")


def check_real(name, value, low, high, *, closed=""):
    """Raise unless `value` is a real number between `low` and `high`.

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : object
        Its value.
    low, high : float
        The bounds.
    closed : {"", "low", "high", "both"}, default=""
        Which of the bounds are allowed themselves.

    Raises
    ------
    ValueError
        If `value` is not a number, not finite, or out of bounds.
    """
    left, right = closed in ("low", "both"), closed in ("high", "both")
    interval = f"{'[' if left else '('}{low}, {high}{']' if right else ')'}"
    inside = (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and (value >= low if left else value > low)
        and (value <= high if right else value < high)
    )
    if not inside:
        raise ValueError(f"{name} must be a number in {interval}; got {value!r}.")


def check_integer(name, value, low):
    """Raise unless `value` is an integer of at least `low`.

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : object
        Its value.
    low : int
        The least value allowed.

    Raises
    ------
    ValueError
        If `value` is not an integer or is less than `low`.
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ValueError(f"{name} must be an integer of at least {low}; got {value!r}.")
    if value < low:
        raise ValueError(f"{name} must be at least {low}; got {value!r}.")
