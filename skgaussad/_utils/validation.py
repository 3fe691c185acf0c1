"""Checks of constructor parameters, made in ``fit``.

Not by `sklearn.utils.check_scalar`, which accepts NaN and booleans, and raises
TypeError for values of other types.
"""

import numbers


def check_choice(name, value, choices):
    """Raise ValueError unless `value` is one of the strings `choices`."""
    if not isinstance(value, str) or value not in choices:
        expected = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {expected}; got {value!r}.")


def check_real(name, value, low, high, *, closed=""):
    """Raise ValueError unless `value` is a real number between `low` and `high`.

    `closed` names the bounds that are allowed: "" for none, "low", "high" or "both".
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
    """Raise ValueError unless `value` is an integer of at least `low`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ValueError(f"{name} must be an integer of at least {low}; got {value!r}.")
    if value < low:
        raise ValueError(f"{name} must be at least {low}; got {value!r}.")
