"""The commands of ``skgaussad``, a file each.

These files import argparse only, and the rest when a command runs, so that
``skgaussad --help`` is fast.
"""

__all__ = []
