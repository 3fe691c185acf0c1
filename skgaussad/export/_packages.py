"""ONNX packages, which are optional and imported where a graph is made."""

from importlib import import_module

_NAMES = ("onnx", "onnxscript", "onnxruntime")


def check_packages():
    """Raise unless the packages that make, write and run a graph can be imported.

    Raises
    ------
    ImportError
        If one is missing; says how to install it.
    """
    for name in _NAMES:
        try:
            import_module(name)
        except ImportError:
            raise ImportError(
                f"to_onnx works with {name}, which is not installed. Run: "
                'pip install "skgaussad[onnx]"'
            ) from None
