"""What the values mean that Pillow gives for the pixels of a file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """What the values of an image mean where their type does not say it.

    Attributes
    ----------
    white : int or None
        The integer that is white, where the file says it; None where it does not, and
        white is the largest number of the type or what the user says.
    is_inverted : bool
        Whether zero is white.
    has_deep_colour : bool
        Whether the file has colours of more than 8 bits, which Pillow reads in 8.
    """

    white: int | None = None
    is_inverted: bool = False
    has_deep_colour: bool = False
