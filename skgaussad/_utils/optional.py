"""Optional packages, which are imported where something is done with them."""

from importlib import import_module


def check_packages(user, extra, *modules):
    """Raise unless modules can be imported.

    Parameters
    ----------
    user : str
        What works with them, for the message.
    extra : str
        The optional dependencies of the package that have them.
    *modules : str

    Raises
    ------
    ImportError
        If one is missing; says how to install it.
    """
    for module in modules:
        try:
            import_module(module)
        except ImportError:
            raise missing(user, extra, module) from None


def missing(user, extra, module):
    """Return the ImportError of a module that is not there; arguments as above."""
    return ImportError(
        f"{user} works with {module.partition('.')[0]}, which is not installed. Run: "
        f'pip install "skgaussad[{extra}]"'
    )
