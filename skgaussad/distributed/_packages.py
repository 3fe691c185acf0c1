"""Dask and PyArrow, which are optional and imported where something is done."""

from importlib import import_module


def check_packages(user, *names):
    """Raise unless modules can be imported.

    Parameters
    ----------
    user : str
        What works with them, for the message.
    *names : str
        Names of the modules.

    Raises
    ------
    ImportError
        If one is missing; says how to install it.
    """
    for name in names:
        try:
            import_module(name)
        except ImportError:
            raise ImportError(
                f"{user} works with {name}, which is not installed. Run: "
                'pip install "skgaussad[dask]"'
            ) from None
