"""The parameter ``levels``, and the default level."""

import math
import numbers


def resolve_levels(levels, n_levels, auto_level):
    """Turn the parameter ``levels`` into the numbers of levels, counted from 1.

    Parameters
    ----------
    levels : int, iterable of int, "all" or "auto"
        Level numbers as in the paper, from 1; negative numbers count from the deepest.
    n_levels : int
        Number of levels the backbone has.
    auto_level : int
        The level that ``"auto"`` stands for.

    Returns
    -------
    levels : tuple of int
        In rising order, each once.

    Raises
    ------
    ValueError
        If `levels` is none of these, is empty, or has a level that does not exist.
    """
    expected = (
        f"a number from 1 to {n_levels} or -{n_levels} to -1, a list of such numbers, "
        "'all' or 'auto'"
    )
    if isinstance(levels, str):
        if levels == "all":
            return tuple(range(1, n_levels + 1))
        if levels == "auto":
            return (auto_level,)
        raise ValueError(f"levels must be {expected}; got {levels!r}.")
    try:
        asked = [levels] if isinstance(levels, numbers.Number) else list(levels)
    except TypeError:
        raise ValueError(f"levels must be {expected}; got {levels!r}.") from None
    for level in asked:
        is_integer = isinstance(level, numbers.Integral) and not isinstance(level, bool)
        if not is_integer or not 1 <= abs(level) <= n_levels:
            raise ValueError(f"levels must be {expected}; got {level!r}.")
    if not asked:
        raise ValueError(f"levels must be {expected}; got an empty list.")
    return tuple(
        sorted({int(level) if level > 0 else n_levels + 1 + level for level in asked})
    )


def auto_level(n_levels, *, has_head):
    """Return the default level, counted from 1.

    For networks with a convolutional head (EfficientNet) the paper's best is the level
    before the last stage (7 of 9, tables I and II), for ResNet the last stage but one
    (4 of 5, table VII). Other networks follow by analogy; with many levels, one for
    each transformer block, it is the one three quarters of the way up, which no table
    of the paper supports.
    """
    if has_head:
        return max(1, n_levels - 2)
    if n_levels <= 6:
        return max(1, n_levels - 1)
    return math.ceil(0.75 * n_levels)


def auto_level_for_grids(strides):
    """Return the default level for grids, counted from 1, or None for that of means.

    It is the deepest of those whose stride, rounded to a power of two, is nearest to
    16, and of two equally near the coarser. Where all levels have one stride, as in
    vision transformers, the stride tells nothing.

    Parameters
    ----------
    strides : sequence of float
        Pixels of the input along a side of a position, by level.
    """
    octaves = [round(math.log2(stride)) for stride in strides]
    if len(set(octaves)) == 1:
        return None
    taken = min(octaves, key=lambda octave: (abs(octave - 4), -octave))
    return max(level for level, octave in enumerate(octaves, 1) if octave == taken)
