"""The header of JPEG 2000 files: which of them Pillow decodes rightly.

Pillow has no depth of its own for colours of more than 8 bits, and makes black of their
white; grey of 9 to 15 bits it shifts to 16 bits.
"""

import struct

from ._input import ItemError

_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_CODESTREAM = b"\xff\x4f\xff\x51"
_REMEDY = (
    "read it with another library and pass a uint8 or uint16 array, or save it as PNG "
    "or TIFF."
)
_COLOUR_SPACES = {16: "sRGB", 17: "grey"}


def is_jpeg2000(start):
    """Return whether a file starts as those of JPEG 2000 do."""
    return start.startswith((_SIGNATURE, _CODESTREAM))


def check_components(content):
    """Check that Pillow decodes the pixels rightly.

    Parameters
    ----------
    content : bytes
        Of a file for which `is_jpeg2000` is true.

    Returns
    -------
    white : int or None
        The value of white of a grey image of 9 to 15 bits; None for that of the type.

    Raises
    ------
    ItemError
        If it does not, or is not known to, or the header is damaged.
    """
    try:
        components, problem = _read_components(content)
    except (struct.error, ValueError, IndexError):
        raise ItemError(
            "expected an intact image, but its header is cut short; replace it or "
            "leave it out."
        ) from None
    depths, others = set(components[::3]), set(components[1::3]) | set(components[2::3])
    n_components = len(components) // 3
    if max(depths) >= 128:
        problem = "values with a sign"
    elif others != {1}:
        problem = "components of several sizes"
    elif len(depths) > 1 or n_components > 4:
        problem = f"{n_components} components of {sorted(d + 1 for d in depths)} bits"
    (bits,) = {(depth & 127) + 1 for depth in depths} if len(depths) == 1 else (0,)
    if problem is None and (bits < 8 or bits > 16 or (bits > 8 and n_components > 1)):
        problem = f"{n_components} component(s) of {bits} bits"
    if problem is not None:
        raise ItemError(
            "expected a JPEG 2000 file of grey with 8 to 16 bits or of colours with 8 "
            f"bits, got {problem}; {_REMEDY}"
        )
    return None if bits in (8, 16) else 65536 - 2 ** (16 - bits)


def _read_components(content):
    """Return depth and two steps of each component, and what is not read, or None."""
    start, problem, roles = 0, None, ()
    if content.startswith(_SIGNATURE):
        for kind, box, end in _boxes(content, 0, len(content)):
            if kind == b"jp2h":
                for part, at, _ in _boxes(content, box, end):
                    if part == b"pclr":
                        problem = "a palette"
                    elif part == b"colr":
                        method, _, _, space = struct.unpack_from(">BBBI", content, at)
                        if method == 1 and space not in _COLOUR_SPACES:
                            problem = f"colour space {space}"
                    elif part == b"cdef":
                        (n_roles,) = struct.unpack_from(">H", content, at)
                        roles = struct.unpack_from(f">{3 * n_roles}H", content, at + 2)
            elif kind == b"jp2c":
                start = box
                break
    if not content.startswith(_CODESTREAM, start):
        raise ValueError("no codestream")
    (n_components,) = struct.unpack_from(">H", content, start + 40)
    components = struct.unpack_from(f">{3 * n_components}B", content, start + 42)
    # The kind of the last channel: 1 is opacity.
    is_alpha = len(roles) == 3 * n_components and 1 in roles[1::3]
    if n_components in (2, 4) and not is_alpha and problem is None:
        problem = f"{n_components} components, of which none is said to be alpha"
    return components, problem


def _boxes(content, position, end):
    """Yield the kind, the start and the end of what is in each box."""
    while position + 8 <= end:
        length, kind = struct.unpack_from(">I4s", content, position)
        start = position + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", content, start)
            start += 8
        stop = end if length == 0 else position + length
        if stop < start:
            raise ValueError("a box of no length")
        yield kind, start, min(stop, end)
        position = stop
